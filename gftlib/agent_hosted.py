"""A hosted model tuned on the dialogues of chapter 4, similar cases beside each scan (GFT, section 2.5).

Both stages of a scan are one record, so that its images are sent once: a service does not let one choose
which layers learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gftlib.agent import Course
from gftlib.dialogue.hosted_tuning import hosted_records
from gftlib.dialogue.lessons import SIZE
from gftlib.dialogue.records import Dialogue
from gftlib.endpoint.client import Endpoint
from gftlib.endpoint.profiled import profiled_endpoint
from gftlib.errors import InputError
from gftlib.octa.table_rows import read_tables
from gftlib.paths import root
from gftlib.profiles import Profile
from gftlib.sections import HostedSettings, TeacherEndpoint
from gftlib.vlm.hosted import HostedTuning
from gftlib.vlm.hosted_files import TuningFile, write_tuning_file
from gftlib.vlm.retrieval import Case, CasePool, Scan

ANSWER_TOKENS = 1024
"""Longest answer of the tuned model."""


def hosted_folder(profile: Profile) -> Path:
    """Return where tuning file, job and record are kept."""
    return root() / "runs" / profile.name / "06_agent_evaluation" / "hosted"


def tuning_records(course: Course, profile: Profile, folder: Path) -> TuningFile:
    """Write the tuning file of a course to ``folder``, on this machine alone.

    Raises:
        InputError: If the service would refuse the file, or fewer cases are left than asked for.
        MissingError: If an image or the tables of chapter 4 are not there.
    """
    return write_tuning_file(folder / "train.jsonl", _records(course, similar_cases(course, profile)))


def similar_cases(course: Course, profile: Profile) -> dict[str, tuple[Case, ...]] | None:
    """Return the taught scans nearest to each taught scan, or None if the profile wants none.

    Raises:
        InputError: If a table is of a scan that is not taught, or fewer cases are left than asked for.
        MissingError: If chapter 4's tables are not there.
    """
    settings = profile.hosted
    if not settings.cases:
        return None
    tables = read_tables(root() / "runs" / profile.name / "04_dialogue" / "tables.jsonl")
    subject = dict(zip(course.rows["scan"], course.rows["subject"].astype(str), strict=True))
    taught = set(course.rows.loc[course.rows["split"].isin(profile.dialogue.splits), "scan"])
    scans = [Scan(table, subject[table.scan], course.images[table.scan]) for table in tables]
    pool = CasePool(scans, {subject[name] for name in taught}, settings.scaling, settings.measure)
    found = pool.nearest(scans, settings.cases)
    return {scan.table.scan: cases for scan, cases in zip(scans, found, strict=True)}


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


def _records(course: Course, cases: Mapping[str, tuple[Case, ...]] | None) -> Iterator[dict[str, Any]]:
    for dialogue in _merged(course):
        images = course.images[dialogue.id].parent
        yield from hosted_records([dialogue], images, cases, size=SIZE)


def _merged(course: Course) -> Iterator[Dialogue]:
    second = {dialogue.id: dialogue for dialogue in course.second}
    for first in course.first:
        if first.id not in second:
            raise InputError(f"scan {first.id} has a dialogue of stage 1 and none of stage 2")
        more = second[first.id]
        yield more.model_copy(update={"pairs": (*first.pairs, *more.pairs)})
