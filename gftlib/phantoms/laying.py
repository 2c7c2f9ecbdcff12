"""Laying the larger vessels: cheapest paths of the capillary mesh along the guide curves."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from gftlib.phantoms.capillaries import curve_samples
from gftlib.phantoms.octa_config import Anatomy
from gftlib.phantoms.planar import ARTERIOLE, CAPILLARY, VENULE, PlanarGraph
from gftlib.phantoms.vasculature import Trees

CORRIDOR = 100.0


def lay_trees(graph: PlanarGraph, trees: Trees, config: Anatomy, rng: np.random.Generator) -> None:
    """Turn the mesh paths along the guide curves into arterioles and venules (in place).

    Each tree is the union of the cheapest mesh paths from its root to its tips. Radii follow Murray's law
    with the capillaries a vessel feeds on its way: the cube of the radius is the sum of the daughters' cubes
    plus an uptake for every pixel of length.
    """
    samples, number = curve_samples(trees)
    used = np.unique(graph.edges)
    keys = _keys(graph.edges, len(graph.points))
    order = np.argsort(keys)
    for tree in range(trees.tree.max() + 1):
        own = samples[number == tree]
        tips = trees.points[trees.tips[trees.tree[trees.tips] == tree]]
        if len(own) and len(tips):
            kind = ARTERIOLE if tree % 2 else VENULE
            uptake = config.uptake * np.exp(rng.normal(0, config.uptake_sigma))
            goals = used[_nearest(np.vstack([trees.points[[tree]], tips]), graph.points[used])]
            _lay_tree(graph, (keys, order), own, goals, config, (tree, kind, uptake))


def _keys(edges: np.ndarray, count: int) -> np.ndarray:
    """Return one number for the two nodes of each edge, whichever comes first."""
    return edges.min(axis=1) * count + edges.max(axis=1)


def _nearest(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the index of the place nearest to each of a few points."""
    row, column = places.T
    return np.array([((row - r) ** 2 + (column - c) ** 2).argmin() for r, c in points])


def _cheapest(
    graph: PlanarGraph, curve: np.ndarray, goals: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Find the cheapest paths from the first goal to the others along a curve.

    Args:
        graph: The mesh; walls another tree already uses cost ten times as much.
        curve: (k, 2) samples of the curve.
        goals: Node of the root, then nodes of the tips.
        reach: Only edges within this distance of the curve are tried, pixels.

    Returns:
        Price, previous node, distance of the curve and its nearest sample for each node; None if a path
        beyond ``reach`` could be cheaper.
    """
    points, edges, n = graph.points, graph.edges, len(graph.points)
    near = cKDTree(curve)
    if near.query(points[goals])[0].max() >= reach:
        return None
    distance, foot = near.query(points, distance_upper_bound=reach)
    within = np.isfinite(distance)
    a, b = edges.T
    inside = np.flatnonzero(within[a] & within[b])
    a, b = a[inside], b[inside]
    # The midpoint of two points within reach may lie a little beyond it.
    middle = near.query((points[a] + points[b]) / 2)[0]
    off = (distance[a] + distance[b] + middle) / 3
    length = np.linalg.norm(points[a] - points[b], axis=1)
    # Trees seldom run on top of each other.
    cost = (length + 0.1) * (0.05 + (off / 9.0) ** 2) * np.where(graph.in_tree()[inside], 10.0, 1.0)
    matrix = csr_matrix((cost, (a, b)), shape=(n, n))
    price, previous = dijkstra(matrix, directed=False, indices=goals[0], return_predecessors=True)
    # What leaves the reach costs at least as much as the cheapest node it leaves from.
    leaving = edges[within[edges[:, 0]] != within[edges[:, 1]]]
    proven = np.isinf(reach) or price[goals].max() < price[leaving].min(initial=np.inf)
    return (price, previous, distance, foot) if proven else None


def _lay_tree(
    graph: PlanarGraph,
    lookup: tuple[np.ndarray, np.ndarray],
    curve: np.ndarray,
    goals: np.ndarray,
    config: Anatomy,
    identity: tuple[int, int, float],
) -> None:
    """Lay one tree along its curve.

    Args:
        graph: The mesh, in place.
        lookup: Keys of all edges and the order that sorts them.
        curve: (k, 2) samples of the curve.
        goals: Node of the root, then nodes of the tips.
        config: Anatomy settings.
        identity: Number, kind and uptake.
    """
    tree, kind, uptake = identity
    found = _cheapest(graph, curve, goals, CORRIDOR) or _cheapest(graph, curve, goals, np.inf)
    price, previous, distance, foot = found
    supply = {end: config.tip_radius**3 for end in goals[1:].tolist() if previous[end] >= 0}
    todo: set[int] = set()
    for end in list(supply):
        while end >= 0 and end not in todo:
            todo.add(end)
            end = int(previous[end])
    path = np.array(sorted(todo - {int(goals[0])}, key=lambda i: -price[i]), dtype=int)
    key = _keys(np.stack([path, previous[path]], axis=1), len(graph.points))
    walls = lookup[1][np.searchsorted(lookup[0], key, sorter=lookup[1])]
    length = np.linalg.norm(graph.points[path] - graph.points[previous[path]], axis=1)
    radius = np.zeros(len(path))
    widening = config.venule_widening if kind == VENULE else 1.0
    for k, (node, up, long) in enumerate(
        zip(path.tolist(), previous[path].tolist(), length.tolist(), strict=True)
    ):
        radius[k] = min(widening * supply[node] ** (1 / 3), config.largest_radius)
        supply[up] = supply.get(up, 0.0) + supply[node] + uptake * long
    wider = (graph.kind[walls] == CAPILLARY) | (radius > graph.radius[walls])
    graph.radius[walls[wider]] = radius[wider]
    graph.kind[walls[wider]], graph.tree[walls[wider]] = kind, tree
    nodes = np.array(sorted(todo), dtype=int)
    nodes = nodes[distance[nodes] < 0.8 * config.pitch]
    graph.points[nodes] = curve[foot[nodes]]
