"""The table of region properties, with scikit-image's definitions, all regions in one pass."""

from __future__ import annotations

import numpy as np

from gftlib.octa.compiled import kernel
from gftlib.octa.greys import level_statistics

PROPERTIES = (
    "centroid-0",
    "centroid-1",
    "area",
    "perimeter",
    "eccentricity",
    "equivalent_diameter",
    "solidity",
    "extent",
    "axis_major_length",
    "axis_minor_length",
    "intensity_max",
    "intensity_mean",
    "intensity_min",
    "q25",
    "q75",
    "std",
)


@kernel()
def _accumulate(labels, image, with_image, sums, rows, first_row, extremes, border, counts):
    """Sum moments, perimeter neighbourhoods and grey-level counts; note each region's row extremes.

    ``sums`` holds area, row, column, row^2, column^2, row*column, from the region's first row and column 0.
    ``rows`` (m + 1,) is where a region's rows start in ``extremes``.
    """
    height, width = labels.shape
    for r in range(height):
        scan = r * image.shape[0] // height
        c = 0
        while c < width:
            k = labels[r, c]
            if k == 0:
                c += 1
                continue
            start = c
            while c < width and labels[r, c] == k:
                if with_image:
                    counts[k - 1, image[scan, c * image.shape[1] // width]] += 1
                if c == start or labels[r, c + 1] != k or labels[r - 1, c] != k or labels[r + 1, c] != k:
                    border[r, c] = 1
                c += 1
            n = c - start
            y = r - first_row[k - 1]
            column = 0.5 * (start + c - 1) * n
            sums[k - 1, 0] += n
            sums[k - 1, 1] += y * n
            sums[k - 1, 2] += column
            sums[k - 1, 3] += y * y * n
            sums[k - 1, 4] += (c - 1) * c * (2 * c - 1) / 6 - (start - 1) * start * (2 * start - 1) / 6
            sums[k - 1, 5] += y * column
            row = rows[k - 1] + y
            extremes[row, 0] = min(extremes[row, 0], start)
            extremes[row, 1] = max(extremes[row, 1], c - 1)


@kernel()
def _perimeters(labels, border, weights, out):
    """Sum the perimeter weights of every border pixel by its border neighbours of the same region."""
    height, width = labels.shape
    for r in range(1, height - 1):
        for c in range(1, width - 1):
            if border[r, c]:
                k = labels[r, c]
                near = 0
                for dr in range(-1, 2):
                    for dc in range(-1, 2):
                        if border[r + dr, c + dc] and labels[r + dr, c + dc] == k:
                            near += 1 if dr == 0 and dc == 0 else (2 if dr == 0 or dc == 0 else 10)
                out[k - 1] += weights[near]


@kernel()
def _greys(counts, values, out):
    """Fill ``out`` (m, 6) with the level statistics of every region."""
    for k in range(out.shape[0]):
        low, high, total = counts.shape[1], np.int64(0), np.int64(0)
        for level in range(counts.shape[1]):
            if counts[k, level]:
                low, high = min(low, level), level
                total += counts[k, level]
        level_statistics(counts[k], low, high, total, values, out[k])


@kernel()
def _hull_areas(rows, extremes, ys, xs, at, span, out):
    """Count the pixels whose centre lies in the convex hull of the region's pixels drawn as unit diamonds.

    Coordinates are doubled, so that every test is exact: pixel (r, c) has corners (2r, 2c +- 1), (2r +- 1,
    2c).
    """
    for k in range(out.size):
        base = rows[k]
        height = rows[k + 1] - base
        for side in range(2):
            sign = 1 - 2 * side
            top = 0
            for y in range(-1, 2 * height):
                if y % 2 == 0:
                    x = sign * 2 * extremes[base + y // 2, side] - 1
                else:
                    above, below = max(y // 2, 0), min(y // 2 + 1, height - 1)
                    x = min(sign * 2 * extremes[base + above, side], sign * 2 * extremes[base + below, side])
                while top >= 2 and (xs[side, top - 1] - xs[side, top - 2]) * (y - ys[side, top - 1]) >= (
                    x - xs[side, top - 1]
                ) * (ys[side, top - 1] - ys[side, top - 2]):
                    top -= 1
                xs[side, top] = x
                ys[side, top] = y
                top += 1
        at[0] = at[1] = 0
        for row in range(height):
            for side in range(2):
                while ys[side, at[side] + 1] < 2 * row:
                    at[side] += 1
                j = at[side]
                dy = ys[side, j + 1] - ys[side, j]
                # Twice the edge's column at this row, times dy: the first pixel is at half of it, rounded up.
                edge = xs[side, j] * dy + (xs[side, j + 1] - xs[side, j]) * (2 * row - ys[side, j])
                span[side] = -((-edge) // (2 * dy))
            out[k] += -span[1] - span[0] + 1


def _perimeter_weights() -> np.ndarray:
    """Weights by code (1 self, 2 per edge neighbour, 10 per corner neighbour) of Benkrid and Crookes."""
    weights = np.zeros(51)
    weights[[5, 7, 15, 17, 25, 27]] = 1.0
    weights[[21, 33]] = np.sqrt(2.0)
    weights[[13, 23]] = (1.0 + np.sqrt(2.0)) / 2.0
    return weights


def measure_regions(
    labels: np.ndarray, box: np.ndarray, levels: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Return the (m, 16) table ``PROPERTIES`` in pixels, with scikit-image's definitions.

    Args:
        labels: (H, W) int32 with labels 1..m, none of which touches the border of the image.
        box: (m, 4) first row, last row, first column, last column.
        levels: (h, w) uint16 image as indices into ``values``, read at the nearest pixel.
        values: (L,) float64 grey levels, empty if there is no image.
    """
    m = len(box)
    heights = box[:, 1] - box[:, 0] + 1
    rows = np.concatenate(([0], np.cumsum(heights)))
    extremes = np.empty((rows[-1], 2), np.int64)
    extremes[:] = labels.shape[1], -1
    sums, counts = np.zeros((m, 6)), np.zeros((m, len(values)), np.int32)
    border, perimeter, hull = np.zeros(labels.shape, np.uint8), np.zeros(m), np.zeros(m)
    first_row = np.ascontiguousarray(box[:, 0])
    _accumulate(labels, levels, len(values) > 0, sums, rows, first_row, extremes, border, counts)
    _perimeters(labels, border, _perimeter_weights(), perimeter)
    ys, xs = np.empty((2, 2, 2 * int(heights.max(initial=0)) + 2), np.int64)
    at, span = np.empty((2, 2), np.int64)
    _hull_areas(rows, extremes, ys, xs, at, span, hull)
    n, row, col, row2, col2, cross = sums.T
    mean_r, mean_c = row / n, col / n
    var_r, var_c, cov = row2 / n - mean_r**2, col2 / n - mean_c**2, cross / n - mean_r * mean_c
    middle, half = (var_r + var_c) / 2, np.hypot((var_r - var_c) / 2, cov)
    major, minor = middle + half, np.maximum(middle - half, 0.0)
    grey = np.zeros((m, 6))
    if len(values):
        _greys(counts, values, grey)
    return np.stack(
        [
            mean_r + first_row,
            mean_c,
            n,
            perimeter,
            np.sqrt(1 - minor / major),
            np.sqrt(4 * n / np.pi),
            n / hull,
            n / (heights * (box[:, 3] - box[:, 2] + 1)),
            4 * np.sqrt(major),
            4 * np.sqrt(minor),
            grey[:, 5],
            grey[:, 0],
            grey[:, 4],
            grey[:, 2],
            grey[:, 3],
            grey[:, 1],
        ],
        axis=1,
    )
