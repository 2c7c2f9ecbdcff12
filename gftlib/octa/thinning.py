"""Thinning of a vessel mask to a one-pixel centreline that keeps its topology.

The rule is that of Guo and Hall (1989, "Parallel thinning with two-subiteration algorithms", CACM 32(3)) with
one more demand, a single run of vessel pixels around the pixel (Rutovitz), which keeps straight vessels
straight where a branch leaves them. Deleting less than a rule that keeps topology keeps topology too (Ronse,
1988). A last sequential pass removes the corners that this leaves. Only pixels whose neighbourhood changed
are looked at again.
"""

from __future__ import annotations

import functools

import numpy as np

from gftlib.octa.compiled import kernel

STEPS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The eight neighbours as (row, col) steps, clockwise from north; bit k of a neighbour code is STEPS[k]."""

FIRST, SECOND, CORNER = 1, 2, 4


def _rule(code: int) -> int:
    n, ne, e, se, s, sw, w, nw = (bool(code >> k & 1) for k in range(8))
    ring = (n, ne, e, se, s, sw, w, nw)
    runs = sum(not ring[k - 1] and ring[k] for k in range(8))
    pieces = (not n and (ne or e)) + (not e and (se or s)) + (not s and (sw or w)) + (not w and (nw or n))
    pairs = min((nw or n) + (ne or e) + (se or s) + (sw or w), (n or ne) + (e or se) + (s or sw) + (w or nw))
    actions = 0
    if pieces == 1 and runs == 1 and 2 <= pairs <= 3:
        actions |= FIRST if not ((s or sw or not nw) and w) else 0
        actions |= SECOND if not ((n or ne or not se) and e) else 0
    if pieces == 1 and runs == 2:
        actions |= CORNER
    return actions


@functools.cache
def deletion_table() -> np.ndarray:
    """Return the 256 actions by neighbour code: bits FIRST, SECOND (sub-iterations), CORNER (last pass)."""
    return np.array([_rule(code) for code in range(256)], dtype=np.uint8)


@functools.cache
def count_table() -> tuple[np.ndarray, np.ndarray]:
    """Return the number of vessel neighbours and of separate runs of them, by neighbour code."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    runs = (bits == 1) & (np.roll(bits, 1, axis=1) == 0)
    return bits.sum(1).astype(np.uint8), runs.sum(1).astype(np.uint8)


@kernel()
def _thin(image, code, pending, table, steps, queues, sizes, dead):
    """Thin the flat padded image in place; queues (2, n) and dead (n,) have room for every vessel pixel."""
    first, second = queues[0], queues[1]
    for p in range(image.size):
        if image[p]:
            c = 0
            for k in range(8):
                c |= image[p + steps[k]] << k
            code[p] = c
            if c != 255:
                first[sizes[0]] = p
                second[sizes[1]] = p
                sizes[0] += 1
                sizes[1] += 1
                pending[p] = 3
    turn = 0
    while sizes[0] + sizes[1] > 0:
        queue = first if turn == 0 else second
        bit = 1 << turn
        deaths = 0
        for i in range(sizes[turn]):
            p = queue[i]
            pending[p] &= 3 - bit
            if image[p] and table[code[p]] & bit:
                dead[deaths] = p
                deaths += 1
        sizes[turn] = 0
        for i in range(deaths):
            p = dead[i]
            image[p] = 0
            for k in range(8):
                q = p + steps[k]
                if image[q]:
                    code[q] &= 255 - (1 << ((k + 4) & 7))
                    if not pending[q] & 1:
                        first[sizes[0]] = q
                        sizes[0] += 1
                    if not pending[q] & 2:
                        second[sizes[1]] = q
                        sizes[1] += 1
                    pending[q] = 3
        turn = 1 - turn
    count = 0
    for p in range(image.size):
        if image[p]:
            dead[count] = p
            count += 1
    changed = True
    while changed:
        changed = False
        kept = 0
        for i in range(count):
            p = dead[i]
            if table[code[p]] & 4:
                image[p] = 0
                changed = True
                for k in range(8):
                    code[p + steps[k]] &= 255 - (1 << ((k + 4) & 7))
            else:
                dead[kept] = p
                kept += 1
        count = kept
    return count


def thin(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thin a mask; vessels are 8-connected and their background is 4-connected.

    Args:
        mask: (H, W) array, non-zero is vessel.

    Returns:
        The skeleton and its neighbour codes (meaningful on skeleton pixels), both uint8 and padded by one
        pixel on every side (H + 2, W + 2), and the flat indices of the skeleton pixels in the padded array,
        in raster order.
    """
    image = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    image[1:-1, 1:-1] = mask != 0
    size = int(np.count_nonzero(image))
    code, pending = np.zeros(image.shape, np.uint8), np.zeros(image.shape, np.uint8)
    queues, dead = np.empty((2, size), np.int32), np.empty(size, np.int32)
    steps = np.array([r * image.shape[1] + c for r, c in STEPS], dtype=np.int64)
    sizes = np.zeros(2, np.int64)
    count = _thin(image.ravel(), code.ravel(), pending.ravel(), deletion_table(), steps, queues, sizes, dead)
    return image, code, dead[:count].copy()
