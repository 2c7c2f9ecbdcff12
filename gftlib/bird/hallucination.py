"""Object hallucination: what a model claims of what is not there (BiRD, section 5 and Figure 4).

The paper shows one example and states no measure. Here a negative question is hallucinated if the model draws
a box of what it was asked to find, or says yes to what it was asked about. A model that denies everything
would look perfect; so the rate stands beside the share of yes and what is right on positive questions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from gftlib.bird.predictions import Prediction, boxes_told, cleaned
from gftlib.bird.questions import NEGATIVE
from gftlib.boxes import BoxFormat, Size
from gftlib.metrics.case_intervals import by_case
from gftlib.metrics.intervals import GroupTable, ratio_of_sums

RATE = "hallucination rate"
RATE_WHERE = "hallucination rate, where it is"
RATE_THERE = "hallucination rate, whether it is there"
YES = "yes-rate"
POSITIVES = "accuracy on positives"
_YES_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
# "No. There is no spleen" answers whether it is there; "No spleen can be seen" may answer where it is.
_ANSWERS_WHETHER = re.compile(r"\s*(?:yes|no)\s*(?:[.,;:!]|$)", re.IGNORECASE)
_DENIAL = re.compile(r"\b(?:no|not|cannot|none|absent|without)\b|n't\b", re.IGNORECASE)
_CLAIM = re.compile(r"\b(?:shows?|there (?:is|are)|visible|present|can be seen)\b", re.IGNORECASE)


def says_yes(text: str) -> bool | None:
    """Return whether an answer affirms, by its first word, else by its words; None if it does neither."""
    text = cleaned(text)
    if first := _YES_NO.match(text):
        return first[1].lower() == "yes"
    # Whole words alone: "no" is in "nodule".
    if _DENIAL.search(text):
        return False
    return True if _CLAIM.search(text) else None


def asks_whether(prediction: Prediction) -> bool:
    """Return whether a question is one of presence: its reference answer is yes or no, alone or at first."""
    return _ANSWERS_WHETHER.match(prediction.annotation) is not None


def hallucination(
    predictions: Sequence[Prediction],
    box_format: BoxFormat = BoxFormat.QWEN_VL,
    sizes: Mapping[str, Size] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, GroupTable]:
    """Score all questions for something by name: where it is, and whether it is there.

    Args:
        predictions: Of any tasks.
        box_format: How the model writes boxes.
        sizes: (height, width) by image, for formats in pixels.
        resamples: Of the bootstrap over cases.
        seed: Of the bootstrap.

    Returns:
        By modality `RATE`, its two parts, `YES` (among questions of presence, positive or negative) and
        `POSITIVES` (yes to questions of presence, a box for what is to be found); those without questions
        are left out.
    """
    sizes = sizes or {}
    told: dict[str, list[tuple[Prediction, bool]]] = {}
    for one in predictions:
        whether, negative = asks_whether(one), one.task == NEGATIVE
        if not (whether or negative or one.task == "VG"):
            continue
        if whether:
            claims = says_yes(one.response) is True
            told.setdefault(YES, []).append((one, claims))
        else:
            claims = _boxes(one.response, one, box_format, sizes) > 0
        if negative:
            told.setdefault(RATE, []).append((one, claims))
            told.setdefault(RATE_THERE if whether else RATE_WHERE, []).append((one, claims))
        elif says_yes(one.annotation) if whether else _boxes(one.annotation, one, box_format, sizes):
            told.setdefault(POSITIVES, []).append((one, claims))
    order = [name for name in (RATE, RATE_WHERE, RATE_THERE, YES, POSITIVES) if name in told]
    return {name: _table(told[name], resamples, seed) for name in order}


def _boxes(text: str, one: Prediction, box_format: BoxFormat, sizes: Mapping[str, Size]) -> int:
    return len(boxes_told(text, box_format, sizes.get(one.image)))


def _table(answers: list[tuple[Prediction, bool]], resamples: int, seed: int) -> GroupTable:
    asked, values = zip(*answers, strict=True)
    groups, cases = zip(*((one.modality, one.case) for one in asked), strict=True)
    statistic = ratio_of_sums(np.array(values, dtype=float))
    return by_case(statistic, groups, cases, resamples=resamples, seed=seed)
