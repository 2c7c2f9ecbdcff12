"""From straight vessels to bent polylines within the frame, and from settled polylines to the true graph."""

from __future__ import annotations

import math

import numpy as np

from gftlib.phantoms.bending import Bend
from gftlib.phantoms.junctions import seat_branches
from gftlib.phantoms.planar import PlanarGraph
from gftlib.phantoms.strokes import LAST, Strokes
from gftlib.phantoms.truth import VesselGraph, chains

RIM = 6.0


def bend(graph: PlanarGraph, light: np.ndarray, warp: Bend, step: float = 4.0) -> Strokes:
    """Turn straight vessels into smooth curves and bend them.

    Edges of one kind that meet at a node of degree two become one polyline; its corners are rounded, its ends
    stay.

    Args:
        graph: Straight vessels; unused nodes are allowed.
        light: (m,) relative brightness.
        warp: Map of the plane.
        step: Longest straight piece, pixels.

    Returns:
        Polylines, cut at the frame.
    """
    kinds = np.zeros((len(graph.points), 2), dtype=int)
    kinds[:, 0] = np.iinfo(np.int8).max
    for end in (0, 1):
        np.minimum.at(kinds[:, 0], graph.edges[:, end], graph.kind)
        np.maximum.at(kinds[:, 1], graph.edges[:, end], graph.kind)
    walked = chains(graph.edges, len(graph.points), kinds[:, 0] != kinds[:, 1])
    points, radius, offsets, ends = _subdivide(graph, walked, step)
    points, radius, offsets = seat_branches(warp(points), radius, offsets, ends)
    first = walked[0][walked[2][:-1]]
    strokes = Strokes(
        points,
        radius,
        offsets,
        ends,
        graph.kind[first],
        graph.tree[first],
        light[first],
        np.zeros(len(graph.points), dtype=bool),
        graph.tip.copy(),
    )
    return clip(strokes)


