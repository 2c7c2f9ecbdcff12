"""Students tuned and examined: from the dialogues of chapter 4 to answers, and from answers to their score.

Here what students say meets the truth about phantoms, and it meets it to be scored; what they learn comes
from the dialogues alone (GFT, sections 2.5 and 3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.dialogue.examination import (
    findings_paper,
    read_answers,
    read_claims,
    score_told,
    staging_paper,
)
from gftlib.dialogue.lessons import Arm, balanced, examples, labels_alone, shuffled
from gftlib.dialogue.records import Dialogue, read_dialogues
from gftlib.dialogue.scoring import COLUMNS
from gftlib.errors import MissingError
from gftlib.jobs import Progress, run_jobs
from gftlib.octa.folds import TEST_SPLIT
from gftlib.octa.scans import Scan, open_cohort
from gftlib.octa.staging_cohorts import stage_table
from gftlib.octa.table_rows import STAGES
from gftlib.paths import read_json, root, sha256, write_json
from gftlib.phantoms.octa_files import write_cohort
from gftlib.profiles import Profile
from gftlib.sections import AgentSettings, TuningSettings
from gftlib.teaching import true_faz, true_lesions
from gftlib.vlm.backbones import Student, load_student
from gftlib.vlm.conversations import Example
from gftlib.vlm.inference import answer
from gftlib.vlm.recipes import Adapter, Stage, Steps
from gftlib.vlm.tuning import add_adapter, tune
from gftlib.vlm.tuning_state import weights_digest

STAGING, FINDINGS = "staging", "findings"


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

    FT has the same two stages, with as many steps on the same images, and the label as its only answer.

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
        if pupil.arm == "FT":
            total = Steps(lessons, stage).total
            lessons = _labels(course, dialogues, pupil.seed)
            stage = replace(stage, epochs=total / Steps(lessons, stage).per_epoch)
        tune(student, lessons, stage, place / f"stage{number}", progress)
    return student


def tuned(pupil: Pupil, settings: TuningSettings, folder: Path) -> Student:
    """Load a student as chapter 5 left it.

    Raises:
        MissingError: If it was not tuned.
    """
    adapter = None if pupil.arm == "BS" else folder / pupil.folder / "stage2"
    return load_student(pupil.name, adapter, settings.device, settings.dtype, settings.four_bit)


def teach_and_stage(
    course: Course, profile: Profile, folder: Path, workers: int = 1, progress: Progress | None = None
) -> pd.DataFrame:
    """Tune every student and ask each for the stage of the unseen scans.

    Args:
        course: What they learn from and are asked about.
        profile: Its sections ``tuning`` and ``agent``.
        folder: Of chapter 5's results; a second call makes only what is missing there.
        workers: Processes, a student each; on a GPU one.
        progress: Called with (done, total) students.

    Returns:
        student, arm, seed, scan, stage (a number) and answer.
    """
    jobs = [(pupil,) for pupil in pupils(profile.tuning)]
    shared = (course, profile.tuning, profile.agent, folder)
    found = run_jobs(_teach_and_stage, shared, jobs, workers, progress, profile.tuning.device)
    return pd.concat(found, ignore_index=True)


def examine(
    course: Course, profile: Profile, tuned_in: Path, folder: Path, workers: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask every student what it sees, and for the stage of scans by another device.

    Args:
        course: Where the scans come from.
        profile: Its sections ``tuning`` and ``agent``.
        tuned_in: Folder of chapter 5's results.
        folder: Of chapter 6's results.
        workers: Processes, a student each; on a GPU one.

    Returns:
        The rows of `gftlib.dialogue.scoring.score_scan`, one part ``asked/<student>/<arm>/<seed>`` a student;
        and the answers on the stage of shifted scans, as `teach_and_stage`.
    """
    jobs = [(pupil,) for pupil in pupils(profile.tuning)]
    shared = (course, profile.tuning, profile.agent, tuned_in, folder, shifted(course, profile, workers))
    found = run_jobs(_examine, shared, jobs, workers, device=profile.tuning.device)
    told, elsewhere = zip(*found, strict=True)
    return pd.concat(told, ignore_index=True), pd.concat(elsewhere, ignore_index=True)


