"""Students tuned: what they learn from, in which arms, by which recipe (GFT, sections 2.5 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from gftlib.dialogue.lessons import LABELS_ALONE, Arm, balanced, examples, labels_alone, shuffled
from gftlib.dialogue.records import Dialogue, read_dialogues
from gftlib.errors import MissingError
from gftlib.jobs import Progress
from gftlib.octa.folds import TEST_SPLIT
from gftlib.octa.scans import Scan, open_cohort
from gftlib.octa.staging_cohorts import stage_table
from gftlib.octa.table_rows import STAGES
from gftlib.paths import root
from gftlib.profiles import Profile
from gftlib.sections import TuningSettings
from gftlib.vlm.backbones import Student, load_student
from gftlib.vlm.conversations import Example
from gftlib.vlm.recipes import Adapter, Stage, Steps
from gftlib.vlm.tuning import add_adapter, tune


@dataclass(frozen=True)
class Course:
    """What students learn from, and what they are examined on.

    Attributes:
        first: Dialogues of stage 1.
        second: Dialogues of stage 2.
        scans: Every scan by name.
        rows: scan, subject, stage and split of each.
    """

    first: tuple[Dialogue, ...]
    second: tuple[Dialogue, ...]
    scans: dict[str, Scan]
    rows: pd.DataFrame

    @property
    def images(self) -> dict[str, Path]:
        """Image file of each scan."""
        return {name: scan.image for name, scan in self.scans.items()}

    @property
    def stages(self) -> dict[str, str]:
        """Stage of each scan, as a word."""
        return {row.scan: STAGES[row.stage] for row in self.rows.itertuples(index=False)}

    def unseen(self, most: int | None = None) -> list[str]:
        """Return the scans that no student learns from, in an order that mixes the stages."""
        names = self.rows.loc[self.rows["split"] == TEST_SPLIT, "scan"].tolist()
        return [names[i] for i in np.random.default_rng(0).permutation(len(names))][:most]


@dataclass(frozen=True)
class Pupil:
    """One student of the comparison.

    Attributes:
        name: Of the model.
        arm: How it is tuned.
        seed: Of adapter, order and dropout.
    """

    name: str
    arm: Arm
    seed: int

    @property
    def folder(self) -> Path:
        """Where it is kept, below the folder of chapter 5."""
        return Path(self.name.replace("/", "_"), self.arm, f"seed{self.seed}")


def open_course(profile: Profile) -> Course:
    """Read the dialogues of chapter 4 and the scans of the profile.

    Raises:
        MissingError: If chapter 4 has not been run for the profile.
    """
    folder = root() / "runs" / profile.name / "04_dialogue"
    if not (folder / "corpus.json").is_file():
        raise MissingError(f"no dialogues in {folder}: run notebook 04_dialogue with this profile")
    first, second = (tuple(read_dialogues(folder / f"stage{stage}.jsonl")) for stage in (1, 2))
    cohort = open_cohort(profile)
    return Course(first, second, {scan.name: scan for scan in cohort}, stage_table(cohort))


def pupils(settings: TuningSettings) -> list[Pupil]:
    """Return every student of the comparison; one without tuning has no seeds."""
    return [
        Pupil(name, arm, seed)
        for name, seeds in settings.students.items()
        for arm in settings.arms
        for seed in range(1 if arm == "BS" else seeds)
    ]


def stages(settings: TuningSettings, seed: int) -> tuple[Stage, Stage]:
    """Return the recipes of both stages."""
    common = Stage(
        lr=settings.second_lr,
        epochs=settings.second_epochs,
        pairs=settings.pairs,
        images=settings.images,
        accumulate=settings.accumulate,
        optimizer=settings.optimizer,
        precision=settings.precision,
        checkpointing=settings.checkpointing,
        seed=seed,
    )
    first = replace(common, lr=settings.first_lr, epochs=settings.first_epochs, parts=settings.first_parts)
    return first, common


def teach(
    course: Course, pupil: Pupil, settings: TuningSettings, folder: Path, progress: Progress | None = None
) -> Student:
    """Tune one student; what was tuned before is read.

    Where an arm learns the label alone, it does so in as many steps on the same images.

    Args:
        course: What it learns from.
        pupil: Which student.
        settings: The recipe.
        folder: Of chapter 5's results.
        progress: Called with (done, total) after each step of a stage.
    """
    student = load_student(
        pupil.name, device=settings.device, dtype=settings.dtype, four_bit=settings.four_bit
    )
    if pupil.arm == "BS":
        return student
    student = add_adapter(student, Adapter(settings.rank, settings.alpha, settings.dropout), pupil.seed)
    place = folder / pupil.folder
    parts, recipes = _dialogues(course, pupil, settings.balanced), stages(settings, pupil.seed)
    for number, (dialogues, stage) in enumerate(zip(parts, recipes, strict=True), start=1):
        lessons = examples(dialogues, course.images, student)
        if number in LABELS_ALONE.get(pupil.arm, ()):
            total = Steps(lessons, stage).total
            lessons = _labels(course, dialogues, pupil.seed)
            stage = replace(stage, epochs=total / Steps(lessons, stage).per_epoch)
        tune(student, lessons, stage, place / f"stage{number}", progress)
    return student


def tuned(pupil: Pupil, settings: TuningSettings, folder: Path, stage: Literal[1, 2] = 2) -> Student:
    """Load a student as chapter 5 left it, or as it was after the first stage of tuning.

    Raises:
        MissingError: If it was not tuned.
    """
    adapter = None if pupil.arm == "BS" else folder / pupil.folder / f"stage{stage}"
    return load_student(pupil.name, adapter, settings.device, settings.dtype, settings.four_bit)


def _dialogues(course: Course, pupil: Pupil, even: bool) -> list[list[Dialogue]]:
    """Return what a student learns in each stage of tuning, stages of disease equally often if asked for."""
    parts = [list(course.first), list(course.second)]
    if pupil.arm == "GFT-shuffled":
        parts = [shuffled(part, course.stages, np.random.default_rng(pupil.seed)) for part in parts]
    return [balanced(part, course.stages) for part in parts] if even else parts


def _labels(course: Course, dialogues: Sequence[Dialogue], seed: int) -> list[Example]:
    """Return the labels of the scans of some dialogues as lessons."""
    named = [(dialogue.id, course.stages[dialogue.id]) for dialogue in dialogues]
    return labels_alone(named, course.images, np.random.default_rng(seed))
