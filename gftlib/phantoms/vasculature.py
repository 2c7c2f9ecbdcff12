"""Arterioles and venules by space colonisation, and the outline of the foveal avascular zone (FAZ).

Space colonisation (Runions et al., 2005): attractors stand for tissue that lacks oxygen; each pulls the
nearest vessel node, and falls silent once a vessel is near. All trees grow at once, so they compete and keep
apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.phantoms.kernels import update_nearest
from gftlib.phantoms.octa_config import SIZE, Anatomy

FloatArray = np.ndarray


@dataclass(frozen=True)
class Outline:
    """A star-shaped outline round a centre: radius as a function of the angle.

    Attributes:
        centre: (2,) row and column, pixels.
        radius: (n,) radius at equally spaced angles from the positive row axis, pixels.
    """

    centre: FloatArray
    radius: FloatArray

    def at(self, angle: FloatArray) -> FloatArray:
        """Return the radius at each angle (radians)."""
        n = len(self.radius)
        grid = np.arange(n + 1) * (2 * np.pi / n)
        return np.interp(np.mod(angle, 2 * np.pi), grid, np.append(self.radius, self.radius[0]))

    def ratio(self, points: FloatArray) -> FloatArray:
        """Return each point's distance from the centre over the outline's radius in its direction."""
        offset = points - self.centre
        return np.hypot(offset[:, 0], offset[:, 1]) / self.at(np.arctan2(offset[:, 1], offset[:, 0]))

    def points(self, scale: float = 1.0) -> FloatArray:
        """Return the outline as (n, 2) points, scaled about the centre."""
        angle = np.arange(len(self.radius)) * (2 * np.pi / len(self.radius))
        ray = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return self.centre + scale * self.radius[:, None] * ray


def wobble(rng: np.random.Generator, strength: float, orders: tuple[int, ...], n: int = 180) -> FloatArray:
    """Return a random periodic relative radius (mean about 1) made of a few angular harmonics."""
    angle = np.arange(n) * (2 * np.pi / n)
    total = np.zeros(n)
    for order in orders:
        total += rng.normal(0, strength / np.sqrt(order / orders[0])) * np.cos(
            order * angle + rng.uniform(0, 2 * np.pi)
        )
    return np.clip(1 + total, 0.45, 1.9)


def faz_outline(config: Anatomy, rng: np.random.Generator) -> Outline:
    """Draw a healthy FAZ: log-normal area with wide spread, roughly round, slightly off centre."""
    area = config.faz_area * np.exp(np.clip(rng.normal(0, config.faz_area_sigma), -0.9, 0.75))
    centre = (SIZE - 1) / 2 + rng.normal(0, config.faz_shift, 2).clip(-50, 50)
    shape = wobble(rng, config.faz_roughness, (2, 3, 4, 5, 7))
    shape = shape * np.sqrt(area / (np.pi * np.mean(shape**2)))
    return Outline(centre, shape)


@dataclass(frozen=True)
class Trees:
    """Guide curves of the larger vessels.

    Attributes:
        points: (n, 2) node positions.
        parent: (n,) index of the parent node, -1 at a root.
        tree: (n,) tree number.
        tips: (k,) indices of the end nodes.
    """

    points: FloatArray
    parent: np.ndarray
    tree: np.ndarray
    tips: np.ndarray


def _roots(config: Anatomy, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Place roots outside the frame: most above and below, then nasal (right), fewest temporal."""
    low, high = -0.75 * config.margin, SIZE - 1 + 0.75 * config.margin
    share = np.array([0.36, 0.36, 0.18, 0.10])
    # At least one above and one below.
    border = np.r_[0, 1, rng.choice(4, max(count - 2, 0), p=share)][:count]
    along = np.zeros(count)
    for side in range(4):
        own = border == side
        slots = (np.arange(own.sum()) + rng.uniform(0.15, 0.85, own.sum())) / max(own.sum(), 1)
        # Towards the disc (right): along the upper and lower borders the larger vessels crowd to the nasal
        # half.
        along[own] = slots**0.8 if side < 2 else slots
    position = low + along * (high - low)
    point = np.array(
        [[(low, p), (high, p), (p, high), (p, low)][b] for b, p in zip(border, position, strict=True)]
    )
    slant = rng.normal(0, 0.35, count)
    inward = [[(1.0, s), (-1.0, s), (s, -1.0), (s, 1.0)][b] for b, s in zip(border, slant, strict=True)]
    return point, _unit(np.array(inward))


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _distance(places: FloatArray, points: FloatArray) -> FloatArray:
    """Return the distance of each place to the nearest of the points."""
    best, square = np.full(len(places), -1), np.full(len(places), np.inf)
    update_nearest(places, points, np.ones(len(points), dtype=bool), np.arange(len(points)), best, square)
    return np.sqrt(square)


