"""How far the vessel walls are: from every centreline pixel, and along a ray."""

from __future__ import annotations

import math

import numpy as np

from gftlib.octa.compiled import kernel


@kernel()
def _wall_distances(mask, points, column, distance):
    """Fill ``distance`` at ``points``; ``column`` receives the distance to background within the column."""
    height, width = mask.shape
    far = 16384
    for r in range(height):
        for c in range(width):
            above = column[r - 1, c] if r > 0 else far
            column[r, c] = min(above + 1, far) if mask[r, c] else 0
    for r in range(height - 2, -1, -1):
        for c in range(width):
            column[r, c] = min(column[r, c], column[r + 1, c] + 1)
    for i in range(points.size):
        r = points[i] // (width + 2) - 1
        c = points[i] % (width + 2) - 1
        best = far * far
        reach = 0
        while reach * reach < best and reach < width:
            if c - reach >= 0:
                best = min(best, np.int64(column[r, c - reach]) ** 2 + reach * reach)
            if c + reach < width:
                best = min(best, np.int64(column[r, c + reach]) ** 2 + reach * reach)
            reach += 1
        distance[points[i]] = math.sqrt(best)


def wall_distances(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the exact distance to the nearest background pixel centre, at the given pixels only.

    The wall itself lies half a pixel nearer. What is outside the image is no wall: a vessel that the border
    cuts keeps its radius.

    Args:
        mask: (H, W) uint8, non-zero is vessel.
        points: (k,) int32 flat indices into the mask padded by one pixel on every side.

    Returns:
        Flat float32 image of the padded shape, 0 except at the points.
    """
    distance = np.zeros((mask.shape[0] + 2) * (mask.shape[1] + 2), np.float32)
    _wall_distances(mask, points, np.empty(mask.shape, np.int16), distance)
    return distance


@kernel()
def ray(mask, y, x, dy, dx, limit):
    """Walk the pixel grid from (y, x) along the unit direction (dy, dx) to the first background pixel.

    Returns:
        The exact distance to the edge of that pixel and its flat index; -1 and -1 past ``limit`` or the
        image.
    """
    height, width = mask.shape
    r, c = int(y + 0.5), int(x + 0.5)
    step_r, step_c = (1 if dy > 0 else -1), (1 if dx > 0 else -1)
    far = 1e9
    gap_r, gap_c = (1.0 / abs(dy) if dy != 0.0 else far), (1.0 / abs(dx) if dx != 0.0 else far)
    next_r = (0.5 + step_r * (r - y)) * gap_r if dy != 0.0 else far
    next_c = (0.5 + step_c * (c - x)) * gap_c if dx != 0.0 else far
    travelled = 0.0
    while 0 <= r < height and 0 <= c < width and travelled <= limit:
        if not mask[r, c]:
            return travelled, r * width + c
        if next_r < next_c:
            travelled = next_r
            next_r += gap_r
            r += step_r
        else:
            travelled = next_c
            next_c += gap_c
            c += step_c
    return -1.0, -1
