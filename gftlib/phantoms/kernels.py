"""The compiled loops of the OCTA phantom: nearest points, thinning, drawing, counting, chains of edges.

They are plain loops over scalars: array expressions would take many times longer to compile.
"""

from __future__ import annotations

import math

import numba
import numpy as np


def thin_points(points: np.ndarray, spacing: np.ndarray, low: float) -> np.ndarray:
    """Accept points in order, each unless an accepted one lies within its own spacing (dart throwing).

    Args:
        points: (n, 2) candidates in order of priority, all at least ``low`` in both coordinates.
        spacing: (n,) least distance to any earlier accepted point.
        low: Smallest coordinate, the corner of the search grid.

    Returns:
        (n,) whether accepted.
    """
    cell = spacing.max() + 1e-9
    side = int((points.max() - low) / cell) + 1
    accepted = np.zeros(len(points), dtype=bool)
    following = np.full(len(points), -1)
    _throw_darts(points, spacing, low, cell, np.full((side, side), -1), following, accepted)
    return accepted


@numba.njit(cache=True)
def _throw_darts(
    points: np.ndarray,
    spacing: np.ndarray,
    low: float,
    cell: float,
    head: np.ndarray,
    following: np.ndarray,
    accepted: np.ndarray,
) -> None:
    """Set ``accepted`` (in place); ``head`` and ``following`` list the accepted points of each cell."""
    side = len(head)
    for i in range(len(points)):
        r, c = int((points[i, 0] - low) / cell), int((points[i, 1] - low) / cell)
        free = True
        for a in range(max(0, r - 1), min(side, r + 2)):
            for b in range(max(0, c - 1), min(side, c + 2)):
                j = head[a, b]
                while j >= 0 and free:
                    dr, dc = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
                    free = dr * dr + dc * dc >= spacing[i] * spacing[i]
                    j = following[j]
        if free:
            accepted[i] = True
            following[i] = head[r, c]
            head[r, c] = i


@numba.njit(cache=True)
def update_nearest(
    places: np.ndarray,
    points: np.ndarray,
    able: np.ndarray,
    added: np.ndarray,
    best: np.ndarray,
    square: np.ndarray,
) -> None:
    """Bring the nearest able point of each place up to date (in place).

    Args:
        places: (k, 2).
        points: (n, 2).
        able: (n,) which points count.
        added: Indices of those that did not count before.
        best: (k,) nearest point so far, -1 for none.
        square: (k,) its squared distance, infinite for none.
    """
    for k in range(len(places)):
        lost = best[k] >= 0 and not able[best[k]]
        if lost:
            best[k], square[k] = -1, np.inf
        for j in range(len(points) if lost else len(added)):
            i = j if lost else added[j]
            dr, dc = places[k, 0] - points[i, 0], places[k, 1] - points[i, 1]
            gap = dr * dr + dc * dc
            if able[i] and gap < square[k]:
                best[k], square[k] = i, gap


@numba.njit(cache=True)
def _window(a: float, step: float, reach: float, size: int) -> tuple[int, int]:
    """Return the half-open range of pixels within ``reach`` of a piece from ``a`` to ``a + step``."""
    return max(0, int(min(a, a + step) - reach)), min(size, int(max(a, a + step) + reach) + 2)


@numba.njit(cache=True)
def draw_mask(strokes: np.ndarray, axis: np.ndarray, mask: np.ndarray) -> None:
    """Draw straight strokes with round caps and linearly changing radius into a mask.

    A pixel belongs to a stroke if its centre lies within the radius at its foot on the stroke.

    Args:
        strokes: (n, 6) row, column, step to the other end (rows, columns), radius and its change.
        axis: Pixel numbers 0, 1, ... as float64, at least as many as the mask has columns.
        mask: (h, w) uint8, set to 1 where drawn, in place.
    """
    for i in range(len(strokes)):
        r0, c0, dr, dc = strokes[i, 0], strokes[i, 1], strokes[i, 2], strokes[i, 3]
        q0, dq = strokes[i, 4], strokes[i, 5]
        reach = max(q0, q0 + dq)
        inverse = 1.0 / max(dr * dr + dc * dc, 1e-12)
        top, bottom = _window(r0, dr, reach, mask.shape[0])
        left, right = _window(c0, dc, reach, mask.shape[1])
        columns = axis[left:right]
        for r in range(top, bottom):
            # Row views and no branches, so that the compiler can take several pixels at once.
            y, row = r - r0, mask[r, left:right]
            for k in range(len(row)):
                x = columns[k] - c0
                t = min(1.0, max(0.0, (y * dr + x * dc) * inverse))
                square = (y - t * dr) ** 2 + (x - t * dc) ** 2
                row[k] |= math.sqrt(square) <= q0 + t * dq


