"""Students examined: from tuned students to answers, and from answers to their score (GFT, section 3).

Here what students say meets the truth about phantoms, and it meets it to be scored; what they learn comes
from the dialogues alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from gftlib.agent import Course, Pupil, pupils, teach, tuned
from gftlib.dialogue.examination import (
    findings_paper,
    read_answers,
    read_claims,
    score_told,
    staging_paper,
)
from gftlib.dialogue.lessons import ARMS, FIRST_ALONE
from gftlib.dialogue.scoring import COLUMNS
from gftlib.jobs import Progress, run_jobs
from gftlib.paths import read_json, root, sha256, write_json
from gftlib.phantoms.octa_files import write_cohort
from gftlib.profiles import Profile
from gftlib.sections import AgentSettings
from gftlib.teaching import true_faz, true_lesions
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example
from gftlib.vlm.inference import answer
from gftlib.vlm.tuning_state import weights_digest

STAGING, FINDINGS = "staging", "findings"


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
        student, arm, seed, scan, stage (a number) and answer; tuned students answer twice, the second time as
        they were before stage 2, under the arm's name with `gftlib.dialogue.lessons.FIRST_ALONE`.
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
        and the answers on the stage of shifted scans, in the columns of `teach_and_stage`.
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
        staged: Answers of `teach_and_stage`; those of stage 1 alone are left out.

    Returns:
        Rows of parts ``told/<student>/<arm>/<seed>``, without boxes.
    """
    truth = {
        name: (true_lesions(scan), true_faz(scan))
        for name in staged["scan"].unique()
        if (scan := course.scans[name]).spec is not None
    }
    rows = []
    for row in staged[staged["arm"].isin(ARMS)].itertuples(index=False):
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


def _paper(kind: str, images: Mapping[str, Path]) -> dict[str, Example]:
    asked = staging_paper(images) if kind == STAGING else findings_paper(images)
    return dict(zip(images, asked, strict=True))


def _stage_rows(
    course: Course, pupil: Pupil, told: Mapping[str, tuple[str, ...]], when: str = ""
) -> pd.DataFrame:
    stage = dict(zip(course.rows["scan"], course.rows["stage"], strict=True))
    arm = pupil.arm + when
    rows = [(pupil.name, arm, pupil.seed, name, stage[name], text) for name, (text,) in told.items()]
    return pd.DataFrame(rows, columns=["student", "arm", "seed", "scan", "stage", "answer"])


def _teach_and_stage(shared: tuple[Any, ...], pupil: Pupil) -> pd.DataFrame:
    course, settings, agent, folder = shared
    paper = _paper(STAGING, {name: course.images[name] for name in course.unseen()})
    place = folder / pupil.folder
    student = teach(course, pupil, settings, folder)
    rows = _stage_rows(course, pupil, answers(student, paper, agent, place / f"{STAGING}.json"))
    if pupil.arm == "BS":
        return rows
    del student  # makes room for the next, which may be large
    early = answers(tuned(pupil, settings, folder, 1), paper, agent, place / f"{STAGING}_stage1.json")
    return pd.concat([rows, _stage_rows(course, pupil, early, FIRST_ALONE)], ignore_index=True)


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