def _subdivide(
    graph: PlanarGraph, walked: tuple[np.ndarray, np.ndarray, np.ndarray], step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return points, radii, offsets and end nodes of the chains, cut to ``step``, corners rounded."""
    edge, back, starts = walked
    last = starts[1:] - 1
    ends = np.where(back[:, None], graph.edges[edge, ::-1], graph.edges[edge])
    parts = np.maximum(2, np.ceil(graph.lengths()[edge] / step).astype(int))
    # Every edge gives its pieces' first points; a chain's last edge its end point too.
    count = parts.copy()
    count[last] += 1
    owner = np.repeat(np.arange(len(edge)), count)
    t = (np.arange(len(owner)) - (np.cumsum(count) - count)[owner]) / parts[owner]
    a, b = graph.points[ends[owner, 0]], graph.points[ends[owner, 1]]
    points, radius = a + t[:, None] * (b - a), graph.radius[edge][owner]
    offsets = np.r_[0, np.cumsum(count)[last]]
    inner = np.ones((len(points), 1), dtype=bool)
    inner[offsets[:-1]] = inner[offsets[1:] - 1] = False
    line, inner = np.column_stack([points, radius]), inner[1:-1]
    for _ in range(6):
        line[1:-1] += inner * (0.25 * (line[:-2] + line[2:]) - 0.5 * line[1:-1])
    points, radius = line[:, :2].copy(), line[:, 2].copy()
    return points, radius, offsets, np.stack([ends[starts[:-1], 0], ends[last, 1]], axis=1)


def clip(strokes: Strokes) -> Strokes:
    """Cut polylines where they enter the frame's rim, and lead each cut straight out to the edge.

    The rim is wider than the 2 pixels that count as vessel, so nothing runs along it.
    """
    inside = np.all((strokes.points > RIM) & (strokes.points < LAST - RIM), axis=1)
    whole = np.logical_and.reduceat(inside, strokes.offsets[:-1])
    part = np.flatnonzero(np.logical_or.reduceat(inside, strokes.offsets[:-1]) & ~whole)
    pieces, radii, ends, parent = [], [], [], []
    nodes = len(strokes.tip)
    for edge in part:
        span = slice(strokes.offsets[edge], strokes.offsets[edge + 1])
        within, line, radius = inside[span], strokes.points[span], strokes.radius[span]
        change = np.flatnonzero(np.diff(within.astype(np.int8)))
        for run in np.split(np.arange(len(line)), change + 1):
            if not within[run[0]]:
                continue
            first, last = run[0], run[-1]
            pts, rad = [line[run]], [radius[run]]
            u, v = strokes.ends[edge]
            if first > 0:
                pts.insert(0, _way_out(line[first], line[first - 1])[::-1])
                rad.insert(0, radius[[first, first]])
                u, nodes = nodes, nodes + 1
            if last < len(line) - 1:
                pts.append(_way_out(line[last], line[last + 1]))
                rad.append(radius[[last, last]])
                v, nodes = nodes, nodes + 1
            pieces.append(np.concatenate(pts))
            radii.append(np.concatenate(rad))
            ends.append((u, v))
            parent.append(edge)
    added = nodes - len(strokes.tip)
    kept = whole[strokes.owner()]
    origin = np.r_[np.flatnonzero(whole), np.array(parent, dtype=int)]
    sizes = np.r_[np.diff(strokes.offsets)[whole], np.array([len(p) for p in pieces], dtype=int)]
    return Strokes(
        np.concatenate([strokes.points[kept], *pieces]),
        np.concatenate([strokes.radius[kept], *radii]),
        np.r_[0, np.cumsum(sizes)],
        np.concatenate([strokes.ends[whole], np.array(ends, dtype=int).reshape(-1, 2)]),
        strokes.kind[origin],
        strokes.tree[origin],
        strokes.light[origin],
        np.r_[strokes.border, np.ones(added, dtype=bool)],
        np.r_[strokes.tip, np.zeros(added, dtype=bool)],
    )


def _way_out(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Return (2, 2): where the line between two points enters the frame, and the edge beside it."""
    start, step = inner.tolist(), (outer - inner).tolist()
    limit = [
        (LAST - RIM - a) / s if s > 0 else (RIM - a) / s if s < 0 else math.inf
        for a, s in zip(start, step, strict=True)
    ]
    axis = int(limit[1] < limit[0])
    share = min(1.0, limit[axis])
    entry = [a + s * share for a, s in zip(start, step, strict=True)]
    edge = entry.copy()
    edge[axis] = LAST if step[axis] > 0 else 0.0
    return np.array([entry, edge])


def planarised(strokes: Strokes) -> VesselGraph:
    """Return the settled vessels as a graph whose nodes are junctions, dead ends and points on the frame."""
    edge, back, starts = chains(strokes.ends, len(strokes.tip), strokes.border)
    first, last = starts[:-1], starts[1:] - 1
    whole = np.diff(strokes.offsets)[edge]
    # Where two edges of a chain join, their common point is kept once.
    skip = np.ones(len(edge), dtype=int)
    skip[first] = 0
    size = whole - skip
    owner = np.repeat(np.arange(len(edge)), size)
    place = np.arange(len(owner)) - (np.cumsum(size) - size - skip)[owner]
    at = strokes.offsets[edge][owner] + np.where(back[owner], whole[owner] - 1 - place, place)
    offsets = np.r_[0, np.cumsum(size)[last]]
    ends = np.where(back[:, None], strokes.ends[edge, ::-1], strokes.ends[edge])
    nodes, ends = np.unique(np.stack([ends[first, 0], ends[last, 1]], axis=1), return_inverse=True)
    ends = ends.reshape(-1, 2)
    points, position = strokes.points[at], np.zeros((len(nodes), 2))
    position[ends[:, 0]] = points[offsets[:-1]]
    position[ends[:, 1]] = points[offsets[1:] - 1]
    chain = np.repeat(np.arange(len(first)), np.diff(starts))
    longest = np.lexsort((-whole, chain))[first]
    return VesselGraph(
        position.astype(np.float32),
        ends,
        points.astype(np.float32),
        strokes.radius[at].astype(np.float32),
        offsets,
        strokes.kind[edge[longest]],
        strokes.border[nodes],
    )