@numba.njit(cache=True)
def draw_light(
    strokes: np.ndarray, axis: np.ndarray, value: np.ndarray, soft: float, light: np.ndarray
) -> None:
    """Draw the same strokes into a light map.

    The map takes the maximum over strokes of ``value``, falling to 0 over ``soft`` pixels at the wall.

    Args:
        strokes: (n, 6) as for :func:`draw_mask`.
        axis: Likewise.
        value: (n,) float32 brightness.
        soft: Width of the wall's fall-off, pixels, > 0.
        light: (h, w) float32, in place.
    """
    for i in range(len(strokes)):
        r0, c0, dr, dc = strokes[i, 0], strokes[i, 1], strokes[i, 2], strokes[i, 3]
        q0, dq = strokes[i, 4], strokes[i, 5]
        reach = max(q0, q0 + dq) + soft
        inverse = 1.0 / max(dr * dr + dc * dc, 1e-12)
        top, bottom = _window(r0, dr, reach, light.shape[0])
        left, right = _window(c0, dc, reach, light.shape[1])
        columns, full = axis[left:right], np.float64(value[i])
        for r in range(top, bottom):
            y, row = r - r0, light[r, left:right]
            for k in range(len(row)):
                x = columns[k] - c0
                t = min(1.0, max(0.0, (y * dr + x * dc) * inverse))
                square = (y - t * dr) ** 2 + (x - t * dc) ** 2
                distance = math.sqrt(square) - (q0 + t * dq)
                level = np.float32(full * min(1.0, 0.5 - 0.5 * distance / soft))
                before = row[k]
                row[k] = level if level > before else before


@numba.njit(cache=True)
def tally(labels: np.ndarray, faces: np.ndarray, size: np.ndarray, face_of: np.ndarray) -> None:
    """Count the pixels of each region, and note the face its last pixel lies in (in place).

    Args:
        labels: (p,) region of each pixel.
        faces: (p,) face of each pixel.
        size: (regions,) all 0 before.
        face_of: (regions,)
    """
    for i in range(len(labels)):
        size[labels[i]] += 1
        face_of[labels[i]] = faces[i]


@numba.njit(cache=True)
def look_up(
    labels: np.ndarray, region: np.ndarray, faces: np.ndarray, face: np.ndarray, found: np.ndarray
) -> None:
    """Set ``found`` (p,) where a pixel's region or face is marked (in place)."""
    for i in range(len(labels)):
        found[i] = region[labels[i]] | face[faces[i]]


@numba.njit(cache=True)
def walk_chains(
    ends: np.ndarray,
    pair: np.ndarray,
    seeds: np.ndarray,
    edge: np.ndarray,
    back: np.ndarray,
    size: np.ndarray,
) -> int:
    """Walk along edges through nodes of degree two, each edge once.

    Args:
        ends: (m, 2) node indices.
        pair: (n, 2) the two edges of a node to pass through, -1 at all others.
        seeds: Ends of edges where walks begin: twice the edge, plus one for its second end.
        edge: (m,) edges as they are walked, walk after walk, set in place.
        back: (m,) whether each is walked from its second end to its first, in place.
        size: (m,) edges of each walk, all 0 before, in place.

    Returns:
        How many walks there are.
    """
    done, count, walks = np.zeros(len(ends), np.uint8), 0, 0
    for seed in seeds:
        now, node = seed // 2, ends[seed // 2, seed % 2]
        if done[now]:
            continue
        while not done[now]:
            done[now] = 1
            edge[count], back[count] = now, ends[now, 0] != node
            size[walks] += 1
            count += 1
            node = ends[now, 1] if ends[now, 0] == node else ends[now, 0]
            if pair[node, 0] < 0:
                break
            now = pair[node, 1] if pair[node, 0] == now else pair[node, 0]
        walks += 1
    return walks
