"""Curved vessels as polylines: cutting at the frame, drawing, and the check that label and graph agree."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gftlib.phantoms.bending import Bend
from gftlib.phantoms.junctions import seat_branches
from gftlib.phantoms.kernels import draw_strokes
from gftlib.phantoms.octa_config import SIZE
from gftlib.phantoms.planar import ARTERIOLE, SHUNT, VENULE, PlanarGraph, crossings
from gftlib.phantoms.truth import VesselGraph, chains

LAST = SIZE - 1.0
HOLE = 10
LEAST_FACE = 64
FRAME = 2
RIM = 6.0


@dataclass
class Strokes:
    """Polylines between nodes.

    Attributes:
        points: (k, 2) row, column of all polyline points, edge after edge.
        radius: (k,) radius, pixels.
        offsets: (m + 1,) first point of each edge.
        ends: (m, 2) node of the first and last point.
        kind: (m,) as in PlanarGraph.
        tree: (m,) tree number or -1.
        light: (m,) relative flow brightness.
        source: (m,) number of the straight edge it came from.
        border: (n,) whether a node lies on the frame.
        tip: (n,) whether a node may be a dead end.
    """

    points: np.ndarray
    radius: np.ndarray
    offsets: np.ndarray
    ends: np.ndarray
    kind: np.ndarray
    tree: np.ndarray
    light: np.ndarray
    source: np.ndarray
    border: np.ndarray
    tip: np.ndarray

    def owner(self) -> np.ndarray:
        """Return the (k,) edge of each point."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.offsets))

    def keep(self, chosen: np.ndarray) -> None:
        """Keep the chosen edges only ((m,) boolean)."""
        kept = chosen[self.owner()]
        sizes = np.diff(self.offsets)[chosen]
        self.points, self.radius = self.points[kept], self.radius[kept]
        self.offsets = np.r_[0, np.cumsum(sizes)]
        for name in ("ends", "kind", "tree", "light", "source"):
            setattr(self, name, getattr(self, name)[chosen])

    def draw(self, thin: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw all vessels.

        Args:
            thin: Radius for every stroke instead of its own.

        Returns:
            (1216, 1216) uint8 mask and float32 light map.
        """
        mask, light = np.zeros((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE), np.float32)
        owner = self.owner()
        a = np.flatnonzero(owner[1:] == owner[:-1])
        radius = self.radius if thin is None else np.full(len(self.radius), thin)
        draw_strokes(
            self.points[a],
            self.points[a + 1],
            radius[a],
            radius[a + 1],
            self.light[owner[a]].astype(np.float32),
            1.6,
            mask,
            light,
        )
        return mask, light

    def part(self) -> None:
        """Drop one of two edges that cross or touch away from a shared node, a capillary if there is one."""
        owner = self.owner()
        a = np.flatnonzero(owner[1:] == owner[:-1])
        crossing = np.stack([owner[a[k]] for k in crossings(self.points[a], self.points[a + 1])], axis=1)
        i, j = cKDTree(self.points).query_pairs(3.0, output_type="ndarray").T
        i, j = i[owner[i] != owner[j]], j[owner[i] != owner[j]]
        first, last = self.points[self.offsets[:-1]], self.points[self.offsets[1:] - 1]
        excused = np.zeros(len(i), dtype=bool)
        for end, at in ((0, first), (1, last)):
            met = (self.ends[owner[i], end][:, None] == self.ends[owner[j]]).any(axis=1)
            excused |= met & (np.linalg.norm(self.points[i] - at[owner[i]], axis=1) < 10)
        pairs = np.vstack([crossing, np.stack([owner[i], owner[j]], axis=1)[~excused]])
        chosen = np.ones(len(self.ends), dtype=bool)
        chosen[np.where(self.firm()[pairs[:, 0]], pairs[:, 1], pairs[:, 0])] = False
        self.keep(chosen)

    def hugs_frame(self, clearance: float = 7.0) -> np.ndarray:
        """Return which (m,) edges stay so near the frame that no clear region or junction fits between."""
        depth = np.minimum(self.points, LAST - self.points).min(axis=1) - self.radius
        return (np.maximum.reduceat(depth, self.offsets[:-1]) < clearance) & ~self.firm()

    def firm(self) -> np.ndarray:
        """Return which (m,) edges are arterioles, venules or shunts, dropped only as a last resort."""
        return np.isin(self.kind, (ARTERIOLE, VENULE, SHUNT))

    def prune(self) -> None:
        """Remove what ends without being a dead end, and what is not joined to the frame."""
        while True:
            degree = np.bincount(self.ends.ravel(), minlength=len(self.tip))
            bare = (degree == 1) & ~self.tip & ~self.border
            doomed = bare[self.ends].any(axis=1)
            if not doomed.any():
                break
            self.keep(~doomed)
        self.keep(self._parts() == 0)

    def _parts(self) -> np.ndarray:
        """Return each edge's connected part; part 0 touches the frame."""
        n = len(self.tip)
        ends = np.where(self.border[self.ends], n, self.ends)
        links = csr_matrix((np.ones(len(ends)), tuple(ends.T)), shape=(n + 1, n + 1))
        part = connected_components(links, directed=False)[1]
        return (part[ends[:, 0]] != part[n]).astype(int)

    def faces(self) -> int:
        """Count the faces of the graph with the frame, by Euler's formula (all parts joined to the frame)."""
        inner = np.unique(self.ends)
        inner = inner[~self.border[inner]]
        return len(self.ends) - len(inner) + 1


def bend(graph: PlanarGraph, light: np.ndarray, warp: Bend, step: float = 4.0) -> Strokes:
    """Turn straight vessels into smooth curves and bend them.

    Edges that meet at a node of degree two become one polyline; its corners are rounded, its ends stay.

    Args:
        graph: Straight vessels; unused nodes are allowed.
        light: (m,) relative brightness.
        warp: Map of the plane.
        step: Longest straight piece, pixels.

    Returns:
        Polylines, cut at the frame.
    """
    kinds = np.zeros((len(graph.points), 2), dtype=int)
    kinds[:, 0] = 9
    for end in (0, 1):
        np.minimum.at(kinds[:, 0], graph.edges[:, end], graph.kind)
        np.maximum.at(kinds[:, 1], graph.edges[:, end], graph.kind)
    groups = chains(graph.edges, len(graph.points), kinds[:, 0] != kinds[:, 1])
    parts = np.maximum(2, np.ceil(graph.lengths() / step).astype(int)).tolist()
    lines, radii, ends = [], [], []
    for group in groups:
        corners = [graph.edges[e][::-1] if back else graph.edges[e] for e, back in group]
        count = [parts[e] for e, _ in group]
        route = graph.points[[corners[0][0], *[c[1] for c in corners]]]
        at = np.concatenate([[0.0], *[k + np.arange(1, n + 1) / n for k, n in enumerate(count)]])
        knots = np.arange(len(route))
        line = np.stack([np.interp(at, knots, route[:, axis]) for axis in (0, 1)], axis=1)
        radius = np.repeat(graph.radius[[e for e, _ in group]], count)
        radius = np.r_[radius[0], radius]
        for _ in range(6):
            line[1:-1] += 0.5 * (0.5 * (line[:-2] + line[2:]) - line[1:-1])
            radius[1:-1] += 0.5 * (0.5 * (radius[:-2] + radius[2:]) - radius[1:-1])
        lines.append(line)
        radii.append(radius)
        ends.append((corners[0][0], corners[-1][1]))
    sizes = np.cumsum([len(line) for line in lines])
    lines = np.split(warp(np.vstack(lines)), sizes[:-1])
    seat_branches(lines, radii, ends)
    first = [group[0][0] for group in groups]
    strokes = Strokes(
        np.vstack(lines),
        np.concatenate(radii),
        np.r_[0, np.cumsum([len(line) for line in lines])],
        np.array(ends),
        graph.kind[first],
        graph.tree[first],
        light[first],
        np.array(first),
        np.zeros(len(graph.points), dtype=bool),
        graph.tip.copy(),
    )
    return clip(strokes)


def planarised(strokes: Strokes) -> VesselGraph:
    """Return the settled vessels as a graph whose nodes are junctions, dead ends and points on the frame."""
    groups = chains(strokes.ends, len(strokes.tip), strokes.border)
    points, radii, ends, kinds = [], [], [], []
    for group in groups:
        spans = [slice(strokes.offsets[e], strokes.offsets[e + 1]) for e, _ in group]
        lines = [
            strokes.points[s][::-1] if back else strokes.points[s]
            for s, (_, back) in zip(spans, group, strict=True)
        ]
        widths = [
            strokes.radius[s][::-1] if back else strokes.radius[s]
            for s, (_, back) in zip(spans, group, strict=True)
        ]
        points.append(np.vstack([lines[0], *[line[1:] for line in lines[1:]]]))
        radii.append(np.concatenate([widths[0], *[w[1:] for w in widths[1:]]]))
        (e, back), (f, turned) = group[0], group[-1]
        ends.append((strokes.ends[e][int(back)], strokes.ends[f][1 - int(turned)]))
        kinds.append(
            strokes.kind[max(group, key=lambda g: strokes.offsets[g[0] + 1] - strokes.offsets[g[0]])[0]]
        )
    nodes, ends = np.unique(np.array(ends), return_inverse=True)
    ends = ends.reshape(-1, 2)
    position = np.zeros((len(nodes), 2))
    position[ends[:, 0]] = [p[0] for p in points]
    position[ends[:, 1]] = [p[-1] for p in points]
    return VesselGraph(
        position.astype(np.float32),
        ends,
        np.vstack(points).astype(np.float32),
        np.concatenate(radii).astype(np.float32),
        np.r_[0, np.cumsum([len(p) for p in points])],
        np.array(kinds, dtype=np.int8),
        strokes.border[nodes],
    )


def clip(strokes: Strokes) -> Strokes:
    """Cut polylines where they enter the 2-pixel frame, and lead each cut straight out to the edge."""
    inside = np.all((strokes.points > RIM) & (strokes.points < LAST - RIM), axis=1)
    pieces, radii, ends, parent = [], [], [], []
    nodes = len(strokes.tip)
    for edge in range(len(strokes.ends)):
        span = slice(strokes.offsets[edge], strokes.offsets[edge + 1])
        within = inside[span]
        if not within.any():
            continue
        line, radius = strokes.points[span], strokes.radius[span]
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
            pieces.append(np.vstack(pts))
            radii.append(np.concatenate(rad))
            ends.append((u, v))
            parent.append(edge)
    added = nodes - len(strokes.tip)
    return Strokes(
        np.vstack(pieces),
        np.concatenate(radii),
        np.r_[0, np.cumsum([len(p) for p in pieces])],
        np.array(ends),
        strokes.kind[parent],
        strokes.tree[parent],
        strokes.light[parent],
        strokes.source[parent],
        np.r_[strokes.border, np.ones(added, dtype=bool)],
        np.r_[strokes.tip, np.zeros(added, dtype=bool)],
    )


def _way_out(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Return (2, 2): where the line between two points enters the frame, and the edge beside it."""
    step = outer - inner
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.where(
            step > 0, (LAST - RIM - inner) / step, np.where(step < 0, (RIM - inner) / step, np.inf)
        )
    axis = int(limit.argmin())
    entry = inner + step * min(1.0, limit[axis])
    edge = entry.copy()
    edge[axis] = LAST if step[axis] > 0 else 0.0
    return np.stack([entry, edge])


def background(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the regions of a vessel mask: 4-connected, a 2-pixel frame counted as vessel.

    Returns:
        (h, w) labels from 1, 0 on vessels, and the (regions + 1,) pixel counts.
    """
    free = mask == 0
    free[:FRAME] = free[-FRAME:] = False
    free[:, :FRAME] = free[:, -FRAME:] = False
    labels = cc3d.connected_components(free, connectivity=4)
    return labels, np.bincount(labels.ravel())


def settle(strokes: Strokes, rounds: int = 14) -> tuple[np.ndarray, np.ndarray] | None:
    """Drop capillaries until every face of the graph is one clear region of the drawn label (in place).

    Args:
        strokes: Polylines.
        rounds: How often to draw and repair.

    Returns:
        The label (1216, 1216) uint8 with holes filled and its light map, or None if they never agree.
    """
    strokes.keep(~strokes.hugs_frame())
    strokes.part()
    for _ in range(rounds):
        strokes.prune()
        mask, light = strokes.draw()
        labels, sizes = background(mask)
        thin, thin_sizes = background(strokes.draw(thin=0.75)[0])
        spots, group = _bad_spots(labels, sizes, thin, len(thin_sizes))
        if not len(spots):
            mask[(sizes <= HOLE)[labels] & (labels > 0)] = 1
            return (mask, light) if np.sum(sizes[1:] > HOLE) == strokes.faces() else None
        strokes.keep(~_culprits(strokes, spots, group))
    return None


def _bad_spots(
    labels: np.ndarray, sizes: np.ndarray, thin: np.ndarray, faces: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (k, 2), and the fault each belongs to, where label and graph disagree.

    A fault is a region beside a larger one in the same face, a region that is too small, or a face without
    any.
    """
    face_of = np.zeros(len(sizes), dtype=int)
    face_of[labels.ravel()] = thin.ravel()
    regions = np.flatnonzero(sizes > HOLE)
    regions = regions[regions > 0]
    regions = regions[np.argsort(sizes[regions], kind="stable")]
    largest = np.zeros(faces, dtype=int)
    largest[face_of[regions]] = regions
    wrong = regions[(largest[face_of[regions]] != regions) | (sizes[regions] < LEAST_FACE)]
    empty = np.setdiff1d(np.arange(1, faces), face_of[regions])
    bad_region, bad_face = np.zeros(len(sizes), dtype=bool), np.zeros(faces, dtype=bool)
    bad_region[wrong], bad_face[empty] = True, True
    if not len(wrong) and not len(empty):
        return np.zeros((0, 2)), np.zeros(0, dtype=int)
    split = wrong[largest[face_of[wrong]] != wrong]
    bad_region[largest[face_of[split]]] = True
    spots = np.argwhere(bad_region[labels] | bad_face[thin])
    region, face = labels[tuple(spots.T)], thin[tuple(spots.T)]
    faults = [(spots[region == r], r) for r in wrong if r not in set(split)]
    faults += [(spots[face == f], -f) for f in empty]
    for r in split:
        # The culprit sits where the two parts of the face come closest.
        a, b = spots[region == r], spots[region == largest[face_of[r]]]
        gap, nearest = cKDTree(b).query(a)
        faults.append((0.5 * (a[[gap.argmin()]] + b[[nearest[gap.argmin()]]]), r))
    return np.vstack([p for p, _ in faults]), np.concatenate([np.full(len(p), k) for p, k in faults])


def _culprits(strokes: Strokes, spots: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Choose one edge to drop for each fault: a sprout beside it, else the capillary it borders longest."""
    near = cKDTree(strokes.points).query(spots, k=6)[1]
    pair, votes = np.unique(
        np.stack([np.repeat(group, 6), strokes.owner()[near.ravel()]], axis=1), axis=0, return_counts=True
    )
    degree = np.bincount(strokes.ends.ravel(), minlength=len(strokes.tip))
    sprout = (strokes.tip & (degree == 1))[strokes.ends].any(axis=1)
    score = votes + 1e4 * sprout[pair[:, 1]] - 1e6 * strokes.firm()[pair[:, 1]]
    order = np.lexsort((-score, pair[:, 0]))
    best = order[np.r_[True, np.diff(pair[order, 0]) != 0]]
    doomed = np.zeros(len(strokes.ends), dtype=bool)
    doomed[pair[best, 1]] = True
    return doomed
