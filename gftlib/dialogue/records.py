"""One record for every dialogue, whoever wrote it, and its ways into the training formats.

A record holds words and boxes apart: an answer never spells out coordinates, and a converter writes the boxes
behind it in the grammar of the model that is to learn them (`gftlib.boxes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from gftlib.boxes import BoxFormat, Size, format_boxes
from gftlib.endpoint.messages import data_url
from gftlib.errors import InputError, MissingError
from gftlib.octa.places import Box, Quadrant, Record
from gftlib.paths import atomic_path, inside

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


def to_conversations(
    dialogue: Dialogue, fmt: BoxFormat | str, size: Size = None, packed: bool = True, **resize: int
) -> list[dict[str, Any]]:
    """Return the records ``{id, image, conversations: [{from, value}]}`` of one dialogue.

    Args:
        dialogue: The dialogue.
        fmt: The box format.
        size: As in `spoken`.
        packed: All pairs in one record, the image before the first; else one record a pair.
        **resize: As in `spoken`.
    """
    records = []
    for number, pairs in enumerate(_groups(dialogue, packed)):
        turns = []
        for position, pair in enumerate(pairs):
            image = "" if position else "<image>\n"
            turns.append({"from": "human", "value": image + pair.question})
            turns.append({"from": "gpt", "value": spoken(pair, fmt, size, **resize)})
        name = dialogue.id if packed else f"{dialogue.id}-{number}"
        records.append({"id": name, "image": dialogue.image, "conversations": turns})
    return records


def to_messages(
    dialogue: Dialogue,
    fmt: BoxFormat | str,
    size: Size = None,
    packed: bool = True,
    system: str = "",
    images: Path | str | None = None,
    **resize: int,
) -> list[dict[str, Any]]:
    """Return the chat records ``{messages: [...]}`` of one dialogue, the image in the first user turn.

    Args:
        dialogue: The dialogue.
        fmt: The box format.
        size: As in `spoken`.
        packed: As in `to_conversations`.
        system: A system text before the first turn.
        images: Folder of the images, which are then written into the records as data URLs without metadata,
            as hosted fine-tuning wants them; None leaves ``{"type": "image"}``, as chat templates want it.
        **resize: As in `spoken`.

    Raises:
        InputError: If the image lies outside the folder or cannot be read.
        MissingError: If it is not there.
    """
    image: dict[str, Any] = {"type": "image"}
    if images is not None:
        url = data_url(inside(Path(images), dialogue.image))
        image = {"type": "image_url", "image_url": {"url": url}}
    records = []
    for pairs in _groups(dialogue, packed):
        turns: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        for position, pair in enumerate(pairs):
            text = {"type": "text", "text": pair.question}
            turns.append({"role": "user", "content": [text] if position else [image, text]})
            answer = [{"type": "text", "text": spoken(pair, fmt, size, **resize)}]
            turns.append({"role": "assistant", "content": answer})
        records.append({"messages": turns})
    return records


def _groups(dialogue: Dialogue, packed: bool) -> list[tuple[Pair, ...]]:
    return [dialogue.pairs] if packed else [(pair,) for pair in dialogue.pairs]
