"""Reading a user's OCTA scans and vessel masks, whatever program wrote them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from gftlib.errors import InputError, MissingError

log = logging.getLogger(__name__)

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey value of a true-colour image (ITU-R BT.601)."""

COLOUR_TOLERANCE = 8
"""Channels of a grey image saved as colour may differ by this many of 255 levels (JPEG does that)."""

FULL_SCALES = (255, 1023, 4095, 65535)
"""A 16-bit file is divided by the first of these that no value exceeds: many devices store 10 or 12 bits."""

MAX_VESSEL_FRACTION = 0.6
"""A mask with more vessel than this is taken for inverted."""


def read_scan(path: Path | str) -> np.ndarray:
    """Read an en-face scan as a grey image.

    PNG, TIFF, JPEG and whatever else Pillow reads; 1, 8 and 16 bits, or floats in [0, 1]. Equal colour
    channels are one channel; a true-colour image becomes its luminance, with a warning in the log.

    Args:
        path: The file.

    Returns:
        (H, W) float32 in [0, 1], fractions of full scale.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is no image, has several pages, or holds NaN or values that cannot be scaled.
    """
    path = Path(path)
    pixels = _pixels(path)
    if pixels.ndim == 3:
        pixels = _grey(pixels, path)
    if pixels.dtype == np.uint8:
        return (pixels / np.float32(255)).astype(np.float32)
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
            raise InputError(
                f"{path} holds NaN or values outside [0, 1]: scale it to [0, 1] or save 8 or 16 bits"
            )
        return pixels.astype(np.float32)
    if pixels.min() < 0 or pixels.max() > FULL_SCALES[-1]:
        raise InputError(f"{path} holds values outside 0..65535: save it with 8 or 16 bits")
    scale = next(full for full in FULL_SCALES if pixels.max() <= full)
    return (pixels / scale).astype(np.float32)


def read_mask(path: Path | str, invert: bool = False) -> np.ndarray:
    """Read a vessel mask.

    A two-valued image is taken as it is, vessels being the larger value. One with in-between values at edges
    (a JPEG, a resampled mask) is cut half-way if at least 95 % of its pixels lie near either end of its
    range.

    Args:
        path: The file.
        invert: Whether vessels are the smaller value.

    Returns:
        (H, W) bool, True is vessel.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is no mask, or its vessels cover more than ``MAX_VESSEL_FRACTION``.
    """
    scan = read_scan(path)
    low, high = float(scan.min()), float(scan.max())
    if low == high:
        mask = np.full(scan.shape, high > 0)
    else:
        place = (scan - low) / (high - low)
        clear = np.mean((place < 0.1) | (place > 0.9))
        if clear < 0.95:
            raise InputError(
                f"{path} is no mask: {100 * (1 - clear):.0f} % of its pixels are neither dark nor bright; "
                "threshold it, or give it as the scan"
            )
        mask = place > 0.5
    mask = mask != invert
    share = mask.mean()
    if share > MAX_VESSEL_FRACTION:
        hint = "leave invert out" if invert else "if dark is vessel, pass invert=True"
        raise InputError(
            f"{path}: vessels would cover {100 * share:.0f} % of the field, it looks inverted; {hint}"
        )
    return mask


def to_grid(mask: np.ndarray, size: int = 1216, method: str = "linear") -> np.ndarray:
    """Bring a mask to the working grid.

    Args:
        mask: (H, W) bool.
        size: Longer side of the result in pixels; the proportions stay.
        method: ``linear`` interpolates and cuts at one half, which rounds the steps of a coarse mask (a
            finer one is averaged); ``nearest`` repeats or skips pixels.

    Returns:
        Bool mask whose longer side is ``size``.

    Raises:
        InputError: If the mask is not two-dimensional or the method unknown.
    """
    from skimage.transform import resize

    if np.ndim(mask) != 2:
        raise InputError(f"the mask has shape {np.shape(mask)}: give one channel, (height, width)")
    if method not in ("linear", "nearest"):
        raise InputError(f"no method {method!r}: choose 'linear' or 'nearest'")
    mask = np.asarray(mask) != 0
    longer = max(mask.shape)
    if longer == size:
        return mask
    shape = tuple(max(round(side * size / longer), 1) for side in mask.shape)
    if method == "nearest":
        rows, cols = (np.arange(n) * old // n for n, old in zip(shape, mask.shape, strict=True))
        return mask[np.ix_(rows, cols)]
    smaller = longer > size
    return resize(mask.astype(np.float32), shape, order=1, mode="edge", anti_aliasing=smaller) > 0.5


def _pixels(path: Path) -> np.ndarray:
    if not path.is_file():
        raise MissingError(f"no file {path}")
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{path} has {image.n_frames} pages: save the one en-face image")
            if image.mode in ("1", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
                image = image.convert("L" if image.mode == "1" else "RGBA" if image.mode[0] == "P" else "RGB")
            pixels = np.array(image)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that Pillow can read") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise InputError(f"{path} has shape {pixels.shape}: give one en-face image")
    return pixels


def _grey(pixels: np.ndarray, path: Path) -> np.ndarray:
    channels = pixels.shape[2]
    if channels in (2, 4):
        if (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
            raise InputError(f"{path} has transparent pixels: save it without an alpha channel")
        pixels = pixels[..., :-1]
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    spread = np.ptp(pixels.astype(np.int32), axis=2)
    if spread.max() <= COLOUR_TOLERANCE:
        return pixels[..., 1]
    log.warning("%s is a colour image: its luminance is used", path)
    return np.rint(pixels @ np.array(LUMINANCE)).astype(pixels.dtype)
