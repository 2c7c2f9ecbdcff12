"""Which scans a fold teaches, and where its tables and dialogues are kept."""

from __future__ import annotations

from pathlib import Path

from gftlib.errors import InputError
from gftlib.sections import DialogueSettings

SPLITS = 5
"""Splits that are ever trained on."""


def fold_place(folder: Path | str, settings: DialogueSettings, fold: int) -> Path:
    """Return where a fold's tables and dialogues are: those of the first in the chapter's own folder."""
    return Path(folder) if fold == settings.folds[0] else Path(folder) / f"fold{fold}"


def taught_splits(settings: DialogueSettings, fold: int) -> list[int]:
    """Return the splits whose scans a fold teaches, never the one that validated its network.

    Raises:
        InputError: If the profile has that one taught.
    """
    found = [(split + fold - 2) % SPLITS + 1 for split in settings.splits]
    if fold in found:
        raise InputError("dialogue.splits holds 1, which validates the network of fold 1: leave it out")
    return found
