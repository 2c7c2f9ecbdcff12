"""What is compared in chapter 9: students, data sizes, tasks, negatives, and what learns (BiRD, section 4.2).

An arm is one tuning of one student. The arms ``20k`` to ``240k`` are BiRD's: all tasks at once, vision tower
frozen, no negatives. The others change one thing of ``240k``: those that teach a single task take as many
steps as it does, and so see their fewer questions more often.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from gftlib.bird import student as birds
from gftlib.bird.arm_names import FULL, UNTUNED
from gftlib.bird.questions import NEGATIVE, TASKS
from gftlib.bird.records import SIZES, Record, within
from gftlib.datasets.sa_med2d import SAMed2D
from gftlib.errors import InputError, MissingError
from gftlib.paths import read_json
from gftlib.sections import GroundingSettings
from gftlib.vlm.backbones import TINY_BIRD, WEIGHTS, Student, load_student
from gftlib.vlm.conversations import Example
from gftlib.vlm.recipes import Adapter, CosineStage, Steps
from gftlib.vlm.tuning import Progress, add_adapter, tune


@dataclass(frozen=True)
class Arm:
    """How a student is tuned.

    Attributes:
        size: Of the training set, one of `gftlib.bird.records.SIZES`.
        tasks: The tasks that are taught.
        negatives: Whether questions for what is not there are taught.
        tower: Whether the vision tower learns; an adapter learns on all layers in any case.
    """

    size: str = FULL
    tasks: tuple[str, ...] = TASKS
    negatives: bool = False
    tower: bool = False


ARMS = MappingProxyType(
    {size: Arm(size) for size in SIZES}
    | {"negatives": Arm(negatives=True), "unfrozen": Arm(tower=True)}
    | {f"{task} alone": Arm(tasks=(task,)) for task in TASKS}
)


@dataclass(frozen=True)
class Learner:
    """One student of the comparison.

    Attributes:
        student: Name or folder.
        arm: A key of `ARMS`, or `UNTUNED`.
    """

    student: str
    arm: str

    @property
    def name(self) -> str:
        """``student/arm``; of a folder its last part."""
        return f"{Path(self.student).name}/{self.arm}"

    @property
    def folder(self) -> Path:
        """Where it is kept, below the folder of chapter 9."""
        return Path(Path(self.student).name, self.arm.replace(" ", "_"))

    @property
    def asked(self) -> tuple[str, ...]:
        """The tasks that it is examined on: one taught a single task is asked for no other."""
        arm = ARMS.get(self.arm)
        return (*TASKS, NEGATIVE) if arm is None or arm.tasks == TASKS else arm.tasks


@dataclass(frozen=True)
class Course:
    """Records and where their images are.

    Attributes:
        source: Root of the scans.
        train: Records to learn from.
        test: Records to be asked about.
    """

    source: Path
    train: tuple[Record, ...] = field(repr=False)
    test: tuple[Record, ...] = field(repr=False)

    def image(self, record: Record) -> Path:
        """Return the image file of a record."""
        return Path(SAMed2D(self.source).file(record.image))

    def lessons(self, arm: Arm) -> list[Example]:
        """Return what an arm teaches, one example an image."""
        tasks = {*arm.tasks, *([NEGATIVE] if arm.negatives else [])}
        chosen = [record for record in self.train if within(record, arm.size)]
        return list(self._examples(chosen, tasks))

    def _examples(self, records: Iterable[Record], tasks: set[str]) -> Iterable[Example]:
        for record in records:
            turns = [turn for turn in record.turns if turn.task in tasks]
            if turns:
                asked, told = zip(*((turn.question, turn.answer) for turn in turns), strict=True)
                yield Example(self.image(record), asked, told)


def learners(settings: GroundingSettings) -> list[Learner]:
    """Return every student as it came, then its arms, in the order of the profile.

    Raises:
        InputError: If the tower of a student without one of its own is to be unfrozen, or two students would
            be kept under one name.
        MissingError: If a student's environment variable is not set.
    """
    found: list[Learner] = []
    for name, arms in settings.arms.items():
        place = os.path.expandvars(name)
        if "$" in place:
            raise MissingError(f"grounding.arms: set the environment variable of {name!r}, or name a student")
        if "unfrozen" in arms and not is_bird(place):
            raise InputError(f"grounding.arms: {name!r} learns by an adapter; 'unfrozen' is for BiRD's own")
        if others := {one.student for one in found if Path(one.student).name == Path(place).name}:
            raise InputError(
                f"grounding.arms: {place!r} and {others.pop()!r} would both be kept as {Path(place).name!r}: "
                "rename one of the folders"
            )
        found += [Learner(place, arm) for arm in (UNTUNED, *arms)]
    return found


def is_bird(name: str) -> bool:
    """Return whether a student is of BiRD's own architecture: the embedded one, or one in a folder."""
    config = Path(name) / "config.json"
    return name == TINY_BIRD or (config.is_file() and read_json(config).get("model_type") == "bird")


def load(name: str, device: str = "cpu", dtype: str = "float32") -> Student:
    """Load a student of either architecture as it came.

    Raises:
        MissingError: If its weights are not there.
    """
    if not is_bird(name):
        return load_student(name, device=device, dtype=dtype)
    folder = WEIGHTS / name if name == TINY_BIRD else Path(name)
    if not (folder / "model.safetensors").is_file() and not list(folder.glob("*.safetensors.index.json")):
        raise MissingError(f"no weights in {folder}: make them by `gftlib train-student {TINY_BIRD}`")
    return birds.load(folder, device, dtype)


def recipe(settings: GroundingSettings, adapted: bool, seed: int) -> CosineStage:
    """Return the recipe of a tuning.

    Args:
        settings: Of the profile.
        adapted: Whether an adapter learns, or the weights themselves.
        seed: Of order and dropout.
    """
    return CosineStage(
        epochs=settings.epochs,
        lr=settings.lr_adapter if adapted else settings.lr,
        warmup=settings.warmup,
        pairs=settings.pairs,
        images=settings.images,
        accumulate=settings.accumulate,
        weight_decay=settings.weight_decay,
        precision=settings.precision,
        checkpointing=settings.checkpointing,
        seed=seed,
    )


def teach(
    course: Course,
    learner: Learner,
    settings: GroundingSettings,
    folder: Path,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Student, list[float]]:
    """Tune one student; what was tuned before is read.

    Args:
        course: What it learns from.
        learner: Which student, and how.
        settings: The recipe.
        folder: Of chapter 9's results.
        seed: Of adapter, order and dropout.
        progress: Called with (done, total) after each step.

    Returns:
        The student, and the loss of each step (none of an untuned one).
    """
    if learner.arm == UNTUNED:
        return load(learner.student, settings.device, settings.dtype), []
    arm, whole = ARMS[learner.arm], is_bird(learner.student)
    # Of bfloat16 weights most updates would be lost: at the paper's learning rate they are smaller than the
    # step from one such number to the next. What autocast computes is bfloat16 all the same.
    student = load(learner.student, settings.device, "float32" if whole else settings.dtype)
    if whole:
        # A tower out of the gradient's reach stays as it is, whatever the optimiser is given.
        student.model.config.train_vision = arm.tower
    else:
        student = add_adapter(student, Adapter(settings.rank, settings.alpha, settings.dropout), seed)
    lessons, stage = course.lessons(arm), recipe(settings, not whole, seed)
    if arm.tasks != TASKS:
        steps = Steps(course.lessons(ARMS[FULL]), stage).total
        stage = replace(stage, epochs=steps / Steps(lessons, stage).per_epoch)
    return student, tune(student, lessons, stage, folder / learner.folder, progress)
