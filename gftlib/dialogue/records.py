"""One record for every dialogue, whoever wrote it, and its files.

A record holds words and boxes apart: an answer never spells out coordinates, and `spoken` writes the boxes
behind it in the grammar of the model that is to learn them (`gftlib.boxes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from gftlib.boxes import BoxFormat, Size, format_boxes
from gftlib.errors import InputError, MissingError
from gftlib.octa.places import Box, Quadrant, Record
from gftlib.paths import atomic_path

Kind = Literal["diagnosis", "quadrant", "FAZ", "vessels", "perfusion", "comparison", "presence", "grounding"]
CONTROL = re.compile(r"<\s*/?\s*(?:image|img|video|ref|box|quad)\b|<\||\|>", re.IGNORECASE)
"""Tokens by which models mark images, boxes and turns: they never belong into the words of a dialogue."""


def _plain(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("holds a control token of a model, such as <image> or <|...|>")
    return text


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or "\\" in path or ":" in path or ".." in parts or not parts:
        raise ValueError("must be a relative path with forward slashes that stays in its folder")
    return path


Words = Annotated[str, Field(min_length=1), AfterValidator(_plain)]


class NamedBox(Record):
    """A box, unit xyxy, and what is in it."""

    name: Annotated[str, Field(pattern=r"^[^<>{}]+$")]
    xyxy: Box


class Pair(Record):
    """One question with its answer; ``quadrant`` is the one that is asked about, if it is one."""

    question: Words
    answer: Words
    kind: Kind
    quadrant: Quadrant | None = None
    boxes: tuple[NamedBox, ...] = ()


class Dialogue(Record):
    """The pairs of one scan in one stage.

    Attributes:
        id: The scan.
        image: Relative path of the raw scan.
        stage: 1 diagnosis, 2 regions and vessels.
        teacher: ``offline``, or the model that wrote it.
        pairs: In the order they are asked.
    """

    version: Literal["1"] = "1"
    id: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    image: Annotated[str, AfterValidator(_relative)]
    stage: Literal[1, 2]
    teacher: str
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1)]


def write_dialogues(path: Path | str, dialogues: Iterable[Dialogue]) -> Path:
    """Write dialogues as JSON lines, all or nothing."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for dialogue in dialogues:
            stream.write(dialogue.model_dump_json() + "\n")
    return Path(path)


def read_dialogues(path: Path | str) -> list[Dialogue]:
    """Read what `write_dialogues` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If a line is no dialogue; the message names it.
    """
    path, found = Path(path), []
    if not path.is_file():
        raise MissingError(f"no dialogues {path}")
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                found.append(Dialogue.model_validate_json(line))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"]))
                raise InputError(f"{path} line {number} is no dialogue: {where}: {first['msg']}") from None
    return found


def spoken(pair: Pair, fmt: BoxFormat | str, size: Size = None, **resize: int) -> str:
    """Return the answer as a model is to write it: the words, then the boxes in its grammar.

    Args:
        pair: The pair.
        fmt: The box format.
        size: (height, width) of the image; needed by the formats in pixels.
        **resize: As in `gftlib.boxes.frame`.
    """
    if not pair.boxes:
        return pair.answer
    boxes = [box.xyxy for box in pair.boxes]
    return f"{pair.answer} {format_boxes(boxes, fmt, [box.name for box in pair.boxes], size, **resize)}"
