"""Test images of chapter 9 with what was to be found and what a student marked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gftlib.bird.predictions import Prediction
from gftlib.bird.tasks import Scoring
from gftlib.bird.tuning_study import read_predictions
from gftlib.boxes import frame
from gftlib.datasets.sa_med2d import SAMed2D
from gftlib.datasets.sa_med2d_names import MODALITIES, image_stem, parse_image
from gftlib.endpoint.messages import plain_image
from gftlib.errors import InputError
from gftlib.metrics.grounding import find_targets
from gftlib.phantoms.scans import SOURCES, draw_case

_CASE = re.compile(r"case_(\d+)")


@dataclass(frozen=True)
class Marked:
    """One question for something by name, and its answer.

    Attributes:
        image: (h, w) or (h, w, 3) uint8.
        modality: As in the paper's tables.
        question: What was asked.
        wanted: (N, 4) unit boxes that were to be found.
        marked: (M, 4) unit boxes of the answer.
        found: How many of the wanted boxes are overlapped by more than one half.
    """

    image: NDArray[np.uint8]
    modality: str
    question: str
    wanted: NDArray[np.float64]
    marked: NDArray[np.float64]
    found: int


def marked(path: Path, name: str, source: Path | None = None, seed: int = 0) -> list[Marked]:
    """Return one grounding question of each modality with the answer of a student.

    The first of each modality in the order of the file, which does not depend on any answer.

    Args:
        path: ``predictions.jsonl``.
        name: ``student/arm``.
        source: Root of the scans; None: phantoms are drawn anew.
        seed: Of the phantoms.

    Raises:
        InputError: If the student is not in the file.
    """
    found, scoring = read_predictions(path)
    if name not in found:
        raise InputError(f"{path} holds no answers of {name!r}; it holds {', '.join(found)}")
    first: dict[str, Prediction] = {}
    for one in found[name]:
        if one.task == "VG":
            first.setdefault(one.modality, one)
    order = [first[modality] for modality in MODALITIES if modality in first]
    return [_shown(one, scoring, source, seed) for one in order]


def _shown(one: Prediction, scoring: Scoring, source: Path | None, seed: int) -> Marked:
    if source is None:
        image = phantom(Path(one.image).stem, seed)
    else:
        image = np.asarray(plain_image(Path(SAMed2D(source).file(one.image))))
    wanted, told = (scoring.boxes(text, one.image) for text in (one.annotation, one.response))
    hits = find_targets([told], [wanted], 0.5)
    edges = frame(scoring.box_format, (scoring.sizes or {}).get(one.image))
    question = re.sub(r"<[^>]*>", "", one.question)
    return Marked(
        image, MODALITIES[one.modality], question, wanted / edges, told / edges, int(hits.found.sum())
    )


def phantom(stem: str, seed: int) -> NDArray[np.uint8]:
    """Draw the phantom of a name again.

    Args:
        stem: As `gftlib.phantoms.scans.write_case` names it.
        seed: Of the cohort.

    Raises:
        InputError: If no phantom of that seed has the name.
    """
    name = parse_image(stem)
    if (number := _CASE.fullmatch(name.case)) is not None:
        for scan in draw_case(name.modality, int(number[1]), seed):
            dataset = SOURCES[name.modality].dataset
            if image_stem(scan.prefix, dataset, name.case, scan.axis, scan.index) == stem:
                return scan.image
    raise InputError(f"no phantom of seed {seed} is named {stem!r}")
