"""Scans of 16 bits for those who read 8: processors of students and hosted services cut off what is above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gftlib.datasets.images import read_scan
from gftlib.errors import InputError, MissingError
from gftlib.paths import atomic_path

DEEP = ("I", "F")
"""How the modes of images begin that hold more than 8 bits."""


def eight_bit(path: Path, folder: Path) -> Path:
    """Return the file itself if its image has 8 bits, else that of a copy that has.

    Args:
        path: The scan.
        folder: Gets the copy, a grey PNG of the scan's name.

    Raises:
        InputError: If it is no image, or as `gftlib.datasets.images.read_scan`.
        MissingError: If it is not there.
    """
    if not _deep(path):
        return path
    copy = folder / f"{path.stem}.png"
    with atomic_path(copy) as temporary:
        eight_bit_image(path).save(temporary, format="PNG")
    return copy


def eight_bit_image(path: Path) -> Image.Image:
    """Return an image as students see the file that `eight_bit` returns; errors as there."""
    if _deep(path):
        return Image.fromarray(np.round(255 * read_scan(path)).astype(np.uint8))
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path} is no readable image: {error}") from None


def _deep(path: Path) -> bool:
    if not path.is_file():
        raise MissingError(f"no image {path}")
    try:
        with Image.open(path) as image:
            return image.mode.startswith(DEEP)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is no readable image: {error}") from None
