"""The capillary bed: a planar mesh that contains the trees and a ring round the FAZ.

Cells are the Voronoi cells of blue-noise seeds. Seeds set alternately left and right of a guide curve make
cell walls run along it, so the larger vessels become paths of the mesh, and capillaries leave them at right
angles. Breaking some walls leaves dead-end sprouts; a published real graph (2,092 junctions, 1,520 of degree
3, 498 ends, 2,678 segments) is, by Euler's formula, such a mesh of about 590 cells and 500 sprouts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import Voronoi, cKDTree

from gftlib.phantoms.kernels import thin_points
from gftlib.phantoms.octa_config import SIZE, Anatomy
from gftlib.phantoms.planar import ARTERIOLE, CAPILLARY, VENULE, PlanarGraph
from gftlib.phantoms.vasculature import Outline, Trees

CORRIDOR = 100.0


@dataclass(frozen=True)
class Thicket:
    """A disc in which the mesh is finer, for neovascular tufts.

    Attributes:
        centre: (2,) row, column.
        radius: Pixels.
        pitch: Seed spacing inside, pixels.
        vessel_radius: Median vessel radius inside, pixels.
    """

    centre: np.ndarray
    radius: float
    pitch: float
    vessel_radius: float


def curve_samples(trees: Trees, step: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Return dense samples (k, 2) along all guide curves and the tree number of each."""
    child = np.flatnonzero(trees.parent >= 0)
    a, b = trees.points[trees.parent[child]], trees.points[child]
    parts = max(2, int(np.ceil(np.linalg.norm(b - a, axis=1).max() / step)))
    t = (np.arange(parts) / parts)[None, :, None]
    return (a[:, None] * (1 - t) + b[:, None] * t).reshape(-1, 2), np.repeat(trees.tree[child], parts)


def _beside_curves(trees: Trees, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """Return seeds alternately left and right of every guide curve."""
    child = np.flatnonzero(trees.parent >= 0)
    heading = trees.points[child] - trees.points[trees.parent[child]]
    length = np.hypot(heading[:, 0], heading[:, 1])
    arc = [0.0] * len(trees.points)
    half = 0.62 * pitch
    owner, share, side, drift, away = [], [], [], [], []
    for order, (node, up) in enumerate(zip(child.tolist(), trees.parent[child].tolist(), strict=True)):
        arc[node] = arc[up] + float(length[order])
        for k in range(math.floor(arc[up] / half) + 1, math.floor(arc[node] / half) + 1):
            owner.append(order)
            share.append((k * half - arc[up]) / (arc[node] - arc[up]))
            side.append(1 if k % 2 else -1)
            drift.append(rng.normal(0, 0.18 * pitch))
            away.append(rng.uniform(0.48, 0.74))
    share, side, drift, away = (np.array(a)[:, None] for a in (share, side, drift, away))
    heading, along = heading[owner], (heading / length[:, None])[owner]
    foot = trees.points[trees.parent[child]][owner] + share * heading + along * drift
    return foot + np.stack([-along[:, 1], along[:, 0]], axis=1) * side * pitch * away


def _round_faz(faz: Outline, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """Return seeds just outside and just inside the FAZ outline."""
    outline = faz.points()
    around = np.sum(np.linalg.norm(np.diff(np.vstack([outline, outline[:1]]), axis=0), axis=1))
    count = int(around / (1.15 * pitch))
    angle = (np.arange(count) + rng.uniform(-0.22, 0.22, count)) * (2 * np.pi / count)
    inner = angle + np.pi / count
    half = 0.55 * pitch
    rings = [
        faz.centre + (faz.at(phi) + sign * half)[:, None] * np.stack([np.cos(phi), np.sin(phi)], axis=1)
        for phi, sign in ((angle, 1), (inner, -1))
    ]
    return np.vstack(rings)


def seed_cells(
    config: Anatomy, faz: Outline, trees: Trees, thickets: list[Thicket], rng: np.random.Generator
) -> np.ndarray:
    """Place the cell seeds: beside the trees, round the FAZ, then blue noise of varied spacing elsewhere.

    Returns:
        (n, 2) seeds on the frame plus its margin; those inside the FAZ come within 0.75 pitch of its rim
        only.
    """
    pitch = config.pitch
    ring = _round_faz(faz, pitch, rng)
    beside = _beside_curves(trees, 1.18 * pitch, rng)
    samples = cKDTree(curve_samples(trees)[0])
    beside = beside[samples.query(beside)[0] > 0.42 * pitch]
    low, high = -config.margin, SIZE + config.margin
    fill = rng.uniform(low, high, (14000, 2))
    spacing = np.concatenate(
        [
            np.full(len(ring), 0.7 * pitch),
            np.full(len(beside), 0.78 * pitch),
            pitch * np.exp(np.clip(rng.normal(0, config.pitch_sigma, len(fill)), -0.4, 0.5)),
        ]
    )
    for thicket in thickets:
        inside = np.hypot(*(fill - thicket.centre).T) < thicket.radius
        extra = thicket.centre + thicket.radius * np.sqrt(rng.uniform(0, 1, 600))[:, None] * _directions(
            rng, 600
        )
        fill = np.vstack([fill[inside], extra, fill[~inside]])
        own = spacing[len(ring) + len(beside) :]
        spacing = np.concatenate(
            [spacing[: len(ring) + len(beside)], np.full(inside.sum() + 600, thicket.pitch), own[~inside]]
        )
    points = np.vstack([ring, beside, fill])
    fill_start = len(ring) + len(beside)
    fits = np.ones(len(points), dtype=bool)
    fits[fill_start:] = samples.query(points[fill_start:], distance_upper_bound=pitch)[0] > 0.52 * pitch
    fits[len(ring) :] &= faz.ratio(points[len(ring) :]) > 1 + 0.5 * pitch / faz.radius.mean()
    fits &= np.all((points > low - 40) & (points < high + 40), axis=1)
    points, spacing = np.ascontiguousarray(points[fits]), np.ascontiguousarray(spacing[fits])
    return points[thin_points(points, spacing, low - 40)]


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def cell_walls(config: Anatomy, faz: Outline, seeds: np.ndarray) -> PlanarGraph:
    """Return the Voronoi walls of the seeds as a graph of capillaries, without those inside the FAZ."""
    diagram = Voronoi(seeds)
    pairs = np.asarray(diagram.ridge_points)
    walls = np.array([w if len(w) == 2 else (-1, -1) for w in diagram.ridge_vertices])
    low, high = -0.8 * config.margin, SIZE + 0.8 * config.margin
    bounded = np.all((diagram.vertices > low) & (diagram.vertices < high), axis=1)
    in_faz = faz.ratio(seeds) < 1
    keep = np.all(walls >= 0, axis=1) & bounded[walls].all(axis=1) & ~in_faz[pairs].all(axis=1)
    return PlanarGraph.of(diagram.vertices, walls[keep], CAPILLARY)


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
    return np.array([np.sum((places - point) ** 2, axis=1).argmin() for point in points])


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
