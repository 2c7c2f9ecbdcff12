"""The areas between vessels: labels, the table of region properties, and the foveal avascular zone (FAZ)."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from numba import njit

from gftlib.errors import InputError
from gftlib.octa.measuring import level_statistics

FRAME_PX = 2
"""Width of the image frame that counts as vessel when regions are labelled."""

MIN_HOLE_PX = 10
"""Background components of at most this many pixels are holes in a vessel and are filled."""

MIN_FAZ_MM = 0.1
"""Smallest radius of the largest inscribed circle that makes a region an FAZ."""

PROPERTIES = (
    "centroid-0 centroid-1 area perimeter eccentricity equivalent_diameter solidity extent axis_major_length "
    "axis_minor_length intensity_max intensity_mean intensity_min q25 q75 std"
).split()


@dataclass(frozen=True)
class Regions:
    """Regions of a mask.

    Attributes:
        labels: (H, W) int32; 0 is vessel or frame, 1..m are intercapillary areas in raster order, m + 1 is the FAZ.
        mask: (H, W) uint8 vessel mask with holes filled.
        table: (m or m + 1, 16) float64, the columns ``PROPERTIES`` in pixels.
        has_faz: Whether the last region is the FAZ.
    """

    labels: np.ndarray
    mask: np.ndarray
    table: np.ndarray
    has_faz: bool


@njit(cache=True, nogil=True)
def _boxes(labels, area, box):
    """Count pixels per label and fill ``box`` with first row, last row, first column, last column."""
    height, width = labels.shape
    for r in range(height):
        for c in range(width):
            k = labels[r, c]
            if k:
                if area[k] == 0:
                    box[k, 0] = r
                    box[k, 2] = c
                    box[k, 3] = c
                area[k] += 1
                box[k, 1] = r
                box[k, 2] = min(box[k, 2], c)
                box[k, 3] = max(box[k, 3], c)


@njit(cache=True, nogil=True)
def _relabel(found, new, mask, labels):
    """Write the final labels and fill the holes of the mask (``new`` is -1 there)."""
    for i in range(found.size):
        k = found[i]
        if k:
            if new[k] < 0:
                mask[i] = 1
            else:
                labels[i] = new[k]


@njit(cache=True, nogil=True)
def _accumulate(labels, image, with_image, sums, rows, first_row, extremes, border, counts):
    """Sum moments, perimeter neighbourhoods and grey-level counts; note each region's row extremes.

    ``sums`` holds area, row, column, row^2, column^2, row*column about the region's first row and image column 0.
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _hull_areas(rows, extremes, out):
    """Count the pixels whose centre lies in the convex hull of the region's pixels drawn as unit diamonds.

    Coordinates are doubled, so that every test is exact: a pixel (r, c) has the corners (2r, 2c +- 1), (2r +- 1, 2c).
    """
    longest = 0
    for k in range(out.size):
        longest = max(longest, rows[k + 1] - rows[k])
    ys, xs = np.empty((2, 2 * longest + 2), np.int64), np.empty((2, 2 * longest + 2), np.int64)
    for k in range(out.size):
        base = rows[k]
        height = rows[k + 1] - base
        size = np.zeros(2, np.int64)
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
            size[side] = top
        at = np.zeros(2, np.int64)
        for row in range(height):
            span = np.zeros(2, np.int64)
            for side in range(2):
                while ys[side, at[side] + 1] < 2 * row:
                    at[side] += 1
                j = at[side]
                dy = ys[side, j + 1] - ys[side, j]
                # Twice the column of the edge at this row, times dy; the first whole column is its half, rounded up.
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


