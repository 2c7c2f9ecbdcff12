"""Where the centreline of a branch meets the centreline of its vessel.

Inside the lumen of a thick vessel a branch cannot be seen, so its centreline there is a convention. The one
kept here is that of the medial axis: from where the branch leaves the wall, straight to the nearest point of
the vessel's centreline. Graph and drawn label then agree about the junction.
"""

from __future__ import annotations

import math

import numba
import numpy as np

NARROW = math.radians(80)
REACH = 14


def seat_branches(
    points: np.ndarray, radius: np.ndarray, offsets: np.ndarray, ends: np.ndarray, least: float = 3.9
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move the nodes of three-way junctions to the foot of the branch, and the branch with it.

    Args:
        points: (k, 2) centreline points, vessel after vessel.
        radius: (k,) radius at each point.
        offsets: (m + 1,) first point of each vessel.
        ends: (m, 2) node of the first and the last point of each vessel.
        least: Thinner vessels are left alone unless two meet at less than 80 degrees, pixels.

    Returns:
        New points, radii and offsets of the same vessels.
    """
    node, width = ends.ravel(), np.stack([radius[offsets[:-1]], radius[offsets[1:] - 1]], axis=1).ravel()
    # The two thickest at a node are the vessel, the third is the branch.
    order = np.lexsort((-width, node))
    start = np.flatnonzero(np.r_[True, np.diff(node[order]) != 0])
    start = start[np.diff(np.r_[start, len(node)]) == 3]
    trios = order[start[:, None] + np.arange(3)]
    line = np.sort(trios // 2, axis=1)
    trios = trios[np.all(np.diff(line, axis=1) > 0, axis=1)]
    trios = np.ascontiguousarray(trios[np.argsort(trios.min(axis=1))])
    first, size = offsets[:-1].copy(), np.diff(offsets)
    moved = _seat_all(np.column_stack([points, radius]), first, size, trios, width[trios[:, 1]] < least)
    offsets = np.r_[0, np.cumsum(size)]
    moved = moved[np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], size)]
    return moved[:, :2].copy(), moved[:, 2].copy(), offsets


@numba.njit(cache=True)
def _at(first: np.ndarray, size: np.ndarray, end: int, k: int) -> int:
    """Return the index of the k-th point from an end of a line (twice the line, plus one at its last)."""
    return first[end // 2] + (size[end // 2] - 1 - k if end % 2 else k)


@numba.njit(cache=True)
def _copy(points: np.ndarray, i: int, to: np.ndarray, j: int) -> None:
    """Copy row ``i`` of (k, 3) points to row ``j`` of others: slices would take seconds to compile."""
    to[j, 0], to[j, 1], to[j, 2] = points[i, 0], points[i, 1], points[i, 2]


@numba.njit(cache=True)
def _narrow(points: np.ndarray, first: np.ndarray, size: np.ndarray, ends: np.ndarray) -> bool:
    """Return whether two of the three lines that start at the ends do so at less than 80 degrees."""
    angle = np.empty(3)
    for k in range(3):
        near = _at(first, size, ends[k], 0)
        far = _at(first, size, ends[k], min(3, size[ends[k] // 2] - 1))
        angle[k] = math.atan2(points[far, 1] - points[near, 1], points[far, 0] - points[near, 0])
    a, b, c = angle[0], angle[1], angle[2]
    low, high = min(a, b, c), max(a, b, c)
    middle = max(min(a, b), min(max(a, b), c))
    return min(middle - low, high - middle, 2 * math.pi - (high - low)) < NARROW


@numba.njit(cache=True)
def _leave(branch: np.ndarray, trunk: np.ndarray, start: int, stop: int) -> int:
    """Return which point of the branch is the first outside its vessel, the last one if none is."""
    for k in range(len(branch) - 1):
        least, wall = np.inf, 0.0
        for i in range(start, stop):
            gap = math.sqrt((branch[k, 0] - trunk[i, 0]) ** 2 + (branch[k, 1] - trunk[i, 1]) ** 2)
            if gap < least:
                least, wall = gap, trunk[i, 2]
        if least > wall:
            return k
    return len(branch) - 1


@numba.njit(cache=True)
def _find_foot(
    r: float, c: float, trunk: np.ndarray, start: int, stop: int, foot: np.ndarray
) -> tuple[int, float]:
    """Find the foot of a place on the vessel: row, column and radius (in ``foot``), piece and distance."""
    piece, least = -1, np.inf
    for i in range(start, stop - 1):
        dr, dc = trunk[i + 1, 0] - trunk[i, 0], trunk[i + 1, 1] - trunk[i, 1]
        dot = (r - trunk[i, 0]) * dr + (c - trunk[i, 1]) * dc
        t = min(max(dot / max(dr * dr + dc * dc, 1e-9), 0.05), 0.95)
        dr, dc = trunk[i, 0] + t * dr, trunk[i, 1] + t * dc
        gap = math.sqrt((dr - r) ** 2 + (dc - c) ** 2)
        if gap < least:
            piece, least = i, gap
            foot[0], foot[1], foot[2] = dr, dc, (1 - t) * trunk[i, 2] + t * trunk[i + 1, 2]
    return piece, least


@numba.njit(cache=True)
def _longer(points: np.ndarray, count: int) -> np.ndarray:
    """Return the points with room for ``count``."""
    longer = np.empty((count, 3))
    for i in range(len(points)):
        _copy(points, i, longer, i)
    return longer


@numba.njit(cache=True)
def _seat_all(
    points: np.ndarray, first: np.ndarray, size: np.ndarray, trios: np.ndarray, thin: np.ndarray
) -> np.ndarray:
    """Seat the branches of all junctions, one after the other.

    A line whose end moves is written anew behind all others.

    Args:
        points: (k, 3) row, column and radius of the points of all lines.
        first: (m,) first point of each line, in place.
        size: (m,) number of points of each line, in place.
        trios: (j, 3) ends of the vessel, of its continuation and of the branch at each junction.
        thin: (j,) whether the vessel is so thin that only a narrow junction counts.

    Returns:
        The points.
    """
    used, foot = len(points), np.empty(3)
    for j in range(len(trios)):
        ends = trios[j]
        a, b, c = ends[0] // 2, ends[1] // 2, ends[2] // 2
        if thin[j] and not _narrow(points, first, size, ends):
            continue
        node, length = size[a] - 1, size[a] + size[b] - 1
        trunk, branch = np.empty((length, 3)), np.empty((size[c], 3))
        for k in range(size[b]):
            _copy(points, _at(first, size, ends[1], k), trunk, node + k)
        for k in range(size[a]):
            _copy(points, _at(first, size, ends[0], k), trunk, node - k)
        for k in range(size[c]):
            _copy(points, _at(first, size, ends[2], k), branch, k)
        start, stop = max(0, node - REACH), min(node + REACH, length)
        out = _leave(branch, trunk, start, stop)
        if out == size[c] - 1:
            continue
        piece, gap = _find_foot(branch[out, 0], branch[out, 1], trunk, start, stop, foot)
        if piece < 2 or piece > length - 4:
            continue
        steps = max(1, math.ceil(gap / 4))
        sizes = (piece + 2, length - piece, steps + size[c] - out)
        if used + sizes[0] + sizes[1] + sizes[2] > len(points):
            points = _longer(points, 2 * (used + sizes[0] + sizes[1] + sizes[2]))
        for side in range(3):
            line, count = ends[side] // 2, sizes[side]
            first[line], size[line] = used, count
            used += count
            for k in range(count):
                to = _at(first, size, ends[side], k)
                for i in range(3):
                    if side < 2:
                        points[to, i] = trunk[piece + k if side else piece + 1 - k, i] if k else foot[i]
                    elif k < steps and i < 2:
                        points[to, i] = foot[i] + k * (1 / steps) * (branch[out, i] - foot[i])
                    else:
                        points[to, i] = branch[out + max(k - steps, 0), i]
    return points