def volunteered(course: Course, staged: pd.DataFrame) -> pd.DataFrame:
    """Read what students claim of their own accord when they explain a stage, as `examine` gives it.

    Args:
        course: Where the scans come from; real ones, whose truth is not known, are left out.
        staged: Answers of `teach_and_stage`.

    Returns:
        Rows of parts ``told/<student>/<arm>/<seed>``, without boxes.
    """
    truth = {
        name: (true_lesions(scan), true_faz(scan))
        for name in staged["scan"].unique()
        if (scan := course.scans[name]).spec is not None
    }
    rows = []
    for row in staged.itertuples(index=False):
        if row.scan in truth:
            part = f"told/{row.student}/{row.arm}/{row.seed}"
            told = read_claims(row.answer)
            rows += score_told(row.scan, part, course.stages[row.scan], told, *truth[row.scan])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shifted(course: Course, profile: Profile, workers: int = 1) -> dict[str, Path]:
    """Return images of unseen phantoms by another device; real scans have none."""
    names = [n for n in course.unseen(profile.agent.shifted) if course.scans[n].spec is not None]
    specs = [replace(course.scans[name].spec, look="b") for name in names]
    if not specs:
        return {}
    folder = root() / "runs" / profile.name / "cohorts" / "octa_shifted"
    write_cohort(folder, specs, workers=workers if len(specs) > 50 else 1)
    return {spec.scan_id: folder / f"{spec.scan_id}.png" for spec in specs}


def answers(
    student: Student,
    paper: Mapping[str, Example],
    settings: AgentSettings,
    file: Path,
) -> dict[str, tuple[str, ...]]:
    """Ask a student, unless its answers to the same questions, with the same weights, are kept in ``file``.

    Args:
        student: Who is asked.
        paper: Questions by scan.
        settings: How answers are decoded.
        file: Keeps them.
    """
    key = [
        weights_digest(student.model),
        [settings.longest, settings.temperature],
        {name: [sha256(e.image), *e.questions, e.background] for name, e in paper.items()},
    ]
    if file.is_file():
        kept = read_json(file)
        if kept["key"] == json.loads(json.dumps(key)):
            return {name: tuple(texts) for name, texts in kept["answers"].items()}
    told = answer(
        student,
        list(paper.values()),
        images=settings.images,
        longest=settings.longest,
        temperature=settings.temperature,
    )
    found = dict(zip(paper, told, strict=True))
    write_json(file, {"key": key, "answers": found})
    return found


def _dialogues(course: Course, pupil: Pupil, even: bool) -> list[list[Dialogue]]:
    """Return what a student learns in each stage of tuning, stages of disease equally often if asked for."""
    parts = [list(course.first), list(course.second)]
    if pupil.arm == "GFT-shuffled":
        parts = [shuffled(part, course.stages, np.random.default_rng(pupil.seed)) for part in parts]
    return [balanced(part, course.stages) for part in parts] if even else parts


def _labels(course: Course, dialogues: Sequence[Dialogue], seed: int) -> list[Example]:
    """Return what FT learns of the scans of some dialogues."""
    named = [(dialogue.id, course.stages[dialogue.id]) for dialogue in dialogues]
    return labels_alone(named, course.images, np.random.default_rng(seed))


def _paper(kind: str, images: Mapping[str, Path]) -> dict[str, Example]:
    asked = staging_paper(images) if kind == STAGING else findings_paper(images)
    return dict(zip(images, asked, strict=True))


def _stage_rows(course: Course, pupil: Pupil, told: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    stage = dict(zip(course.rows["scan"], course.rows["stage"], strict=True))
    rows = [(pupil.name, pupil.arm, pupil.seed, name, stage[name], text) for name, (text,) in told.items()]
    return pd.DataFrame(rows, columns=["student", "arm", "seed", "scan", "stage", "answer"])


def _teach_and_stage(shared: tuple[Any, ...], pupil: Pupil) -> pd.DataFrame:
    course, settings, agent, folder = shared
    student = teach(course, pupil, settings, folder)
    images = {name: course.images[name] for name in course.unseen()}
    file = folder / pupil.folder / f"{STAGING}.json"
    return _stage_rows(course, pupil, answers(student, _paper(STAGING, images), agent, file))


def _examine(shared: tuple[Any, ...], pupil: Pupil) -> tuple[pd.DataFrame, pd.DataFrame]:
    course, settings, agent, tuned_in, folder, elsewhere = shared
    student = tuned(pupil, settings, tuned_in)
    place = folder / pupil.folder
    shown = {name: course.images[name] for name in course.unseen(agent.explained)}
    told = answers(student, _paper(FINDINGS, shown), agent, place / f"{FINDINGS}.json")
    part = f"asked/{pupil.name}/{pupil.arm}/{pupil.seed}"
    rows = []
    for name, texts in told.items():
        scan = course.scans[name]
        if scan.spec is not None:
            stage, read = course.stages[name], read_answers(texts, student)
            rows += score_told(name, part, stage, read, true_lesions(scan), true_faz(scan))
    stages = answers(student, _paper(STAGING, elsewhere), agent, place / "shifted.json") if elsewhere else {}
    return pd.DataFrame(rows, columns=list(COLUMNS)), _stage_rows(course, pupil, stages)
