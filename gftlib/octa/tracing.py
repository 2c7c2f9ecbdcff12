"""From a skeleton to raw vessel segments: junction clusters, traced paths, wall distances on the centreline.

All kernels work on flat indices of arrays padded by one pixel, so that no step needs a border test. They
compile on first use and are cached on disk; ``gftlib.octa.graph.precompile`` pays for that once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.octa.compiled import kernel
from gftlib.octa.thinning import STEPS, count_table, thin
from gftlib.octa.walls import wall_distances


@dataclass(frozen=True)
class Segments:
    """Vessel segments between nodes, as flat indices of the padded image.

    Attributes:
        shape: Height and width of the mask, without padding.
        pixels: (p,) int32 flat indices, all segments one after another; a segment starts and ends on a pixel
            of its two nodes (the same pixel for a ring).
        offsets: (n + 1,) int64 first entry of each segment in ``pixels``.
        ends: (n, 2) int64 node indices.
        nodes: (k, 2) float64 node positions, row and column in the image without padding.
        radius: (k,) float64 distance from the node to the nearest wall, in pixels.
    """

    shape: tuple[int, int]
    pixels: np.ndarray
    offsets: np.ndarray
    ends: np.ndarray
    nodes: np.ndarray
    radius: np.ndarray

    @property
    def width(self) -> int:
        """Columns of the padded image."""
        return self.shape[1] + 2

    def from_border(self) -> np.ndarray:
        """Return how far each node is from the image border (the outermost pixel centres), in pixels."""
        return np.minimum(self.nodes, np.array(self.shape) - 1.0 - self.nodes).min(axis=1)

    def cut(self) -> np.ndarray:
        """Return which nodes are free ends where the border cuts a vessel: within their radius + 2 of it."""
        return (self.degree() == 1) & (self.from_border() <= self.radius + 2)

    def degree(self) -> np.ndarray:
        """Return how many segment ends meet at each node (a loop counts twice)."""
        return np.bincount(self.ends.ravel(), minlength=len(self.nodes))

    def rows_cols(self) -> np.ndarray:
        """Return the path pixels as (p, 2) rows and columns of the image without padding."""
        return np.stack(np.divmod(self.pixels, self.width), axis=1).astype(np.int32) - np.int32(1)


@kernel()
def _clusters(points, flat, width, code, neighbours, runs, steps, distance, node_of, nodes, radius, stack):
    """Give adjacent branching pixels one node, at the mean of those that join three runs (else of all)."""
    count = 0
    for i in range(points.size):
        if neighbours[code[points[i]]] < 3 or node_of[points[i]] >= 0:
            continue
        stack[0] = points[i]
        node_of[points[i]] = count
        size = 1
        row = col = row3 = col3 = 0.0
        branching = 0
        total = 0
        while size > 0:
            size -= 1
            p = stack[size]
            y, x = p // width - 1, p % width - 1
            row += y
            col += x
            total += 1
            radius[count] = max(radius[count], distance[p])
            if runs[code[p]] >= 3:
                row3 += y
                col3 += x
                branching += 1
            for k in range(8):
                q = p + steps[k]
                if flat[q] and node_of[q] < 0 and neighbours[code[q]] >= 3:
                    node_of[q] = count
                    stack[size] = q
                    size += 1
        nodes[count, 0] = row3 / branching if branching else row / total
        nodes[count, 1] = col3 / branching if branching else col / total
        count += 1
    return count


@kernel()
def _walk(start, first, flat, steps, node_of, seen, pixels, size):
    """Follow a path from ``start`` through ``first`` to a branching pixel, a free end or ``start`` itself."""
    pixels[size] = start
    size += 1
    before, here = start, first
    while True:
        pixels[size] = here
        size += 1
        if node_of[here] >= 0:
            return size
        seen[here] = 1
        onward = -1
        for k in range(8):
            q = here + steps[k]
            if flat[q] and q != before:
                onward = q
        if onward < 0:
            return size
        before, here = here, onward


@kernel()
def _trace(
    points,
    flat,
    width,
    code,
    neighbours,
    steps,
    distance,
    node_of,
    nodes,
    radius,
    count,
    seen,
    pixels,
    offsets,
    ends,
):
    """Trace paths from branching pixels, then from free ends, then rings; every free end becomes a node."""
    size = offsets[0]
    segments = 0
    for turn in range(3):
        for i in range(points.size):
            p = points[i]
            around = neighbours[code[p]]
            if seen[p] or around == 0 or (turn == 0) != (around >= 3) or (turn == 1 and around != 1):
                continue
            if turn > 0:
                node_of[p] = count
                nodes[count, 0], nodes[count, 1] = p // width - 1, p % width - 1
                radius[count] = distance[p]
                count += 1
                seen[p] = 1
            for k in range(8):
                q = p + steps[k]
                if not flat[q] or seen[q] or node_of[q] == node_of[p]:
                    continue
                begin = size
                size = _walk(p, q, flat, steps, node_of, seen, pixels, size)
                last = pixels[size - 1]
                # A single pixel between two of one cluster fills a corner and goes round nothing.
                if size == begin + 3 and node_of[last] == node_of[p]:
                    size = begin
                    continue
                if node_of[last] < 0:
                    node_of[last] = count
                    nodes[count, 0], nodes[count, 1] = last // width - 1, last % width - 1
                    radius[count] = distance[last]
                    count += 1
                ends[segments, 0], ends[segments, 1] = node_of[p], node_of[last]
                segments += 1
                offsets[segments] = size
                if turn > 0:
                    break
    return segments, size, count


def trace(mask: np.ndarray) -> tuple[Segments, np.ndarray]:
    """Thin a mask and trace its skeleton into segments between nodes; nothing is pruned yet.

    Nodes are clusters of skeleton pixels with three or more neighbours, free ends, and one anchor on each
    ring without a branch. A lone skeleton pixel (a blob) makes no segment.

    Args:
        mask: (H, W) uint8, non-zero is vessel.

    Returns:
        The segments, and the padded float32 image of wall distances (pixels, to the nearest background pixel
        centre) that is filled on skeleton pixels.
    """
    image, code, points = thin(mask)
    neighbours, runs = count_table()
    steps = np.array([r * image.shape[1] + c for r, c in STEPS], dtype=np.int64)
    distance = wall_distances(mask, points)
    size = len(points)
    node_of = np.full(image.size, -1, np.int32)
    nodes, radius = np.zeros((size, 2)), np.zeros(size)
    flat, code, width = image.ravel(), code.ravel(), image.shape[1]
    count = _clusters(
        points,
        flat,
        width,
        code,
        neighbours,
        runs,
        steps,
        distance,
        node_of,
        nodes,
        radius,
        np.empty(size, np.int32),
    )
    pixels, offsets = np.empty(4 * size, np.int32), np.zeros(2 * size + 1, np.int64)
    ends, seen = np.empty((2 * size, 2), np.int64), np.zeros(image.size, np.uint8)
    segments, filled, count = _trace(
        points,
        flat,
        width,
        code,
        neighbours,
        steps,
        distance,
        node_of,
        nodes,
        radius,
        count,
        seen,
        pixels,
        offsets,
        ends,
    )
    made = Segments(
        mask.shape,
        pixels[:filled].copy(),
        offsets[: segments + 1].copy(),
        ends[:segments].copy(),
        nodes[:count].copy(),
        radius[:count].copy(),
    )
    return made, distance
