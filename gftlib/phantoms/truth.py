"""The exact vessel graph of a phantom: what is drawn, as nodes and centreline segments."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gftlib.phantoms.kernels import walk_chains


@dataclass(frozen=True)
class VesselGraph:
    """The planarised graph of the drawn label, on the 1216-grid.

    A node is a junction (three or more segments), a dead end or a point on the frame. A dead end lies at the
    centre of its round cap, one radius before the last drawn pixel: where the medial axis of the stroke ends
    too.

    Attributes:
        nodes: (V, 2) row, column, pixels.
        ends: (E, 2) node of each segment's first and last point.
        points: (K, 2) centreline points, segment after segment.
        radius: (K,) vessel radius at each point, pixels.
        offsets: (E + 1,) first point of each segment.
        kind: (E,) 0 capillary, 1 arteriole, 2 venule, 3 shunt, 4 tuft.
        border: (V,) whether a node lies on the frame.
    """

    nodes: np.ndarray
    ends: np.ndarray
    points: np.ndarray
    radius: np.ndarray
    offsets: np.ndarray
    kind: np.ndarray
    border: np.ndarray

    def degree(self) -> np.ndarray:
        """Return the (V,) number of segment ends at each node."""
        return np.bincount(self.ends.ravel(), minlength=len(self.nodes))

    def junctions(self) -> np.ndarray:
        """Return the (j, 2) positions of nodes where three or more segments meet."""
        return self.nodes[(self.degree() >= 3) & ~self.border]

    def lengths(self) -> np.ndarray:
        """Return the (E,) centreline lengths, pixels."""
        step = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        step[self.offsets[1:-1] - 1] = 0
        return np.add.reduceat(step, self.offsets[:-1])

    def faces(self) -> int:
        """Count the regions the vessels and the frame enclose, the FAZ among them, by Euler's formula."""
        return len(self.ends) - int(np.sum(~self.border)) + 1

    def mirrored(self, size: int) -> VesselGraph:
        """Return the graph with left and right exchanged on a grid of ``size`` pixels."""
        flip = np.array([0.0, size - 1.0], dtype=self.nodes.dtype)
        sign = np.array([1.0, -1.0], dtype=self.nodes.dtype)
        return replace(self, nodes=flip + sign * self.nodes, points=flip + sign * self.points)


def chains(ends: np.ndarray, count: int, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join edges through nodes of degree two.

    Args:
        ends: (m, 2) node indices.
        count: Number of nodes.
        stop: (count,) nodes that end a chain whatever their degree.

    Returns:
        The (m,) edges in order, chain after chain; (m,) whether each is walked from its second end to its
        first; the (chains + 1,) first place of each chain.
    """
    node = ends.ravel()
    order = np.argsort(node, kind="stable")
    degree = np.bincount(node, minlength=count)
    through = (degree == 2) & ~stop
    pair = np.full((count, 2), -1)
    pair[through] = (order // 2)[(np.cumsum(degree) - degree)[through, None] + np.arange(2)]
    # Chains begin at nodes that end them; what is left are rings without any.
    seeds = np.concatenate([order[~through[node[order]]], 2 * np.arange(len(ends))])
    edge, back = np.zeros(len(ends), dtype=int), np.zeros(len(ends), dtype=bool)
    size = np.zeros(len(ends), dtype=int)
    walks = walk_chains(ends, pair, seeds, edge, back, size)
    return edge, back, np.r_[0, np.cumsum(size[:walks])]
