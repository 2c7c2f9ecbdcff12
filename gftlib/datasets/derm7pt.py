"""Derm7pt: dermoscopic images labelled with the seven-point checklist (SCALE, section 2.3.1).

The set is on request (Kawahara et al., IEEE JBHI 2019); its layout is ``meta/meta.csv``, positional splits in
``meta/{train,valid,test}_indexes.csv`` and images under ``images/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from gftlib.datasets.checks import Count, Report, locate, read_table
from gftlib.datasets.class_concepts import SPLITS, ClassConceptData, ClassConceptTask, Combination
from gftlib.errors import InputError


@dataclass(frozen=True)
class Expression:
    """One expression of a criterion.

    Args:
        criterion: The column of ``meta.csv``.
        label: Its value in that column.
        phrase: The expression in words, used as concept name and in prompts.
        score: Its points on the seven-point checklist; 0 reads as nevus, more as melanoma.
        count: How many of the 1,011 cases of a phantom cohort carry it. It is an estimate, made without the
            published table: :func:`check` counts a copy of the set without comparing it with this.
    """

    criterion: str
    label: str
    phrase: str
    score: int
    count: int


# The phrase holds the label at {}; the scores follow the checklist (2 for a major criterion, 1 for a minor).
_TABLE: dict[str, tuple[str, dict[str, tuple[int, int]]]] = {
    "pigment_network": (
        "{} pigment network",
        {"absent": (0, 400), "typical": (0, 381), "atypical": (2, 230)},
    ),
    "blue_whitish_veil": ("{} blue-whitish veil", {"absent": (0, 816), "present": (2, 195)}),
    "vascular_structures": (
        "{} vascular structures",
        {
            "absent": (0, 823),
            "arborizing": (0, 31),
            "comma": (0, 23),
            "hairpin": (0, 15),
            "within regression": (0, 46),
            "wreath": (0, 2),
            "dotted": (2, 53),
            "linear irregular": (2, 18),
        },
    ),
    "pigmentation": (
        "{} pigmentation",
        {
            "absent": (0, 588),
            "diffuse regular": (0, 115),
            "localized regular": (0, 3),
            "diffuse irregular": (1, 265),
            "localized irregular": (1, 40),
        },
    ),
    "streaks": ("{} streaks", {"absent": (0, 653), "regular": (0, 107), "irregular": (1, 251)}),
    "dots_and_globules": (
        "{} dots and globules",
        {"absent": (0, 229), "regular": (0, 334), "irregular": (1, 448)},
    ),
    "regression_structures": (
        "{} regression structures",
        {"absent": (0, 758), "blue areas": (1, 116), "white areas": (1, 38), "combinations": (1, 99)},
    ),
}
_PHRASES = {
    ("vascular_structures", "within regression"): "vascular structures within regression",
    ("regression_structures", "blue areas"): "regression structures with blue areas",
    ("regression_structures", "white areas"): "regression structures with white areas",
    ("regression_structures", "combinations"): "regression structures with blue and white areas",
}

CRITERIA = tuple(_TABLE)
EXPRESSIONS = tuple(
    Expression(criterion, label, _PHRASES.get((criterion, label), pattern.format(label)), score, count)
    for criterion, (pattern, labels) in _TABLE.items()
    for label, (score, count) in labels.items()
)
SPLIT_SIZES = {"train": 413, "valid": 203, "test": 395}
N_CASES, N_MELANOMA = 1011, 252
BORDER = 25  # pixels cut from each side: some photographs have a dark frame
META_COLUMNS = ("case_num", "diagnosis", "derm", *CRITERIA)

PromptStyle = Literal["class and concept", "concept"]
_TEMPLATES: dict[str, str] = {
    "class and concept": "A photo of a skin lesion with {concept}, which indicates a {cls}.",
    "concept": "A photo of a skin lesion with {concept}.",
}


def task(prompt: PromptStyle = "class and concept", name: str = "derm7pt") -> ClassConceptTask:
    """Return the 28 class-concept combinations of the seven criteria (SCALE, Table 1 and section 2.3.1).

    The paper prints the class of the five expressions of *pigmentation* only; there it equals "scores nothing
    on the checklist" (nevus) against "scores" (melanoma), and we extend that rule to the other six criteria.
    Its template "A photo of a skin lesion with {concept-class-combination}," leaves the wording of the slot
    open.

    Args:
        prompt: ``"class and concept"`` fills the slot as the paper's introduction words it ("diffuse regular
            pigmentation, which indicates a nevus"), ``"concept"`` with the expression alone.
        name: Name of the task; the skin phantom uses the same combinations under its own name.

    Raises:
        InputError: If ``prompt`` is neither.
    """
    if prompt not in _TEMPLATES:
        raise InputError(f"unknown prompt style {prompt!r}; known: {', '.join(_TEMPLATES)}")
    combinations = []
    for e in EXPRESSIONS:
        cls = "melanoma" if e.score else "nevus"
        text = _TEMPLATES[prompt].format(concept=e.phrase, cls=cls)
        combinations.append(Combination(e.criterion, cls, e.phrase, text))
    concepts = tuple(e.phrase for e in EXPRESSIONS)
    return ClassConceptTask(name, ("nevus", "melanoma"), concepts, tuple(combinations), multi_label=False)


def is_melanoma(diagnosis: str) -> bool:
    """Return whether a raw diagnosis string is one of the melanoma group (thickness variants, metastasis)."""
    return diagnosis.strip().lower().startswith("melanoma")


def load(
    path: Path | str, prompt: PromptStyle = "class and concept", border: int = BORDER
) -> ClassConceptData:
    """Read the dermoscopic images and their labels; images are opened only when asked for.

    Args:
        path: The folder that holds ``meta/`` and ``images/``.
        prompt: See :func:`task`.
        border: Pixels to cut from each side of an image.

    Returns:
        The data; what was skipped (missing image, unknown label, case in no split) is listed in ``notes``.

    Raises:
        MissingError: If a table is missing.
        InputError: If a table lacks a column, a case number is repeated, an index of a split is out of range
            or in two splits, an image path leaves the folder, or nothing usable is left.
    """
    folder = Path(path)
    table = read_table(folder / "meta" / "meta.csv", META_COLUMNS)
    repeated = table["case_num"][table["case_num"].duplicated()]
    if len(repeated):
        raise InputError(f"{folder / 'meta' / 'meta.csv'}: case_num {repeated.iloc[0]!r} is there twice")
    split = _read_splits(folder, len(table))
    the_task = task(prompt)
    rows, labels, files, notes = [], [], [], []
    for row in range(len(table)):
        values, file, problem = _read_row(folder, table.iloc[row], split[row])
        if problem:
            notes.append(f"case {table['case_num'].iloc[row]} skipped: {problem}")
            continue
        rows.append(row)
        labels.append(values)
        files.append(file)
    if not rows:
        raise InputError(
            f"{folder} has no usable case; first problem: {notes[0] if notes else 'empty table'}"
        )
    matrix = np.array(labels, dtype=np.uint8)
    return ClassConceptData(
        task=the_task,
        labels=matrix,
        subjects=table["case_num"].to_numpy(dtype=str)[rows],
        split=split[rows],
        texts=[[(the_task.prompts[h], int(h)) for h in np.flatnonzero(one)] for one in matrix],
        images=lambda i: read_image(files[i], border),
        notes=tuple(notes),
    )


def _read_splits(folder: Path, n: int) -> np.ndarray:
    split = np.full(n, "", dtype="<U5")
    for name in SPLITS:
        path = folder / "meta" / f"{name}_indexes.csv"
        indices = pd.to_numeric(read_table(path, ("indexes",))["indexes"], errors="coerce")
        if not (indices.between(0, n - 1) & (indices % 1 == 0)).all():  # neither holds of what is no number
            raise InputError(f"{path}: the indexes must be row positions from 0 to {n - 1} of meta.csv")
        positions = indices.to_numpy(dtype=np.int64)
        if (taken := split[positions] != "").any() or len(set(positions)) != len(positions):
            where = positions[taken][0] if taken.any() else "one"
            raise InputError(f"{path}: position {where} is in two splits, or twice in this one")
        split[positions] = name
    return split


def _read_row(folder: Path, row: pd.Series, split: str) -> tuple[list[int], Path | None, str]:
    if not split:
        return [], None, "it is in no split"
    found = {c: row[c].strip().lower() for c in CRITERIA}
    for criterion, label in found.items():
        if not any(e.criterion == criterion and e.label == label for e in EXPRESSIONS):
            return [], None, f"unknown {criterion} {label!r}"
    file = locate(folder / "images", row["derm"].strip()) if row["derm"].strip() else None
    if file is None:
        return [], None, f"no image {row['derm']!r}"
    return [int(found[e.criterion] == e.label) for e in EXPRESSIONS], file, ""


def read_image(path: Path, border: int = BORDER) -> np.ndarray:
    """Read one image without its border, ``(H, W, 3)`` uint8.

    Raises:
        InputError: If it is no image or not larger than its borders.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{path} is not a readable image: {error}") from error
    if min(pixels.shape[:2]) <= 2 * border:
        raise InputError(f"{path} has {pixels.shape[:2]} pixels, too few to cut a border of {border}")
    return pixels[border : pixels.shape[0] - border, border : pixels.shape[1] - border]


def check(path: Path | str) -> Report:
    """Read the set and count it: cases, splits and melanoma beside what is published, and the 28 expressions.

    Args:
        path: The folder that holds ``meta/`` and ``images/``.

    Raises:
        MissingError: If a table is missing.
        InputError: As :func:`load`.
    """
    data = load(path)
    table = read_table(Path(path) / "meta" / "meta.csv", META_COLUMNS)
    kept = table["case_num"].isin(data.subjects)
    counts = [
        Count("cases", len(data), N_CASES),
        *(Count(f"cases in {s}", len(data.indices(s)), n) for s, n in SPLIT_SIZES.items()),
        Count("melanoma", int(table["diagnosis"][kept].map(is_melanoma).sum()), N_MELANOMA),
        *(
            Count(f"{e.criterion}: {e.label}", int(n))
            for e, n in zip(EXPRESSIONS, data.labels.sum(axis=0), strict=True)
        ),
    ]
    return Report("derm7pt", tuple(counts), data.notes)
