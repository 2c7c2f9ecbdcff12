"""PET phantoms: coronal slices of a trunk; hot organs are normal, the one category is the tumour lesion."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gftlib.phantoms.scan_anatomy import (
    Field,
    Scan,
    bend,
    finish,
    frame,
    instances,
    level,
    noise,
    paint,
    soft,
    turn,
    uniform,
)

DEPTH = 120
LESION = "tumor_lesion"
LABELS = (LESION,)
# (y, x, depth) of the centre, half axes, uptake; y down, depth from back 0 to front 1.
UPTAKE = {
    "brain": (-0.92, 0.00, 0.5, 0.20, 0.17, 0.40, 0.85),
    "heart": (-0.28, 0.08, 0.7, 0.10, 0.11, 0.22, 0.48),
    "liver": (-0.02, -0.20, 0.6, 0.16, 0.24, 0.45, 0.36),
    "spleen": (-0.02, 0.30, 0.3, 0.10, 0.08, 0.25, 0.30),
    "right kidney": (0.18, -0.19, 0.25, 0.11, 0.065, 0.20, 0.58),
    "left kidney": (0.16, 0.20, 0.25, 0.11, 0.065, 0.20, 0.58),
    "bladder": (0.74, 0.00, 0.6, 0.09, 0.11, 0.30, 0.95),
}


def draw(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw the slices of one case; arguments as for CT, the width is three quarters of the side."""
    y, x = frame(side, side * 3 // 4)
    y, x = turn(y, x, uniform(rng, -0.03, 0.03), uniform(rng, -0.05, 0.05), uniform(rng, -0.05, 0.05), 0.84)
    y, x = bend(rng, y, x, 0.012)
    organs = {name: _vary(rng, organ) for name, organ in UPTAKE.items()}
    lesions = _lesions(rng)
    depths = 0.15 + 0.7 * (np.arange(slices) + rng.uniform(0.1, 0.9, slices)) / slices
    arms = bool(rng.random() < 0.5)
    return [_slice(rng, float(d), y, x, organs, lesions, arms, least) for d in depths]


def _vary(rng: np.random.Generator, organ: tuple[float, ...]) -> tuple[float, ...]:
    y, x, d, ry, rx, rd, uptake = organ
    move, size = rng.normal(0, 0.02, 2), rng.normal(1, 0.08, 3).clip(0.75, 1.25)
    hot = uptake * uniform(rng, 0.75, 1.2)
    return y + move[0], x + move[1], d, ry * size[0], rx * size[1], rd * size[2], hot


def _lesions(rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Draw lesions that every slice of some range of depths meets; at least one is near the middle."""
    found = []
    for k in range(int(rng.integers(1, 4))):
        cy, cx = uniform(rng, -0.55, 0.62), uniform(rng, -0.32, 0.32)
        if any(np.hypot(cy - other[0], cx - other[1]) < 0.35 for other in found):
            continue
        radius = uniform(rng, 0.075, 0.14)
        depth = uniform(rng, 0.35, 0.65) if k == 0 else uniform(rng, 0.2, 0.8)
        found.append((cy, cx, depth, radius, radius * uniform(rng, 0.75, 1.25), 0.45, uniform(rng, 0.6, 1.0)))
    return found


def _section(blob: tuple[float, ...], depth: float, y: Field, x: Field) -> Field | None:
    cy, cx, d, ry, rx, rd, _ = blob
    left = 1 - ((depth - d) / rd) ** 2
    if left <= 0.4:
        return None
    shrink = float(np.sqrt(left))
    return level(y, x, cy, cx, ry * shrink, rx * shrink)


def _slice(
    rng: np.random.Generator,
    depth: float,
    y: Field,
    x: Field,
    organs: dict[str, tuple[float, ...]],
    lesions: list[tuple[float, ...]],
    arms: bool,
    least: float,
) -> Scan:
    shape = y.shape
    girth = float(np.sqrt(1 - ((depth - 0.5) / 0.62) ** 2))
    # A rounded box rather than an ellipse: shoulders and hips.
    trunk = level((y - 0.05) * np.abs(y - 0.05), x * np.abs(x), 0, 0, 0.69, 0.18 * girth * girth)
    body = np.minimum(trunk, level(y, x, -0.92, 0, 0.24, 0.20 * girth))
    body = np.minimum(body, level(y, x, -0.72, 0, 0.20, 0.11))
    for side in (-1, 1):
        body = np.minimum(body, level(y, x, 0.95, 0.20 * side, 0.45, 0.15 * girth))
        if arms:
            body = np.minimum(body, level(y, x, 0.10, 0.60 * side, 0.62, 0.075, -0.10 * side))
    canvas = np.zeros(shape, np.float32)
    inside = soft(body, 0.08)
    paint(canvas, inside, 0.15)
    for side in (-1, 1):
        paint(canvas, 0.8 * soft(level(y, x, -0.30, 0.22 * side, 0.22, 0.13), 0.15) * inside, 0.06)
    if depth < 0.4:
        paint(canvas, 0.7 * soft(level(y, x, 0.1, 0, 0.75, 0.035), 0.3), 0.24)
    for organ in organs.values():
        section = _section(organ, depth, y, x)
        if section is not None:
            paint(canvas, soft(section, 0.22), organ[-1])
    found: list[np.ndarray] = []
    for lesion in lesions:
        section = _section(lesion, depth, y, x)
        if section is not None:
            section = section + np.float32(0.10) * noise(rng, shape, 14)
            free = ~np.logical_or.reduce(found) if found else np.ones(shape, bool)
            mask = (section < 1) & (body < 1) & free
            paint(canvas, soft(section, 0.18) * inside, lesion[-1])
            found.append(mask)
    # The scanner's point spread, then counting noise that grows with the uptake.
    canvas = ndimage.gaussian_filter(canvas, shape[0] / 150)
    counts = rng.poisson(np.clip(canvas, 0, None) * 160 + 1.5).astype(np.float32) / 160
    image = ndimage.gaussian_filter(counts, shape[0] / 260)
    return Scan(
        "pet_00", "y", round(depth * DEPTH), finish(image), instances([(LESION, m) for m in found], least)
    )
