"""Students examined: from tuned students to answers, and from answers to their score (GFT, section 3).

Here what students say meets the truth about phantoms, and it meets it to be scored; what they learn comes
from the dialogues alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from gftlib.agent import Course, Pupil, pupils, run_name, teach, tuned, with_truth
from gftlib.datasets import octa500
from gftlib.datasets.masks import image_size
from gftlib.dialogue.examination import (
    ASKED,
    findings_paper,
    read_answers,
    read_claims,
    score_told,
    staging_paper,
)
from gftlib.dialogue.lessons import ARMS, FIRST_ALONE
from gftlib.dialogue.scoring import COLUMNS
from gftlib.dialogue.staging_answers import read_answers as read_stages
from gftlib.jobs import Progress, run_jobs
from gftlib.paths import read_json, root, sha256, write_json
from gftlib.phantoms.octa_files import write_cohort
from gftlib.profiles import Profile
from gftlib.sections import AgentSettings, Staging
from gftlib.table_truth import true_faz, true_lesions
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example
from gftlib.vlm.inference import answer
from gftlib.vlm.tuning_state import weights_digest

STAGING, FINDINGS = "staging", "findings"
SHIFTED, OCTA500 = "shifted", "octa500"
"""Cohorts that no student was tuned on: phantoms by another device, and OCTA-500 (GFT, Table 2)."""


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
        student, arm, seed, fold, scan, stage (a number) and answer; tuned students answer twice, the second
        time as they were before stage 2, under the arm's name with `gftlib.dialogue.lessons.FIRST_ALONE`.
    """
    jobs = [(pupil,) for pupil in pupils(profile)]
    shared = (with_truth(course, profile, workers), profile.tuning, profile.agent, folder)
    found = run_jobs(_teach_and_stage, shared, jobs, workers, progress, profile.tuning.device)
    return pd.concat(found, ignore_index=True)


