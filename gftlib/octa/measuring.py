"""Measures along each vessel segment: smoothed length, distances to both walls, grey levels, regions met."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gftlib.octa.compiled import kernel
from gftlib.octa.greys import level_statistics
from gftlib.octa.tracing import Segments
from gftlib.octa.walls import ray

SMOOTH_PX = 3
"""Half-width, in path pixels, of the moving average that turns the pixel chain into a smooth centreline."""

WALLS = ("min_avg", "min_std", "avg_avg", "avg_std", "round_avg", "round_std")
COLUMNS = ("length", "distance", *WALLS, "section", "cl_mean", "cl_std", "q25", "q75", "mid_row", "mid_col")


@dataclass(frozen=True)
class Measures:
    """Measures of every segment in pixels of the mask.

    Attributes:
        table: (n, 15) float64, the columns ``COLUMNS``.
        touches: (t, 2) int64 pairs of segment and region label, each pair once, sorted.
        beside: (b, 2) int64 pairs of labels of regions with one segment between them, smaller first, each
            once.
    """

    table: np.ndarray
    touches: np.ndarray
    beside: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """Return one column of the table."""
        return self.table[:, COLUMNS.index(name)]


@kernel()
def _straighten(rough, n, goal, step, zone):
    """Replace the path within ``zone`` of its end by evenly spaced points on the line to ``goal``.

    ``step`` is 1 for the first and -1 for the last end of the path.
    """
    begin = 0 if step == 1 else n - 1
    y0, x0 = rough[begin, 0], rough[begin, 1]
    k = 1
    while k < n - 1:
        i = begin + step * k
        if (rough[i, 0] - y0) ** 2 + (rough[i, 1] - x0) ** 2 > zone * zone:
            break
        k += 1
    last = begin + step * k
    for j in range(k):
        for axis in range(2):
            rough[begin + step * j, axis] = goal[axis] + (rough[last, axis] - goal[axis]) * j / k


@kernel()
def _smooth(pixels, a, n, start, end, zones, width, rough, line):
    """Fill ``line`` with the smoothed path from node to node: row, column, arc length so far."""
    for i in range(n):
        rough[i, 0] = pixels[a + i] // width - 1
        rough[i, 1] = pixels[a + i] % width - 1
    if n > 2:
        for side in range(2):
            _straighten(rough, n, end if side else start, 1 - 2 * side, zones[side])
    for axis in range(2):
        rough[0, axis] = start[axis]
        rough[n - 1, axis] = end[axis]
    gone = 0.0
    for i in range(n):
        w = min(SMOOTH_PX, i, n - 1 - i)
        for axis in range(2):
            total = 0.0
            for j in range(i - w, i + w + 1):
                total += rough[j, axis]
            line[i, axis] = total / (2 * w + 1)
        if i > 0:
            gone += math.sqrt((line[i, 0] - line[i - 1, 0]) ** 2 + (line[i, 1] - line[i - 1, 1]) ** 2)
        line[i, 2] = gone


@kernel()
def _walls(line, n, near, zones, mask, labels, scratch, met, count):
    """Send rays to both walls from every step outside the zones at the two ends.

    Sums of radii go to scratch, the regions met to ``met`` (left and right label, 0 for none; repeats
    skipped).

    Returns:
        How many steps had two walls, and how many rows ``met`` has now.
    """
    sums, wall, label, recent = scratch
    good = 0
    for k in range(6):
        sums[k] = 0.0
    recent[0] = recent[1] = -1
    for i in range(n - 1):
        middle = 0.5 * (line[i, 2] + line[i + 1, 2])
        j, k = max(i - 1, 0), min(i + 2, n - 1)
        dy, dx = line[k, 0] - line[j, 0], line[k, 1] - line[j, 1]
        norm = math.sqrt(dy * dy + dx * dx)
        if middle < zones[0] or line[n - 1, 2] - middle < zones[1] or norm == 0.0:
            continue
        limit = 2.0 * max(near[i], 1.0) + 1.0
        valid = True
        for side in range(2):
            sign = (2 * side - 1) / norm
            wall[side] = 0.0
            # On a staircase the walls alternate between pixel centres and half-way points: average both.
            for half in range(2):
                y = line[i, 0] + 0.5 * half * (line[i + 1, 0] - line[i, 0])
                x = line[i, 1] + 0.5 * half * (line[i + 1, 1] - line[i, 1])
                reach, end = ray(mask, y, x, sign * dx, -sign * dy, limit)
                wall[side] += 0.5 * reach
                label[side] = labels[end] if end >= 0 else 0
                valid = valid and end >= 0
        if label[0] != recent[0] or label[1] != recent[1]:
            for side in range(2):
                met[count, side] = recent[side] = label[side]
            count += 1
        if valid and wall[0] + wall[1] > 0.0:
            small, large = min(wall[0], wall[1]), max(wall[0], wall[1])
            good += 1
            for k in range(3):
                value = small if k == 0 else (0.5 * (small + large) if k == 1 else small / large)
                sums[2 * k] += value
                sums[2 * k + 1] += value * value
    return good, count


@kernel()
def _measure(
    pixels, offsets, ends, nodes, zone, disc, distance, mask, labels, buffers, scratch, out, met, owner
):
    """Fill ``out`` except its grey levels, and ``met`` with its ``owner`` segment; return the rows of met."""
    rough, line, zones = buffers
    sums = scratch[0]
    count = offsets[0]
    for s in range(ends.shape[0]):
        a, n = offsets[s], offsets[s + 1] - offsets[s]
        first, last = ends[s, 0], ends[s, 1]
        zones[0], zones[1] = zone[first], zone[last]
        _smooth(pixels, a, n, nodes[first], nodes[last], zones, mask.shape[1] + 2, rough, line)
        # The smoothing is done with the rough path: its first column now holds the wall distances.
        near = rough[:, 0]
        for i in range(n):
            near[i] = distance[pixels[a + i]]
        begin = count
        zones[0], zones[1] = disc[first], disc[last]
        good = offsets[0]
        # A short segment lies wholly in the discs of its junctions: then the discs are used.
        for _ in range(2):
            if good == 0:
                good, count = _walls(line, n, near, zones, mask, labels, scratch, met, count)
                zones[0] = zones[1] = 0.0
        for i in range(begin, count):
            owner[i] = s
        if good == 0:
            good = 1
            for k in range(6):
                sums[k] = max(near[n // 2] - 0.5, 0.0) ** (1 + k % 2) if k < 4 else 1.0
        length = line[n - 1, 2]
        out[s, 0] = length
        out[s, 1] = math.sqrt((line[n - 1, 0] - line[0, 0]) ** 2 + (line[n - 1, 1] - line[0, 1]) ** 2)
        for k in range(3):
            mean = sums[2 * k] / good
            out[s, 2 + 2 * k] = mean
            out[s, 3 + 2 * k] = math.sqrt(max(sums[2 * k + 1] / good - mean * mean, 0.0))
        out[s, 8] = math.pi * sums[3] / good
        i = 0
        while i < n - 2 and line[i + 1, 2] < 0.5 * length:
            i += 1
        step = line[i + 1, 2] - line[i, 2]
        share = (0.5 * length - line[i, 2]) / step if step > 0.0 else 0.0
        for axis in range(2):
            out[s, 13 + axis] = line[i, axis] + share * (line[i + 1, axis] - line[i, axis])
    return count


@kernel()
def _greys(pixels, offsets, shape, image, values, counts, stats, out):
    """Fill columns 9 to 12 of ``out``: grey levels of the path pixels, read at the nearest image pixel."""
    for s in range(out.shape[0]):
        low, high = counts.size, np.int64(0)
        for i in range(offsets[s], offsets[s + 1]):
            r, c = pixels[i] // (shape[1] + 2) - 1, pixels[i] % (shape[1] + 2) - 1
            level = np.int64(image[r * image.shape[0] // shape[0], c * image.shape[1] // shape[1]])
            counts[level] += 1
            low, high = min(low, level), max(high, level)
        level_statistics(counts, low, high, offsets[s + 1] - offsets[s], values, stats)
        for k in range(low, high + 1):
            counts[k] = 0
        for k in range(4):
            out[s, 9 + k] = stats[k]


def measure(
    segments: Segments,
    zone: np.ndarray,
    distance: np.ndarray,
    mask: np.ndarray,
    labels: np.ndarray,
    levels: np.ndarray,
    values: np.ndarray,
) -> Measures:
    """Measure every segment.

    The path is the pixel chain from node to node after a moving average over ``2 * SMOOTH_PX + 1`` pixels
    (shorter near its ends, which stay fixed): straight and diagonal lines keep their exact length. At every
    step rays leave along the normal and stop at the exact edge of the first background pixel; the radius to
    a wall is that distance. Steps within a junction's inscribed disc, where one wall is missing, are left
    out unless there is no other. The regions that the rays meet are the regions that the vessel touches.

    Args:
        segments: Pruned segments, their nodes refined.
        zone: (k,) distance from each node's skeleton place within which a path is a straight line to the
            node.
        distance: Padded flat image of wall distances, from ``tracing.trace``.
        mask: (H, W) uint8 vessel mask with its holes filled.
        labels: (H, W) int32 region labels, 0 is vessel.
        levels: (h, w) uint16 image as indices into ``values``; any size, read at the nearest pixel.
        values: (L,) float64 grey levels, empty if there is no image.
    """
    longest = int(np.diff(segments.offsets).max(initial=0))
    buffers = np.empty((longest, 2)), np.empty((longest, 3)), np.empty(2)
    scratch = np.empty(6), np.empty(2), np.empty(2, np.int64), np.empty(2, np.int64)
    room = 2 * len(segments.pixels)
    met, owner = np.empty((room, 2), np.int64), np.empty(room, np.int64)
    out = np.zeros((len(segments.ends), len(COLUMNS)))
    paths = segments.pixels, segments.offsets
    disc = np.where(segments.degree() >= 3, segments.radius, 0.0)
    nodes = segments.ends, segments.nodes, zone, disc
    count = _measure(*paths, *nodes, distance, mask, labels.ravel(), buffers, scratch, out, met, owner)
    if len(values):
        _greys(*paths, mask.shape, levels, values, np.zeros(len(values), np.int32), np.empty(6), out)
    met, owner = met[:count], owner[:count]
    touched = np.concatenate([np.stack([owner, met[:, side]], axis=1) for side in (0, 1)])
    beside = np.sort(met, axis=1)
    beside = beside[(beside[:, 0] > 0) & (beside[:, 0] < beside[:, 1])]
    return Measures(out, unique_pairs(touched[touched[:, 1] > 0]), unique_pairs(beside))


def unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """Return the different rows of (n, 2) non-negative int64 pairs below 2^31, sorted."""
    # Sorting 64-bit keys is several times faster than numpy's unique.
    keys = np.sort(pairs[:, 0] << 32 | pairs[:, 1])
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
