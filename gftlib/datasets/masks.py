"""Measuring instance masks fast: box, area and a coarse occupancy grid straight from the PNG stream.

Most of the time of reading a mask goes into decoding and searching pixels that are zero. An 8-bit grey PNG
without interlace, the form of all masks of SA-Med2D, is inflated here and scanned once by compiled code that
skips zero rows; any other file goes through Pillow, with the same result.
"""

from __future__ import annotations

import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gftlib.datasets.inflate import inflate
from gftlib.datasets.mask_kernels import label_runs, scan
from gftlib.errors import InputError, MissingError

CELLS = 32
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY8 = (8, 0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Measure:
    """What a mask holds.

    Args:
        size: (height, width), pixels.
        box: Pixel xyxy, half-open; None if the mask is empty.
        area: Number of foreground pixels.
        grid: (CELLS, CELLS) uint8, the share of each cell that is foreground, 0-255.
    """

    size: tuple[int, int]
    box: tuple[int, int, int, int] | None
    area: int
    grid: NDArray[np.uint8]


def _stream(data: bytes) -> bytes:
    """Return the joined IDAT of a PNG file; ValueError if a checksum is wrong."""
    at, stream = 33, []
    while data[at + 4 : at + 8] != b"IEND":
        (length,) = struct.unpack(">I", data[at : at + 4])
        end = at + 8 + length
        if data[at + 4 : at + 8] == b"IDAT":
            if zlib.crc32(data[at + 4 : end]).to_bytes(4, "big") != data[end : end + 4]:
                raise ValueError("wrong checksum")
            stream.append(data[at + 8 : end])
        at = end + 4
    return b"".join(stream)


def image_size(path: Path | str) -> tuple[int, int]:
    """Return (height, width) of an image; of a PNG only the first 24 bytes are read.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is no image.
    """
    try:
        with open(path, "rb", buffering=0) as stream:
            head = stream.read(24)
        if head[:8] == _SIGNATURE and len(head) == 24:
            width, height = struct.unpack(">II", head[16:24])
            return height, width
        with Image.open(path) as image:
            return image.height, image.width
    except FileNotFoundError as error:
        raise MissingError(f"no file {path}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image") from error


def measure_mask(path: Path | str, invert: bool = False) -> Measure:
    """Measure a mask.

    Args:
        path: The file; every non-zero value is foreground (colour masks: non-zero in any channel).
        invert: Whether zero is foreground.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is no image or is damaged.
    """
    return _measured(path, invert)[0]


def read_mask(path: Path | str, invert: bool = False) -> tuple[Measure, NDArray[np.bool_]]:
    """Measure a mask and return its (H, W) foreground beside; arguments and errors as in `measure_mask`."""
    measure, pixels = _measured(path, invert)
    return measure, (pixels != 0) != invert


class _Scratch(threading.local):
    """Memory of each thread that is used again: fresh pages cost more than what is done in them."""

    def __init__(self) -> None:
        self.raw, self.pixels = np.empty(0, np.uint8), np.empty(0, np.uint8)

    def take(self, name: str, size: int) -> NDArray[np.uint8]:
        """Return ``size`` bytes of one of the two, of any content."""
        if len(getattr(self, name)) < size:
            setattr(self, name, np.empty(size, np.uint8))
        return getattr(self, name)[:size]


_scratch = _Scratch()


def _measured(path: Path | str, invert: bool) -> tuple[Measure, NDArray[np.uint8]]:
    """Return the measure and the pixels, which hold until this thread's next call."""
    raw, (height, width) = _filtered(path)
    pixels = _scratch.take("pixels", height * width).reshape(height, width)
    extent = np.array([width, height, 0, 0, 0])
    grid = np.empty((CELLS, CELLS), np.uint8)
    scan(raw, pixels, extent, grid, invert)
    left, top, right, bottom, area = extent.tolist()
    return Measure((height, width), (left, top, right, bottom) if area else None, area, grid), pixels


def _filtered(path: Path | str) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the rows of a mask, each behind its PNG filter byte, as one flat array, and (height, width)."""
    try:
        with open(path, "rb", buffering=0) as stream:
            data = stream.read()
    except FileNotFoundError as error:
        raise MissingError(f"no file {path}") from error
    if data[:8] != _SIGNATURE or tuple(data[24:29]) != _GREY8:
        return _by_pillow(path)
    width, height = struct.unpack(">II", data[16:24])
    try:
        raw = inflate(_stream(data), _scratch.take("raw", height * (width + 1)))
    except (zlib.error, struct.error, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if len(raw) != height * (width + 1):
        raise InputError(f"{path} is damaged: {len(raw)} bytes for {height} x {width} pixels")
    return raw, (height, width)


def _by_pillow(path: Path | str) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB") if image.mode in ("P", "RGBA", "LA") else image)
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path} is not a readable image: {error}") from error
    solid = pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0
    return np.pad(solid.astype(np.uint8), ((0, 0), (1, 0))).ravel(), solid.shape


def components(
    mask: NDArray[np.bool_], box: tuple[int, int, int, int]
) -> list[tuple[tuple[int, int, int, int], int]]:
    """Return (pixel xyxy, area) of every 8-connected component of a mask, largest first.

    Args:
        mask: (H, W).
        box: Pixel xyxy that holds all of its foreground.
    """
    left, top, right, bottom = box
    found = label_runs(mask[top:bottom, left:right]) + np.array([left, top, left, top, 0])
    return sorted(
        (((x0, y0, x1, y1), area) for x0, y0, x1, y1, area in found.tolist()), key=lambda i: (-i[1], i[0])
    )
