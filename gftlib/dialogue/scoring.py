"""How true the statements of tables are, and what a corpus holds (GFT, section 2.4).

A student cannot learn places better than its teacher states them: quadrant F1 and box recall of the tables'
findings against true lesions are the ceiling of every student. The truth comes in as plain data, so that
nothing here, or in what students learn from, can reach a phantom.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.records import Dialogue, Pair
from gftlib.errors import InputError
from gftlib.metrics.grounding import find_targets, set_f1
from gftlib.octa.findings import Finding
from gftlib.octa.signs import FINDING_KINDS, FindingKind
from gftlib.octa.table_rows import FazRow

CLAIMS: dict[FindingKind, frozenset[str]] = {
    "non-perfusion": frozenset({"capillary non-perfusion"}),
    "FAZ enlargement": frozenset({"FAZ enlargement"}),
    "dilated vessels": frozenset({"microaneurysm", "venous beading", "IRMA-like shunt"}),
    "tortuous vessels": frozenset({"vessel tortuosity"}),
    "dense tangle": frozenset({"neovascular tuft"}),
}
"""Which true lesions each kind of finding claims."""


@dataclass(frozen=True)
class TrueLesion:
    """A lesion that is known to be there.

    Attributes:
        kind: One of the names in `CLAIMS`.
        quadrants: Those it occupies.
        box: Unit xyxy.
    """

    kind: str
    quadrants: tuple[str, ...]
    box: tuple[float, float, float, float]


def claim(kind: str) -> FindingKind:
    """Return the kind of finding that claims a lesion.

    Raises:
        InputError: If none does.
    """
    for finding, lesions in CLAIMS.items():
        if kind in lesions:
            return finding
    known = sorted(name for lesions in CLAIMS.values() for name in lesions)
    raise InputError(f"no finding claims a lesion of kind {kind!r}; known: {', '.join(known)}")


FAZ = "FAZ"
"""Rows of this kind tell of the FAZ itself, a landmark and no abnormality."""
COLUMNS = (
    "part",
    "scan",
    "stage",
    "kind",
    "named",
    "true",
    "boxes_stated",
    "boxes_true",
    "boxes_found",
)
"""What is kept of each scan and kind."""


def score_scan(
    scan: str,
    part: str,
    stage: str,
    findings: Sequence[Finding],
    lesions: Sequence[TrueLesion],
    faz: tuple[FazRow | None, TrueLesion] | None = None,
) -> list[dict[str, Any]]:
    """Put what a table states about one scan beside what is there.

    Args:
        scan: Its name.
        part: The part of the cohort it belongs to, such as ``test``.
        stage: Its true stage.
        findings: Of its table.
        lesions: The truth.
        faz: What the table says of the FAZ, and where it is; None leaves it out.

    Returns:
        One row for each kind of finding, and one for the FAZ: the quadrants named and the true ones, the
        numbers of boxes stated and true, and how many of the true ones a stated box of that kind finds
        (IoU > 0.5).

    Raises:
        InputError: If a lesion is claimed by no kind.
    """
    sides = {
        str(kind): ([f for f in findings if f.kind == kind], [t for t in lesions if claim(t.kind) == kind])
        for kind in FINDING_KINDS
    }
    if faz is not None:
        sides[FAZ] = ([faz[0]] if faz[0] is not None else [], [faz[1]])
    rows = []
    for kind, (stated, true) in sides.items():
        hits = find_targets([_boxes(f.box for f in stated)], [_boxes(t.box for t in true)])
        named, there = (_joined(item.quadrants for item in side) for side in (stated, true))
        counts = (len(stated), len(true), int(hits.found.sum()))
        rows.append(dict(zip(COLUMNS, (part, scan, stage, kind, named, there, *counts), strict=True)))
    return rows


def read_rows(predictions: Path | pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `score_scan`, from a CSV file if a path is given.

    Raises:
        InputError: If a column is missing.
    """
    if not isinstance(predictions, pd.DataFrame):
        predictions = pd.read_csv(predictions, keep_default_na=False)
    if missing := [name for name in COLUMNS if name not in predictions]:
        raise InputError(f"the scores of tables need the column {missing[0]!r}")
    return predictions


