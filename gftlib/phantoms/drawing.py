"""Soft vectorised drawing for phantoms: smooth noise, warped grids, strokes and blobs on float canvases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import ndimage

Polyline = np.ndarray  # (k, 2) points (row, col) in pixels


@lru_cache(maxsize=64)
def _spline_weights(size: int, cells: int) -> np.ndarray:
    position = (np.arange(size) + 0.5) / size * cells + 1.0
    distance = np.abs(position[:, None] - np.arange(cells + 3)[None, :])
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, inner, outer).astype(np.float32)


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Return a cubic-spline random field, zero mean and unit variance.

    Args:
        rng: Source of randomness.
        size: Side of the square field in pixels.
        cells: Number of control points across it: more cells, finer noise.

    Returns:
        ``(size, size)`` float32.
    """
    weights = _spline_weights(size, cells)
    knots = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    field = weights @ knots @ weights.T
    return (field - field.mean()) / (field.std() + 1e-6)


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the (rows, columns) of every pixel centre, each ``(size, size)`` float32; read only."""
    rows, columns = np.indices((size, size), dtype=np.float32)
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the logistic function of ``x``, safe against overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def ellipse(size: int, centre: Sequence[float], radii: Sequence[float], angle: float = 0.0) -> np.ndarray:
    """Return the radius of each pixel relative to an ellipse: below 1 inside, 1 on it.

    Args:
        size: Side of the square in pixels.
        centre: (row, col) in pixels.
        radii: Half axes (row-wise, column-wise) in pixels, before rotation.
        angle: Rotation in radians.

    Returns:
        ``(size, size)`` float32.
    """
    rows, columns = grid(size)
    y, x = rows - np.float32(centre[0]), columns - np.float32(centre[1])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.hypot((c * y + s * x) / np.float32(radii[0]), (c * x - s * y) / np.float32(radii[1]))


def _resample(lines: Sequence[Polyline], step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points about ``step`` pixels apart along all lines, and the length that each stands for."""
    starts = np.concatenate([line[:-1] for line in lines])
    moves = np.concatenate([np.diff(line, axis=0) for line in lines])
    lengths = np.hypot(moves[:, 0], moves[:, 1])
    pieces = np.maximum(np.ceil(lengths / step).astype(np.int64), 1)
    segment = np.repeat(np.arange(len(starts)), pieces)
    rank = np.arange(len(segment)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    part = (rank + 0.5) / pieces[segment]
    return starts[segment] + part[:, None] * moves[segment], (lengths / pieces)[segment]


def strokes(size: int, lines: Sequence[Polyline], width: float) -> np.ndarray:
    """Draw polylines with a soft round pen.

    Args:
        size: Side of the square canvas in pixels.
        lines: Polylines; parts outside the canvas are cut.
        width: Standard deviation of the pen in pixels.

    Returns:
        ``(size, size)`` float32 in [0, 1]; crossings do not add up.
    """
    if not lines:
        return np.zeros((size, size), np.float32)
    points, length = _resample(lines, 0.5)
    base = np.floor(points).astype(np.int64)
    part = points - base
    ink = np.zeros(size * size)
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = base[:, 0] + dy, base[:, 1] + dx
            weight = length * np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
            keep = (row >= 0) & (row < size) & (column >= 0) & (column < size)
            ink += np.bincount(row[keep] * size + column[keep], weight[keep], minlength=size * size)
    # A straight line of unit ink per pixel peaks at 1 / (width sqrt(2 pi)) after the blur.
    soft = ndimage.gaussian_filter(ink.reshape(size, size).astype(np.float32), width, truncate=3.0)
    return np.clip(soft * np.float32(width * np.sqrt(2 * np.pi)), 0, 1)


def blobs(size: int, centres: np.ndarray, radii: np.ndarray, edge: float = 0.8) -> np.ndarray:
    """Draw soft discs, each in its own small window.

    Args:
        size: Side of the square canvas in pixels.
        centres: ``(n, 2)`` (row, col) in pixels.
        radii: ``(n,)`` radii in pixels.
        edge: Softness of the rim in pixels.

    Returns:
        ``(size, size)`` float32 in [0, 1]: the maximum over the discs.
    """
    canvas = np.zeros((size, size), np.float32)
    for (row, column), radius in zip(centres, radii, strict=True):
        reach = radius + 4 * edge
        top, bottom = max(int(row - reach), 0), min(int(row + reach) + 2, size)
        left, right = max(int(column - reach), 0), min(int(column + reach) + 2, size)
        if top >= bottom or left >= right:
            continue
        y = np.arange(top, bottom)[:, None] - row
        x = np.arange(left, right)[None, :] - column
        disc = sigmoid((radius - np.hypot(y, x)) / edge)
        window = canvas[top:bottom, left:right]
        np.maximum(window, disc, out=window, casting="same_kind")
    return canvas


def walk(
    rng: np.random.Generator, start: np.ndarray, angle: float, length: float, bend: float, step: float = 2.0
) -> Polyline:
    """Return a smooth random walk: a polyline whose direction drifts.

    Args:
        rng: Source of randomness.
        start: (row, col) in pixels.
        angle: First direction in radians, 0 along columns.
        length: Length in pixels.
        bend: Standard deviation of the turn per step in radians.
        step: Step in pixels.
    """
    n = max(int(length / step), 2)
    angles = angle + np.cumsum(rng.normal(0, bend, n))
    moves = step * np.column_stack([np.sin(angles), np.cos(angles)])
    return np.concatenate([[start], start + np.cumsum(moves, axis=0)])


def scatter(rng: np.random.Generator, weight: np.ndarray, n: int, apart: float) -> np.ndarray:
    """Draw up to ``n`` points with density ``weight``, at least ``apart`` pixels from one another.

    Returns:
        ``(m, 2)`` float (row, col), m <= n.
    """
    total = np.cumsum(weight.ravel(), dtype=np.float64)
    if total[-1] <= 0:
        return np.zeros((0, 2))
    tries = np.searchsorted(total, rng.random(6 * n) * total[-1], side="right")
    points = np.column_stack(np.unravel_index(tries, weight.shape)) + rng.uniform(-0.5, 0.5, (len(tries), 2))
    kept: list[np.ndarray] = []
    for point in points:
        if len(kept) == n:
            break
        if not kept or (np.hypot(*(np.array(kept) - point).T) >= apart).all():
            kept.append(point)
    return np.array(kept).reshape(-1, 2)
