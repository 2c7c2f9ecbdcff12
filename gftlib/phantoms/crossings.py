"""Which straight pieces of vessels cross each other."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def _close_pairs(middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return (2, p) all index pairs, the lower first, of pieces near enough to meet, and some more.

    Args:
        middle: (m, 2) middles of straight pieces.
        half: (m,) half their lengths.
    """
    common = np.quantile(half, 0.95)
    if half.max() < 1.6 * common:
        return cKDTree(middle).query_pairs(2 * half.max(), output_type="ndarray").T
    # A few long pieces are searched apart: their reach would make far too many pairs of the short ones.
    long = half > common
    short, rare = np.flatnonzero(~long), np.flatnonzero(long)
    pairs = short[cKDTree(middle[short]).query_pairs(2 * half[short].max(), output_type="ndarray")]
    around = cKDTree(middle).query_ball_point(middle[rare], half[rare] + half.max())
    one = np.repeat(rare, [len(near) for near in around])
    other = np.concatenate([np.array(near, dtype=int) for near in around])
    once = ~long[other] | (one < other)
    more = np.sort(np.stack([one[once], other[once]], axis=1), axis=1)
    return np.concatenate([pairs, more]).T


def crossings(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index pairs of straight pieces a-b, (m, 2) each, that cross inside both."""
    i, j = _close_pairs(0.5 * (a + b), 0.5 * np.linalg.norm(b - a, axis=1) + 1e-9)

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        u, v = q - p, r - p
        return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]

    apart = side(a[i], b[i], a[j]) * side(a[i], b[i], b[j]) < 0
    i, j = i[apart], j[apart]
    apart = side(a[j], b[j], a[i]) * side(a[j], b[j], b[i]) < 0
    return i[apart], j[apart]
