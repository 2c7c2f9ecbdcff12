"""Where vessels really meet: end nodes moved from the skeleton to the vessels' own axes.

Inside the disc where two vessels have merged, the skeleton bends towards the common middle. Outside of it
each vessel still shows its axis; the axes, extended, meet at the junction. A vessel that the image border
cuts loses its last stretch to thinning; its axis is extended to the border.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gftlib.octa.compiled import kernel
from gftlib.octa.tracing import Segments

ZONE = 0.7
"""Share of a junction's inscribed radius within which the skeleton does not show a single vessel."""

SPAN_PX = 6.0
"""Length of path, in pixels, from which the axis of a vessel beside a junction is taken."""

AXIS_PX, AXIS_RADIANS = 0.3, 0.1
"""Standard errors of an axis: of its place, and of its direction (which counts times the distance)."""

SKELETON_PX, SKELETON_SHARE = 0.7, 0.15
"""Standard error of the skeleton's own junction: a constant, and a share of the inscribed radius."""


@kernel()
def _axes(pixels, offsets, ends, nodes, zone, width, axes):
    """Fit a line to the stretch of path beyond each end's zone.

    ``axes`` (2 n, 5) receives mean row, mean column, outward unit direction, and the number of pixels used
    (0 if the segment is too short).
    """
    for half in range(2 * ends.shape[0]):
        s, side = half // 2, half % 2
        a, b = offsets[s], offsets[s + 1]
        node = ends[s, side]
        step = 1 if side == 0 else -1
        i = a if side == 0 else b - 1
        stop = b if side == 0 else a - 1
        other = ends[s, 1 - side]
        n = row = col = row2 = col2 = cross = 0.0
        while i != stop:
            y, x = pixels[i] // width - 1.0, pixels[i] % width - 1.0
            i += step
            away = math.sqrt((y - nodes[node, 0]) ** 2 + (x - nodes[node, 1]) ** 2)
            if away > zone[node] + SPAN_PX:
                break
            back = math.sqrt((y - nodes[other, 0]) ** 2 + (x - nodes[other, 1]) ** 2)
            if away < zone[node] or back < zone[other]:
                continue
            n += 1
            row += y
            col += x
            row2 += y * y
            col2 += x * x
            cross += y * x
        axes[half, 4] = n
        if n < 3:
            axes[half, 4] = 0
            continue
        row, col = row / n, col / n
        angle = 0.5 * math.atan2(2 * (cross / n - row * col), (row2 / n - row * row) - (col2 / n - col * col))
        dy, dx = math.cos(angle), math.sin(angle)
        if dy * (row - nodes[node, 0]) + dx * (col - nodes[node, 1]) < 0:
            dy, dx = -dy, -dx
        axes[half, 0], axes[half, 1], axes[half, 2], axes[half, 3] = row, col, dy, dx


def refine_junctions(segments: Segments) -> tuple[Segments, np.ndarray]:
    """Move junctions to where the axes of their vessels meet, and cut ends to the image border.

    A junction goes to the weighted least-squares meeting point of the axes and its old place, but never
    further than its own inscribed radius plus one pixel. A free end nearer to the border than its radius
    plus two pixels goes to where its axis crosses the border.

    Args:
        segments: Pruned segments.

    Returns:
        The segments with new node positions, and (k,) the distance from the old position within which paths
        are to be replaced by a straight line to the node.
    """
    degree = segments.degree()
    nodes = segments.nodes
    cut = segments.cut()
    zone = np.where(degree >= 3, ZONE * segments.radius, np.where(cut, segments.radius, 0.0))
    axes = np.empty((2 * len(segments.ends), 5))
    _axes(segments.pixels, segments.offsets, segments.ends, nodes, zone, segments.width, axes)
    owner = segments.ends.ravel()
    seen = axes[:, 4] > 0
    moved = _meeting(axes[seen], owner[seen], segments)
    step = moved - nodes
    size = np.linalg.norm(step, axis=1)
    usable = (degree >= 3) & (np.bincount(owner[seen], minlength=len(nodes)) >= 2)
    limit = segments.radius + 1
    step *= np.where(usable, np.minimum(1, limit / np.maximum(size, 1e-9)), 0)[:, None]
    ending = seen & cut[owner]
    step[owner[ending]] = _to_border(axes[ending], segments.shape) - nodes[owner[ending]]
    far = np.linalg.norm(step, axis=1) > 3 * segments.radius + 4
    step[cut & far] = 0
    zone[cut & far] = 0
    straight = np.where(degree >= 3, segments.radius, zone)
    return dataclasses.replace(segments, nodes=nodes + step), straight


def _meeting(axes: np.ndarray, owner: np.ndarray, segments: Segments) -> np.ndarray:
    """Return (k, 2) the weighted least-squares meeting points of the axes and the old place of each node."""
    normal = np.stack([-axes[:, 3], axes[:, 2]], axis=1)
    away = axes[:, :2] - segments.nodes[owner]
    weight = 1 / (AXIS_PX**2 + AXIS_RADIANS**2 * (away**2).sum(1))
    offset = (normal * away).sum(1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, weight * values, minlength=len(segments.nodes))

    own = 1 / (SKELETON_PX**2 + (SKELETON_SHARE * segments.radius) ** 2)
    a, d = total(normal[:, 0] ** 2) + own, total(normal[:, 1] ** 2) + own
    b, p, q = (total(normal[:, i] * v) for i, v in ((0, normal[:, 1]), (0, offset), (1, offset)))
    det = a * d - b * b
    return segments.nodes + np.stack([(d * p - b * q) / det, (a * q - b * p) / det], axis=1)


def _to_border(axes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return where the axes, followed backwards, cross the border (the outermost pixel centres)."""
    limit = np.array(shape) - 1.0
    back = -axes[:, 2:4]
    goal = np.where(back > 0, limit, 0.0)
    away = np.where(np.abs(back) > 1e-9, (goal - axes[:, :2]) / np.where(back == 0, 1, back), np.inf)
    return np.clip(axes[:, :2] + away.min(axis=1, keepdims=True) * back, 0, limit)
