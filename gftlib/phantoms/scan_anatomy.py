"""What the scan phantoms share: the picture with its instances, bent coordinates, soft painting, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gftlib.phantoms.drawing import smooth_noise

Field = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scan:
    """One image with its exact instances.

    Args:
        prefix: Modality and sub-modality as in SA-Med2D, such as ``mr_t2``.
        axis: The axis along which the case was cut, None in 2-D.
        index: The slice, None in 2-D.
        image: (H, W) or (H, W, 3) uint8.
        instances: (class, (H, W) bool mask), larger ones first within a class.
    """

    prefix: str
    axis: str | None
    index: int | None
    image: NDArray[np.uint8]
    instances: tuple[tuple[str, NDArray[np.bool_]], ...]


def frame(height: int, width: int) -> tuple[Field, Field]:
    """Return (y, x) of the pixel centres; y runs from -1 to 1, x in the same unit, both 0 at the centre."""
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) * (2 / height) - 1
    x = ((np.arange(width, dtype=np.float32)[None, :] + 0.5) * 2 - width) / height
    return np.broadcast_to(y, (height, width)), np.broadcast_to(x, (height, width))


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Field:
    """Return a smooth random field of zero mean and unit variance; ``cells`` across the longer side."""
    return smooth_noise(rng, max(shape), cells)[: shape[0], : shape[1]]


def grain(rng: np.random.Generator, shape: tuple[int, ...], blur: float) -> Field:
    """Return blurred white noise of unit standard deviation; ``blur`` in pixels, over the first two axes."""
    white = rng.standard_normal(shape, dtype=np.float32)
    if blur <= 0:
        return white
    sigma = (blur, blur, 0)[: len(shape)]
    soft = ndimage.gaussian_filter(white, sigma, truncate=2.5)
    return soft / (soft.std() + 1e-6)


def bend(rng: np.random.Generator, y: Field, x: Field, amount: float, cells: int = 4) -> tuple[Field, Field]:
    """Return coordinates displaced by a smooth random field of standard deviation ``amount``."""
    return y + amount * noise(rng, y.shape, cells), x + amount * noise(rng, y.shape, cells)


def turn(
    y: Field, x: Field, angle: float, cy: float = 0.0, cx: float = 0.0, scale: float = 1.0
) -> tuple[Field, Field]:
    """Return coordinates moved to (cy, cx), turned by ``angle`` radians and divided by ``scale``."""
    c, s = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    y, x = y - np.float32(cy), x - np.float32(cx)
    return c * y + s * x, c * x - s * y


def level(y: Field, x: Field, cy: float, cx: float, ry: float, rx: float, angle: float = 0.0) -> Field:
    """Return the radius relative to an ellipse: below 1 inside."""
    if angle:
        v, u = turn(y, x, angle, cy, cx)
        v, u = v * np.float32(1 / ry), u * np.float32(1 / rx)
    else:
        v, u = (y - np.float32(cy)) * np.float32(1 / ry), (x - np.float32(cx)) * np.float32(1 / rx)
    return np.sqrt(v * v + u * u)


def soft(distance: Field, edge: float) -> Field:
    """Return 1 where ``distance`` is below 1, 0 above, with a smooth ramp of four times ``edge`` between."""
    ramp = np.clip((1 - distance) * np.float32(0.25 / edge) + np.float32(0.5), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def paint(canvas: Field, cover: Field, value: float | Field) -> None:
    """Blend ``value`` into ``canvas`` in place where ``cover`` (0-1) is."""
    canvas += cover * (value - canvas)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return one uniform number."""
    return float(rng.uniform(low, high))


def finish(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return an image of range 0-1 as bytes."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def instances(
    found: list[tuple[str, NDArray[np.bool_]]], least: float
) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
    """Keep the masks of at least ``least`` of the image's area, by class and then by size."""
    sized = [(label, -int(mask.sum()), mask) for label, mask in found]
    kept = [item for item in sized if -item[1] >= least * item[2].size]
    kept.sort(key=lambda item: item[:2])
    return tuple((label, mask) for label, _, mask in kept)
