"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a function that gives the folder of a real sample set, or skips where it is not there."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    base = Path(os.environ.get("GFTLIB_SHARED_DATA") or beside)

    def folder(name: str) -> Path:
        path = base / name
        if not path.is_dir():
            pytest.skip(f"the sample set {name!r} is not here; point GFTLIB_SHARED_DATA at its parent folder")
        return path

    return folder
