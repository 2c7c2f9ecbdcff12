"""The words of the dialogues, for tokenizers that are made to fit them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gftlib.dialogue import questions
from gftlib.dialogue.prompts import BACKGROUND, STUDENT
from gftlib.octa import feature_words
from gftlib.octa.places import QUADRANT_WORDS, RING_WORDS


def phrases() -> list[str]:
    """Return the wordings of questions and answers, and the background knowledge; no dialogue, no scan."""
    sources: list[Any] = [BACKGROUND, STUDENT, QUADRANT_WORDS, RING_WORDS]
    for module in (questions, feature_words):
        sources += [value for name, value in sorted(vars(module).items()) if name.isupper()]
    return sorted({text for source in sources for text in _texts(source)})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, tuple | list | frozenset | set):
        for part in value:
            yield from _texts(part)
