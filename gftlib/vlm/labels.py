"""The stage that an answer gives: two rules, and the scores under each (GFT, sections 3 and 4).

The paper prints no rule. Its public code takes the first whole-word match of a stage's name, so that "no
signs of PDR, the retina is healthy" counts as PDR, and asks again until something matches, which hides the
answers that name no stage. Here an answer is read once: by that rule, or by one that knows denials, and an
answer without a stage counts as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gftlib.errors import InputError
from gftlib.metrics.classification import Scores, multiclass
from gftlib.vlm.negation import Term, plain, statuses

Rule = Literal["negation", "first"]
RULES: tuple[Rule, ...] = ("negation", "first")
STAGE_COUNT = 3

_FIRST = re.compile(
    r"\b(?:(?P<h>healthy)|(?P<n>npdr|non-proliferative diabetic retinopathy)"
    r"|(?P<p>pdr|proliferative diabetic retinopathy))\b",
    re.IGNORECASE,
)
_DISEASE = r"(?:\s+(?:diabetic\s+)?(?:retinopathy|disease|dr)|\s+(?:stage|changes?|form))?"
_PART = (
    r"vessels?|vascul\w+|capillar\w+|areas?|regions?|networks?|perfusion|tissues?|quadrants?|faz|foveal|zones?"
    r"|appearance|density|range|ones?|parts?|half|side|looking"
)
_TERMS = re.compile(
    rf"(?P<n>\bnpdr\b|\bnon[-\s]?proliferative\b{_DISEASE})"
    rf"|(?P<p>\bpdr\b|\bproliferative\b{_DISEASE})"
    r"|(?P<d>\bdiabetic\s+(?:retinopathy|eye\s+disease)\b|\bretinopathy\b|\bdr\b)"
    rf"|(?P<h>\bhealthy\b(?!\s+(?:{_PART})\b))"
)
REACH = 80
"""Characters before a stage in which it can be announced as the diagnosis."""
_STAGES = {"h": (0,), "n": (1,), "p": (2,), "d": (1, 2)}
_VERDICT = re.compile(
    r"(?:diagnosis|stage|staging|class|classification|label|grade|answer|conclusion|impression)"
    r"(?:\s+(?:of|for)\s+(?:this|the)\s+\w+)?\s*(?:is|as|:|=|-)+\s*\W*(?:an?\s+|the\s+)?(?:mild\s+|moderate\s+|severe\s+|early\s+)?$"
)


def parse_label(text: str, rule: Rule = "negation") -> int | None:
    """Return the stage that an answer gives: 0 healthy, 1 NPDR, 2 PDR; None if it gives none.

    Args:
        text: The answer.
        rule: ``first``: the first name of a stage, whatever is said of it (the public code). ``negation``:
            the one stage that is stated and neither denied nor only compared with; where several are, the
            one given as the diagnosis ("stage: ..."), else none. Where none is stated and two are denied,
            the third is left; denying retinopathy denies both of its stages.

    Raises:
        InputError: If there is no such rule.
    """
    if rule == "first":
        match = _FIRST.search(text)
        return None if match is None else _STAGES[match.lastgroup or ""][0]
    if rule != "negation":
        raise InputError(f"there is no rule {rule!r}: use 'negation' or 'first'")
    text = plain(text)
    found = list(_TERMS.finditer(text))
    terms = [Term(m.start(), m.end(), "h" if m.lastgroup == "h" else "d") for m in found]
    stated: dict[int, bool] = {}
    denied: set[int] = set()
    for match, status in zip(found, statuses(text, terms), strict=True):
        stages = _STAGES[match.lastgroup or ""]
        if status == "denied":
            denied.update(stages)
        elif status == "stated" and len(stages) == 1:
            verdict = _VERDICT.search(text, max(0, match.start() - REACH), match.start()) is not None
            stated[stages[0]] = stated.get(stages[0], False) or verdict
    return _settled(stated, denied)


def _settled(stated: dict[int, bool], denied: set[int]) -> int | None:
    """Return the one stage left: stated, or given as the diagnosis, or not among two denied ones."""
    if stated:
        certain = [stage for stage, verdict in stated.items() if verdict or len(stated) == 1]
        return certain[0] if len(certain) == 1 else None
    left = set(range(STAGE_COUNT)) - denied
    return left.pop() if len(left) == 1 else None


@dataclass(frozen=True, eq=False)
class LabelScores:
    """How right the stages in answers are.

    Attributes:
        rule: By which they were read.
        labels: Of each answer; None where it gives none.
        unparsable: Number of answers that give none; each counts as wrong.
        scores: Balanced accuracy, and precision and recall of each class.
    """

    rule: Rule
    labels: tuple[int | None, ...]
    unparsable: int
    scores: Scores


def label_scores(
    truth: Sequence[int], texts: Sequence[str], rule: Rule = "negation", pooled: bool = False
) -> LabelScores:
    """Score the stages that answers give.

    Args:
        truth: (N,) stages 0 to 2.
        texts: (N,) answers.
        rule: As in `parse_label`.
        pooled: NPDR and PDR are one class, as on OCTA-500 (GFT, section 3): arrays of healthy and DR.

    Raises:
        InputError: If truth and answers differ in number, are empty, or a stage is out of range.
    """
    if len(truth) != len(texts):
        raise InputError(f"{len(truth)} stages for {len(texts)} answers: each answer needs its own")
    if wrong := [stage for stage in truth if stage not in range(STAGE_COUNT)]:
        raise InputError(f"the stage {wrong[0]!r} is none of 0 healthy, 1 NPDR, 2 PDR")
    labels = tuple(parse_label(text, rule) for text in texts)
    last = 1 if pooled else 2
    # One more class for "no stage": it is never true, so no average counts it, and each is a wrong answer.
    given = [last + 1 if label is None else min(label, last) for label in labels]
    scores = multiclass([min(stage, last) for stage in truth], given, last + 2)
    return LabelScores(rule, labels, labels.count(None), _without_last(scores))


def _without_last(scores: Scores) -> Scores:
    parts = (scores.precision[:-1], scores.recall[:-1], scores.f1[:-1], scores.support[:-1])
    means = (scores.accuracy, scores.balanced_accuracy, scores.macro_precision, scores.macro_recall)
    return Scores(*means, scores.macro_f1, *parts)


@dataclass(frozen=True, eq=False)
class RuleComparison:
    """What the rule of reading changes.

    Attributes:
        negation: Scores of the rule that knows denials.
        first: Scores of the first match.
        differ: The answers that the two rules read differently.
        gain: Balanced accuracy by the first rule minus that by the second.
    """

    negation: LabelScores
    first: LabelScores
    differ: tuple[int, ...]
    gain: float


def compare_rules(truth: Sequence[int], texts: Sequence[str], pooled: bool = False) -> RuleComparison:
    """Score the same answers by both rules; arguments and errors as `label_scores`."""
    negation, first = (label_scores(truth, texts, rule, pooled) for rule in RULES)
    differ = tuple(i for i, (a, b) in enumerate(zip(negation.labels, first.labels, strict=True)) if a != b)
    gain = negation.scores.balanced_accuracy - first.scores.balanced_accuracy
    return RuleComparison(negation, first, differ, gain)
