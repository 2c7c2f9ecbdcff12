"""A planar graph of straight vessels, before it is bent: relaxing, contracting, cutting, checking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gftlib.phantoms.crossings import crossings

CAPILLARY, ARTERIOLE, VENULE, SHUNT, TUFT = range(5)


@dataclass
class PlanarGraph:
    """Nodes and straight edges.

    Attributes:
        points: (n, 2) row, column in pixels.
        edges: (m, 2) node indices.
        radius: (m,) vessel radius, pixels.
        kind: (m,) CAPILLARY, ARTERIOLE, VENULE, SHUNT or TUFT.
        tree: (m,) tree number, -1 for none.
        tip: (n,) whether a node may be a dead end.
    """

    points: np.ndarray
    edges: np.ndarray
    radius: np.ndarray
    kind: np.ndarray
    tree: np.ndarray
    tip: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, edges: np.ndarray, kind: int) -> PlanarGraph:
        """Build a graph whose edges are all of one kind and have no radius yet."""
        m = len(edges)
        return cls(
            np.array(points, dtype=float),
            np.array(edges),
            np.zeros(m),
            np.full(m, kind, dtype=np.int8),
            np.full(m, -1),
            np.zeros(len(points), dtype=bool),
        )

    def keep(self, chosen: np.ndarray) -> None:
        """Keep the chosen edges only (boolean or indices)."""
        for name in ("edges", "radius", "kind", "tree"):
            setattr(self, name, getattr(self, name)[chosen])

    def in_tree(self) -> np.ndarray:
        """Return which (m,) edges belong to an arteriole or venule."""
        return (self.kind == ARTERIOLE) | (self.kind == VENULE)

    def lengths(self) -> np.ndarray:
        """Return the (m,) edge lengths, pixels."""
        return np.linalg.norm(self.points[self.edges[:, 0]] - self.points[self.edges[:, 1]], axis=1)

    def degree(self) -> np.ndarray:
        """Return the (n,) number of edges at each node."""
        return np.bincount(self.edges.ravel(), minlength=len(self.points))

    def relax(self, fixed: np.ndarray, rounds: int, rate: float) -> None:
        """Move free nodes towards the mean of their neighbours, which opens narrow angles."""
        a, b = self.edges.T
        degree = np.maximum(self.degree(), 1)[:, None]
        for _ in range(rounds):
            total = np.zeros_like(self.points)
            np.add.at(total, a, self.points[b])
            np.add.at(total, b, self.points[a])
            step = rate * (total / degree - self.points)
            step[fixed | (self.degree() == 0)] = 0
            self.points += step

    def straighten_trees(self, rounds: int = 3) -> None:
        """Smooth every tree along its own path; branch points stay."""
        a, b = self.edges[self.in_tree()].T
        degree = np.bincount(np.concatenate([a, b]), minlength=len(self.points))
        inner = degree == 2
        for _ in range(rounds):
            total = np.zeros_like(self.points)
            np.add.at(total, a, self.points[b])
            np.add.at(total, b, self.points[a])
            self.points[inner] += 0.4 * (total[inner] / 2 - self.points[inner])

    def contract(self, shortest: float) -> None:
        """Merge the ends of edges shorter than ``shortest``; a tree's node keeps its place."""
        on_tree = np.zeros(len(self.points), dtype=bool)
        on_tree[self.edges[self.in_tree()]] = True
        order = np.argsort(self.lengths())
        lengths = self.lengths()
        target = np.arange(len(self.points))
        merged = np.zeros(len(self.points), dtype=bool)
        for edge in order[: np.searchsorted(lengths[order], shortest)]:
            a, b = self.edges[edge]
            # One merge a node: longer chains would pull far nodes together and cross other edges.
            if merged[a] or merged[b]:
                continue
            merged[[a, b]] = True
            if on_tree[b] and not on_tree[a]:
                a, b = b, a
            if on_tree[a] == on_tree[b]:
                self.points[a] = 0.5 * (self.points[a] + self.points[b])
            target[b] = a
        self.edges = target[self.edges]
        self.keep(self.edges[:, 0] != self.edges[:, 1])
        key = np.sort(self.edges, axis=1)
        order = np.lexsort((-self.kind, key[:, 1], key[:, 0]))
        first = np.ones(len(order), dtype=bool)
        first[1:] = np.any(np.diff(key[order], axis=0) != 0, axis=1)
        self.keep(np.sort(order[first]))

    def uncross(self) -> None:
        """Drop capillaries that cross another edge without sharing a node."""
        i, j = crossings(self.points[self.edges[:, 0]], self.points[self.edges[:, 1]])
        chosen = np.ones(len(self.edges), dtype=bool)
        chosen[np.where(self.kind[i] == CAPILLARY, i, j)] = False
        self.keep(chosen)

    def open_angles(self, least: float, reach: np.ndarray) -> None:
        """Drop the lesser of two edges that leave a node at less than ``least`` radians (in place).

        ``reach`` (m,) is the rank by which edges are kept: the lower of a pair goes.
        """
        ends = np.concatenate([self.edges, self.edges[:, ::-1]])
        owner = np.tile(np.arange(len(self.edges)), 2)
        offset = self.points[ends[:, 1]] - self.points[ends[:, 0]]
        angle = np.arctan2(offset[:, 1], offset[:, 0])
        order = np.lexsort((angle, ends[:, 0]))
        node, angle, owner = ends[order, 0], angle[order], owner[order]
        start = np.flatnonzero(np.r_[True, np.diff(node) != 0])
        size = np.diff(np.r_[start, len(node)])
        following = np.arange(len(node)) + 1
        following[start + size - 1] = start
        gap = np.mod(angle[following] - angle, 2 * np.pi)
        narrow = (gap < least) & (np.repeat(size, size) > 1)
        first, second = owner[narrow], owner[following[narrow]]
        lesser = np.where(reach[first] < reach[second], first, second)
        chosen = np.ones(len(self.edges), dtype=bool)
        chosen[lesser[~self.in_tree()[lesser]]] = False
        self.keep(chosen)

    def space_branches(self, spacing: float, rng: np.random.Generator) -> None:
        """Drop capillaries that leave a tree too near another branch; square the others to it.

        Where two branches leave a thick vessel less than about its own width apart, no skeleton can tell
        their junctions; arterioles are besides known to be surrounded by a capillary-free zone.

        Args:
            spacing: Least distance of two branches, in radii of the vessel.
            rng: Decides which branches stay.
        """
        tree, degree = self.in_tree(), self.degree()
        trunk = np.bincount(self.edges[tree].ravel(), minlength=len(self.points))
        radius = np.zeros(len(self.points))
        for end in (0, 1):
            np.maximum.at(radius, self.edges[tree, end], self.radius[tree])
        nodes = np.flatnonzero((trunk > 0) & (degree > 2))
        nodes = nodes[np.lexsort((rng.random(len(nodes)), trunk[nodes] < 3))]
        near = cKDTree(self.points[nodes])
        accepted = [False] * len(nodes)
        around = near.query_ball_point(self.points[nodes], spacing * radius[nodes])
        for k, fork in enumerate((trunk[nodes] > 2).tolist()):
            accepted[k] = fork or not any(accepted[j] for j in around[k])
        dropped = np.zeros(len(self.points), dtype=bool)
        dropped[nodes] = ~np.array(accepted, dtype=bool)
        self.keep(tree | ~dropped[self.edges].any(axis=1))
        for _ in range(2):
            self._square_branches()

    def _square_branches(self) -> None:
        """Slide each node with one branch along its vessel to the foot of the branch's perpendicular."""
        tree = self.in_tree()
        ends = np.concatenate([self.edges, self.edges[:, ::-1]])
        weight = np.tile(np.where(tree, self.radius, 0.0), 2)
        order = np.lexsort((-weight, ends[:, 0]))
        node, other, weight = ends[order, 0], ends[order, 1], weight[order]
        start = np.flatnonzero(np.r_[True, np.diff(node) != 0])
        size = np.diff(np.r_[start, len(node)])
        start = start[size == 3]
        start = start[weight[start + 1] > 0]
        # The two thickest are the vessel, the third is the branch.
        a, b, c = (self.points[other[start + k]] for k in range(3))
        along = b - a
        t = np.sum((c - a) * along, axis=1) / np.maximum(np.sum(along**2, axis=1), 1e-9)
        self.points[node[start]] = a + np.clip(t, 0.22, 0.78)[:, None] * along

    def prune(self) -> None:
        """Remove chains that end at a node not marked as a dead end, until none is left."""
        while True:
            bare = (self.degree() == 1) & ~self.tip
            doomed = bare[self.edges].any(axis=1)
            if not doomed.any():
                return
            self.keep(~doomed)

    def keep_largest(self) -> None:
        """Keep the largest connected part."""
        n = len(self.points)
        links = csr_matrix((np.ones(len(self.edges)), tuple(self.edges.T)), shape=(n, n))
        part = connected_components(links, directed=False)[1][self.edges[:, 0]]
        self.keep(part == np.bincount(part).argmax())

    def sprout(self, fraction: float, spared: np.ndarray, rng: np.random.Generator) -> None:
        """Break a fraction of the capillaries so that each leaves one dead-end sprout (in place).

        A sprout clears its parent's wall by at least 8 pixels and ends at least 5 pixels before the vessel it
        led to, so that both its root and its end can be seen in the drawn label.

        Args:
            fraction: Share of all edges to break, as far as there are fit ones.
            spared: (m,) edges that are left whole.
            rng: Chooses them.
        """
        thickest = np.zeros(len(self.points))
        for end in (0, 1):
            np.maximum.at(thickest, self.edges[:, end], self.radius)
        flip = rng.random(len(self.edges)) < 0.5
        root, far = np.where(flip, self.edges.T, self.edges.T[::-1])
        length, radius = self.lengths(), self.radius
        least = thickest[root] + 9
        most = length - thickest[far] - radius - 5
        degree = self.degree()
        fit = ~spared & ~self.in_tree() & (self.kind != SHUNT) & (most > least)
        fit &= (degree[root] >= 3) & (degree[far] >= 3)
        used: set[int] = set()
        sprouts, shares = [], []
        wanted = int(fraction * len(self.edges))
        for edge in rng.permutation(np.flatnonzero(fit)).tolist():
            if len(sprouts) == wanted:
                break
            if root[edge] in used or far[edge] in used:
                continue
            used |= {root[edge], far[edge]}
            sprouts.append(edge)
            shares.append(rng.uniform(least[edge], most[edge]) / length[edge])
        u, v = root[sprouts], far[sprouts]
        share = np.array(shares)[:, None]
        self.end_at(sprouts, u, self.points[u] + share * (self.points[v] - self.points[u]))

    def end_at(self, edges: Sequence[int], roots: np.ndarray, points: np.ndarray) -> None:
        """Let each of the edges lead from its root to a new dead end at its (k, 2) point (in place)."""
        first = len(self.points)
        self.points = np.vstack([self.points, points])
        self.tip = np.append(self.tip, np.ones(len(points), dtype=bool))
        self.edges[edges] = np.stack([roots, first + np.arange(len(points))], axis=1)
