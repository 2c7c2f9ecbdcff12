"""Curved vessels as polylines, drawn as strokes with round caps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gftlib.phantoms.crossings import crossings
from gftlib.phantoms.kernels import draw_light, draw_mask
from gftlib.phantoms.octa_config import SIZE
from gftlib.phantoms.planar import ARTERIOLE, SHUNT, VENULE

LAST = SIZE - 1.0
SOFT_WALL = 1.6


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
        for name in ("ends", "kind", "tree", "light"):
            setattr(self, name, getattr(self, name)[chosen])

    def _pieces(self, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the straight pieces as (p, 6) for the drawing kernels, and the (p,) edge of each."""
        owner = self.owner()
        a = np.flatnonzero(owner[1:] == owner[:-1])
        points, step = self.points[a], self.points[a + 1] - self.points[a]
        return np.column_stack([points, step, radius[a], radius[a + 1] - radius[a]]), owner[a]

    def mask(self, thin: float | None = None) -> np.ndarray:
        """Draw all vessels as a (1216, 1216) uint8 mask.

        Args:
            thin: Radius for every stroke instead of its own, pixels.
        """
        mask = np.zeros((SIZE, SIZE), np.uint8)
        radius = self.radius if thin is None else np.full(len(self.radius), thin)
        draw_mask(self._pieces(radius)[0], np.arange(float(SIZE)), mask)
        return mask

    def light_map(self) -> np.ndarray:
        """Draw the brightness of all vessels as (1216, 1216) float32, falling off at their walls."""
        light = np.zeros((SIZE, SIZE), np.float32)
        pieces, owner = self._pieces(self.radius)
        draw_light(pieces, np.arange(float(SIZE)), self.light[owner].astype(np.float32), SOFT_WALL, light)
        return light

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
