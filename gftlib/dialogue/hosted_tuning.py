"""Dialogues as tuning records of hosted models, with or without similar cases (GFT, section 2.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gftlib.boxes import BoxFormat, Size
from gftlib.dialogue.prompts import student_system
from gftlib.dialogue.records import Dialogue, spoken
from gftlib.errors import InputError
from gftlib.paths import inside
from gftlib.vlm.hosted_files import record
from gftlib.vlm.retrieval import Case


def hosted_records(
    dialogues: Iterable[Dialogue],
    images: Path | str,
    cases: Mapping[str, Sequence[Case]] | None = None,
    fmt: BoxFormat | str = BoxFormat.UNIT_XYXY,
    size: Size = None,
    packed: bool = True,
    background: bool = True,
) -> Iterator[dict[str, Any]]:
    """Yield tuning records, for `gftlib.vlm.hosted_files.write_tuning_file`.

    Args:
        dialogues: Of training scans.
        images: Folder of the images.
        cases: Scan -> its similar cases; None for the ablation without.
        fmt: The box format.
        size: As in `gftlib.dialogue.records.spoken`.
        packed: All pairs of a scan in one record, its images sent once; else one record a pair, thirty times
            the upload.
        background: The system text holds the few lines of background knowledge.

    Raises:
        InputError: If a scan has no cases though there are some, is its own case, or lies outside the folder.
        MissingError: If an image is not there.
    """
    for dialogue in dialogues:
        found = _cases(dialogue, cases)
        image = inside(Path(images), dialogue.image)
        system = student_system(dialogue.stage, background)
        for pairs in [dialogue.pairs] if packed else [(pair,) for pair in dialogue.pairs]:
            turns = [text for pair in pairs for text in (pair.question, spoken(pair, fmt, size))]
            yield record(image, turns, system, found)


def _cases(dialogue: Dialogue, cases: Mapping[str, Sequence[Case]] | None) -> Sequence[Case]:
    if cases is None:
        return ()
    if dialogue.id not in cases:
        raise InputError(f"scan {dialogue.id} has no similar cases: retrieve them for all, or for none")
    if any(case.scan == dialogue.id for case in cases[dialogue.id]):
        raise InputError(f"scan {dialogue.id} is among its own cases: its label would be in its prompt")
    return cases[dialogue.id]
