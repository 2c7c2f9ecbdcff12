"""How well a student sees: neutral questions about phantoms that it has not met.

Written beside the weights of the embedded students when they are trained, and shown in chapters 5 and 9: no
arm can differ by what is in an image if the student that it starts from sees nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from gftlib.boxes import parse_boxes
from gftlib.errors import MissingError
from gftlib.metrics.grounding import find_targets
from gftlib.paths import read_json
from gftlib.vlm.backbones import WEIGHTS, Student
from gftlib.vlm.conversations import Example
from gftlib.vlm.inference import answer

KINDS = {
    "Which quadrants hold dark patches": "quadrants of dark patches, all of them",
    "Which quadrants hold bright patches": "quadrants of bright patches, all of them",
    "Is there a": "a patch in a quadrant, yes or no",
}
"""Questions with one right answer, by how they begin."""
BOXES = "boxes of patches, IoU above 0.5"
FILE = "eye_test.json"


def eye_test(student: Student, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Ask neutral questions and score the answers.

    Args:
        student: Who is asked.
        examples: Neutral lessons of images that it has not met, boxes in its own grammar.

    Returns:
        By kind of question the share ``right``, what always giving the ``commonest`` answer would score, and
        the number ``n``; of boxes the share of those that are there which were found.
    """
    told = answer(student, examples, longest=64)
    asked = [
        (example.image, question, true, said)
        for example, answers in zip(examples, told, strict=True)
        for question, true, said in zip(example.questions, example.answers, answers, strict=True)
    ]
    found: dict[str, dict[str, float]] = {}
    for start, kind in KINDS.items():
        pairs = [(true, said.strip()) for _, question, true, said in asked if question.startswith(start)]
        if pairs:
            (_, often), *_ = Counter(true for true, _ in pairs).most_common(1)
            right = float(np.mean([true == said for true, said in pairs]))
            found[kind] = {"right": right, "commonest": often / len(pairs), "n": len(pairs)}
    marked = [
        tuple(_boxes(student, image, text) for text in (said, true))
        for image, question, true, said in asked
        if question.startswith("Mark the")
    ]
    there = [(said, true) for said, true in marked if len(true)]
    if there:
        hits = find_targets([said for said, _ in there], [true for _, true in there], 0.5, "one_to_one")
        found[BOXES] = {"right": hits.recall, "commonest": 0.0, "n": len(hits.found)}
    return found


def of_embedded(name: str) -> dict[str, Any]:
    """Return the eye test that lies beside the weights of an embedded student.

    Raises:
        MissingError: If there is none.
    """
    file = WEIGHTS / name / FILE
    if not file.is_file():
        raise MissingError(f"no {file}: `gftlib train-student {name}` writes it")
    return read_json(file)


def table(students: Iterable[str]) -> pd.DataFrame:
    """Return how well the embedded ones among students saw once they were trained, a row a kind of lesson."""
    rows = [
        {"student": name, "asked for": kind, **score}
        for name in students
        if (WEIGHTS / name / FILE).is_file()
        for kind, score in of_embedded(name).items()
    ]
    columns = {"right": "right", "commonest": "right by the commonest answer", "n": "questions"}
    return pd.DataFrame(rows, columns=["student", "asked for", *columns]).rename(columns=columns).round(2)


def _boxes(student: Student, image: Path | Image.Image, text: str) -> np.ndarray:
    size = (image.height, image.width) if isinstance(image, Image.Image) else None
    return parse_boxes(text, student.family.boxes, size, **student.pixels).boxes
