"""Grey levels of a scan as small counting tables, so that no list of values is ever sorted."""

from __future__ import annotations

import math

import numpy as np

from gftlib.errors import InputError
from gftlib.octa.compiled import kernel

MAX_LEVELS = 1024
"""Images with more different values than this are rounded to this many levels of their range."""


def grey_levels(image: np.ndarray | None, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Split an image into level indices and the grey levels, as fractions of full scale, that they stand for.

    Args:
        image: (h, w) uint8, uint16 or floats in [0, 1]; or nothing.
        shape: Shape of the mask, whose proportions the image must share within 1 %.

    Returns:
        (h, w) uint16 indices and (L,) float64 ascending levels; an empty list of levels without an image.

    Raises:
        InputError: If the image cannot be used.
    """
    if image is None:
        return np.zeros((1, 1), np.uint16), np.empty(0)
    image = np.asarray(image)
    if image.ndim != 2 or 0 in image.shape:
        raise InputError(f"the image has shape {image.shape}: give one channel, (height, width)")
    if abs(image.shape[0] * shape[1] / (image.shape[1] * shape[0]) - 1) > 0.01:
        raise InputError(
            f"image {image.shape} and mask {shape} have different proportions: give the same field"
        )
    if image.dtype == np.uint8:
        return image.astype(np.uint16, order="C"), np.arange(256) / 255
    if image.dtype == np.uint16:
        image = image / 65535
    elif image.dtype.kind != "f":
        raise InputError(f"the image has dtype {image.dtype}: give uint8, uint16 or floats in [0, 1]")
    if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
        raise InputError("the image holds values outside [0, 1] or NaN: scale it to fractions of full scale")
    values, index = np.unique(image, return_inverse=True)
    if len(values) > MAX_LEVELS:
        low, high = float(values[0]), float(values[-1])
        index = np.rint((image - low) / (high - low) * (MAX_LEVELS - 1))
        values = np.linspace(low, high, MAX_LEVELS)
    return index.reshape(image.shape).astype(np.uint16, order="C"), values.astype(np.float64)


@kernel()
def level_statistics(counts, low, high, total, values, out):
    """Fill ``out`` with mean, standard deviation, 25th and 75th percentile (linear), minimum, maximum.

    All counts lie between the levels ``low`` and ``high``, neither of which is empty.
    """
    mean = 0.0
    for k in range(low, high + 1):
        mean += counts[k] * values[k]
    mean /= total
    spread = 0.0
    for k in range(low, high + 1):
        spread += counts[k] * (values[k] - mean) ** 2
    out[0], out[1], out[4], out[5] = mean, math.sqrt(spread / total), values[low], values[high]
    for j in range(2):
        place = (0.25 + 0.5 * j) * (total - 1)
        below = int(place)
        seen = 0
        level = low
        while seen + counts[level] <= below:
            seen += counts[level]
            level += 1
        upper = level
        if seen + counts[level] <= below + 1 and below + 1 < total:
            upper = level + 1
            while counts[upper] == 0:
                upper += 1
        out[2 + j] = values[level] + (place - below) * (values[upper] - values[level])
