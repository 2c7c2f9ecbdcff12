"""A hosted model tuned on chapter 4's dialogues and asked, similar cases beside each scan (GFT, section 2.5).

Both stages of a scan are one record, so that its images are sent once: a service does not let one choose
which layers learn. A model as it came is asked in the same words; without the cases it is the ablation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from gftlib.agent import Course
from gftlib.dialogue.examination import STAGE_QUESTION
from gftlib.dialogue.hosted_tuning import hosted_records
from gftlib.dialogue.prompts import student_system
from gftlib.dialogue.records import Dialogue, Pair
from gftlib.dialogue.taught import taught_splits
from gftlib.endpoint.client import Endpoint, EndpointError
from gftlib.endpoint.messages import Request
from gftlib.endpoint.profiled import profiled_endpoint
from gftlib.errors import InputError, MissingError
from gftlib.octa.table_rows import ScanTable, read_tables
from gftlib.paths import read_json, root
from gftlib.profiles import Profile
from gftlib.sections import HostedSettings, TeacherEndpoint
from gftlib.teaching import unseen_tables
from gftlib.vlm.hosted import STATE, HostedTuning, dialect
from gftlib.vlm.hosted_files import TuningFile, question, write_tuning_file
from gftlib.vlm.retrieval import Case, CasePool, Scan

HostedArm = Literal["FT", "GFT"]
STAGE = 2
"""Of the system text in which the model is taught both stages, and asked."""
ANSWER_TOKENS = 1024
"""Longest answer of the tuned model."""
CONCURRENCY = 8
"""Questions on their way at once."""


def hosted_folder(profile: Profile, arm: HostedArm = "GFT") -> Path:
    """Return where tuning file, job and record are kept: apart for each arm and number of similar cases."""
    cases = profile.hosted.cases if arm == "GFT" else 0
    return root() / "runs" / profile.name / "06_agent_evaluation" / "hosted" / f"{arm}-{cases}-cases"


def tuning_records(course: Course, profile: Profile, folder: Path, arm: HostedArm = "GFT") -> TuningFile:
    """Write the tuning file of a course to ``folder``, on this machine alone.

    Args:
        course: Dialogues and scans.
        profile: Its ``hosted`` section.
        folder: Gets ``train.jsonl``.
        arm: ``GFT``, the dialogues beside similar cases; ``FT``, the label of each scan alone (GFT, Table 1).

    Raises:
        InputError: If the service would refuse the file, or fewer cases are left than asked for.
        MissingError: If an image or the tables of chapter 4 are not there.
    """
    if arm == "FT":
        return write_tuning_file(folder / "train.jsonl", _records(course, _labelled(course), None))
    cases = similar_cases(course, profile)
    return write_tuning_file(folder / "train.jsonl", _records(course, _merged(course), cases))


def similar_cases(course: Course, profile: Profile) -> dict[str, tuple[Case, ...]] | None:
    """Return the taught scans nearest to each taught scan, or None if the profile wants none.

    Raises:
        InputError: If a table is of a scan that is not taught, or fewer cases are left than asked for.
        MissingError: If chapter 4's tables are not there.
    """
    if not profile.hosted.cases:
        return None
    taught = _taught(course, profile)
    return _nearest(course, profile, taught, taught)


def hosted_tuning(settings: HostedSettings, wait_s: float = 86_400.0) -> HostedTuning:
    """Return how the profile has a model tuned.

    Args:
        settings: Of the profile.
        wait_s: Longest wait of one run; the job goes on without.
    """
    return HostedTuning(
        suffix=settings.suffix,
        epochs=settings.epochs,
        poll_s=settings.poll_s,
        patience_s=wait_s,
        usd_per_million=settings.usd_per_million,
        max_usd=settings.max_usd or None,
    )


def tuning_endpoint(settings: HostedSettings, folder: Path, images: bool = False) -> Endpoint:
    """Return the service's endpoint with its record in ``folder``.

    Args:
        settings: Of the profile.
        folder: Gets ``record.jsonl``.
        images: Images may leave this machine.

    Raises:
        MissingError: If model or address are to be read from the environment and are not there.
    """
    plain = TeacherEndpoint(
        model=settings.model,
        base_url=settings.base_url,
        max_tokens=ANSWER_TOKENS,
        concurrency=1,
        requests_per_minute=0,
        usd_in=0,
        usd_out=0,
        max_usd=0,
        batch=False,
    )
    endpoint = profiled_endpoint(plain, folder, images)
    chosen = endpoint.settings.model_copy(update={"timeout_s": settings.timeout_s})
    return Endpoint(chosen, endpoint.record)


def tuned_model(folder: Path) -> str:
    """Return the name of the model that was tuned.

    Raises:
        MissingError: If none was, or the job has not ended.
    """
    state = read_json(folder / STATE) if (folder / STATE).is_file() else {}
    if "model" not in state:
        raise MissingError(
            f"no tuned model in {folder}: run `gftlib hosted tune`, or name a model by --model"
        )
    return str(state["model"])


def stage_requests(course: Course, profile: Profile, names: Sequence[str], workers: int = 1) -> list[Request]:
    """Return the question for the stage of scans, each with the taught scans nearest to it.

    Args:
        course: Where the scans come from.
        profile: ``hosted.cases`` says how many cases; 0: none, which is the ablation.
        names: Of scans that are not taught.
        workers: Processes that make their tables, which the cases are found by.

    Raises:
        InputError: If fewer cases are left than asked for.
        MissingError: If an image or the tables of chapter 4 are not there.
    """
    cases: Mapping[str, tuple[Case, ...]] = {}
    if profile.hosted.cases:
        folder = root() / "runs" / profile.name / "06_agent_evaluation" / "samples"
        _, tables = unseen_tables(profile, names, folder, workers)
        asked = _scans(course, list(tables.values()))
        cases = _nearest(course, profile, asked, _taught(course, profile))
    system = student_system(STAGE)
    return [question(course.images[n], [STAGE_QUESTION], system, cases.get(n, ())) for n in names]


def ask_stages(
    course: Course, names: Sequence[str], requests: Sequence[Request], endpoint: Endpoint
) -> pd.DataFrame:
    """Ask a hosted model for the stage of scans; what is in the endpoint's record is not asked again.

    Returns:
        Columns of `gftlib.dialogue.staging_answers.COLUMNS` without ``student`` and ``arm``.

    Raises:
        EndpointError: If a request failed; the others are recorded, and another run asks it again.
    """
    outcomes = endpoint.ask(requests)
    if failed := [one.reason for one in outcomes if one.status == "failed"]:
        raise EndpointError(
            f"{len(failed)} of {len(outcomes)} requests failed, the first: {failed[0]}; run again"
        )
    stage = dict(zip(course.rows["scan"], course.rows["stage"], strict=True))
    rows = [(0, name, stage[name], one.text) for name, one in zip(names, outcomes, strict=True)]
    return pd.DataFrame(rows, columns=["seed", "scan", "stage", "answer"])


def _taught(course: Course, profile: Profile) -> list[Scan]:
    return _scans(course, read_tables(root() / "runs" / profile.name / "04_dialogue" / "tables.jsonl"))


def _scans(course: Course, tables: Sequence[ScanTable]) -> list[Scan]:
    subject = dict(zip(course.rows["scan"], course.rows["subject"].astype(str), strict=True))
    return [Scan(table, subject[table.scan], course.images[table.scan]) for table in tables]


def _nearest(
    course: Course, profile: Profile, scans: Sequence[Scan], taught: Sequence[Scan]
) -> dict[str, tuple[Case, ...]]:
    settings = profile.hosted
    splits = taught_splits(profile.dialogue, profile.dialogue.folds[0])
    rows = course.rows[course.rows["split"].isin(splits)]
    pool = CasePool(taught, set(rows["subject"].astype(str)), settings.scaling, settings.measure)
    found = pool.nearest(scans, settings.cases)
    return {scan.table.scan: cases for scan, cases in zip(scans, found, strict=True)}


def asking_endpoint(
    settings: HostedSettings,
    folder: Path,
    model: str,
    prices: Mapping[str, float | None],
    images: bool = False,
) -> Endpoint:
    """Return the endpoint of a model that is asked, with a record of its own in ``folder``.

    Args:
        settings: Of the profile.
        folder: Gets the record.
        model: Its name at the service.
        prices: ``usd_in``, ``usd_out`` and ``max_usd`` of `gftlib.endpoint.sending.Settings`.
        images: Images may leave this machine.

    Raises:
        InputError: If there is a budget and no price.
        MissingError: As `tuning_endpoint`.
    """
    if prices["max_usd"] and not (prices["usd_in"] or prices["usd_out"]):
        raise InputError("--max-usd needs the prices --usd-in and --usd-out")
    endpoint = tuning_endpoint(settings.model_copy(update={"model": model}), folder, images)
    changes = {"concurrency": CONCURRENCY, **prices, **dialect(model)}
    chosen = endpoint.settings.model_copy(update=changes)
    return Endpoint(chosen, folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', model)}.jsonl")


def _records(
    course: Course, dialogues: Iterable[Dialogue], cases: Mapping[str, tuple[Case, ...]] | None
) -> Iterator[dict[str, Any]]:
    for dialogue in dialogues:
        image = course.images[dialogue.id]
        shown = dialogue.model_copy(update={"image": image.name})
        yield from hosted_records([shown], image.parent, cases)


def _labelled(course: Course) -> Iterator[Dialogue]:
    for dialogue in course.first:
        pair = Pair(question=STAGE_QUESTION, answer=f"{course.stages[dialogue.id]}.", kind="diagnosis")
        yield dialogue.model_copy(update={"stage": STAGE, "pairs": (pair,)})


def _merged(course: Course) -> Iterator[Dialogue]:
    second = {dialogue.id: dialogue for dialogue in course.second}
    for first in course.first:
        if first.id not in second:
            raise InputError(f"scan {first.id} has a dialogue of stage 1 and none of stage 2")
        more = second[first.id]
        yield more.model_copy(update={"stage": STAGE, "pairs": (*first.pairs, *more.pairs)})