def find_faz(
    found: np.ndarray, area: np.ndarray, box: np.ndarray, min_radius_px: float, rule: str = "inscribed"
) -> int:
    """Return the label of the FAZ, or 0 if there is none.

    Rule ``inscribed``: the region that holds the largest circle centred in the middle half of the image (in height
    and width), if its radius reaches ``min_radius_px``. Rule ``centre``: the region under the image centre, stepping
    down to the first one, as in the public code of the graph that GFT builds on; of any size.

    Args:
        found: (H, W) region labels.
        area: Pixels by label.
        box: First row, last row, first column, last column by label.
        min_radius_px: Smallest accepted radius.
        rule: ``inscribed`` or ``centre``.
    """
    height, width = found.shape
    if rule == "centre":
        below = found[height // 2 :, width // 2]
        hits = below[below > 0]
        return int(hits[0]) if len(hits) else 0
    if rule != "inscribed":
        raise InputError(f"no FAZ rule {rule!r}: choose 'inscribed' or 'centre'")
    sides = np.minimum(box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]) + 1
    bound = np.minimum(np.sqrt(area / np.pi) + 1, sides / 2 + 1)
    central = (box[:, 0] < 0.75 * height) & (box[:, 1] >= 0.25 * height)
    central &= (box[:, 2] < 0.75 * width) & (box[:, 3] >= 0.25 * width)
    best, chosen = min_radius_px, 0
    for k in sorted(np.flatnonzero(central & (bound >= min_radius_px)), key=lambda k: -bound[k]):
        if k == 0 or bound[k] <= best:
            continue
        r0, r1, c0, c1 = box[k]
        crop = np.pad(found[r0 : r1 + 1, c0 : c1 + 1] == k, 1)
        inside = edt.edt(crop.view(np.uint8), black_border=True, parallel=1)[1:-1, 1:-1]
        a, b = max(int(np.ceil(0.25 * height)) - r0, 0), max(int(np.ceil(0.25 * width)) - c0, 0)
        window = inside[a : int(0.75 * height) - r0, b : int(0.75 * width) - c0]
        if window.size and window.max() - 0.5 > best:
            best, chosen = float(window.max()) - 0.5, int(k)
    return chosen


def label_regions(
    mask: np.ndarray, min_hole_px: int = MIN_HOLE_PX, min_faz_px: float = 0.0, faz_rule: str = "inscribed"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]:
    """Label the background between vessels.

    Regions are the 4-connected components of the background inside a frame of ``FRAME_PX`` pixels that counts as
    vessel; components of at most ``min_hole_px`` pixels are filled.

    Returns:
        Labels as in ``Regions``, the filled mask, area and box (first row, last row, first column, last column) of
        regions 1..., and whether the last is the FAZ.
    """
    free = np.zeros(mask.shape, np.uint8)
    inner = (slice(FRAME_PX, -FRAME_PX),) * 2
    free[inner] = mask[inner] == 0
    found, count = cc3d.connected_components(free, connectivity=4, binary_image=True, return_N=True, out_dtype=np.uint32)
    area, box = np.zeros(count + 1, np.int64), np.zeros((count + 1, 4), np.int64)
    _boxes(found, area, box)
    big = area > min_hole_px
    faz = find_faz(found, np.where(big, area, 0), box, min_faz_px, faz_rule)
    new = np.full(count + 1, -1, np.int32)
    order = np.flatnonzero(big & (np.arange(count + 1) != faz))
    order = np.append(order, faz) if faz else order
    new[order] = np.arange(1, len(order) + 1)
    labels, filled = np.zeros(mask.shape, np.int32), mask.astype(np.uint8)
    _relabel(found.ravel(), new, filled.ravel(), labels.ravel())
    return labels, filled, area[order], box[order], faz > 0


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
    _hull_areas(rows, extremes, hull)
    n, row, col, row2, col2, cross = sums.T
    mean_r, mean_c = row / n, col / n
    var_r, var_c, cov = row2 / n - mean_r**2, col2 / n - mean_c**2, cross / n - mean_r * mean_c
    middle, half = (var_r + var_c) / 2, np.hypot((var_r - var_c) / 2, cov)
    major, minor = middle + half, np.maximum(middle - half, 0.0)
    grey = np.zeros((m, 6))
    for k in range(m if len(values) else 0):
        level_statistics(counts[k], int(n[k]), values, grey[k])
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
