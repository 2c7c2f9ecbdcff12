"""The areas between vessels: their labels, and which of them is the foveal avascular zone (FAZ)."""

from __future__ import annotations

import cc3d
import edt
import numpy as np

from gftlib.errors import InputError
from gftlib.octa.compiled import kernel

FRAME_PX = 2
"""Width of the image frame that counts as vessel when regions are labelled."""

MIN_HOLE_PX = 10
"""Background components of at most this many pixels are holes in a vessel and are filled."""

MIN_FAZ_MM = 0.1
"""Smallest radius of the largest inscribed circle that makes a region an FAZ."""


@kernel()
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


@kernel()
def _relabel(found, new, mask, labels):
    """Write the final labels and fill the holes of the mask (``new`` is -1 there)."""
    for i in range(found.size):
        k = found[i]
        if k:
            if new[k] < 0:
                mask[i] = 1
            else:
                labels[i] = new[k]


def find_faz(
    found: np.ndarray, area: np.ndarray, box: np.ndarray, min_radius_px: float, rule: str = "inscribed"
) -> int:
    """Return the label of the FAZ, or 0 if there is none.

    Rule ``inscribed``: the region that holds the largest circle centred in the middle half of the image (in
    height and width), if its radius reaches ``min_radius_px``. Rule ``centre``: the region under the image
    centre, stepping down to the first one, of any size, as in the public code of the graph that GFT builds
    on.

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

    Regions are the 4-connected components of the background inside a frame of ``FRAME_PX`` pixels that counts
    as vessel; components of at most ``min_hole_px`` pixels are filled.

    Args:
        mask: (H, W) uint8, non-zero is vessel.
        min_hole_px: Largest hole that is filled.
        min_faz_px: Smallest inscribed radius of an FAZ in pixels.
        faz_rule: See ``find_faz``.

    Returns:
        (H, W) int32 labels: 0 vessel or frame, 1..m intercapillary areas in raster order, m + 1 the FAZ; the
        filled mask; pixels and box (first row, last row, first column, last column) of each region; and
        whether the last region is the FAZ.
    """
    free = np.zeros(mask.shape, np.uint8)
    inner = (slice(FRAME_PX, -FRAME_PX),) * 2
    free[inner] = mask[inner] == 0
    found, count = cc3d.connected_components(
        free, connectivity=4, binary_image=True, return_N=True, out_dtype=np.uint32
    )
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
