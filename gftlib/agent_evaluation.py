"""Explanations judged, by rule, by a model or by experts (GFT, Table 3); and what retrieval alone knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from gftlib.agent import Course, pupils
from gftlib.agent_examination import STAGING
from gftlib.agent_samples import sampled
from gftlib.dialogue.examination import STAGE_QUESTION
from gftlib.dialogue.expert_study import Sample, blind, write_study
from gftlib.dialogue.judge import HostedJudge, Judged
from gftlib.dialogue.rubric import Item
from gftlib.dialogue.rule_judge import RuleJudge
from gftlib.endpoint.client import Endpoint
from gftlib.endpoint.profiled import profiled_endpoint
from gftlib.metrics.classification import multiclass
from gftlib.octa.table_rows import STAGES
from gftlib.paths import read_json
from gftlib.profiles import Profile
from gftlib.teaching import Lesson, explain_tables
from gftlib.vlm import retrieval

RATERS = ("1", "2")


def staged_answers(course: Course, profile: Profile, tuned_in: Path) -> dict[str, dict[str, str]]:
    """Return scan -> ``<student>/<arm>`` -> how its first seed explained the stage."""
    found: dict[str, dict[str, str]] = {}
    for pupil in pupils(profile):
        if pupil.seed == 0 and pupil.fold == profile.dialogue.folds[0]:
            kept = read_json(tuned_in / pupil.folder / f"{STAGING}.json")["answers"]
            for name, (text,) in kept.items():
                found.setdefault(name, {})[f"{pupil.name}/{pupil.arm}"] = text
    return found


def judge(
    course: Course,
    profile: Profile,
    answers: Mapping[str, Mapping[str, str]],
    lesson: Lesson,
    folder: Path,
    workers: int = 1,
) -> Judged:
    """Have explanations scored 0 to 100 against references that come from label and graph (GFT, Table 3).

    Args:
        course: Where the scans come from.
        profile: Says which judge.
        answers: Of `staged_answers`.
        lesson: Of chapter 4, whose network explains the sampled scans.
        folder: Of chapter 6's results.
        workers: Processes.
    """
    items = judge_items(course, profile, answers, lesson, folder, workers)
    if profile.agent.judge == "offline":
        return RuleJudge().judge(items)
    return HostedJudge().judge(judge_endpoint(profile, folder), items)


def judge_items(
    course: Course,
    profile: Profile,
    answers: Mapping[str, Mapping[str, str]],
    lesson: Lesson,
    folder: Path,
    workers: int = 1,
) -> list[Item]:
    """Return what `judge` is given; arguments as there."""
    names = sampled(course, profile, answers)
    tables = explain_tables(profile, lesson, names, folder / "samples", workers)
    return [Item(tables[name], STAGE_QUESTION, answers[name]) for name in names]


def judge_endpoint(profile: Profile, folder: Path) -> Endpoint:
    """Return the hosted judge's endpoint, its record below the folder of chapter 6; no image is sent."""
    return profiled_endpoint(profile.dialogue.endpoint, folder / "judge", images=False)


def experts_kit(
    course: Course, profile: Profile, answers: Mapping[str, Mapping[str, str]], folder: Path
) -> pd.DataFrame:
    """Write the blinded forms of the expert study to a folder of its own and return what they hold."""
    samples = study_samples(course, profile, answers)
    blinded = blind(samples, profile.seed)
    write_study(blinded, folder / "expert_study" / blinded.sheet.study, RATERS)
    count = sum(len(sample.answers) for sample in blinded.sheet.samples)
    return pd.DataFrame(
        [
            {
                "scans": len(samples),
                "models": count // len(samples),
                "answers to rate": count,
                "raters": len(RATERS),
            }
        ]
    )


def study_samples(course: Course, profile: Profile, answers: Mapping[str, Mapping[str, str]]) -> list[Sample]:
    """Return what experts are shown of `staged_answers`."""
    names = sampled(course, profile, answers)
    return [Sample(name, course.images[name], STAGE_QUESTION, answers[name]) for name in names]


def retrieval_alone(lesson: Lesson, cases: int = 3) -> dict[str, float]:
    """Return how well the labels of the nearest cases stage a scan, without any model.

    Args:
        lesson: Whose tables are pool and query; a scan of the same subject never counts as a case.
        cases: Nearest cases that vote; the nearest wins a tie.
    """
    subjects = dict(zip(lesson.rows["scan"], lesson.rows["subject"].astype(str), strict=True))
    scans = [
        retrieval.Scan(table, subjects[name], lesson.scans[name].image)
        for name, table in lesson.tables.items()
    ]
    pool = retrieval.CasePool(scans, {subjects[name] for name in lesson.tables})
    found = pool.nearest(scans, cases)
    guessed = [_vote([STAGES.index(case.stage) for case in near]) for near in found]
    truth = [STAGES.index(str(scan.table.label)) for scan in scans]
    scores = multiclass(truth, guessed, len(STAGES))
    return {"balanced_accuracy": round(scores.balanced_accuracy, 4), "scans": len(scans)}


def _vote(labels: Sequence[int]) -> int:
    return max(labels, key=lambda label: (labels.count(label), -labels.index(label)))
