"""Where things are, and how files are written so that none is ever found half-made."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gftlib.errors import InputError, MissingError


def root() -> Path:
    """Return the root of the checkout that holds ``notebooks/``, ``profiles/`` and ``book/``.

    Returns:
        ``$GFTLIB_ROOT`` if set, else the folder that holds the package.

    Raises:
        MissingError: If that folder has no ``notebooks/``, as when gftlib was installed without its checkout.
    """
    folder = Path(os.environ.get("GFTLIB_ROOT") or Path(__file__).parents[1]).resolve()
    if not (folder / "notebooks").is_dir():
        raise MissingError(
            f"no notebooks/ under {folder}: work in a clone of the repository, or set GFTLIB_ROOT to it"
        )
    return folder


def inside(folder: Path, name: str) -> Path:
    """Join ``name`` to ``folder`` and refuse any result that leaves it (``..``, absolute names, links).

    Raises:
        InputError: If the resolved path lies outside ``folder``.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"the path {name!r} leaves its folder {folder}")
    return path


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it into place on success, remove it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, so that what a kill leaves is found by nobody who lists files of this kind.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as name:
        temporary = Path(name, path.name)
        temporary.touch()
        yield temporary
        # Some writers make files private; these follow the umask like any other.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)


def write_json(path: Path | str, content: Any) -> Path:
    """Write ``content`` as readable JSON with sorted keys, atomically; NaN is refused."""
    path = Path(path)
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is not valid JSON; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def sha256(source: Path | str | bytes) -> str:
    """Return the SHA-256 hex digest of a file's bytes, or of the bytes given."""
    digest = hashlib.sha256()
    if isinstance(source, bytes):
        digest.update(source)
        return digest.hexdigest()
    with open(source, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
