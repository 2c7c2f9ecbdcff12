"""BiRD's four tasks scored as the paper defines them (section 5), by modality, with intervals over cases.

VG: Recall@0.5. ROC: recall. RC: SPICE. MIA: mBMR. Both averages are given: over modalities, the rule of the
paper's tables, and over items. Where SPICE or METEOR cannot run, a slot F1 or the two other scores stand
under their own names and the paper's is missing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gftlib.bird.captions import BESIDE, PLACES, SIZES
from gftlib.bird.hallucination import hallucination
from gftlib.bird.predictions import Prediction, boxes_told, cleaned
from gftlib.bird.questions import TASKS
from gftlib.boxes import BoxFormat, Size, frame
from gftlib.errors import MissingError
from gftlib.metrics.captions import bleu, mbmr, rouge_l, slot_f1
from gftlib.metrics.case_intervals import by_case
from gftlib.metrics.grounding import find_targets
from gftlib.metrics.intervals import GroupTable, Statistic, ratio_of_sums
from gftlib.metrics.java_tools import spice
from gftlib.metrics.ngrams import encode

RECALL_AT, ONE_TO_ONE = "VG Recall@0.5", "VG Recall@0.5, each box once"
ROC_RECALL, ROC_EXACT = "ROC recall", "ROC exact"
SPICE, SLOT_F1 = "RC SPICE", "RC slot F1"
MBMR = "MIA mBMR"
# The score of each task in the paper's tables.
HEADLINES = {"VG": RECALL_AT, "ROC": ROC_RECALL, "RC": SPICE, "MIA": MBMR}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scoring:
    """How answers are read and scored.

    Args:
        box_format: How the model writes boxes; reference answers are in the same format.
        sizes: (height, width) by image, for formats in pixels.
        names: Class names that the slot F1 looks for; empty: those that VG and ROC ask about here.
        leave_out: Modalities left out of ROC's averages; None: those where one category is ever the answer.
        resamples: Of the bootstrap; its unit is the case, not the question.
        seed: Of the bootstrap.
        java: Whether METEOR and SPICE are tried.
    """

    box_format: BoxFormat = BoxFormat.QWEN_VL
    sizes: Mapping[str, Size] | None = None
    names: Collection[str] = ()
    leave_out: Collection[str] | None = None
    resamples: int = 1000
    seed: int = 0
    java: bool = True

    def boxes(self, text: str, image: str) -> np.ndarray:
        """Return the (N, 4) xyxy boxes of a whole answer in the numbers that it is written in.

        Not in unit coordinates: an IoU of exactly one half must not pass by a rounding error.
        """
        size = (self.sizes or {}).get(image)
        unit = boxes_told(text, self.box_format, size)
        return np.round(unit * frame(self.box_format, size), 6)

    def table(
        self, statistic: Statistic, asked: Sequence[Prediction], leave_out: Collection[str] = ()
    ) -> GroupTable:
        """Return a statistic of predictions by modality, with its intervals by resampling cases."""
        groups, cases = [one.modality for one in asked], [one.case for one in asked]
        return by_case(statistic, groups, cases, leave_out, self.resamples, self.seed)


def evaluate(predictions: Sequence[Prediction], scoring: Scoring | None = None) -> dict[str, GroupTable]:
    """Score predictions of any tasks.

    Args:
        predictions: See `gftlib.bird.predictions.read`.
        scoring: How.

    Returns:
        A table by modality for each score, those of the tasks first, then those of
        `gftlib.bird.hallucination`; tasks without predictions have none.

    Raises:
        InputError: If an answer's boxes are in pixels and its image's size is not known.
    """
    scoring = scoring or Scoring()
    if not scoring.names:
        scoring = replace(scoring, names=class_names(predictions))
    scored: dict[str, GroupTable] = {}
    work: dict[str, Callable[[Sequence[Prediction], Scoring], dict[str, GroupTable]]] = {
        "VG": grounding,
        "ROC": classification,
        "RC": region_captions,
        "MIA": image_analysis,
    }
    for task in TASKS:
        chosen = [one for one in predictions if one.task == task]
        scored |= work[task](chosen, scoring) if chosen else {}
    return scored | hallucination(
        predictions, scoring.box_format, scoring.sizes, scoring.resamples, scoring.seed
    )


def class_names(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """Return the names that VG marks and ROC answers."""
    marked = re.compile(r"<ref>(.*?)</ref>|<\|object_ref_start\|>(.*?)<\|object_ref_end\|>")
    names = {one.annotation for one in predictions if one.task == "ROC"}
    for one in predictions:
        if one.task == "VG":
            names.update(a or b for a, b in marked.findall(one.annotation))
    return tuple(sorted(name for name in names if name.strip()))


def grounding(predictions: Sequence[Prediction], scoring: Scoring) -> dict[str, GroupTable]:
    """Score VG: the share of target boxes that a predicted box overlaps with IoU above 0.5.

    By the published script's rule, where one box may serve several targets, and with each box used once. An
    answer without a box keeps its targets, unfound; a question without targets is no question of VG.
    """
    targets = [scoring.boxes(one.annotation, one.image) for one in predictions]
    kept = [one for one, boxes in zip(predictions, targets, strict=True) if len(boxes)]
    if not kept:
        return {}
    found = [scoring.boxes(one.response, one.image) for one in kept]
    wanted = [boxes for boxes in targets if len(boxes)]
    tables = {}
    for name, matching in ((RECALL_AT, "any"), (ONE_TO_ONE, "one_to_one")):
        hits = find_targets(found, wanted, 0.5, matching)
        tables[name] = scoring.table(ratio_of_sums(hits.per_item, hits.targets), kept)
    return tables


def classification(predictions: Sequence[Prediction], scoring: Scoring) -> dict[str, GroupTable]:
    """Score ROC by the published script's rule and exactly.

    The script's: every blank-separated word of the reference is somewhere in the answer, so that ``liver``
    is right for "a liver tumor". Exact: the answer is the name, case and closing marks aside.
    """
    groups = {one.modality for one in predictions}
    left = one_category(predictions) if scoring.leave_out is None else set(scoring.leave_out) & groups
    # Where nothing else was asked there is nothing else to average.
    left = set() if left == groups else left
    rules = {ROC_RECALL: words_within, ROC_EXACT: same_name}
    tables = {}
    for name, rule in rules.items():
        right = np.array([rule(one.annotation, cleaned(one.response)) for one in predictions], dtype=float)
        tables[name] = scoring.table(ratio_of_sums(right), predictions, left)
    return tables


def one_category(predictions: Sequence[Prediction]) -> set[str]:
    """Return the modalities whose every ROC question has the same answer."""
    answers: dict[str, set[str]] = {}
    for one in predictions:
        if one.task == "ROC":
            answers.setdefault(one.modality, set()).add(one.annotation.strip().lower())
    return {modality for modality, known in answers.items() if len(known) == 1}


def words_within(annotation: str, response: str) -> bool:
    """Return whether every word of a reference is a substring of the answer, in any case."""
    response = response.lower()
    return all(word in response for word in annotation.lower().split())


def same_name(annotation: str, response: str) -> bool:
    """Return whether an answer is the reference, blanks, case and closing marks aside."""
    one, other = (" ".join(text.lower().split()).strip(" .,;:!?\"'") for text in (annotation, response))
    return one == other


def region_captions(predictions: Sequence[Prediction], scoring: Scoring) -> dict[str, GroupTable]:
    """Score RC by SPICE where it can run, and by the F1 of name, size, place and neighbour in any case."""
    answers, wanted = _texts(predictions)
    until = dict.fromkeys(("name", "size", "place"), BESIDE)
    score = slot_f1(answers, wanted, slots(scoring.names), until)
    tables = {SLOT_F1: scoring.table(score.statistic, predictions)}
    if scoring.java:
        try:
            tables = {SPICE: scoring.table(spice(answers, wanted).statistic, predictions)} | tables
        except MissingError as error:
            _log.info("no SPICE: %s", error)
    return tables


def slots(names: Collection[str]) -> dict[str, list[str]]:
    """Return what a region's description may say: the declared slots of the slot F1 of RC."""
    named = {"name": list(names), "neighbour": [f"nearest to the {name}" for name in names]}
    # "in the upper part" is a place of its own, not the beginning of "upper left".
    return {"size": list(SIZES), "place": [f"{place} part" for place in PLACES]} | (named if names else {})


def image_analysis(predictions: Sequence[Prediction], scoring: Scoring) -> dict[str, GroupTable]:
    """Score MIA by mBMR and its parts; without METEOR by BLEU-4 and ROUGE-L alone."""
    answers, wanted = _texts(predictions)
    corpus = encode(answers, wanted)
    scores = {"BLEU-4": bleu(corpus), "ROUGE-L": rouge_l(corpus)}
    if scoring.java:
        try:
            found = mbmr(answers, wanted)
            scores = {name: found[name] for name in ("mBMR", "BLEU-4", "METEOR", "ROUGE-L")}
        except MissingError as error:
            _log.info("no METEOR and so no mBMR: %s", error)
    return {f"MIA {name}": scoring.table(score.statistic, predictions) for name, score in scores.items()}


def _texts(predictions: Sequence[Prediction]) -> tuple[list[str], list[str]]:
    return [cleaned(one.response) for one in predictions], [one.annotation for one in predictions]
