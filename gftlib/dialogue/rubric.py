"""By what answers are judged, and what a judgement is (GFT, sections 3 and 4.2).

The paper has a model give each answer 0 to 100 "based on the quality of the explanations" and prints no
rubric. Ours has the three criteria that the paper's experts score; the score is their plain mean. Both
judges, the hosted one and the one by rule, give judgements of this form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from gftlib.errors import InputError
from gftlib.octa.places import Record
from gftlib.octa.table_rows import ScanTable
from gftlib.paths import sha256

CRITERIA = ("accuracy", "localisation", "helpfulness")
RUBRIC = MappingProxyType(
    {
        "accuracy": "Are the stage and the abnormalities that the answer names those of the reference, and "
        "none besides? A stage that is wrong, or a contradiction, allows 30 at most.",
        "localisation": "Are the abnormalities put into the right quadrants? 100: all that the reference "
        "places, none wrong; 50: half of them, or as many wrong ones as right ones; 0: no place, or only "
        "wrong ones, where the reference has some. Where the reference places nothing, 100 if the answer "
        "places no abnormality either, else 0.",
        "helpfulness": "Does the answer meet the question, give reasons that a clinician can check in the "
        "image, and waste no words? Empty, evasive or off the point: 0.",
    }
)
"""What each criterion asks; each is scored from 0 to 100."""
FAMILIES = re.compile(
    r"\b(?:chat)?gpt(?:[-\s]?\d\w*)?(?:[-.]\w+)*|\bllama(?:[-\s]?\d[\w.]*)?(?:-\w+)*|\bqwen[\w.-]*"
    r"|\bopenai\b|\banthropic\b|\bclaude\b|\bgemini\b|\bllava[\w.-]*",
    re.IGNORECASE,
)
"""Names by which a model could give itself away."""
MASK = "[model]"

Points = Annotated[int, Field(ge=0, le=100)]


@dataclass(frozen=True, eq=False)
class Item:
    """One question about one scan, and who answered what.

    Attributes:
        table: Of the scan, its label included: what the reference is made from.
        question: What was asked.
        answers: Model -> its answer.
    """

    table: ScanTable
    question: str
    answers: Mapping[str, str]


class Judgement(Record):
    """The points of one answer.

    Attributes:
        scan: Name of the scan.
        question: What was asked.
        model: Who answered.
        judge: Who judged: a model, or ``rules``.
        reference: The reference answer that it was held against.
        reason: In a sentence.
    """

    scan: str
    question: str
    model: str
    judge: str
    accuracy: Points
    localisation: Points
    helpfulness: Points
    reference: str
    reason: str

    @property
    def score(self) -> float:
        """The plain mean of the three criteria, 0 to 100."""
        return sum(getattr(self, name) for name in CRITERIA) / len(CRITERIA)


def masked(text: str, names: Iterable[str]) -> str:
    """Return an answer in which neither the names given nor those of known model families stand."""
    for name in sorted({name for name in names if name.strip()}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", MASK, text, flags=re.IGNORECASE)
    return FAMILIES.sub(MASK, text)


def shuffled(item: Item, seed: int) -> list[str]:
    """Return the models of an item in the order that seed, scan and question draw."""
    name = int(sha256(f"{item.table.scan}\n{item.question}".encode())[:16], 16)
    models = sorted(item.answers)
    return [models[i] for i in np.random.default_rng([seed, name]).permutation(len(models))]


def check_items(items: Sequence[Item]) -> None:
    """Check that items can be judged.

    Raises:
        InputError: If a question about a scan occurs twice, or has no answers.
    """
    seen = set()
    for item in items:
        if not item.answers:
            raise InputError(f"{item.table.scan}: {item.question!r} has no answers to judge")
        if (key := (item.table.scan, item.question)) in seen:
            raise InputError(f"{item.table.scan}: {item.question!r} occurs twice")
        seen.add(key)


def score_table(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """Return each model's mean points: the criteria, ``score``, their mean, and the number of ``answers``.

    Raises:
        InputError: If there is no judgement.
    """
    if not judgements:
        raise InputError("there are no judgements to average")
    rows = [{name: getattr(j, name) for name in ("model", *CRITERIA, "score")} for j in judgements]
    groups = pd.DataFrame(rows).groupby("model", sort=True)
    return groups.mean().assign(answers=groups.size())
