"""The errors that gftlib raises on purpose: one message that says what, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GftError(Exception):
    """Base of every error that gftlib raises on purpose; the command line prints it without a traceback."""


class InputError(GftError, ValueError):
    """A value, file or table that cannot be used as given."""


class MissingError(GftError, FileNotFoundError):
    """A file, folder, weight or key that is not there."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint: the known word nearest to ``word``, or all known words if none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
