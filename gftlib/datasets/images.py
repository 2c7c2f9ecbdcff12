"""Scans and masks as users have them: any common format, depth and size, read into one form or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from skimage.transform import resize

from gftlib.errors import InputError, MissingError

MAX_PIXELS = 8192**2
"""Larger images are refused before they are decoded."""
INVERTED = 0.6
"""No retina is covered by vessels to this fraction: such a mask is taken for inverted."""


def _open(path: Path) -> np.ndarray:
    if not path.is_file():
        raise MissingError(f"no file {path}")
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(f"{path}: {picture.width} x {picture.height} pixels are too many to read")
            # A palette holds colours, not grey levels.
            return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error


def _one_channel(array: np.ndarray, path: Path) -> np.ndarray:
    """Drop an opaque alpha channel and reduce equal colour channels to one."""
    if array.ndim == 2:
        return array
    colours = array[..., :3] if array.shape[-1] in (3, 4) else array[..., :1]
    if array.shape[-1] in (2, 4) and (array[..., -1] != array[..., -1].max()).any():
        raise InputError(f"{path} is partly transparent: save it without transparency")
    if not (colours == colours[..., :1]).all():
        raise InputError(f"{path} is a colour image: give the grey scan, one channel or three equal ones")
    return colours[..., 0]


def read_scan(path: Path | str) -> np.ndarray:
    """Read a grey scan.

    Args:
        path: PNG, TIFF, JPEG or BMP; 8 or 16 bits or floats in [0, 1]; one channel or equal ones.

    Returns:
        (H, W) uint8 if the file holds 8 bits, else float32 in [0, 1] of full scale.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is no image, in colour, too large, or holds values that cannot be grey levels.
    """
    path = Path(path)
    array = _one_channel(_open(path), path)
    if array.dtype == bool:
        raise InputError(f"{path} is a two-valued mask: give the grey scan")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "ui":
        # Pillow reads 16-bit files into wider integers.
        if array.min() < 0 or array.max() > 65535:
            raise InputError(f"{path} holds values outside 16 bits, from {array.min()} to {array.max()}")
        return (array / 65535).astype(np.float32)
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise InputError(f"{path} holds NaN or values outside [0, 1]: scale it to fractions of full scale")
    return array.astype(np.float32)


def read_mask(path: Path | str) -> np.ndarray:
    """Read a vessel mask.

    Args:
        path: An image of two values, the smaller one background; edges may be blurred by JPEG or resizing.

    Returns:
        (H, W) bool.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is no image, holds grey levels instead of two values, or seems inverted.
    """
    path = Path(path)
    array = _one_channel(_open(path), path)
    if array.dtype == bool:
        mask = array
    else:
        array = array.astype(float)
        low, high = array.min(), array.max()
        if not np.isfinite(array).all() or low == high:
            raise InputError(f"{path} holds one value only or NaN: a mask needs background and vessels")
        scaled = (array - low) / (high - low)
        between = float(((scaled > 0.25) & (scaled < 0.75)).mean())
        if between > 0.1:
            raise InputError(f"{path} holds grey levels ({between:.0%} of pixels): give a two-valued mask")
        mask = scaled > 0.5
    if mask.mean() > INVERTED:
        raise InputError(f"{path}: {mask.mean():.0%} of the field are vessels: invert the mask")
    return mask


def to_grid(mask: np.ndarray, size: int = 1216) -> np.ndarray:
    """Bring a mask to the working grid with smooth outlines.

    Args:
        mask: (H, W) bool.
        size: Longer side of the grid, pixels.

    Returns:
        Bool mask of the same proportions; the mask itself if it has that size or is larger.
    """
    if max(mask.shape) >= size:
        return mask
    shape = tuple(round(side * size / max(mask.shape)) for side in mask.shape)
    return resize(mask.astype(np.float32), shape, order=1, anti_aliasing=False) > 0.5
