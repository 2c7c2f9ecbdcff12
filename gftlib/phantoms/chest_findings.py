"""The four findings of SCALE's chest use case, drawn on a phantom chest and bounded by boxes.

A finding on one side is the mirror image of the same finding on the other: only the side tells them apart.
Cardiomegaly is no drawing of its own but a heart of more than half the thorax's width.
"""

from __future__ import annotations

import numpy as np

from gftlib.datasets.class_concepts import Box
from gftlib.phantoms.chest_anatomy import LEFT, RIGHT, Chest
from gftlib.phantoms.drawing import sigmoid, smooth_noise, strokes, walk

SIDES = {"left": (LEFT,), "right": (RIGHT,), "bilateral": (RIGHT, LEFT)}


def draw(
    rng: np.random.Generator, chest: Chest, finding: str, location: str, strength: float
) -> list[np.ndarray]:
    """Draw one finding at one coarse location.

    Args:
        rng: Source of randomness.
        chest: The chest to draw on; its density is changed.
        finding: ``"atelectasis"``, ``"cardiomegaly"``, ``"consolidation"`` or ``"pleural effusion"``.
        location: A coarse location of ``gftlib.datasets.padchest_locations.LOCATIONS``.
        strength: Contrast, 0 to 1.

    Returns:
        The boolean region of each separate part: two for a bilateral effusion, else one.
    """
    if finding == "cardiomegaly":
        return [chest.heart > 0.5]
    if location == "retrocardiac":
        return [_retrocardiac(rng, chest, strength)]
    sides = SIDES[location.split()[0]]
    if finding == "pleural effusion":
        angle = location.endswith("costophrenic angle")
        return [_effusion(rng, chest, side, strength, angle) for side in sides]
    part = _consolidation if finding == "consolidation" else _atelectasis
    return [part(rng, chest, side, strength) for side in sides]


def _add(chest: Chest, region: np.ndarray, opacity: float) -> np.ndarray:
    """Raise the density inside the soft ``region`` towards that of the abdomen; return where it shows."""
    fluid = np.float32(0.76 + 0.10 * chest.build.girth)
    chest.density += np.float32(opacity) * region * np.clip(fluid - chest.density, 0.02, None)
    return region > 0.4


def _effusion(rng: np.random.Generator, chest: Chest, side: int, strength: float, angle: bool) -> np.ndarray:
    """Fill the costophrenic angle with a short meniscus, or the pleural space with a tall one."""
    build, u = chest.build, chest.lateral(side)
    half, floor = build.half, chest.domes[side]
    lateral = np.clip(u / half, 0, 1.05)
    lowest = build.dome + build.sulcus + (build.step if side == LEFT else 0.0)
    if angle:
        level = lowest - rng.uniform(0.55, 1.0) * build.sulcus
        climb = rng.uniform(0.03, 0.06)
        surface = level + 0.012 - climb * np.clip((lateral - 0.72) / 0.28, 0, 1) ** 3
    else:
        level = build.dome + 0.03 - 0.2 * rng.beta(1.4, 2.0)
        climb = rng.uniform(0.08, 0.2)
        surface = level - climb * np.clip((lateral - 0.35) / 0.65, 0, 1) ** 3
    wall = np.clip(chest.lungs[side], 0, 1)
    fluid = sigmoid((chest.y - surface) / (0.007 if angle else 0.013)) * wall
    shown = _add(chest, fluid, 0.7 + 0.3 * strength)
    # Fluid hides the sulcus itself, so that the region reaches the floor of the angle.
    return shown & (chest.y < floor + 0.02)


