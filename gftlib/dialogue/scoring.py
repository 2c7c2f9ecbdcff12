"""How true the statements of tables are, and what a corpus holds (GFT, section 2.4).

A student cannot learn places better than its teacher states them: quadrant F1 and box recall of the tables'
findings against true lesions are the ceiling of every student. The truth comes in as plain data, so that
nothing here, or in what students learn from, can reach a phantom.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.records import Dialogue, Pair
from gftlib.errors import InputError
from gftlib.metrics.grounding import SetScore, find_targets, set_f1
from gftlib.octa.findings import Finding
from gftlib.octa.signs import FINDING_KINDS, FindingKind

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


def ceiling(findings: Sequence[Sequence[Finding]], truth: Sequence[Sequence[TrueLesion]]) -> dict[str, Any]:
    """Score what tables state against what is there.

    Args:
        findings: One sequence a scan.
        truth: One sequence a scan, in the same order.

    Returns:
        ``quadrants``: agreement on which quadrants hold any abnormality; ``kinds``: on (kind, quadrant)
        pairs; ``boxes``: recall of true boxes at IoU > 0.5 by boxes of the claiming kind; ``by_kind``: the
        same two for each kind. NaN becomes None.

    Raises:
        InputError: If the numbers of scans differ, or a lesion is claimed by no kind.
    """
    if len(findings) != len(truth):
        raise InputError(f"findings of {len(findings)} scans for the truth of {len(truth)}")
    stated = [{(f.kind, q) for f in scan for q in f.quadrants} for scan in findings]
    true = [{(claim(t.kind), q) for t in scan for q in t.quadrants} for scan in truth]
    by_kind, hits, targets = {}, 0, 0
    for kind in FINDING_KINDS:
        found = find_targets(
            [_boxes(f.box for f in scan if f.kind == kind) for scan in findings],
            [_boxes(t.box for t in scan if claim(t.kind) == kind) for scan in truth],
        )
        hits, targets = hits + int(found.found.sum()), targets + len(found.found)
        pairs = [[{cell for cell in scan if cell[0] == kind} for scan in side] for side in (stated, true)]
        by_kind[kind] = {
            "quadrants": _score(set_f1(*pairs)),
            "boxes": _boxed(found.found.sum(), len(found.found)),
        }
    anywhere = [[{q for _, q in scan} for scan in side] for side in (stated, true)]
    return {
        "scans": len(truth),
        "quadrants": _score(set_f1(*anywhere)),
        "kinds": _score(set_f1(stated, true)),
        "boxes": _boxed(hits, targets),
        "by_kind": by_kind,
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


def _boxed(hits: int, targets: int) -> dict[str, Any]:
    return {"recall": round(float(hits / targets), 4) if targets else None, "targets": targets}


def _score(score: SetScore) -> dict[str, float | int | None]:
    values: Mapping[str, float] = vars(score)
    return {name: None if math.isnan(v) else round(v, 4) for name, v in values.items()}
