"""The scans a chapter works on: a user's own, or the phantom cohort of a profile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gftlib.errors import InputError, MissingError

SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}


@dataclass(frozen=True)
class Scan:
    """One OCTA en-face scan.

    Attributes:
        name: What results call it; the file name without its ending.
        image: Image file.
        mask: Vessel mask of the same field, if there is one.
    """

    name: str
    image: Path
    mask: Path | None = None


def find_scans(image: str | Path, mask: str | Path = "") -> list[Scan]:
    """Find a user's scans.

    Args:
        image: A scan, or a folder of scans; ``${NAME}`` stands for an environment variable.
        mask: The scan's vessel mask, or a folder of masks of the same names; empty if there is none.

    Returns:
        The scans, by name.

    Raises:
        MissingError: If a file or folder is not there, or a folder holds no scan.
        InputError: If a file is given where a folder is needed, or two scans share a name.
    """
    source, masks = _existing(image), _existing(mask) if mask else None
    if source.is_file():
        if masks is not None and masks.is_dir():
            masks = _named(masks).get(source.stem)
        return [Scan(source.stem, source, masks)]
    if masks is not None and masks.is_file():
        raise InputError(
            f"{source} is a folder of scans, so the masks must be one too, found the file {masks}"
        )
    found = _named(source)
    if not found:
        raise MissingError(f"no scan in {source}: looked for {', '.join(sorted(SUFFIXES))}")
    beside = _named(masks) if masks is not None else {}
    return [Scan(name, path, beside.get(name)) for name, path in found.items()]


def _existing(path: str | Path) -> Path:
    expanded = Path(os.path.expandvars(path)).expanduser()
    if "$" in str(expanded):
        raise MissingError(f"the environment variable in {str(path)!r} is not set")
    if not expanded.exists():
        raise MissingError(f"no file or folder {expanded}")
    return expanded


def _named(folder: Path) -> dict[str, Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    named: dict[str, Path] = {}
    for path in files:
        if path.stem in named:
            raise InputError(
                f"{path} and {named[path.stem].name} share a name: results would overwrite each other"
            )
        named[path.stem] = path
    return named
