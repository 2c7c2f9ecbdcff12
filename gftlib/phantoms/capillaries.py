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
from scipy.spatial import Voronoi, cKDTree

from gftlib.phantoms.kernels import thin_points
from gftlib.phantoms.octa_config import SIZE, Anatomy
from gftlib.phantoms.planar import CAPILLARY, PlanarGraph
from gftlib.phantoms.vasculature import Outline, Trees


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
