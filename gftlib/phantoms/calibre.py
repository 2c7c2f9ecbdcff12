"""Local changes of the calibre of drawn vessels: venous beading and microaneurysms."""

from __future__ import annotations

import numpy as np

from gftlib.phantoms.bending import Bend
from gftlib.phantoms.lesions import Change, Plan
from gftlib.phantoms.octa_config import SIZE, Lesions
from gftlib.phantoms.planar import CAPILLARY
from gftlib.phantoms.strokes import Strokes


def bead(strokes: Strokes, changes: list[Change], warp: Bend, rng: np.random.Generator) -> None:
    """Let the calibre of the chosen venule parts swell and narrow (in place)."""
    tree = strokes.tree[strokes.owner()]
    for change in changes:
        if change.kind == "venous beading":
            centre = warp(change.centre[None])[0]
            offset = strokes.points - centre
            own = (tree == change.tree) & (np.hypot(*offset.T) < change.reach)
            if own.sum() > 2:
                axis = np.linalg.svd(offset[own] - offset[own].mean(axis=0), full_matrices=False)[2][0]
                wave = np.sin(2 * np.pi * (offset[own] @ axis) / rng.uniform(38, 52))
                fade = np.clip(2 * (1 - np.hypot(*offset[own].T) / change.reach), 0, 1)
                strokes.radius[own] *= 1 + 0.34 * fade * wave


def swell(strokes: Strokes, config: Lesions, plan: Plan, warp: Bend, rng: np.random.Generator) -> np.ndarray:
    """Give capillaries saccular bulges, most of them beside drop-out (in place).

    Returns:
        (k, 3) row, column and radius of each microaneurysm.
    """
    owner = strokes.owner()
    size = np.diff(strokes.offsets)[owner]
    place = np.arange(len(owner)) - strokes.offsets[owner]
    fit = (strokes.kind[owner] == CAPILLARY) & (size >= 6) & (place >= 2) & (place < size - 2)
    fit &= np.all((strokes.points > 30) & (strokes.points < SIZE - 30), axis=1)
    candidates = np.flatnonzero(fit)
    if not plan.microaneurysms or not len(candidates):
        return np.zeros((0, 3))
    weight = np.ones(len(candidates))
    for outline in plan.dropouts:
        gap = (
            np.hypot(*(strokes.points[candidates] - warp(outline.centre[None])[0]).T) / outline.radius.mean()
        )
        weight += 6.0 * np.exp(-(((gap - 1.25) / 0.5) ** 2))
    count = min(plan.microaneurysms, len(candidates))
    chosen = rng.choice(candidates, count, replace=False, p=weight / weight.sum())
    bulges = []
    for point in chosen:
        radius = rng.uniform(*config.microaneurysm_radius)
        own = owner == owner[point]
        away = np.hypot(*(strokes.points[own] - strokes.points[point]).T)
        base = strokes.radius[own]
        strokes.radius[own] = np.maximum(
            base, base + (radius - base) * np.exp(-((away / (0.75 * radius)) ** 2))
        )
        bulges.append((*strokes.points[point], radius))
    return np.array(bulges)
