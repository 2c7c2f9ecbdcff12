"""PadChest-GR: frontal chest radiographs with grounded reports (SCALE, section 2.3.1).

The set is on request (Castro et al., NEJM AI 2025); its layout is ``grounded_reports_*.json``, a long
``master_table.csv`` and PNG images. Findings, places, boxes and sentences are read from the JSON, patients
and the official split from the table.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from gftlib.datasets.checks import Count, Report
from gftlib.datasets.class_concepts import NO_COMBINATION, SPLITS, ClassConceptData
from gftlib.datasets.padchest_locations import (
    MIN_CASES,
    N_PATIENTS,
    PRINTED,
    MultiLocation,
    task,
)
from gftlib.datasets.padchest_records import Study, read_records, read_studies
from gftlib.datasets.splitting import stratified_test
from gftlib.errors import InputError

TEST_SHARE = 0.15
N_STUDIES, N_POSITIVE, N_NEGATIVE = 4555, 7037, 3422
_INDEX = {(p.finding, p.location): h for h, p in enumerate(PRINTED)}

SplitRule = Literal["stratified", "official"]


def load(
    path: Path | str,
    split: SplitRule = "stratified",
    multiple: MultiLocation = "all",
    min_cases: int = MIN_CASES,
    seed: int = 0,
) -> ClassConceptData:
    """Read the studies that hold a printed combination; images are opened only when asked for.

    Args:
        path: The folder of the JSON file and the master table.
        split: ``"stratified"``: 15 % of the patients for the test, stratified by combination, as the paper
            does (its split is not published); ``"official"``: the split that comes with the set.
        multiple: What a finding with several locations counts as; see
            :func:`gftlib.datasets.padchest_locations.coarse_locations`.
        min_cases: Combinations with fewer cases are removed.
        seed: Seed of the stratified split.

    Returns:
        The data; what was skipped or removed is listed in ``notes``.

    Raises:
        MissingError: If the JSON file or the table is missing.
        InputError: If one of them is malformed, a patient is in two official splits, or nothing is left.
    """
    if split not in ("stratified", "official"):
        raise InputError(f"split must be 'stratified' or 'official', got {split!r}")
    studies, notes = read_studies(path, multiple)
    cases = Counter(pair for study in studies for pair in study.held)
    kept = [h for h, p in enumerate(PRINTED) if cases[p.finding, p.location] >= max(min_cases, 1)]
    notes += [
        f"{p.finding} {p.location} removed: {cases[p.finding, p.location]} cases, {min_cases} needed"
        for h, p in enumerate(PRINTED)
        if h not in kept
    ]
    column = {(PRINTED[h].finding, PRINTED[h].location): k for k, h in enumerate(kept)}
    studies = [study for study in studies if study.held & set(column)]
    if not studies:
        raise InputError(
            f"{path} has no study with a printed combination; first note: {(notes or ['none'])[0]}"
        )
    labels = np.zeros((len(studies), len(kept)), np.uint8)
    for row, study in zip(labels, studies, strict=True):
        row[[column[pair] for pair in study.held if pair in column]] = 1
    subjects = np.array([study.patient for study in studies])
    parts = np.array([study.official for study in studies])
    if split == "stratified":
        parts = np.where(stratified_test(labels, subjects, TEST_SHARE, seed), "test", "train")
    return ClassConceptData(
        task=task(kept=kept),
        labels=labels,
        subjects=subjects,
        split=parts,
        texts=[_texts(study, column) for study in studies],
        images=lambda i: read_image(studies[i].image),
        boxes=[[(column[p], box) for p, box in study.boxes if p in column] for study in studies],
        notes=tuple(notes),
    )


def _texts(study: Study, column: dict[tuple[str, str], int]) -> list[tuple[str, int]]:
    """Return each sentence once for each combination it names, or once as naming none."""
    named = [(text, column[pair]) for text, pair in study.texts if pair in column]
    told = {text for text, _ in named}
    return named + [(text, NO_COMBINATION) for text in dict(study.texts) if text not in told]


def read_image(path: Path) -> np.ndarray:
    """Read one radiograph as ``(H, W)`` uint8; 16-bit images are stretched between their 0.5 % and 99.5 %.

    Raises:
        InputError: If it is no readable image.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image if image.mode.startswith("I") else image.convert("L"))
    except OSError as error:
        raise InputError(f"{path} is not a readable image: {error}") from error
    if pixels.dtype == np.uint8:
        return pixels
    low, high = np.percentile(pixels, (0.5, 99.5))
    scaled = (pixels.astype(np.float64) - low) / max(high - low, 1.0)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def check(path: Path | str, multiple: MultiLocation = "all") -> Report:
    """Read the set and count it beside the published counts: studies, sentences, patients, combinations.

    A location that the paper does not list is reported where it has ten cases or more: the paper would have
    kept it.

    Args:
        path: The folder of the JSON file and the master table.
        multiple: See :func:`load`.

    Raises:
        MissingError: If the JSON file or the table is missing.
        InputError: If one of them is malformed.
    """
    records = read_records(Path(path))
    studies, notes = read_studies(path, multiple)
    cases = Counter(pair for study in studies for pair in study.held)
    kept = [s for s in studies if s.held & set(_INDEX)]
    sentences = Counter(
        bool(f.get("abnormal"))
        for record in records
        if isinstance(record, dict) and isinstance(record.get("findings"), list)
        for f in record["findings"]
        if isinstance(f, dict)
    )
    counts = [
        Count("studies", len(records), N_STUDIES),
        Count("positive sentences", sentences[True], N_POSITIVE),
        Count("negative sentences", sentences[False], N_NEGATIVE),
        Count("patients with a printed combination", len({s.patient for s in kept}), N_PATIENTS),
        Count("their studies", len(kept)),
        *(
            Count(f"their studies in the official {part}", sum(s.official == part for s in kept))
            for part in SPLITS
        ),
        *(Count(f"{p.finding} {p.location}", cases[p.finding, p.location], p.count) for p in PRINTED),
    ]
    notes += [
        f"{finding} {place} has {n} cases but is not among the printed combinations"
        for (finding, place), n in sorted(cases.items())
        if (finding, place) not in _INDEX and n >= MIN_CASES
    ]
    return Report("padchest-gr", tuple(counts), tuple(notes))