def grow_trees(config: Anatomy, faz: Outline, rng: np.random.Generator) -> Trees:
    """Grow all arterioles and venules together by space colonisation; they bend round the FAZ.

    Args:
        config: Anatomy settings.
        faz: Healthy FAZ outline; nodes keep a multiple of its radius away.
        rng: Random generator.

    Returns:
        Smoothed guide curves with twigs of fewer than four steps pruned.
    """
    main = int(rng.integers(config.main_roots[0], config.main_roots[1] + 1))
    points, heading = _roots(config, main, rng)
    later, later_heading = _roots(config, config.later_roots, rng)
    length = rng.integers(config.trunk_steps[0], config.trunk_steps[1] + 1, main)
    parent, tree, children = np.full(main, -1), np.arange(main), np.zeros(main, dtype=int)
    low, high = -config.margin, SIZE + config.margin
    attractors = rng.uniform(low, high, (config.attractors, 2))
    attractors = attractors[faz.ratio(attractors) > 1.25]
    nearest, square = np.full(len(attractors), -1), np.full(len(attractors), np.inf)
    tips, able, seen = np.arange(main), np.zeros(0, dtype=bool), 0
    for turn in range(220):
        trunks = turn < length.max()
        if turn == length.max():
            free = _distance(later, points) > 1.8 * config.tree_kill
            points, heading = np.vstack([points, later[free]]), np.vstack([heading, later_heading[free]])
            parent = np.append(parent, np.full(free.sum(), -1))
            tree = np.append(tree, tree.max() + 1 + np.arange(free.sum()))
            children = np.append(children, np.zeros(free.sum(), dtype=int))
        # No fans: a node branches once, and not within three steps of another branch.
        above = parent[parent]
        single = (
            (children == 1) & (children[parent] < 2) & (children[above] < 2) & (children[parent[above]] < 2)
        )
        before = np.append(able, np.zeros(len(points) - len(able), dtype=bool))
        able = (children == 0) | single
        update_nearest(attractors, points, able, np.flatnonzero(able & ~before), nearest, square)
        felt = np.sqrt(square) < config.tree_influence
        near, toward = nearest[felt], attractors[felt]
        toward = _unit(toward - points[near])
        ahead = np.sum(toward * heading[near], axis=1) > -0.2
        near, toward = near[ahead], toward[ahead]
        pull = np.zeros_like(points)
        np.add.at(pull, near, toward)
        # The main vessels reach into the frame before they branch.
        growing = tips[length > turn] if trunks else np.unique(near)
        inertia = config.trunk_inertia if trunks else config.tree_inertia
        direction = _unit(pull[growing]) + inertia * heading[growing]
        outward = _unit(points[growing] - faz.centre)
        direction += np.clip(2.2 - faz.ratio(points[growing]), 0, 1)[:, None] * outward
        direction = _unit(_unit(direction) + rng.normal(0, config.wander, direction.shape))
        fresh = points[growing] + config.tree_step * direction
        ratio = faz.ratio(fresh)
        least = config.trunk_clearance if trunks else config.tree_clearance
        inside = ratio < least
        fresh[inside] = faz.centre + (fresh[inside] - faz.centre) * (least / ratio[inside])[:, None]
        if trunks:
            tips = np.where(length > turn, len(points) - 1 + np.cumsum(length > turn), tips)
        else:
            clear = _distance(fresh, points) > 0.55 * config.tree_step
            fresh, growing = fresh[clear], growing[clear]
        if not len(fresh):
            break
        heading = np.vstack([heading, _unit(fresh - points[growing])])
        points = np.vstack([points, fresh])
        np.add.at(children, growing, 1)
        children = np.append(children, np.zeros(len(growing), dtype=int))
        parent, tree = np.append(parent, growing), np.append(tree, tree[growing])
        # The attractors left are clear of all earlier nodes.
        thirsty = _distance(attractors, points[seen:]) > config.tree_kill
        attractors, nearest, square = attractors[thirsty], nearest[thirsty], square[thirsty]
        seen = len(points)
        if not len(attractors):
            break
    return _prune(points, parent, tree)


def _prune(points: FloatArray, parent: np.ndarray, tree: np.ndarray, shortest: int = 4) -> Trees:
    """Remove twigs of fewer than ``shortest`` nodes, then smooth every curve."""
    count, above = len(points), parent.tolist()
    depth, longest, keep = [1] * count, [-1] * count, [True] * count
    for node in range(count - 1, -1, -1):
        if above[node] >= 0:
            depth[above[node]] = max(depth[above[node]], depth[node] + 1)
    for node, up in enumerate(above):
        if up >= 0 and (longest[up] < 0 or depth[node] > depth[longest[up]]):
            longest[up] = node
    for node, up in enumerate(above):
        if up >= 0:
            keep[node] = keep[up] and (longest[up] == node or depth[node] >= shortest)
    longest, keep = np.array(longest), np.array(keep)
    index = np.cumsum(keep) - 1
    points, parent, tree = points[keep], parent[keep], tree[keep]
    parent = np.where(parent >= 0, index[parent], -1)
    child = np.where(longest[keep] >= 0, index[longest[keep]], -1)
    inner = (parent >= 0) & (child >= 0)
    for _ in range(6):
        mean = 0.5 * (points[parent[inner]] + points[child[inner]])
        points[inner] += 0.5 * (mean - points[inner])
    tips = np.flatnonzero((child < 0) & (parent >= 0))
    return Trees(points, parent, tree, tips)
