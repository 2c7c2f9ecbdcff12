"""The compiled loops of measuring masks: PNG filters, extent, coarse grid, components."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_BYTES = numba.types.Array(numba.uint8, 1, "C", readonly=True)


@numba.njit(nogil=True, cache=True)
def _unfilter(kind: int, row: NDArray[np.uint8], above: NDArray[np.uint8], line: NDArray[np.uint8]) -> None:
    """Undo a PNG filter of any kind on one row (one byte a pixel)."""
    left, corner = 0, 0
    for c in range(len(row)):
        up = np.int64(above[c])
        add = 0
        if kind == 1:
            add = left
        elif kind == 2:
            add = up
        elif kind == 3:
            add = (left + up) // 2
        elif kind == 4:
            a, b, d = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            add = left if a <= b and a <= d else up if b <= d else corner
        left, corner = (row[c] + add) & 255, up
        line[c] = left


@numba.njit(
    numba.void(_BYTES, numba.uint8[:, ::1], numba.int64[::1], numba.uint8[:, ::1], numba.boolean),
    nogil=True,
    cache=True,
)
def scan(
    raw: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    extent: NDArray[np.int64],
    grid: NDArray[np.uint8],
    invert: bool,
) -> None:
    """Undo the PNG filters of ``raw`` into ``pixels`` and add up extent (x0, y0, x1, y1, area) and grid."""
    height, width = pixels.shape
    cells = grid.shape[0]
    counts = np.zeros((cells, cells), np.int64)
    cell_of = np.arange(width) * cells // width
    blank = True
    for r in range(height):
        kind = raw[r * (width + 1)]
        row = raw[r * (width + 1) + 1 : (r + 1) * (width + 1)]
        line = pixels[r]
        bits = numba.uint8(0)
        for c in range(width):
            bits = numba.uint8(bits | row[c])
        # A row of zero bytes below a zero row is zero under every filter.
        if blank and bits == 0:
            line[:] = 0
            if not invert:
                continue
        elif kind == 1:
            value = numba.uint8(0)
            for c in range(width):
                value = numba.uint8(value + row[c])
                line[c] = value
        else:
            _unfilter(kind, row, pixels[r - 1] if r else np.zeros(width, np.uint8), line)
        first, last, count = width, 0, 0
        cell = counts[r * cells // height]
        for c in range(width):
            if (line[c] != 0) != invert:
                first = min(first, c)
                last = c + 1
                count += 1
                cell[cell_of[c]] += 1
        blank = count == (width if invert else 0)
        if count:
            extent[0] = min(extent[0], first)
            extent[1] = min(extent[1], r)
            extent[2] = max(extent[2], last)
            extent[3] = r + 1
            extent[4] += count
    for r in range(cells):
        for c in range(cells):
            grid[r, c] = min(255, counts[r, c] * 255 * cells * cells // (height * width))


@numba.njit(numba.int64[:, ::1](numba.boolean[:, :]), nogil=True, cache=True)
def label_runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (n, 5) x0, y0, x1, y1, area of the 8-connected components, found by joining runs of rows."""
    height, width = mask.shape
    total = 0
    for r in range(height):
        for c in range(width):
            total += mask[r, c] and (c == 0 or not mask[r, c - 1])
    parent = np.arange(total)
    runs = np.empty((total, 3), np.int64)
    at, above, here = 0, 0, 0
    for r in range(height):
        above, here = here, at
        c = 0
        while c < width:
            if not mask[r, c]:
                c += 1
                continue
            start = c
            while c < width and mask[r, c]:
                c += 1
            runs[at] = r, start, c
            # Runs of the row above that touch, corners included; those that end before will not touch again.
            while above < here and runs[above, 2] < start:
                above += 1
            k = above
            while k < here and runs[k, 1] <= c:
                a, b = at, k
                while parent[a] != a:
                    a = parent[a]
                while parent[b] != b:
                    parent[b] = parent[parent[b]]
                    b = parent[b]
                parent[max(a, b)] = min(a, b)
                k += 1
            at += 1
    found = np.empty((total, 5), np.int64)
    index = np.empty(total, np.int64)
    n = 0
    for k in range(total):
        r, start, stop = runs[k]
        if parent[k] == k:
            index[k] = n
            found[n] = start, r, stop, r + 1, stop - start
            n += 1
            continue
        # A parent comes before its children, so its own root is known.
        parent[k] = parent[parent[k]]
        i = index[k] = index[parent[k]]
        found[i, 0] = min(found[i, 0], start)
        found[i, 2] = max(found[i, 2], stop)
        found[i, 3] = r + 1
        found[i, 4] += stop - start
    return found[:n].copy()
