"""CT phantoms: axial slices from bladder to chest, soft-tissue window, patient's right on the left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gftlib.phantoms.scan_anatomy import (
    Field,
    Scan,
    bend,
    finish,
    frame,
    grain,
    instances,
    level,
    noise,
    paint,
    soft,
    turn,
    uniform,
)

DEPTH = 200  # slices from the lowest to the highest


@dataclass(frozen=True)
class Organ:
    """An ellipsoid: centre and half axes in body units, height z from 0 (bladder) to 1 (chest), grey 0-1."""

    z: float
    y: float
    x: float
    rz: float
    ry: float
    rx: float
    grey: float


# Later organs lie over earlier ones.
ORGANS = {
    "right_lung": Organ(1.00, -0.02, -0.45, 0.46, 0.50, 0.31, 0.07),
    "left_lung": Organ(1.00, -0.02, 0.45, 0.46, 0.50, 0.30, 0.07),
    "bladder": Organ(0.03, -0.18, 0.00, 0.15, 0.27, 0.34, 0.43),
    "stomach": Organ(0.50, -0.28, 0.30, 0.17, 0.25, 0.27, 0.50),
    "heart": Organ(0.82, -0.24, 0.10, 0.20, 0.30, 0.34, 0.69),
    "liver": Organ(0.53, -0.08, -0.42, 0.24, 0.46, 0.40, 0.64),
    "spleen": Organ(0.53, 0.16, 0.64, 0.16, 0.25, 0.15, 0.67),
    "pancreas": Organ(0.38, -0.02, 0.08, 0.10, 0.11, 0.27, 0.57),
    "gallbladder": Organ(0.37, -0.30, -0.30, 0.09, 0.14, 0.11, 0.41),
    "right_kidney": Organ(0.30, 0.27, -0.40, 0.16, 0.21, 0.15, 0.78),
    "left_kidney": Organ(0.34, 0.27, 0.42, 0.16, 0.21, 0.15, 0.78),
    "aorta": Organ(0.50, 0.20, 0.06, 9.00, 0.10, 0.10, 0.82),
    "vertebra": Organ(0.50, 0.44, 0.00, 9.00, 0.16, 0.18, 0.90),
}
TUMOR = "liver_tumor"
LABELS = (*ORGANS, TUMOR)


def draw(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw the slices of one case.

    Args:
        rng: Source of randomness.
        side: Side of the images, pixels.
        slices: Number of slices.
        least: Smallest share of the image that an instance may cover.
    """
    organs = {name: _vary(rng, organ) for name, organ in ORGANS.items()}
    tumors = _tumors(rng, organs["liver"])
    girth, fat = uniform(rng, 0.86, 1.0), uniform(rng, 0.05, 0.14)
    pose = (uniform(rng, -0.09, 0.09), uniform(rng, -0.05, 0.05), uniform(rng, -0.05, 0.05))
    y, x = frame(side, side)
    y, x = turn(y, x, pose[0], pose[1], pose[2], 1.04 * girth)
    waves = bend(rng, y, x, 0.030), bend(rng, y, x, 0.030)
    heights = (np.arange(slices) + rng.uniform(0.1, 0.9, slices)) / slices
    window = uniform(rng, 0.92, 1.08)
    scans = []
    for z in heights:
        # The bend drifts from one field to the other along the body: only neighbours look alike.
        v, u = (a + np.float32(z) * (b - a) for a, b in zip(*waves, strict=True))
        scans.append(_slice(rng, float(z), v, u, organs, tumors, fat, window, least))
    return scans


def _vary(rng: np.random.Generator, organ: Organ) -> Organ:
    move, size = rng.normal(0, 0.025, 3), rng.normal(1, 0.09, 3).clip(0.75, 1.25)
    return Organ(
        organ.z + move[0],
        organ.y + move[1],
        organ.x + move[2],
        organ.rz * size[0],
        organ.ry * size[1],
        organ.rx * size[2],
        organ.grey + float(rng.normal(0, 0.015)),
    )


def _tumors(rng: np.random.Generator, liver: Organ) -> list[Organ]:
    found = []
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))):
        direction = rng.normal(0, 1, 3)
        direction *= 0.5 * rng.random() ** (1 / 3) / np.linalg.norm(direction)
        radius = uniform(rng, 0.09, 0.17)
        z, y, x = np.array([liver.z, liver.y, liver.x]) + direction * [liver.rz, liver.ry, liver.rx]
        found.append(Organ(z, y, x, radius * 0.6, radius, radius, 0.47))
    return found


