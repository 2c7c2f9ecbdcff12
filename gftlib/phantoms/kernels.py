"""The compiled loops of the OCTA phantom: blue-noise thinning and drawing of tapered strokes."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def thin_points(points: np.ndarray, spacing: np.ndarray, low: float) -> np.ndarray:
    """Accept points in order, each unless an accepted one lies within its own spacing (dart throwing).

    Args:
        points: (n, 2) candidates in order of priority, all at least ``low`` in both coordinates.
        spacing: (n,) least distance to any earlier accepted point.
        low: Smallest coordinate, the corner of the search grid.

    Returns:
        (n,) 1 where accepted.
    """
    cell = spacing.max() + 1e-9
    side = int((points.max() - low) / cell) + 1
    head = np.full((side, side), -1, np.int64)
    following = np.full(len(points), -1, np.int64)
    accepted = np.zeros(len(points), np.uint8)
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
            accepted[i] = 1
            following[i] = head[r, c]
            head[r, c] = i
    return accepted


@numba.njit(cache=True)
def draw_strokes(
    start: np.ndarray,
    stop: np.ndarray,
    start_radius: np.ndarray,
    stop_radius: np.ndarray,
    value: np.ndarray,
    soft: float,
    mask: np.ndarray,
    light: np.ndarray,
) -> None:
    """Draw straight strokes with round caps and linearly changing radius into a mask and a light map.

    A pixel belongs to a stroke if its centre lies within the radius at its foot on the stroke. The light map
    takes the maximum over strokes of ``value``, falling to 0 over ``soft`` pixels at the wall.

    Args:
        start: (n, 2) row and column of the first ends.
        stop: (n, 2) of the second ends.
        start_radius: (n,) radius at the first ends, pixels.
        stop_radius: (n,) at the second.
        value: (n,) brightness.
        soft: Width of the wall's fall-off, pixels, > 0.
        mask: (h, w) set to 1 where drawn, in place.
        light: (h, w) in place.
    """
    rows, columns = mask.shape
    for i in range(len(start)):
        r0, c0, dr, dc = start[i, 0], start[i, 1], stop[i, 0] - start[i, 0], stop[i, 1] - start[i, 1]
        q0, dq = start_radius[i], stop_radius[i] - start_radius[i]
        reach = max(q0, q0 + dq) + soft
        inverse = 1.0 / max(dr * dr + dc * dc, 1e-12)
        for r in range(max(0, int(min(r0, r0 + dr) - reach)), min(rows, int(max(r0, r0 + dr) + reach) + 2)):
            for c in range(
                max(0, int(min(c0, c0 + dc) - reach)), min(columns, int(max(c0, c0 + dc) + reach) + 2)
            ):
                t = min(1.0, max(0.0, ((r - r0) * dr + (c - c0) * dc) * inverse))
                square = (r - r0 - t * dr) ** 2 + (c - c0 - t * dc) ** 2
                if square > reach * reach:
                    continue
                distance = np.sqrt(square) - (q0 + t * dq)
                if distance <= 0.0:
                    mask[r, c] = 1
                if distance < soft:
                    level = value[i] * min(1.0, 0.5 - 0.5 * distance / soft)
                    if level > light[r, c]:
                        light[r, c] = level
