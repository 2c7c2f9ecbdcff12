"""What chapters 5 and 6 show of the students: tables, examples, and sentences made from the run's numbers."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.agent import Course, Pupil, pupils
from gftlib.datasets.images import read_scan
from gftlib.dialogue.display import dialogue_html
from gftlib.dialogue.examination import STAGE_QUESTION
from gftlib.dialogue.lessons import ARMS, FIRST_ALONE, examples
from gftlib.profiles import Profile
from gftlib.results import beside, standing
from gftlib.sections import TuningSettings
from gftlib.vlm.backbones import load_student
from gftlib.vlm.paper_tables import table_1

__all__ = ["STAGE_QUESTION"]
RIVALS = ("gnn", "svm")
"""Methods of chapter 2 that students are shown beside."""
SHOWN = 3
"""Pairs of an example."""
CLEAR = 0.02
"""Differences in balanced accuracy below this are not told as differences."""


def students_table(settings: TuningSettings) -> pd.DataFrame:
    """Return each student with its architecture, weights, and how it writes boxes."""
    rows = []
    for name, seeds in settings.students.items():
        student = load_student(name, dtype=settings.dtype)
        weights = sum(w.numel() for w in student.model.parameters())
        rows.append(
            {
                "student": name,
                "class": student.family.model_class,
                "million weights": f"{weights / 1e6:.1f}",
                "boxes": str(student.family.boxes),
                "seeds": seeds,
            }
        )
        del student  # of which the next may not fit beside it
    return pd.DataFrame(rows)


def lesson_html(course: Course, profile: Profile) -> str:
    """Return what a student is taught of one scan, in the words and grammar that it sees, as HTML."""
    name = next(iter(profile.tuning.students))
    student = load_student(name, dtype=profile.tuning.dtype)
    diseased = [d for d in course.first if course.stages[d.id] != "healthy"]
    chosen = (diseased or list(course.first))[0].id
    first, second = (
        [pair for d in part if d.id == chosen for pair in d.pairs] for part in (course.first, course.second)
    )
    boxed = [pair for pair in second if pair.boxes][:1]
    others = [pair for pair in second if not pair.boxes][: SHOWN - len(boxed)]
    image = np.round(255 * read_scan(course.images[chosen])).astype(np.uint8)
    stage = course.stages[chosen]
    shown = dialogue_html(
        f"One {stage} scan, as GFT teaches it", [*first, *others, *boxed], [("the raw scan", image)]
    )
    (lesson,) = examples([d for d in course.second if d.id == chosen], course.images, student)
    told = [text for text, pair in zip(lesson.answers, second, strict=True) if pair.boxes]
    background = f"<p>Before every question:</p><pre>{html.escape(lesson.background)}</pre>"
    title = f"<p>A box as {html.escape(name)} learns to write it:</p>"
    grammar = "".join(f"{title}<pre>{html.escape(text)}</pre>" for text in told[:1])
    return background + shown + grammar


def losses(profile: Profile, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Return student -> arm -> the loss of each step of the first seed, its stages one after the other."""
    found: dict[str, dict[str, list[float]]] = {}
    for pupil in pupils(profile):
        if pupil.arm != "BS" and (pupil.seed, pupil.fold) == (0, profile.dialogue.folds[0]):
            found.setdefault(pupil.name, {})[pupil.arm] = _losses(folder, pupil)
    return found


def last_losses(profile: Profile, folder: Path) -> dict[str, float]:
    """Return the mean loss of the last ten steps of each tuned student."""
    return {
        "/".join((pupil.name, pupil.arm, pupil.run)): round(float(np.mean(_losses(folder, pupil)[-10:])), 5)
        for pupil in pupils(profile)
        if pupil.arm != "BS"
    }


def larger(
    scores: Mapping[str, Any], profile: Profile, notebook: str = "05_lora_tuning", key: str = "staging"
) -> Any:
    """Return the published full-size run's scores beside a small run, if there is one; else this run's."""
    full = beside(notebook, profile.name)
    return scores if full is None else full.results[key]


def about(profile: Profile, notebook: str = "05_lora_tuning") -> str:
    """Say which run the larger scores are of."""
    full = beside(notebook, profile.name)
    return "this run" if full is None else full.about


def other_methods(profile: Profile) -> dict[str, float]:
    """Return the balanced accuracy of chapter 2's methods on the same scans."""
    full = standing("02_staging", profile.name)
    if full is None:
        return {}
    # It loads scikit-learn, which no student needs.
    from gftlib.octa.staging_study import METHODS

    entries = full.results["balanced_accuracy"]["test"]
    return {METHODS[name]: entries[name]["mean"] for name in RIVALS if name in entries}


def paper_staging() -> pd.DataFrame:
    """Return the paper's Table 1 beside what its recalls say."""
    table = table_1()
    return table[["balanced accuracy", "mean of recalls", "reconciles"]]


def staging_findings(scores: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the order of the arms, what graph knowledge adds, and what stage 2 changed, as sentences."""
    by_student: dict[str, dict[str, float]] = {}
    for key, entry in scores.items():
        student, _, arm = key.rpartition("/")
        by_student.setdefault(student, {})[arm] = entry["mean"]
    orders, gains, changes = [], [], []
    for student, means in by_student.items():
        ranked = sorted((arm for arm in means if arm in ARMS), key=means.__getitem__, reverse=True)
        orders.append(f"{student}: " + ", ".join(f"{arm} {means[arm]:.3f}" for arm in ranked))
        if {"GFT", "FT", "GFT-shuffled"} <= means.keys():
            words = [_beside(means["GFT"] - means[other]) for other in ("FT", "GFT-shuffled")]
            gains.append(f"{student}'s GFT is {words[0]} FT and {words[1]} the shuffled control")
        for arm in (arm for arm in ARMS if arm.startswith("GFT")):
            if (early := f"{arm}{FIRST_ALONE}") in means:
                changes.append(f"{student}'s {arm} from {means[early]:.3f} to {means[arm]:.3f}")
    gain = f"By {CLEAR} or more counting as a difference, {'; '.join(gains)}."
    change = f"Stage 2, on regions and vessels, takes the balanced accuracy of {'; '.join(changes)}."
    return (
        f"Balanced accuracy of staging, mean over seeds and folds. {'; '.join(orders)}.",
        gain if gains else "Without GFT, FT and the shuffled control there is nothing to compare.",
        change if changes else "What stage 1 alone gives was not asked in the run that is shown.",
    )


def _beside(difference: float) -> str:
    return "above" if difference > CLEAR else "below" if difference < -CLEAR else "level with"


def _losses(folder: Path, pupil: Pupil) -> list[float]:
    files = [folder / pupil.folder / part / "history.json" for part in ("stage1", "stage2")]
    return [loss for file in files for loss in json.loads(file.read_text(encoding="utf-8"))["losses"]]