def _section(organ: Organ, z: float, y: Field, x: Field) -> Field | None:
    """Return the radius relative to the organ's section at height z, None if it is not met."""
    left = 1 - ((z - organ.z) / organ.rz) ** 2
    # A sliver would be seen but have no mask, and be asked for as if it were not there.
    if left <= 0.15:
        return None
    shrink = float(np.sqrt(left))
    return level(y, x, organ.y, organ.x, organ.ry * shrink, organ.rx * shrink)


def _slice(
    rng: np.random.Generator,
    z: float,
    y: Field,
    x: Field,
    organs: dict[str, Organ],
    tumors: list[Organ],
    fat: float,
    window: float,
    least: float,
) -> Scan:
    shape = y.shape
    edge = 3.0 / shape[0]
    body = level(y, x, 0, 0, 0.70, 0.97)
    wall = level(y, x, 0, 0, 0.70 - fat, 0.97 - fat)
    canvas = np.full(shape, 0.02, np.float32)
    paint(canvas, soft(body, edge), 0.27)
    paint(canvas, soft(wall, edge), 0.52)
    cavity = soft(level(y, x, -0.03, 0, 0.60 - fat, 0.88 - fat), edge)
    # Bowel loops in fat below the liver, fat alone around the organs above.
    loops = 0.36 + 0.13 * np.tanh(2.5 * noise(rng, shape, 13)) * np.float32(z < 0.45)
    paint(canvas, cavity, loops)
    _bones(canvas, z, y, x, edge, fat)
    owner = np.full(shape, -1, np.int16)
    inside = wall < 0.97
    names = list(organs)
    for i, name in enumerate(names):
        section = _section(organs[name], z, y, x)
        if section is None:
            continue
        owner[(section < 1) & inside] = i
        paint(canvas, soft(section, edge * 4) * inside, organs[name].grey)
    found = [(name, owner == i) for i, name in enumerate(names)]
    liver = owner == names.index("liver")
    for tumor in tumors:
        section = _section(tumor, z, y, x)
        if section is not None:
            mask = (section + 0.08 * noise(rng, shape, 18) < 1) & liver
            paint(canvas, ndimage.gaussian_filter(mask.astype(np.float32), 1.0), tumor.grey)
            found.append((TUMOR, mask))
    _texture(rng, canvas, owner, names)
    table = np.abs(np.hypot(x, y - 2.2) - 1.42) < 0.012
    canvas[table & (body > 1.03)] = 0.55
    image = ndimage.gaussian_filter(canvas, 0.6) * window + 0.028 * grain(rng, shape, 0.8)
    return Scan("ct_00", "z", round(z * DEPTH), finish(image), instances(found, least))


def _bones(canvas: Field, z: float, y: Field, x: Field, edge: float, fat: float) -> None:
    if z > 0.42:
        # Ribs run obliquely, so their cuts move round the chest wall from slice to slice.
        for k in range(12):
            angle = 2 * np.pi * (k + 3.0 * z % 1) / 12
            cy, cx = (0.64 - fat) * np.sin(angle), (0.92 - fat) * np.cos(angle)
            paint(canvas, soft(level(y, x, cy, cx, 0.035, 0.085, angle + np.pi / 2), edge * 4), 0.95)
    if z < 0.2:
        for sign in (-1, 1):
            paint(canvas, soft(level(y, x, 0.18, 0.55 * sign, 0.28, 0.09, 0.5 * sign), edge * 4), 0.88)
    paint(canvas, soft(level(y, x, 0.63, 0, 0.13, 0.04), edge * 6), 0.9)


def _texture(rng: np.random.Generator, canvas: Field, owner: np.ndarray, names: list[str]) -> None:
    shape = canvas.shape
    lung = (owner == names.index("right_lung")) | (owner == names.index("left_lung"))
    if lung.any():
        vessels = np.clip(noise(rng, shape, 30) * 0.6 + noise(rng, shape, 15) * 0.5 - 0.95, 0, 1)
        canvas += lung * np.float32(0.55) * vessels
    liver = owner == names.index("liver")
    if liver.any():
        canvas += liver * np.float32(0.10) * np.clip(0.22 - np.abs(noise(rng, shape, 9)), 0, 0.22) / 0.22
    spine = owner == names.index("vertebra")
    canvas += spine * (0.06 * grain(rng, shape, 1.2) - 0.05)
