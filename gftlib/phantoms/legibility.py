"""Dropping capillaries whose junctions no one could read in the drawn label.

Where two branches leave a vessel less than about its width apart, or two vessels run together at a narrow
angle, the medial axis of the drawing no longer shows where they join. Such capillaries go before anything is
drawn.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from gftlib.phantoms.strokes import Strokes


def drop_illegible(strokes: Strokes, spacing: float, least_angle: float) -> None:
    """Drop capillaries with crowded or narrow junctions (in place).

    Args:
        strokes: Polylines within the frame.
        spacing: Least distance of two junctions, in radii of the thicker vessel.
        least_angle: Least angle between two vessels at a junction, radians.
    """
    strokes.keep(~_narrow(strokes, least_angle))
    strokes.prune()
    strokes.keep(~_crowded(strokes, spacing))


def _ends(strokes: Strokes, ahead: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return node, edge, position and heading (``ahead`` points in) of all 2m ends of edges."""
    first, last = strokes.offsets[:-1], strokes.offsets[1:] - 1
    inner = np.minimum(ahead, last - first)
    at = np.concatenate([first, last])
    toward = np.concatenate([first + inner, last - inner])
    edge = np.tile(np.arange(len(first)), 2)
    return strokes.ends.T.ravel(), edge, strokes.points[at], strokes.points[toward] - strokes.points[at]


def _narrow(strokes: Strokes, least: float) -> np.ndarray:
    """Return which (m,) capillaries leave a node at a narrow angle to a neighbour no thinner than they."""
    node, edge, _, heading = _ends(strokes)
    angle = np.arctan2(heading[:, 1], heading[:, 0])
    order = np.lexsort((angle, node))
    node, edge, angle = node[order], edge[order], angle[order]
    start = np.flatnonzero(np.r_[True, np.diff(node) != 0])
    size = np.diff(np.r_[start, len(node)])
    following = np.arange(len(node)) + 1
    following[start + size - 1] = start
    gap = np.mod(angle[following] - angle, 2 * np.pi)
    pair = np.flatnonzero((gap < least) & (np.repeat(size, size) > 2))
    return _lesser(strokes, edge[pair], edge[following[pair]])


def _crowded(strokes: Strokes, spacing: float) -> np.ndarray:
    """Return which (m,) capillaries make two junctions stand too close along a vessel."""
    node, edge, at, _ = _ends(strokes)
    count = len(strokes.tip)
    degree = np.bincount(node, minlength=count)
    position, radius = np.zeros((count, 2)), np.zeros(count)
    position[node] = at
    first, last = strokes.offsets[:-1], strokes.offsets[1:] - 1
    np.maximum.at(radius, node, strokes.radius[np.concatenate([first, last])])
    junction = np.flatnonzero((degree > 2) & ~strokes.border)
    reach = spacing * radius[junction].max(initial=0.0)
    pairs = junction[cKDTree(position[junction]).query_pairs(reach, output_type="ndarray")]
    apart = np.linalg.norm(position[pairs[:, 0]] - position[pairs[:, 1]], axis=1)
    close = apart < spacing * radius[pairs].max(axis=1)
    pairs = pairs[close][np.argsort(apart[close], kind="stable")]
    # One capillary for each node that has one: the thinnest.
    spare = np.full(count, -1)
    thin = ~strokes.firm()[edge]
    order = np.argsort(-strokes.radius[strokes.offsets[:-1]][edge[thin]], kind="stable")
    spare[node[thin][order]] = edge[thin][order]
    doomed, free = np.zeros(len(strokes.ends), dtype=bool), np.ones(count, dtype=bool)
    for a, b in pairs:
        if free[a] and free[b]:
            chosen = a if spare[a] >= 0 else b
            if spare[chosen] >= 0:
                doomed[spare[chosen]] = True
                free[chosen] = False
    return doomed


def _lesser(strokes: Strokes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return which (m,) edges are the thinner of a pair, trees and shunts excepted."""
    radius = strokes.radius[strokes.offsets[:-1]] + 100.0 * strokes.firm()
    lesser = np.where(radius[first] < radius[second], first, second)
    doomed = np.zeros(len(strokes.ends), dtype=bool)
    doomed[lesser] = True
    return doomed & ~strokes.firm()
