"""Clean-up of traced segments: spurs and bulges go, nearby junctions merge, two pieces become one segment."""

from __future__ import annotations

import dataclasses

import numpy as np

from gftlib.octa.compiled import kernel
from gftlib.octa.tracing import Segments

MIN_SPUR_PX = 1.0
"""A side branch is a spur unless it is longer than both its discs together by this much; see ``prune``."""

MERGE_PX = 2.0
"""Junctions joined by a segment no longer than this are one junction; see ``merge_junctions``."""


def raw_lengths(segments: Segments) -> np.ndarray:
    """Return each segment's chain length in pixels, 1 for a straight and sqrt(2) for a diagonal step."""
    # A straight step changes the flat index by 1 or by the width, a diagonal one by the width plus or minus 1
    jumps = np.abs(np.abs(np.diff(segments.pixels)) - segments.width)
    steps = np.where(jumps == 1, np.sqrt(2.0), 1.0)
    total = np.concatenate(([0.0], np.cumsum(steps)))
    return total[segments.offsets[1:] - 1] - total[segments.offsets[:-1]]


@kernel()
def _append(out, size, pixel, width):
    """Add a pixel to a path, first filling any gap to the path's last pixel by a straight digital line."""
    r0, c0 = out[size - 1] // width, out[size - 1] % width
    dr, dc = pixel // width - r0, pixel % width - c0
    steps = max(abs(dr), abs(dc))
    for i in range(1, steps + 1):
        out[size] = (
            (r0 + (2 * dr * i + steps) // (2 * steps)) * width + c0 + (2 * dc * i + steps) // (2 * steps)
        )
        size += 1
    return size


@kernel()
def _join(ends, offsets, pixels, degree, halves, width, used, out, out_offsets, out_ends):
    """Concatenate the chains of segments that meet at nodes of degree two.

    A half is 2 * segment + side; ``halves`` (k, 2) holds the two that meet at a node of degree two.
    """
    size = out_offsets[0]
    count = 0
    for turn in range(2):
        for start in range(2 * ends.shape[0]):
            first = ends[start // 2, start % 2]
            if used[start // 2] or (turn == 0 and degree[first] == 2):
                continue
            out_ends[count, 0] = first
            half = start
            begin = size
            while True:
                segment, side = half // 2, half % 2
                used[segment] = 1
                a, b = offsets[segment], offsets[segment + 1]
                for i in range(a, b):
                    p = pixels[i] if side == 0 else pixels[a + b - 1 - i]
                    if size == begin:
                        out[size] = p
                        size += 1
                    else:
                        size = _append(out, size, p, width)
                node = ends[segment, 1 - side]
                half = 2 * segment + 1 - side
                if degree[node] != 2 or node == first:
                    break
                half = halves[node, 1] if halves[node, 0] == half else halves[node, 0]
            out_ends[count, 1] = node
            count += 1
            out_offsets[count] = size
    return count, size


def dissolve(segments: Segments, keep: np.ndarray) -> Segments:
    """Drop the segments not in ``keep`` (n, bool), dissolve nodes of degree two, forget unused nodes."""
    lengths = np.diff(segments.offsets)
    pixels = segments.pixels[np.repeat(keep, lengths)]
    offsets = np.concatenate(([0], np.cumsum(lengths[keep])))
    ends = np.ascontiguousarray(segments.ends[keep])
    degree = np.bincount(ends.ravel(), minlength=len(segments.nodes))
    order = np.argsort(ends.ravel(), kind="stable")
    first = np.concatenate(([0], np.cumsum(degree)))
    halves = np.zeros((len(degree), 2), np.int64)
    pairs = np.flatnonzero(degree == 2)
    halves[pairs, 0], halves[pairs, 1] = order[first[pairs]], order[first[pairs] + 1]
    out = np.empty(len(pixels) + 64 + 64 * len(pairs), np.int32)
    used = np.zeros(len(ends), np.uint8)
    out_offsets, out_ends = np.zeros(len(ends) + 1, np.int64), np.empty((len(ends), 2), np.int64)
    count, size = _join(
        ends, offsets, pixels, degree, halves, segments.width, used, out, out_offsets, out_ends
    )
    used, renumbered = np.unique(out_ends[:count], return_inverse=True)
    return Segments(
        segments.shape,
        out[:size].copy(),
        out_offsets[: count + 1].copy(),
        renumbered.reshape(count, 2).astype(np.int64),
        segments.nodes[used],
        segments.radius[used],
    )


def prune(segments: Segments, min_spur_px: float = MIN_SPUR_PX) -> Segments:
    """Remove spurs and bulges until none is left.

    A side branch with a free end is a spur if its length is at most the radius at its junction, plus the
    radius at its free end, plus ``min_spur_px``: then the inscribed discs of the two ends (nearly) touch, so
    what it follows is a bulge of the wall (a microaneurysm, a rough edge, the corner of a blunt end) and not
    a vessel. Shortest first; a junction that has come down to two segments dissolves and protects what is
    left.

    Args:
        segments: Traced segments.
        min_spur_px: Margin in pixels of the mask.

    Returns:
        The segments that stay, joined where a junction has dissolved.
    """
    if (segments.degree() == 2).any():
        segments = dissolve(segments, np.ones(len(segments.ends), bool))
    while len(segments.ends):
        degree = segments.degree()
        at_end = degree[segments.ends] == 1
        spurs = np.flatnonzero(at_end[:, 0] ^ at_end[:, 1])
        # A vessel that the border cuts goes on outside: its end is at the border and no bulge.
        cut = segments.cut()
        beyond = np.where(cut, segments.from_border(), np.where(degree == 1, 0.5 - segments.radius, 0.0))
        radius = np.where(degree == 1, 0.0, segments.radius - 0.5)
        limit = radius[segments.ends[spurs]].sum(1) + min_spur_px
        length = raw_lengths(segments)[spurs] + beyond[segments.ends[spurs]].sum(1)
        short = length <= limit
        spurs, order = spurs[short], np.argsort(length[short], kind="stable")
        keep = np.ones(len(segments.ends), bool)
        left = degree.tolist()
        for spur in spurs[order].tolist():
            junction = int(segments.ends[spur, 0 if at_end[spur, 1] else 1])
            if left[junction] >= 3:
                left[junction] -= 1
                keep[spur] = False
        if keep.all():
            break
        segments = dissolve(segments, keep)
    return segments


def merge_junctions(segments: Segments, merge_px: float = MERGE_PX) -> Segments:
    """Contract segments of at most ``merge_px`` between two junctions; the node goes to their mean."""
    degree = segments.degree()
    a, b = segments.ends.T
    short = (a != b) & (degree[a] >= 3) & (degree[b] >= 3) & (raw_lengths(segments) <= merge_px)
    if not short.any():
        return segments
    parent = np.arange(len(segments.nodes))
    for left, right in segments.ends[short].tolist():
        roots = []
        for node in (left, right):
            while parent[node] != node:
                node = parent[node]
            roots.append(node)
        parent[max(roots)] = min(roots)
    while (parent[parent] != parent).any():
        parent = parent[parent]
    used, group = np.unique(parent, return_inverse=True)
    size = np.bincount(group)
    nodes = np.stack([np.bincount(group, segments.nodes[:, k]) / size for k in (0, 1)], axis=1)
    radius = np.zeros(len(used))
    np.maximum.at(radius, group, segments.radius)
    merged = dataclasses.replace(segments, ends=group[segments.ends], nodes=nodes, radius=radius)
    return dissolve(merged, ~short)
