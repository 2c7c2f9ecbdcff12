"""What a hosted model is taught and asked: chat records with images, and the files they are uploaded in.

A record for tuning and a question for the tuned model are built by the same function, so that the model is
asked in the words and images it was taught with (GFT, section 2.5: similar cases stand in both). Images are
sent as RGB data URLs without metadata: OpenAI's tuning service asks for RGB, and scans are grey.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gftlib.endpoint.messages import Message, Part, Request, plain_image
from gftlib.errors import InputError, MissingError
from gftlib.paths import atomic_path, sha256
from gftlib.vlm.retrieval import Case, case_parts

LEAST_RECORDS, MOST_RECORDS = 10, 50_000
MOST_IMAGES = 10
IMAGE_TOKENS = 1445
"""Estimate for one image."""
MOST_BYTES = 512_000_000
"""OpenAI's limits on a file, and on the images of one record; other services have others."""


@dataclass(frozen=True)
class TuningFile:
    """A file of tuning records.

    Attributes:
        path: The JSON lines file.
        digest: SHA-256 of its bytes.
        records: Lines.
        images: Images in all of them.
        tokens: A cautious estimate for all of them, three bytes of text a token.
        size: Bytes.
    """

    path: Path
    digest: str
    records: int
    images: int
    tokens: int
    size: int


def conversation(
    image: Part, turns: Sequence[str], system: str = "", cases: Sequence[Case] = ()
) -> tuple[Message, ...]:
    """Return a conversation about one image, similar cases before it.

    Args:
        image: The raw scan.
        turns: Question, answer, question, ...; a question that comes last is to be answered.
        system: System text; none if empty.
        cases: Similar training cases; none for the ablation without them.

    Raises:
        InputError: If there is no question, or an image cannot be read.
        MissingError: If an image is not there.
    """
    if not turns:
        raise InputError("a conversation needs at least one question")
    first = tuple(
        part if isinstance(part, str) else plain_image(part).convert("RGB")
        for part in (*case_parts(cases), image, turns[0])
    )
    messages = [Message("system", (system,))] if system else []
    messages.append(Message("user", first))
    for position, turn in enumerate(turns[1:], start=1):
        messages.append(Message("assistant" if position % 2 else "user", (turn,)))
    return tuple(messages)


def question(image: Part, turns: Sequence[str], system: str = "", cases: Sequence[Case] = ()) -> Request:
    """Return a question to a hosted model; arguments and errors as `conversation`.

    Raises:
        InputError: Also if the last turn is an answer.
    """
    if len(turns) % 2 == 0:
        raise InputError("the last turn must be a question: there is nothing to answer")
    return Request(conversation(image, turns, system, cases))


def record(image: Part, turns: Sequence[str], system: str = "", cases: Sequence[Case] = ()) -> dict[str, Any]:
    """Return one tuning record; arguments and errors as `conversation`.

    Raises:
        InputError: Also if the last turn is a question.
    """
    if len(turns) % 2:
        raise InputError("the last turn of a tuning record must be an answer")
    return {"messages": Request(conversation(image, turns, system, cases)).body()}


def write_tuning_file(path: Path | str, records: Iterable[dict[str, Any]]) -> TuningFile:
    """Write tuning records as JSON lines, all or nothing, and measure the file.

    Raises:
        InputError: As `inspect`; nothing is left behind then.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as stream:
            for one in records:
                stream.write(json.dumps(one, ensure_ascii=False) + "\n")
        found = _measured(temporary, path, IMAGE_TOKENS)
    return found


def inspect(path: Path | str, image_tokens: int = IMAGE_TOKENS) -> TuningFile:
    """Measure a file of tuning records and check it against the limits of OpenAI's service.

    Args:
        path: The file.
        image_tokens: Estimate for one image.

    Raises:
        MissingError: If it is not there.
        InputError: If a line is no record, or a limit is passed.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no tuning file {path}")
    return _measured(path, path, image_tokens)


def _measured(written: Path, path: Path, image_tokens: int) -> TuningFile:
    """Measure a file that is, or is going to be, at ``path``."""
    records = images = letters = 0
    with open(written, encoding="utf-8") as stream:
        for records, line in enumerate(stream, start=1):
            try:
                parts = [part for turn in json.loads(line)["messages"] for part in _parts(turn["content"])]
                shown = sum(part["type"] == "image_url" for part in parts)
                letters += sum(len(part["text"].encode()) for part in parts if part["type"] == "text")
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise InputError(f"{path} line {records} is no tuning record: {error}") from None
            if shown > MOST_IMAGES:
                raise InputError(f"{path} line {records} has {shown} images: at most {MOST_IMAGES} are taken")
            images += shown
    if not LEAST_RECORDS <= records <= MOST_RECORDS:
        raise InputError(f"{path} has {records} records: {LEAST_RECORDS} to {MOST_RECORDS} are taken")
    size = written.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes: at most {MOST_BYTES:,} are taken; keep all pairs of a scan in one "
            "record, or show fewer cases"
        )
    tokens = -(-letters // 3) + images * image_tokens
    return TuningFile(path, sha256(written), records, images, tokens, size)


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
