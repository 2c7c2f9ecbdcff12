"""Reading one large JSON object item by item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gftlib.errors import InputError

_CHUNK = 1 << 20


def stream_object(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the items of a JSON file that is one object of lists, without holding the file in memory.

    Raises:
        InputError: If it is not such a file.
    """
    decoder = json.JSONDecoder()
    with open(path, encoding="utf-8") as stream:
        text, at = stream.read(_CHUNK).lstrip(), 1
        if not text.startswith("{"):
            raise InputError(f"{path} must hold one JSON object")
        while True:
            more = stream.read(_CHUNK) if len(text) - at < _CHUNK else ""
            if more:
                text, at = text[at:] + more, 0
            at = _skip(text, at, ",")
            if text[at : at + 1] == "}":
                return
            try:
                key, at = decoder.raw_decode(text, at)
                at = _skip(text, at, ":")
                value, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                raise InputError(f"{path} is not valid JSON or has an item over 1 MB: {error}") from error
            if not isinstance(key, str) or not isinstance(value, list):
                raise InputError(f"{path}: the item {str(key)[:80]!r} must be a list of mask paths")
            yield key, value


def _skip(text: str, at: int, mark: str) -> int:
    while at < len(text) and (text[at].isspace() or text[at] == mark):
        at += 1
    return at
