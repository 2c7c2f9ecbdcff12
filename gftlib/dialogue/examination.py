"""What every student is asked after its tuning, and how true its answers are (GFT, section 3, Table 3).

The same questions go to every student. Those on presence ask for each kind of finding in each quadrant, so
that naming everything everywhere does not pay; those on places ask for boxes. On phantoms the answers are
held against the lesions that were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.boxes import QUADRANTS, parse_boxes
from gftlib.dialogue.claims import affirms, claims, named
from gftlib.dialogue.prompts import student_system
from gftlib.dialogue.questions import NAMES, QUESTIONS
from gftlib.dialogue.scoring import COLUMNS, FAZ, TrueLesion, claim
from gftlib.dialogue.wording import quadrant_words
from gftlib.metrics.grounding import find_targets
from gftlib.octa.signs import FINDING_KINDS, FindingKind
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example

STAGE_QUESTION = QUESTIONS["stage"][0]
"""Asked of every student for the stage, with the reasons."""
CELLS: tuple[tuple[FindingKind, str], ...] = tuple((k, q) for k in FINDING_KINDS for q in QUADRANTS)
PRESENCE = tuple(
    QUESTIONS["present"][0].format(thing=NAMES[kind], place=quadrant_words(q)) for kind, q in CELLS
)
"""One question for each of `CELLS`."""
MARKED: tuple[str, ...] = (FAZ, *FINDING_KINDS)
ASKED = (*(f"{kind}, {q}" for kind, q in CELLS), *(f"mark {what}" for what in MARKED))
"""What each question of `findings_paper` asks for."""
MARKING = tuple(
    QUESTIONS["mark"][0].format(thing=NAMES.get(what, "the foveal avascular zone")) for what in MARKED
)
"""One question for each of `MARKED`."""


def staging_paper(images: Mapping[str, Path]) -> list[Example]:
    """Return the question for the stage, for each image."""
    return [Example(path, (STAGE_QUESTION,), background=student_system(1)) for path in images.values()]


def findings_paper(images: Mapping[str, Path]) -> list[Example]:
    """Return the questions on presence and on places, for each image."""
    background = student_system(2)
    return [Example(path, (*PRESENCE, *MARKING), background=background) for path in images.values()]


@dataclass(frozen=True)
class Told:
    """What a student told of one scan, read from its answers.

    Attributes:
        quadrants: Kind -> quadrants in which it affirmed it.
        boxes: Kind, or FAZ -> (n, 4) unit xyxy.
        silent: Presence questions that got no readable answer.
        rejected: Boxes that could not be read.
    """

    quadrants: Mapping[str, tuple[str, ...]]
    boxes: Mapping[str, np.ndarray]
    silent: int
    rejected: int


def read_answers(answers: Sequence[str], student: Student, size: tuple[int, int]) -> Told:
    """Read the answers to `findings_paper`, in its order, about an image of a size (height, width)."""
    verdicts = [affirms(text, *cell) for text, cell in zip(answers, CELLS, strict=False)]
    quadrants = {
        kind: tuple(q for (k, q), v in zip(CELLS, verdicts, strict=True) if k == kind and v)
        for kind in FINDING_KINDS
    }
    parsed = {
        what: parse_boxes(text, student.family.boxes, size, **student.pixels)
        for what, text in zip(MARKED, answers[len(CELLS) :], strict=True)
    }
    rejected = sum(sum(one.rejected.values()) for one in parsed.values())
    boxes = {what: one.boxes for what, one in parsed.items()}
    return Told(quadrants, boxes, sum(v is None for v in verdicts), rejected)


def read_claims(text: str) -> Told:
    """Read what a free answer states, without being asked for any place."""
    found = claims(text)
    quadrants = {kind: tuple(q for q in QUADRANTS if q in named(found, kind)) for kind in FINDING_KINDS}
    return Told(quadrants, {what: np.empty((0, 4)) for what in MARKED}, 0, 0)


def score_told(
    scan: str, part: str, stage: str, told: Told, lesions: Sequence[TrueLesion], faz: TrueLesion
) -> list[dict[str, Any]]:
    """Put what a student told of one scan beside what is there, as `gftlib.dialogue.scoring.score_scan`.

    Args:
        scan: Its name.
        part: Which student.
        stage: Its true stage.
        told: As read from the answers.
        lesions: The truth.
        faz: Where the FAZ is.

    Raises:
        InputError: If a lesion is claimed by no kind.
    """
    rows = []
    for what in (*FINDING_KINDS, FAZ):
        true = [faz] if what == FAZ else [t for t in lesions if claim(t.kind) == what]
        there = {q for one in true for q in one.quadrants}
        boxes = told.boxes[what]
        target = np.array([one.box for one in true], float).reshape(-1, 4)
        found = int(find_targets([boxes], [target]).found.sum())
        said = told.quadrants.get(what, ())
        cells = (_joined(said), _joined(there), len(boxes), len(true), found)
        rows.append(dict(zip(COLUMNS, (part, scan, stage, what, *cells), strict=True)))
    return rows


@dataclass(frozen=True)
class Phrase:
    """A phrase of an answer and whether it is so (GFT, Fig. 3).

    Attributes:
        start: Where it begins.
        end: Where it ends.
        verdict: ``true``; ``partly``, where some of its quadrants are right; ``false``.
    """

    start: int
    end: int
    verdict: str


def mark_phrases(text: str, lesions: Sequence[TrueLesion]) -> list[Phrase]:
    """Judge each claim of an answer by the true lesions; the oracle that only phantoms have."""
    phrases = []
    for one in claims(text):
        there = {q for lesion in lesions if claim(lesion.kind) == one.kind for q in lesion.quadrants}
        if not one.quadrants:
            right = bool(there) == one.stated
            verdict = "true" if right else "false"
        else:
            hits = sum((q in there) == one.stated for q in one.quadrants)
            verdict = "true" if hits == len(one.quadrants) else "partly" if hits else "false"
        phrases.append(Phrase(one.start, one.end, verdict))
    return phrases


def replies(answers: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Count how presence was answered: what is unread must not pass for a denial.

    Args:
        answers: Columns part, asked (one of `ASKED`) and answer.

    Returns:
        Part -> shares of presence questions ``affirmed``, ``denied`` and ``unread``.
    """
    cells, found = dict(zip(ASKED, CELLS, strict=False)), {}
    for part, rows in answers[answers["asked"].isin(cells)].groupby("part", sort=False):
        verdicts = [affirms(row.answer, *cells[row.asked]) for row in rows.itertuples(index=False)]
        shares = {"affirmed": True, "denied": False, "unread": None}
        found[str(part)] = {
            name: round(sum(v is kind for v in verdicts) / len(verdicts), 4) for name, kind in shares.items()
        }
    return found


def _joined(names: Sequence[str] | set[str]) -> str:
    return " ".join(q for q in QUADRANTS if q in names)
