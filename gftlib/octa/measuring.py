"""Measures along each vessel segment: smoothed length, distances to both walls, grey levels, regions touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from gftlib.octa.tracing import Segments

SMOOTH_PX = 3
"""Half-width, in path pixels, of the moving average that turns the pixel chain into a smooth centreline."""

COLUMNS = (
    "length distance min_avg min_std avg_avg avg_std round_avg round_std section "
    "cl_mean cl_std q25 q75 mid_row mid_col"
).split()


@dataclass(frozen=True)
class Measures:
    """Measures of every segment in pixels of the mask.

    Attributes:
        table: (n, 15) float64, the columns ``COLUMNS``.
        touches: (t, 2) int64 pairs of segment and region label, each pair once, sorted.
        beside: (b, 2) int64 pairs of region labels on the two sides of a segment, smaller first, each once, sorted.
    """

    table: np.ndarray
    touches: np.ndarray
    beside: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """Return one column of the table."""
        return self.table[:, COLUMNS.index(name)]


@njit(cache=True, nogil=True)
def level_statistics(counts, total, values, out):
    """Fill ``out`` with mean, standard deviation, 25th and 75th percentile (linear), minimum, maximum."""
    mean = 0.0
    for k in range(counts.size):
        mean += counts[k] * values[k]
    mean /= total
    spread = 0.0
    low = -1
    high = 0
    for k in range(counts.size):
        if counts[k]:
            spread += counts[k] * (values[k] - mean) ** 2
            if low < 0:
                low = k
            high = k
    out[0], out[1], out[4], out[5] = mean, np.sqrt(spread / total), values[low], values[high]
    for j in range(2):
        place = (0.25 + 0.5 * j) * (total - 1)
        below = np.int64(place)
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


@njit(cache=True, nogil=True)
def _ray(mask, y, x, dy, dx, limit):
    """Walk the pixel grid from (y, x) along the unit direction to the first background pixel.

    Returns:
        The exact distance to the edge of that pixel and its flat index; or -1 and -1 past ``limit`` or the image.
    """
    height, width = mask.shape
    r, c = np.int64(np.floor(y + 0.5)), np.int64(np.floor(x + 0.5))
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


@njit(cache=True, nogil=True)
def _smooth(pixels, a, b, start, end, width, rough, line):
    """Fill ``line`` with the smoothed path from node to node; return its number of points."""
    rough[0, 0], rough[0, 1] = start[0], start[1]
    n = 1
    for i in range(a + 1, b - 1):
        rough[n, 0], rough[n, 1] = pixels[i] // width - 1, pixels[i] % width - 1
        n += 1
    rough[n, 0], rough[n, 1] = end[0], end[1]
    n += 1
    for i in range(n):
        w = min(SMOOTH_PX, i, n - 1 - i)
        for axis in range(2):
            total = 0.0
            for j in range(i - w, i + w + 1):
                total += rough[j, axis]
            line[i, axis] = total / (2 * w + 1)
    return n


@njit(cache=True, nogil=True)
def _measure(
    pixels, offsets, ends, nodes, radius, degree, distance, mask, labels, image, values, out, touched, beside
):
    """Fill ``out`` (n, 15), ``touched`` and ``beside`` (with repeats); return how many of each were written."""
    width = mask.shape[1] + 2
    longest = 0
    for s in range(ends.shape[0]):
        longest = max(longest, offsets[s + 1] - offsets[s])
    rough, line = np.empty((longest + 2, 2)), np.empty((longest + 2, 2))
    sums = np.empty(8)
    stats = np.empty(6)
    counts = np.zeros(values.size, np.int64)
    flat_labels = labels.ravel()
    touches = 0
    pairs = 0
    for s in range(ends.shape[0]):
        a, b = offsets[s], offsets[s + 1]
        first, last = ends[s, 0], ends[s, 1]
        n = _smooth(pixels, a, b, nodes[first], nodes[last], width, rough, line)
        length = 0.0
        for i in range(n - 1):
            length += np.hypot(line[i + 1, 0] - line[i, 0], line[i + 1, 1] - line[i, 1])
        zone_a = radius[first] if degree[first] >= 3 else 0.0
        zone_b = radius[last] if degree[last] >= 3 else 0.0
        good = 0
        for attempt in range(2):
            # A short segment lies wholly in the discs of its junctions: then the discs have to be used.
            if good or (attempt == 1 and zone_a + zone_b == 0.0):
                break
            sums[:] = 0.0
            recent0 = recent1 = -1
            pair0 = pair1 = -1
            gone = 0.0
            middle_set = False
            for i in range(n - 1):
                dy, dx = line[i + 1, 0] - line[i, 0], line[i + 1, 1] - line[i, 1]
                step = np.hypot(dy, dx)
                here = gone + 0.5 * step
                if not middle_set and gone + step >= 0.5 * length:
                    share = (0.5 * length - gone) / step if step > 0 else 0.0
                    out[s, 13], out[s, 14] = line[i, 0] + share * dy, line[i, 1] + share * dx
                    middle_set = True
                gone += step
                if step == 0.0 or (attempt == 0 and (here < zone_a or length - here < zone_b)):
                    continue
                j, k = max(i - 1, 0), min(i + 2, n - 1)
                dy, dx = line[k, 0] - line[j, 0], line[k, 1] - line[j, 1]
                norm = np.hypot(dy, dx)
                if norm == 0.0:
                    continue
                dy, dx = dy / norm, dx / norm
                limit = 2.0 * max(distance[pixels[a + min(i, b - a - 1)]], 1.0) + 1.0
                # On a staircase the walls alternate between pixel centres and half-way points: average both.
                left = right = 0.0
                label_l = label_r = -1
                valid = True
                for half in range(2):
                    y = line[i, 0] if half == 0 else 0.5 * (line[i, 0] + line[i + 1, 0])
                    x = line[i, 1] if half == 0 else 0.5 * (line[i, 1] + line[i + 1, 1])
                    d0, w0 = _ray(mask, y, x, -dx, dy, limit)
                    d1, w1 = _ray(mask, y, x, dx, -dy, limit)
                    left += 0.5 * d0
                    right += 0.5 * d1
                    label_l = flat_labels[w0] if w0 >= 0 else 0
                    label_r = flat_labels[w1] if w1 >= 0 else 0
                    if w0 < 0 or w1 < 0:
                        valid = False
                if label_l > 0 and label_l != recent0:
                    recent0 = label_l
                    touched[touches, 0], touched[touches, 1] = s, label_l
                    touches += 1
                if label_r > 0 and label_r != recent1:
                    recent1 = label_r
                    touched[touches, 0], touched[touches, 1] = s, label_r
                    touches += 1
                if label_l > 0 and label_r > 0 and label_l != label_r and (label_l != pair0 or label_r != pair1):
                    pair0, pair1 = label_l, label_r
                    beside[pairs, 0], beside[pairs, 1] = min(label_l, label_r), max(label_l, label_r)
                    pairs += 1
                if valid and left + right > 0.0:
                    small, large = min(left, right), max(left, right)
                    mean = 0.5 * (left + right)
                    sums[0] += small
                    sums[1] += small * small
                    sums[2] += mean
                    sums[3] += mean * mean
                    sums[4] += small / large
                    sums[5] += (small / large) ** 2
                    good += 1
        if good == 0:
            for i in range(a, b):
                wall = distance[pixels[i]] - 0.5
                sums[0] += wall
                sums[1] += wall * wall
                sums[2] += wall
                sums[3] += wall * wall
                sums[4] += 1.0
                sums[5] += 1.0
                good += 1
        out[s, 0] = length
        out[s, 1] = np.hypot(nodes[first, 0] - nodes[last, 0], nodes[first, 1] - nodes[last, 1])
        for k in range(3):
            mean = sums[2 * k] / good
            out[s, 2 + 2 * k] = mean
            out[s, 3 + 2 * k] = np.sqrt(max(sums[2 * k + 1] / good - mean * mean, 0.0))
        out[s, 8] = np.pi * sums[3] / good
        if values.size:
            for i in range(a, b):
                r, c = pixels[i] // width - 1, pixels[i] % width - 1
                counts[image[r * image.shape[0] // mask.shape[0], c * image.shape[1] // mask.shape[1]]] += 1
            level_statistics(counts, b - a, values, stats)
            counts[:] = 0
            out[s, 9], out[s, 10], out[s, 11], out[s, 12] = stats[0], stats[1], stats[2], stats[3]
    return touches, pairs


def measure(
    segments: Segments,
    distance: np.ndarray,
    mask: np.ndarray,
    labels: np.ndarray,
    levels: np.ndarray,
    values: np.ndarray,
) -> Measures:
    """Measure every segment.

    The path is the pixel chain from node to node after a moving average over ``2 * SMOOTH_PX + 1`` pixels (shorter
    near its ends, which stay fixed): straight and diagonal lines keep their exact length. At every step two rays
    leave along the normal and stop at the exact edge of the first background pixel; the radius to one wall is that
    distance. Steps within a junction's inscribed disc, where one wall is missing, are left out unless there is no
    other. The regions that the rays meet are the regions that the vessel touches.

    Args:
        segments: Pruned segments.
        distance: Padded flat image of wall distances, from ``trace``.
        mask: (H, W) uint8 vessel mask with its holes filled.
        labels: (H, W) int32 region labels, 0 is vessel.
        levels: (h, w) uint16 image as indices into ``values``; any size, read at the nearest pixel.
        values: (L,) float64 grey levels, empty if there is no image.
    """
    n = len(segments.ends)
    out = np.zeros((n, len(COLUMNS)))
    room = 4 * len(segments.pixels) + 16 * n + 16
    touched, beside = np.empty((room, 2), np.int64), np.empty((room, 2), np.int64)
    touches, pairs = _measure(
        segments.pixels,
        segments.offsets,
        segments.ends,
        segments.nodes,
        segments.radius,
        segments.degree(),
        distance,
        mask,
        labels,
        levels,
        values,
        out,
        touched,
        beside,
    )
    return Measures(out, _unique_pairs(touched[:touches]), _unique_pairs(beside[:pairs]))


def _unique_pairs(pairs: np.ndarray) -> np.ndarray:
    keys = np.unique(pairs[:, 0] << 32 | pairs[:, 1])
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
