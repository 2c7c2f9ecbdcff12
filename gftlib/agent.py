"""Students tuned: what they learn from, in which arms, by which recipe (GFT, sections 2.5 and 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from gftlib.datasets.eight_bit import eight_bit
from gftlib.dialogue.lessons import FEW, LABELS_ALONE, Arm, balanced, examples, few, labels_alone, shuffled
from gftlib.dialogue.records import Dialogue, read_dialogues
from gftlib.dialogue.taught import fold_place
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

Taught = tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]]
"""Dialogues of stage 1 and of stage 2."""
TRUTH: Arm = "GFT-truth"


@dataclass(frozen=True)
class Course:
    """What students learn from, and what they are examined on.

    Attributes:
        first: Dialogues of stage 1.
        second: Dialogues of stage 2.
        scans: Every scan by name.
        rows: scan, subject, stage and split of each.
        folds: The dialogues of further folds.
        truth: Of each fold those of the lesions that were drawn, for the arm that is told them.
    """

    first: tuple[Dialogue, ...]
    second: tuple[Dialogue, ...]
    scans: dict[str, Scan]
    rows: pd.DataFrame
    folds: Mapping[int, Taught] = field(default_factory=dict)
    truth: Mapping[int, Taught] = field(default_factory=dict)

    def dialogues(self, pupil: Pupil) -> Taught:
        """Return what a student learns from: of its fold, and for one arm the truth."""
        if pupil.arm == TRUTH:
            return self.truth[pupil.fold]
        return self.folds.get(pupil.fold, (self.first, self.second))

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
        fold: Whose network explained what it learns.
    """

    name: str
    arm: Arm
    seed: int
    fold: int = 1

    @property
    def run(self) -> str:
        """Which of an arm's students it is: the seed, and the fold unless that is the first."""
        return run_name(self.seed, self.fold)

    @property
    def folder(self) -> Path:
        """Where it is kept, below the folder of chapter 5."""
        return Path(self.name.replace("/", "_"), self.arm, f"seed{self.run}")


def run_name(seed: int, fold: int) -> str:
    """Return `Pupil.run` of a seed and a fold."""
    return str(seed) if fold == 1 else f"{seed}-fold{fold}"


def open_course(profile: Profile) -> Course:
    """Read the dialogues of chapter 4 and the scans of the profile.

    Raises:
        MissingError: If chapter 4 has not been run for the profile.
    """
    chapter, (first, *others) = root() / "runs" / profile.name / "04_dialogue", profile.dialogue.folds
    cohort = open_cohort(profile)
    rows, copies = stage_table(cohort), chapter / "eight_bit"
    scans = {scan.name: replace(scan, image=eight_bit(scan.image, copies)) for scan in cohort}
    folds = {fold: _read(fold_place(chapter, profile.dialogue, fold)) for fold in others}
    return Course(*_read(fold_place(chapter, profile.dialogue, first)), scans, rows, folds)


def with_truth(course: Course, profile: Profile, workers: int = 1) -> Course:
    """Return the course with the dialogues of the lesions that were drawn, if an arm learns them.

    Raises:
        InputError: If it does and the scans are real ones.
    """
    if TRUTH not in profile.tuning.arms:
        return course
    # They load captum and the graph networks, which no student needs.
    from gftlib.oracle_lessons import true_dialogues
    from gftlib.teaching import prepare

    chapter = root() / "runs" / profile.name / "04_dialogue"
    lessons = {fold: prepare(profile, chapter, workers, fold=fold) for fold in profile.dialogue.folds}
    return replace(
        course, truth={fold: true_dialogues(profile, one, workers) for fold, one in lessons.items()}
    )


def pupils(profile: Profile) -> list[Pupil]:
    """Return every student of the comparison.

    One without tuning has neither seeds nor folds, an experiment has one seed.
    """
    alone = {"BS", *profile.tuning.experiments}
    return [
        Pupil(name, arm, seed, fold)
        for name, seeds in profile.tuning.students.items()
        for arm in profile.tuning.arms
        for fold in profile.dialogue.folds[: 1 if arm == "BS" else None]
        for seed in range(1 if arm in alone else seeds)
    ]


def stages(settings: TuningSettings, pupil: Pupil) -> tuple[Stage, Stage]:
    """Return the recipes of both stages of a student's tuning."""
    common = Stage(
        lr=settings.second_lr,
        epochs=settings.second_epochs,
        pairs=settings.pairs,
        images=settings.images,
        accumulate=settings.accumulate,
        optimizer=settings.optimizer,
        precision=settings.precision,
        checkpointing=settings.checkpointing,
        seed=pupil.seed,
    )
    parts = "vision" if pupil.arm == "GFT-frozen" else settings.first_parts
    first = replace(common, lr=settings.first_lr, epochs=settings.first_epochs, parts=parts)
    return first, common


def teach(
    course: Course, pupil: Pupil, settings: TuningSettings, folder: Path, progress: Progress | None = None
) -> Student:
    """Tune one student; what was tuned before is read.

    Where an arm learns the label alone, or few pairs, it does so in as many steps on the same images.

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
    parts, recipes = _dialogues(course, pupil, settings.balanced), stages(settings, pupil)
    again: list[Example] = []
    for number, (dialogues, stage) in enumerate(zip(parts, recipes, strict=True), start=1):
        lessons = examples(dialogues, course.images, student)
        if (fewer := _fewer(course, pupil, number, dialogues, student)) is not None:
            total = Steps([*lessons, *again], stage).total
            lessons = [*fewer, *again]
            stage = replace(stage, epochs=total / Steps(lessons, stage).per_epoch)
        else:
            lessons = [*lessons, *again]
        tune(student, lessons, stage, place / f"stage{number}", progress)
        again = settings.rehearsals * lessons
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
    parts = [list(part) for part in course.dialogues(pupil)]
    if pupil.arm == "GFT-shuffled":
        parts = [shuffled(part, course.stages, np.random.default_rng(pupil.seed)) for part in parts]
    return [balanced(part, course.stages) for part in parts] if even else parts


def _fewer(
    course: Course, pupil: Pupil, number: int, dialogues: Sequence[Dialogue], student: Student
) -> list[Example] | None:
    """Return what an arm learns in a stage in place of whole dialogues, if it does."""
    rng = np.random.default_rng(pupil.seed)
    if number in LABELS_ALONE.get(pupil.arm, ()):
        named = [(dialogue.id, course.stages[dialogue.id]) for dialogue in dialogues]
        return labels_alone(named, course.images, rng)
    if number == 2 and pupil.arm == "GFT-few":
        return examples(few(dialogues, FEW, rng), course.images, student)
    return None


def _read(folder: Path) -> Taught:
    if not (folder / "corpus.json").is_file():
        raise MissingError(f"no dialogues in {folder}: run notebook 04_dialogue with this profile")
    first, second = (tuple(read_dialogues(folder / f"stage{stage}.jsonl")) for stage in (1, 2))
    return first, second