def _atelectasis(rng: np.random.Generator, chest: Chest, side: int, strength: float) -> np.ndarray:
    """Draw one to three plate-like bands above the diaphragm, over a faint loss of air."""
    build, size = chest.build, chest.size
    height = build.dome + (build.step if side == LEFT else 0.0)
    lines = []
    for _ in range(int(rng.integers(1, 4))):
        start = np.array([height - rng.uniform(0.03, 0.12), rng.uniform(0.35, 0.5) * build.half])
        heading, length = rng.normal(-0.12, 0.2), rng.uniform(0.35, 0.6) * build.half
        line = walk(rng, start, heading, length, 0.09, step=0.01)
        lines.append(_to_pixels(chest, line, side))
    bands = strokes(size, lines, rng.uniform(0.005, 0.009) * size)
    fade = 0.7 + 0.3 * np.tanh(smooth_noise(rng, size, 14))
    reach = strokes(size, lines, 0.03 * size) * np.clip(chest.lungs[side], 0, 1)
    shown = _add(chest, bands * fade * np.clip(chest.lungs[side], 0, 1), 0.5 + 0.5 * strength)
    _add(chest, reach, 0.12 + 0.12 * strength)
    return shown


def _to_pixels(chest: Chest, line: np.ndarray, side: int) -> np.ndarray:
    """Turn body points (y, distance from the midline) into image points (row, col)."""
    build = chest.build
    y, x = line[:, 0] - 0.5, build.mid + side * line[:, 1] - 0.5
    c, s = np.cos(build.tilt), np.sin(build.tilt)
    return np.column_stack([s * x + c * y + 0.5, c * x - s * y + 0.5]) * chest.size - 0.5


def _consolidation(rng: np.random.Generator, chest: Chest, side: int, strength: float) -> np.ndarray:
    """Draw a fluffy opacity of the lower zone with ill-defined margins and air bronchograms."""
    build, size = chest.build, chest.size
    height = build.dome + (build.step if side == LEFT else 0.0)
    u0, y0 = rng.uniform(0.42, 0.62) * build.half, height - rng.uniform(0.03, 0.10)
    radius = np.hypot(
        (chest.lateral(side) - u0) / rng.uniform(0.08, 0.12), (chest.y - y0) / rng.uniform(0.06, 0.1)
    )
    ragged = radius + 0.22 * smooth_noise(rng, size, 10) + 0.12 * smooth_noise(rng, size, 24)
    cloud = sigmoid((1 - ragged) / 0.16) * np.clip(chest.lungs[side], 0, 1)
    heads = rng.normal(0.2, 0.45, 3)
    tubes = [walk(rng, np.array([y0 - 0.05, 0.6 * u0]), a, 0.16, 0.1, step=0.01) for a in heads]
    air = strokes(size, [_to_pixels(chest, tube, side) for tube in tubes], 0.004 * size)
    shown = _add(chest, cloud * (1 - 0.45 * air), 0.4 + 0.5 * strength)
    return shown


def _retrocardiac(rng: np.random.Generator, chest: Chest, strength: float) -> np.ndarray:
    """Draw a dense wedge behind the left heart with a straight lateral edge, hiding the medial diaphragm."""
    build = chest.build
    u = chest.lateral(LEFT) - build.shift
    base = build.dome + build.step + 0.03
    tip = base - rng.uniform(0.16, 0.24)
    t = np.clip((chest.y - tip) / (base - tip), 0, 1)
    edge = 0.03 + rng.uniform(0.07, 0.11) * t
    wedge = sigmoid((edge - u) / 0.006) * sigmoid((u + 0.01) / 0.01)
    wedge *= sigmoid((chest.y - tip) / 0.012) * sigmoid((base + 0.01 - chest.y) / 0.01)
    chest.density += ((0.10 + 0.12 * strength) * wedge).astype(np.float32)
    return wedge > 0.5


def box(region: np.ndarray) -> Box:
    """Return the bounding box of a boolean region, xyxy half-open in unit coordinates; empty: all zeros."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not rows.size:
        return (0.0, 0.0, 0.0, 0.0)
    height, width = region.shape
    edges = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    return tuple(float(edge) for edge in edges)
