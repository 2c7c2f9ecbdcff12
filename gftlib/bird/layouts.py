"""Writing records: our JSONL, Qwen-VL's conversations, and the lists that BiRD's scripts read.

- JSONL: ``{split}.jsonl``, one `Record` a line.
- Qwen-VL: ``qwen_vl/{split}.json``, a list of ``{id, conversations: [{from: user | assistant, value}]}``, the
  image as ``Picture 1: <img>path</img>`` before the first question.
- BiRD: ``bird/{split}_{code}.json``, a list of ``{id, conversations: [[question, answer], ...]}`` for each
  task, the image in every question; its codes are RO for ROC, GC for RC, MII for MIA.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from gftlib.bird.questions import NEGATIVE, TASKS, Turn
from gftlib.bird.records import Record
from gftlib.errors import InputError, MissingError
from gftlib.paths import atomic_path

CODES = {"VG": "VG", "ROC": "RO", "RC": "GC", "MIA": "MII", NEGATIVE: NEGATIVE}
SPLITS = ("train", "test")


def qwen_vl(record: Record, root: str = "", negatives: bool = True) -> dict[str, Any]:
    """Return a record as Qwen-VL's fine-tuning reads it.

    Args:
        record: The record.
        root: What goes before the image's path.
        negatives: Whether negative turns are kept.
    """
    values = []
    for turn in record.turns:
        if negatives or turn.task != NEGATIVE:
            lead = "" if values else f"Picture 1: <img>{root}{record.image}</img>\n"
            values.append({"from": "user", "value": lead + turn.question})
            values.append({"from": "assistant", "value": turn.answer})
    return {"id": record.id, "conversations": values}


def bird(record: Record, task: str, root: str = "") -> dict[str, Any] | None:
    """Return the turns of one task as BiRD's scripts read them, None if there are none."""
    pairs = [
        [f"<img>{root}{record.image}</img>{turn.question}", turn.answer]
        for turn in record.turns
        if turn.task == task
    ]
    return {"id": record.id, "conversations": pairs} if pairs else None


def write(folder: Path | str, found: Iterable[Record], root: str = "") -> Iterator[Record]:
    """Write all layouts in one pass and yield each record; files appear when the last one is through.

    Args:
        folder: Where to.
        found: The records, streamed.
        root: What goes before image paths in the layouts of others.
    """
    folder = Path(folder)
    with ExitStack() as stack:
        lines = {split: _open(stack, folder / f"{split}.jsonl") for split in SPLITS}
        lists = {
            name: stack.enter_context(_JsonList(stack, folder / name))
            for split in SPLITS
            for name in (f"qwen_vl/{split}.json", *(f"bird/{split}_{code}.json" for code in CODES.values()))
        }
        for record in found:
            lines[record.split].write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            lists[f"qwen_vl/{record.split}.json"].add(qwen_vl(record, root))
            for task in (*TASKS, NEGATIVE):
                lists[f"bird/{record.split}_{CODES[task]}.json"].add(bird(record, task, root))
            yield record


def _open(stack: ExitStack, path: Path) -> TextIO:
    temporary = stack.enter_context(atomic_path(path))
    return stack.enter_context(open(temporary, "w", encoding="utf-8"))


class _JsonList:
    """A JSON list on disk that grows item by item."""

    def __init__(self, stack: ExitStack, path: Path) -> None:
        self._stream = _open(stack, path)
        self._mark = "[\n"

    def __enter__(self) -> _JsonList:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.write("\n]\n" if self._mark == ",\n" else "[]\n")

    def add(self, item: dict[str, Any] | None) -> None:
        """Append one item, nothing for None."""
        if item is not None:
            self._stream.write(self._mark + json.dumps(item, ensure_ascii=False))
            self._mark = ",\n"


def read(path: Path | str) -> Iterator[Record]:
    """Yield the records of a JSONL file.

    Raises:
        MissingError: If there is no such file.
        InputError: If a line is not a record.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                fields = json.loads(line)
                turns = tuple(
                    Turn(**turn | {"boxes": tuple(map(tuple, turn["boxes"]))}) for turn in fields.pop("turns")
                )
                yield Record(**fields | {"shape": tuple(fields["shape"]), "turns": turns})
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise InputError(f"{path}, line {number}: not a record: {error}") from error