def examine(
    course: Course, profile: Profile, tuned_in: Path, folder: Path, workers: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ask every student what it sees, and for the stage of scans by other devices.

    Args:
        course: Where the scans come from.
        profile: Its sections ``tuning`` and ``agent``.
        tuned_in: Folder of chapter 5's results.
        folder: Of chapter 6's results.
        workers: Processes, a student each; on a GPU one.

    Returns:
        The rows of `gftlib.dialogue.scoring.score_scan`, one part ``asked/<student>/<arm>/<run>`` a student;
        the answers behind them: part, scan, asked and answer; and the answers on the stage of the scans of
        `SHIFTED` and `OCTA500`, in the columns of `teach_and_stage` with ``cohort``.
    """
    jobs = [(pupil,) for pupil in pupils(profile)]
    elsewhere = {SHIFTED: shifted(course, profile, workers), OCTA500: public(profile.staging)}
    shared = (course, profile.tuning, profile.agent, tuned_in, folder, elsewhere)
    found = run_jobs(_examine, shared, jobs, workers, device=profile.tuning.device)
    scored, told, staged = (pd.concat(part, ignore_index=True) for part in zip(*found, strict=True))
    return scored, told, staged


def volunteered(course: Course, staged: pd.DataFrame) -> pd.DataFrame:
    """Read what students claim of their own accord when they explain a stage, as `examine` gives it.

    Args:
        course: Where the scans come from; real ones, whose truth is not known, are left out.
        staged: Answers of `teach_and_stage`; those of stage 1 alone are left out.

    Returns:
        Rows of parts ``told/<student>/<arm>/<run>``, without boxes.
    """
    truth = {
        name: (true_lesions(scan), true_faz(scan))
        for name in staged["scan"].unique()
        if (scan := course.scans[name]).spec is not None
    }
    rows = []
    staged = read_stages(staged)
    for row in staged[staged["arm"].isin(ARMS)].itertuples(index=False):
        if row.scan in truth:
            part = f"told/{row.student}/{row.arm}/{run_name(row.seed, row.fold)}"
            told = read_claims(row.answer)
            rows += score_told(row.scan, part, course.stages[row.scan], told, *truth[row.scan])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shifted(course: Course, profile: Profile, workers: int = 1) -> dict[str, tuple[Path, int]]:
    """Return images of unseen phantoms by another device with their stages; real scans have none."""
    names = [n for n in course.unseen(profile.agent.shifted) if course.scans[n].spec is not None]
    specs = [replace(course.scans[name].spec, look="b") for name in names]
    if not specs:
        return {}
    folder = root() / "runs" / profile.name / "cohorts" / "octa_shifted"
    write_cohort(folder, specs, workers=workers if len(specs) > 50 else 1)
    stage = dict(zip(course.rows["scan"], course.rows["stage"], strict=True))
    return {
        name: (folder / f"{spec.scan_id}.png", stage[name]) for name, spec in zip(names, specs, strict=True)
    }


def public(settings: Staging) -> dict[str, tuple[Path, int]]:
    """Return OCTA-500's healthy scans (0) and those with diabetic retinopathy (1), where it is there.

    Raises:
        MissingError, InputError: As `gftlib.datasets.octa500.read`.
    """
    place = os.path.expandvars(settings.octa500)
    if not place or "$" in place:
        return {}
    return {scan.scan: (scan.path, scan.label) for scan in octa500.read(place)}


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
            return {name: tuple(kept["answers"][name]) for name in paper}
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


def _paper(kind: str, images: Mapping[str, Path]) -> dict[str, Example]:
    asked = staging_paper(images) if kind == STAGING else findings_paper(images)
    return dict(zip(images, asked, strict=True))


def _stage_rows(
    stage: Mapping[str, int], pupil: Pupil, told: Mapping[str, tuple[str, ...]], when: str = ""
) -> pd.DataFrame:
    who = (pupil.name, pupil.arm + when, pupil.seed, pupil.fold)
    rows = [(*who, name, stage[name], text) for name, (text,) in told.items()]
    return pd.DataFrame(rows, columns=["student", "arm", "seed", "fold", "scan", "stage", "answer"])


def _teach_and_stage(shared: tuple[Any, ...], pupil: Pupil) -> pd.DataFrame:
    course, settings, agent, folder = shared
    stage = dict(zip(course.rows["scan"], course.rows["stage"], strict=True))
    paper = _paper(STAGING, {name: course.images[name] for name in course.unseen()})
    place = folder / pupil.folder
    student = teach(course, pupil, settings, folder)
    rows = _stage_rows(stage, pupil, answers(student, paper, agent, place / f"{STAGING}.json"))
    if pupil.arm == "BS":
        return rows
    del student  # makes room for the next, which may be large
    early = answers(tuned(pupil, settings, folder, 1), paper, agent, place / f"{STAGING}_stage1.json")
    return pd.concat([rows, _stage_rows(stage, pupil, early, FIRST_ALONE)], ignore_index=True)


def _examine(shared: tuple[Any, ...], pupil: Pupil) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    course, settings, agent, tuned_in, folder, elsewhere = shared
    student = tuned(pupil, settings, tuned_in)
    place = folder / pupil.folder
    shown = {name: course.images[name] for name in course.unseen(agent.explained)}
    told = answers(student, _paper(FINDINGS, shown), agent, place / f"{FINDINGS}.json")
    part = f"asked/{pupil.name}/{pupil.arm}/{pupil.run}"
    rows = []
    for name, texts in told.items():
        scan = course.scans[name]
        if scan.spec is not None:
            stage, read = course.stages[name], read_answers(texts, student, image_size(scan.image))
            rows += score_told(name, part, stage, read, true_lesions(scan), true_faz(scan))
    said = [(part, name, *pair) for name, texts in told.items() for pair in zip(ASKED, texts, strict=True)]
    staged = []
    for cohort, scans in elsewhere.items():
        paper = _paper(STAGING, {name: image for name, (image, _) in scans.items()})
        stages = answers(student, paper, agent, place / f"{cohort}.json") if scans else {}
        known = {name: stage for name, (_, stage) in scans.items()}
        staged.append(_stage_rows(known, pupil, stages).assign(cohort=cohort))
    scored = pd.DataFrame(rows, columns=list(COLUMNS))
    return scored, pd.DataFrame(said, columns=["part", "scan", "asked", "answer"]), pd.concat(staged)