def ceiling(predictions: Path | pd.DataFrame) -> dict[str, float]:
    """Score what tables state against what is there.

    Args:
        predictions: The rows of `score_scan`, or the CSV file that holds them.

    Returns:
        Flat numbers, ``<part>/<scope>/<score>``. Scopes: ``any`` (which quadrants hold any abnormality),
        ``kinds`` ((kind, quadrant) pairs), each kind, and ``FAZ``, the landmark. Scores: ``precision``,
        ``recall`` and ``f1`` of quadrants, ``naive_f1`` for naming every quadrant of every scan,
        ``naive_staged_f1`` for naming every quadrant of the scans that are not healthy, ``box_recall`` at
        IoU > 0.5 and ``boxes``, the number of true boxes. What is undefined is left out; without scans
        whose truth is known nothing is left.

    Raises:
        InputError: If a column is missing.
    """
    scores: dict[str, float] = {}
    for part, rows in read_rows(predictions).groupby("part", sort=True):
        abnormal = rows[rows["kind"] != FAZ]
        scopes = {"any": abnormal, "kinds": abnormal} | dict(iter(rows.groupby("kind", sort=True)))
        scores[f"{part}/scans"] = rows["scan"].nunique()
        for scope, members in scopes.items():
            for name, value in _scored(members, with_kind=scope != "any").items():
                if not math.isnan(value):
                    scores[f"{part}/{scope}/{name}"] = round(value, 4)
    return scores


def _scored(rows: pd.DataFrame, with_kind: bool) -> dict[str, float]:
    """Return the scores of one scope; places count with their kind, or whatever the kind."""
    sides: dict[str, dict[str, set[tuple[str, str]]]] = {
        name: {} for name in ("named", "true", "naive", "staged")
    }
    for row in rows.itertuples():
        kind = row.kind if with_kind else ""
        every = QUADRANTS if row.stage != "healthy" else ()
        places = (row.named.split(), row.true.split(), QUADRANTS, every)
        for side, quadrants in zip(sides.values(), places, strict=True):
            side.setdefault(row.scan, set()).update((kind, q) for q in quadrants)
    named, true, naive, staged = (list(side.values()) for side in sides.values())
    score = set_f1(named, true)
    found, boxes = int(rows["boxes_found"].sum()), int(rows["boxes_true"].sum())
    return {
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "naive_f1": set_f1(naive, true).f1,
        "naive_staged_f1": set_f1(staged, true).f1,
        "box_recall": found / boxes if boxes else math.nan,
        "boxes": boxes,
    }


def corpus_statistics(dialogues: Iterable[Dialogue]) -> dict[str, Any]:
    """Count what a corpus holds.

    Returns:
        Numbers of scans and pairs, pairs by stage, kind and quadrant, different questions and answers, mean
        words of both, boxes and pairs with a box, and the share of yes among the yes-or-no answers on
        presence.
    """
    stages: Counter[str] = Counter()
    pairs: list[Pair] = []
    scans = set()
    for dialogue in dialogues:
        scans.add(dialogue.id)
        stages[str(dialogue.stage)] += len(dialogue.pairs)
        pairs.extend(dialogue.pairs)
    yes = [not pair.answer.startswith("No") for pair in pairs if pair.kind == "presence"]
    words = {
        name: round(float(np.mean([len(getattr(p, name).split()) for p in pairs])), 2) if pairs else None
        for name in ("question", "answer")
    }
    return {
        "scans": len(scans),
        "pairs": len(pairs),
        "stages": dict(stages),
        "kinds": dict(sorted(Counter(pair.kind for pair in pairs).items())),
        "quadrants": {q: sum(pair.quadrant == q for pair in pairs) for q in QUADRANTS},
        "different_questions": len({pair.question for pair in pairs}),
        "different_answers": len({pair.answer for pair in pairs}),
        "words": words,
        "boxes": sum(len(pair.boxes) for pair in pairs),
        "pairs_with_boxes": sum(bool(pair.boxes) for pair in pairs),
        "presence_yes": round(sum(yes) / len(yes), 4) if yes else None,
    }


def _boxes(boxes: Iterable[Sequence[float]]) -> np.ndarray:
    return np.array(list(boxes), float).reshape(-1, 4)


def _joined(quadrants: Iterable[Sequence[str]]) -> str:
    named = {name for names in quadrants for name in names}
    return " ".join(name for name in QUADRANTS if name in named)
