"""Masks drawn by hand, whose graph is known."""

from __future__ import annotations

import numpy as np


def canvas(height: int = 60, width: int = 60) -> np.ndarray:
    return np.zeros((height, width), np.uint8)


def line(mask: np.ndarray, start: tuple[int, int], end: tuple[int, int], half: int = 0) -> np.ndarray:
    """Draw a horizontal, vertical or diagonal line, ``2 * half + 1`` pixels thick, in place."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    for i in range(steps + 1):
        r = start[0] + (end[0] - start[0]) * i // max(steps, 1)
        c = start[1] + (end[1] - start[1]) * i // max(steps, 1)
        mask[r - half : r + half + 1, c - half : c + half + 1] = 1
    return mask


def ring(mask: np.ndarray, centre: tuple[float, float], radius: float, width: float = 3.0) -> np.ndarray:
    """Draw a circle of the given line width in place."""
    r, c = np.indices(mask.shape)
    away = np.hypot(r - centre[0], c - centre[1])
    mask[np.abs(away - radius) <= width / 2] = 1
    return mask


def disc(mask: np.ndarray, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Fill a disc in place."""
    r, c = np.indices(mask.shape)
    mask[np.hypot(r - centre[0], c - centre[1]) <= radius] = 1
    return mask


def blobs(seed: int, height: int = 120, width: int = 120) -> np.ndarray:
    """Draw a random network of thick lines and rings."""
    rng = np.random.default_rng(seed)
    mask = canvas(height, width)
    r, c = np.indices(mask.shape)
    for _ in range(8):
        a, b = rng.uniform(0, (height, width), (2, 2))
        along = np.clip(
            ((r - a[0]) * (b - a)[0] + (c - a[1]) * (b - a)[1]) / max(((b - a) ** 2).sum(), 1), 0, 1
        )
        gap = np.hypot(r - a[0] - along * (b - a)[0], c - a[1] - along * (b - a)[1])
        mask[gap <= rng.uniform(1, 4)] = 1
    return ring(mask, tuple(rng.uniform(30, 90, 2)), rng.uniform(10, 25), 3)


def lattice(seed: int, size: int = 160, step: int = 32) -> np.ndarray:
    """Draw a network without doubtful places: a jittered lattice with some edges missing, thick lines."""
    rng = np.random.default_rng(seed)
    mask = canvas(size, size)
    r, c = np.indices(mask.shape)
    n = size // step - 1
    nodes = (np.indices((n, n)).transpose(1, 2, 0) + 1.0) * step + rng.uniform(-4, 4, (n, n, 2))
    for i in range(n):
        for j in range(n):
            for a, b in ((i + 1, j), (i, j + 1)):
                if a == n or b == n or rng.random() < 0.2:
                    continue
                p, u = nodes[i, j], nodes[a, b] - nodes[i, j]
                along = np.clip(((r - p[0]) * u[0] + (c - p[1]) * u[1]) / (u**2).sum(), 0, 1)
                gap = np.hypot(r - p[0] - along * u[0], c - p[1] - along * u[1])
                mask[gap <= rng.uniform(1.2, 2.6)] = 1
    return mask
