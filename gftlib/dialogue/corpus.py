"""The corpus of question-answer pairs of a cohort: both stages, by either teacher (GFT, sections 2.4 and 3).

A hosted teacher's answers stay in the endpoint's record, so that a killed run continues and nothing is paid
twice. Images are sent only where the profile asks for it and the caller consents; a corpus that is finished
is read back without either.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.dialogue.records import Dialogue, read_dialogues, write_dialogues
from gftlib.dialogue.teacher import HostedTeacher, TeacherScan
from gftlib.endpoint.client import Endpoint, Estimate
from gftlib.endpoint.profiled import expanded, profiled_endpoint
from gftlib.errors import InputError
from gftlib.octa.table_text import TextOptions
from gftlib.paths import read_json, sha256, write_json
from gftlib.sections import DialogueSettings


@dataclass(frozen=True)
class Corpus:
    """A finished corpus.

    Attributes:
        first: Stage 1 dialogues, one pair each.
        second: Stage 2 dialogues.
        missing: ``<scan> stage <n>`` -> why it has no dialogue.
    """

    first: tuple[Dialogue, ...]
    second: tuple[Dialogue, ...]
    missing: dict[str, str]


def build(
    scans: Sequence[TeacherScan],
    settings: DialogueSettings,
    folder: Path | str,
    seed: int,
    consent: bool = False,
    poll_s: float = 60.0,
    ledger: Path | str | None = None,
) -> Corpus:
    """Have the dialogues of all scans written, unless this very corpus is there already.

    Args:
        scans: Tables and relative image paths; with the images where they are to be sent.
        settings: Which teacher, and what it is asked for.
        folder: Gets ``stage1.jsonl``, ``stage2.jsonl``, ``corpus.json`` and a hosted teacher's record.
        seed: Of the offline teacher's wordings.
        consent: The scans may be sent to the hosted teacher.
        poll_s: Seconds between two looks at batch jobs.
        ledger: Folder of the hosted teacher's record, to which its budget belongs; the folder itself if not
            given.

    Raises:
        InputError: If images would be sent without consent; or as `OfflineTeacher` and `HostedTeacher`.
        MissingError, BudgetError, EndpointError: As `HostedTeacher.teach`.
    """
    folder = Path(folder)
    key = corpus_key(scans, settings, seed)
    if (kept := finished(folder, key)) is not None:
        return kept
    if settings.teacher == "offline":
        teacher = offline_teacher(settings, seed)
        told = [(scan.table, scan.image) for scan in scans]
        corpus = Corpus(tuple(teacher.teach(told, 1)), tuple(teacher.teach(told, 2)), {})
    else:
        endpoint = profiled_endpoint(settings.endpoint, Path(ledger or folder), settings.send_images)
        corpus = _ask(scans, settings, folder, consent, poll_s, endpoint)
    keep(folder, key, corpus)
    return corpus


def corpus_key(scans: Sequence[TeacherScan], settings: DialogueSettings, seed: int) -> str:
    """Digest what a corpus depends on; how a hosted teacher is reached and paid is no part of it."""
    asked = settings.model_dump(exclude={"endpoint", "splits", "folds"})
    if settings.teacher == "hosted":
        asked["model"] = expanded(settings.endpoint.model)
    told = [[scan.table.model_dump_json(), scan.image] for scan in scans]
    return sha256(json.dumps([asked, seed, told], sort_keys=True).encode())


def finished(folder: Path, key: str) -> Corpus | None:
    """Return the corpus in a folder if it was kept under this key and no request failed for the moment."""
    if not (folder / "corpus.json").is_file():
        return None
    about = read_json(folder / "corpus.json")
    if about["key"] != key or any(why.startswith("failed") for why in about["missing"].values()):
        return None
    first, second = (tuple(read_dialogues(folder / f"stage{stage}.jsonl")) for stage in (1, 2))
    return Corpus(first, second, about["missing"])


def keep(folder: Path, key: str, corpus: Corpus) -> None:
    """Write a corpus to a folder, under a key of all that it depends on."""
    write_dialogues(folder / "stage1.jsonl", corpus.first)
    write_dialogues(folder / "stage2.jsonl", corpus.second)
    # Written last: it says that the two files belong together and are whole.
    write_json(folder / "corpus.json", {"key": key, "missing": corpus.missing})


def estimate(scans: Sequence[TeacherScan], settings: DialogueSettings, folder: Path | str) -> list[Estimate]:
    """Return what a hosted teacher would be asked, and cost at most, in stage 1 and in stage 2."""
    endpoint = profiled_endpoint(settings.endpoint, Path(folder), settings.send_images)
    return [
        teacher.estimate(endpoint, scans, settings.endpoint.batch) for teacher in hosted_teachers(settings)
    ]


def offline_teacher(settings: DialogueSettings, seed: int) -> OfflineTeacher:
    """Return the teacher by rule."""
    source = "true" if settings.stage_source == "label" else "predicted"
    return OfflineTeacher(seed=seed, stage=source, explained=settings.explained, count=settings.pairs)


def text_options(settings: DialogueSettings) -> TextOptions:
    """Return what of a table a hosted teacher is told."""
    source = "true" if settings.stage_source == "label" else "predicted"
    return TextOptions(stage=source, rows=settings.rows, findings=settings.findings)


def hosted_teachers(settings: DialogueSettings) -> tuple[HostedTeacher, HostedTeacher]:
    """Return the hosted teachers of stage 1, which writes one pair a scan, and of stage 2."""
    text, images = text_options(settings), settings.send_images
    return (
        HostedTeacher(stage=1, count=1, explained=settings.explained, send_images=images, text=text),
        HostedTeacher(stage=2, count=settings.pairs, send_images=images, text=text),
    )


def _ask(
    scans: Sequence[TeacherScan],
    settings: DialogueSettings,
    folder: Path,
    consent: bool,
    poll_s: float,
    endpoint: Endpoint,
) -> Corpus:
    if settings.send_images and not consent:
        raise InputError(
            "the profile has scans sent to the hosted teacher, and that was not agreed to: run "
            "`gftlib dialogue build` with --yes-send-images, or set send_images to false"
        )
    found, missing = [], {}
    for teacher in hosted_teachers(settings):
        jobs = folder / f"batches{teacher.stage}" if settings.endpoint.batch else None
        taught = teacher.teach(endpoint, scans, jobs, poll_s)
        found.append(taught.dialogues)
        missing |= {f"{name} stage {teacher.stage}": why for name, why in taught.missing.items()}
    return Corpus(found[0], found[1], missing)
