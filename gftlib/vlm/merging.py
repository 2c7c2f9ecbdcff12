"""A tuned student as one plain checkpoint, for programs that know no adapters (GFT, Fig. 1).

What it writes is the published format of the architecture, so that servers that speak OpenAI's protocol take
it as they take the published model.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gftlib.errors import InputError
from gftlib.vlm.backbones import Student


def check_new(folder: Path | str) -> Path:
    """Return a folder's whole path, if there is nothing in it.

    Raises:
        InputError: If there is.
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already: give a new folder")
    return folder


def merge(student: Student, folder: Path | str) -> Path:
    """Write a student, its adapter merged into its weights, to a new folder.

    Args:
        student: With or without an adapter; is used up.
        folder: Receives weights, tokenizer, processor and chat template, all or nothing.

    Returns:
        The folder.

    Raises:
        InputError: If there is something in the folder.
    """
    folder = check_new(folder)
    model = student.model.merge_and_unload() if hasattr(student.model, "peft_config") else student.model
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as name:
        whole = Path(name, folder.name)
        model.save_pretrained(str(whole))
        student.processor.save_pretrained(str(whole))
        whole.replace(folder)
    return folder
