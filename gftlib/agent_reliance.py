"""Do answers depend on the image? What a scan's own image tells a student that another scan's does not.

The answers that the offline teacher would give about an unseen scan cost a student some bits. Beside the
image of another scan of the same stage they cost more by what the student reads of this scan alone; beside
one of another stage, by what it reads of the stage on top of that. A student that speaks from memory pays the
same for all three, however fluent it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.agent import Course, Pupil, pupils, tuned
from gftlib.agent_samples import evenly
from gftlib.dialogue.corpus import offline_teacher
from gftlib.dialogue.lessons import ARMS, examples
from gftlib.dialogue.questions import PLAN
from gftlib.dialogue.records import Dialogue
from gftlib.jobs import run_jobs
from gftlib.profiles import Profile
from gftlib.teaching import Lesson, explain_tables
from gftlib.vlm.surprisal import surprisal

SCANS = 24
"""Most unseen scans that are asked about, as many of each stage as there are."""
OWN, SAME, OTHER = "own", "same_stage", "other_stage"
COLUMNS = ("student", "arm", "run", "scan", "kind", "pairs", OWN, SAME, OTHER)
EVERY = "every answer"
READ = {"stage": (OTHER, SAME), "scan": (SAME, OWN)}
"""What an image tells -> between which images the difference lies."""


def reliance(
    course: Course, profile: Profile, lesson: Lesson, tuned_in: Path, folder: Path, workers: int = 1
) -> pd.DataFrame:
    """Measure what the teacher's answers about unseen scans cost each student beside three images.

    Args:
        course: Where the scans come from.
        profile: Which students there are, and how the teacher speaks.
        lesson: Of chapter 4, whose network explains the scans.
        tuned_in: Folder of chapter 5's results.
        folder: Of chapter 6's results.
        workers: Processes, a student each; on a GPU one.

    Returns:
        One row a student, scan and kind of question, in `COLUMNS`: bits of an answer, mean over the pairs,
        beside the scan's own image, another one of its stage and one of another stage.
    """
    names = evenly(course, course.unseen(), SCANS)
    tables = explain_tables(profile, lesson, names, folder / "reliance", workers)
    teacher = offline_teacher(profile.dialogue, profile.seed)
    told = [(tables[name], course.scans[name].image.name) for name in names]
    shared = (course, profile, tuned_in, tuple(teacher.teach(told, 2)), exchanged(course, names))
    found = run_jobs(
        _cost, shared, [(pupil,) for pupil in pupils(profile)], workers, device=profile.tuning.device
    )
    return pd.DataFrame([row for rows in found for row in rows], columns=list(COLUMNS))


def exchanged(course: Course, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return for each scan itself, another of its stage and one of another stage, where there are such."""
    found = {}
    for k, name in enumerate(names):
        alike = [other for other in names if course.stages[other] == course.stages[name] and other != name]
        unlike = [other for other in names if course.stages[other] != course.stages[name]]
        chosen = {SAME: alike, OTHER: unlike}
        found[name] = {OWN: name} | {which: some[k % len(some)] for which, some in chosen.items() if some}
    return found


def summarise(costs: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Return what images tell students, with the standard error over scans.

    Args:
        costs: Of `reliance`.

    Returns:
        ``<student>/<arm>/<kind>`` -> ``stage`` and ``scan``: bits an answer, mean over seeds and folds, and
        its standard error over scans; what cannot be measured is left out.
    """
    found: dict[str, dict[str, list[float]]] = {}
    whole = costs.assign(kind=EVERY)
    for (student, arm, kind), rows in pd.concat([whole, costs]).groupby(
        ["student", "arm", "kind"], sort=False
    ):
        entry = {}
        for what, (with_other, without) in READ.items():
            gained = (rows[with_other] - rows[without]) * rows["pairs"]
            total = gained.groupby(rows["scan"]).sum(min_count=1)
            scans = (total / rows["pairs"].groupby(rows["scan"]).sum()).dropna()
            if len(scans) > 1:
                entry[what] = [
                    round(float(scans.mean()), 4),
                    round(float(scans.std(ddof=1) / np.sqrt(len(scans))), 4),
                ]
        found[f"{student}/{arm}/{kind}"] = entry
    return found


def table(summary: Mapping[str, Mapping[str, Sequence[float]]]) -> pd.DataFrame:
    """Return `summarise` as a table: what the stage tells, and what the scan itself tells, by question."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for key, entry in summary.items():
        student, arm, kind = key.rsplit("/", 2)
        row = rows.setdefault((student, arm), {"student": student, "tuning": arm})
        for what, (mean, error) in entry.items():
            if kind == EVERY or (what == "scan" and kind in PLAN):
                row[f"{what}: {kind}"] = f"{mean:+.2f} ± {error:.2f}"
    ordered = sorted(rows.values(), key=lambda row: (row["student"], ARMS.index(row["tuning"])))
    columns = ["student", "tuning", *(f"{what}: {EVERY}" for what in READ), *(f"scan: {k}" for k in PLAN)]
    return pd.DataFrame([{name: row.get(name, "–") for name in columns} for row in ordered], columns=columns)


def _cost(shared: tuple[Any, ...], pupil: Pupil) -> list[tuple[Any, ...]]:
    course, profile, tuned_in, dialogues, shown = shared
    student = tuned(pupil, profile.tuning, tuned_in)
    rows = []
    for dialogue, lesson in zip(dialogues, examples(dialogues, course.images, student), strict=True):
        bits = {
            which: surprisal(student, replace(lesson, image=course.images[other]))
            for which, other in shown[dialogue.id].items()
        }
        rows += [(pupil.name, pupil.arm, pupil.run, dialogue.id, *one) for one in _by_kind(dialogue, bits)]
    return rows


def _by_kind(dialogue: Dialogue, bits: Mapping[str, np.ndarray]) -> list[tuple[Any, ...]]:
    kinds = np.array([pair.kind for pair in dialogue.pairs])
    rows = []
    for kind in dict.fromkeys(kinds.tolist()):
        chosen = kinds == kind
        costs = [
            round(float(bits[which][chosen].mean()), 5) if which in bits else float("nan")
            for which in (OWN, SAME, OTHER)
        ]
        rows.append((kind, int(chosen.sum()), *costs))
    return rows
