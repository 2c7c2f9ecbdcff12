"""Small pieces of wording."""

from __future__ import annotations

from collections.abc import Sequence

from gftlib.octa.places import QUADRANT_WORDS


def quadrant_words(quadrant: str) -> str:
    """Return "upper left quadrant"."""
    return f"{QUADRANT_WORDS[quadrant]} quadrant"


def without_article(thing: str) -> str:
    """Return "dense tangle" for "a dense tangle"."""
    return thing.removeprefix("a ").removeprefix("an ")


def listed(words: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
