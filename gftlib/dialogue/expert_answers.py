"""What experts answered: import, agreement, and the scores of each model (GFT, section 4.2, Table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, ValidationError

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.expert_study import STEP, Code, Key, Sheet
from gftlib.dialogue.rubric import CRITERIA
from gftlib.errors import InputError
from gftlib.metrics.agreement import weighted_kappa
from gftlib.metrics.intervals import Cell
from gftlib.octa.places import Quadrant, Record
from gftlib.paths import read_json

Points = Annotated[int, Field(ge=0, le=100, multiple_of=STEP)]


class ExpertAnswer(Record):
    """What one expert says of one answer; ``regions`` are the quadrants that it names rightly."""

    code: Code
    rank: int = Field(ge=1)
    accuracy: Points
    localisation: Points
    helpfulness: Points
    regions: tuple[Quadrant, ...]


class ExpertAnswers(Record):
    """What one expert says of all answers."""

    version: Literal["1"] = "1"
    study: str
    rater: Annotated[str, Field(min_length=1)]
    answers: tuple[ExpertAnswer, ...]


@dataclass(frozen=True, eq=False)
class StudyScores:
    """The result of a study.

    Attributes:
        models: One row a model: mean ``accuracy``, ``localisation`` and ``helpfulness`` over answers and
            raters, their mean ``experts``, the mean ``rank``, ``regions``, the number of quadrants that all
            raters mark as rightly named, and the number of ``answers``.
        kappa: Criterion, or ``all`` of them together -> weighted kappa of the two raters, with its interval.
            Empty unless there are two.
    """

    models: pd.DataFrame
    kappa: dict[str, Cell]


def read_answers(path: Path | str, sheet: Sheet) -> ExpertAnswers:
    """Read and check the file that the form of one expert saved.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is of another study, an answer is missing, unknown or twice, a value is out of
            range, or a rank is given twice in a sample.
    """
    path = Path(path)
    read_json(path)
    try:
        found = ExpertAnswers.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}") from None
    if found.study != sheet.study:
        raise InputError(f"{path} belongs to the study {found.study}, not to {sheet.study}")
    known = [answer.code for sample in sheet.samples for answer in sample.answers]
    given = [answer.code for answer in found.answers]
    for codes, what in (
        ([code for code in known if code not in given], "has no answer for"),
        ([code for code in given if code not in known], "answers for the unknown"),
        ([code for code in given if given.count(code) > 1], "answers twice for"),
    ):
        if codes:
            raise InputError(f"{path} {what} {codes[0]}")
    ranks = {answer.code: answer.rank for answer in found.answers}
    for sample in sheet.samples:
        if sorted(ranks[a.code] for a in sample.answers) != list(range(1, len(sample.answers) + 1)):
            raise InputError(
                f"{path}: the ranks of sample {sample.number} are not 1 to {len(sample.answers)}"
            )
    return found


def unblind(key: Key, experts: Sequence[ExpertAnswers]) -> pd.DataFrame:
    """Return one row an expert and answer, models and scans in place of codes.

    Returns:
        rater, code, scan, model, rank, the three criteria, and ``regions`` (quadrants, spaces between).

    Raises:
        InputError: If there are no experts, two share a name, or one is of another study than the key.
    """
    if not experts or len({expert.rater for expert in experts}) < len(experts):
        raise InputError("a study needs the answers of at least one expert, each under a name of their own")
    rows = []
    for expert in experts:
        if expert.study != key.study:
            raise InputError(f"the answers of {expert.rater} are of the study {expert.study}, the key is not")
        for answer in sorted(expert.answers, key=lambda answer: answer.code):
            entry = key.codes[answer.code]
            told = {name: getattr(answer, name) for name in ("rank", *CRITERIA)}
            regions = " ".join(q for q in QUADRANTS if q in answer.regions)
            who = {"rater": expert.rater, "code": answer.code, "scan": entry.scan, "model": entry.model}
            rows.append(who | told | {"regions": regions})
    return pd.DataFrame(rows)


def score_study(
    key: Key, experts: Sequence[ExpertAnswers], resamples: int = 1000, seed: int = 0
) -> StudyScores:
    """Score the models of a study.

    Args:
        key: Of the study.
        experts: Of all raters; two in the paper.
        resamples: For the interval of kappa, over answers.
        seed: Of the resampling.

    Raises:
        InputError: As `unblind`; or if the experts did not answer for the same codes.
    """
    rows = unblind(key, experts)
    if len({frozenset(group["code"]) for _, group in rows.groupby("rater")}) > 1:
        raise InputError("the experts did not answer for the same codes")
    agreed = (
        rows.assign(regions=rows["regions"].map(lambda text: frozenset(text.split())))
        .groupby(["model", "code"])["regions"]
        .agg(lambda marked: len(frozenset.intersection(*marked)))
    )
    groups = rows.groupby("model")
    models = groups[[*CRITERIA, "rank"]].mean()
    models.insert(3, "experts", models[list(CRITERIA)].mean(axis=1))
    models = models.assign(regions=agreed.groupby("model").sum(), answers=groups["code"].nunique())
    return StudyScores(models, _kappas(rows, resamples, seed) if len(experts) == 2 else {})


def _kappas(rows: pd.DataFrame, resamples: int, seed: int) -> dict[str, Cell]:
    first, second = (group.sort_values("code") for _, group in rows.groupby("rater"))
    categories = list(range(0, 101, STEP))
    sides = {name: (first[name].tolist(), second[name].tolist()) for name in CRITERIA}
    sides["all"] = (first[list(CRITERIA)].to_numpy(), second[list(CRITERIA)].to_numpy())
    return {
        name: weighted_kappa(*pair, categories=categories, resamples=resamples, seed=seed)
        for name, pair in sides.items()
    }
