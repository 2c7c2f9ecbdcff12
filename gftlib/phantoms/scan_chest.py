"""X-ray phantoms: frontal chest radiographs with lungs, heart, clavicles and sometimes pneumonia."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gftlib.phantoms.drawing import strokes
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

LUNGS = ("right_lung", "left_lung")
LABELS = (*LUNGS, "heart", "clavicle", "pneumonia")


def draw(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw one radiograph; arguments as for CT, ``slices`` is not used."""
    y, x = frame(side, side)
    y, x = turn(y, x, uniform(rng, -0.05, 0.05), uniform(rng, -0.06, 0.06), uniform(rng, -0.05, 0.05), 1.0)
    x = x / np.float32(uniform(rng, 0.92, 1.08))
    v, u = bend(rng, y, x, 0.018)
    lungs, heart = _thorax(rng, v, u)
    # Attenuation adds up along the ray: thick where the body is round, thin in the lungs.
    body = level(y, x, 0.35, 0, 1.45, 1.0)
    canvas = np.float32(0.60) * np.clip(1.15 - np.square(np.square(body)), 0, 1)
    for lung in lungs:
        paint(canvas, 0.80 * soft(lung, 0.06), 0.13)
    canvas += 0.15 * soft(level(v, u, 0.1, 0, 2.0, 0.10), 0.35)
    canvas += 0.27 * soft(heart, 0.05) * np.clip(1.5 - heart, 0, 0.9)
    canvas += 0.13 * soft(level(v, u, -0.28, 0.09, 0.16, 0.10), 0.3)
    air = level(v, u, -0.75, 0.0, 0.42, 0.05)
    canvas -= 0.13 * soft(air, 0.4)
    opacities, cover = _pneumonia(rng, lungs, heart)
    canvas += 0.27 * cover
    _ribs(rng, canvas, v, u, body)
    clavicles = _clavicles(rng, v, u)
    for bone in clavicles:
        canvas += 0.17 * soft(bone, 0.12)
    _vessels(rng, canvas, lungs)
    heart_mask = heart < 1
    found = [(name, (lung < 1) & ~heart_mask) for name, lung in zip(LUNGS, lungs, strict=True)]
    found += [("heart", heart_mask), *(("clavicle", bone < 1) for bone in clavicles)]
    found += [("pneumonia", mask) for mask in opacities]
    gamma = uniform(rng, 0.85, 1.15)
    image = np.clip(ndimage.gaussian_filter(canvas, 0.7), 0, 1) ** gamma + 0.016 * grain(rng, y.shape, 0.7)
    return [Scan("x_ray", None, None, finish(image), instances(found, least))]


def _thorax(rng: np.random.Generator, y: Field, x: Field) -> tuple[list[Field], Field]:
    breath = uniform(rng, 0.9, 1.08)
    lungs = []
    for side, drop in ((-1, 0.0), (1, 0.04)):
        # The outline: an egg whose base is cut by the dome of the diaphragm.
        egg = level(y, x - np.float32(0.10 * side) * (y + 0.2), -0.02, 0.43 * side, 0.74 * breath, 0.34)
        dome = (y - np.float32((0.40 + drop) * breath)) * 2 + 1 + 2.2 * (x - np.float32(0.42 * side)) ** 2
        lungs.append(np.maximum(egg, dome.astype(np.float32)))
    size = uniform(rng, 0.9, 1.25)
    heart = level(y, x, 0.22, 0.13, 0.30, 0.30 * size, -0.55)
    return lungs, np.maximum(heart, (y - np.float32(0.47)) * 2 + 1)


def _pneumonia(rng: np.random.Generator, lungs: list[Field], heart: Field) -> tuple[list[np.ndarray], Field]:
    shape = heart.shape
    y, x = frame(*shape)
    cover, found = np.zeros(shape, np.float32), []
    for lung in lungs:
        if rng.random() > 0.35:
            continue
        inner = (lung < 0.8) & (heart > 1.1)
        rows, columns = np.nonzero(inner)
        k = int(rng.integers(len(rows)))
        cy, cx, radius = y[rows[k], 0], x[0, columns[k]], uniform(rng, 0.14, 0.24)
        cloud = level(y, x, cy, cx, radius, radius * uniform(rng, 0.8, 1.3)) + 0.16 * noise(rng, shape, 12)
        mask = (cloud < 1) & (lung < 1) & (heart > 1)
        found.append(mask)
        patchy = 0.85 + 0.2 * noise(rng, shape, 22)
        cover = np.maximum(cover, ndimage.gaussian_filter(mask.astype(np.float32), 2.5) * patchy)
    return found, cover


def _ribs(rng: np.random.Generator, canvas: Field, y: Field, x: Field, body: Field) -> None:
    spacing = uniform(rng, 0.145, 0.165)
    start = uniform(rng, -0.06, 0.06)
    # Behind, ribs fall away from the spine and turn steep at the side of the chest.
    side = np.clip(np.abs(x) - 0.45, 0, None)
    back = y - 0.30 * np.abs(x) - 1.1 * side * np.sqrt(side) + start
    front = y + 0.42 * np.abs(x) - 0.25 + start
    inside = (body < 0.96) & (np.abs(x) > 0.07) & (y > -0.80) & (y < 0.62)
    for run, weight, width in ((back, 0.075, 0.26), (front, 0.035, 0.20)):
        phase = np.abs((run / spacing) % 1 - 0.5) * 2
        canvas += (
            weight * inside * np.clip((width + 0.22 - np.abs(1 - phase)) / 0.22, 0, 1) * (np.abs(x) < 0.80)
        )


def _clavicles(rng: np.random.Generator, y: Field, x: Field) -> list[Field]:
    height, tilt = uniform(rng, -0.70, -0.60), uniform(rng, 0.10, 0.28)
    bones = []
    for side in (-1, 1):
        # An S-shaped rod: an ellipse along a bent axis.
        axis = height - tilt * (np.abs(x) - 0.15) + 0.05 * np.sin(5 * np.abs(x))
        bones.append(level(y - axis, x, 0, 0.42 * side, 0.045, 0.28).astype(np.float32))
    return bones


def _vessels(rng: np.random.Generator, canvas: Field, lungs: list[Field]) -> None:
    side = canvas.shape[0]
    for lung, sign in zip(lungs, (-1, 1), strict=True):
        root = np.array([0.52, 0.5 + 0.09 * sign]) * side
        lines = []
        for angle in rng.uniform(-1.25, 1.35, 14):
            length, bow = uniform(rng, 0.16, 0.34) * side, uniform(rng, -0.25, 0.25)
            along = np.linspace(0, 1, 12)[:, None]
            ahead = np.array([np.sin(angle), sign * np.cos(angle)])
            aside = np.array([ahead[1], -ahead[0]])
            lines.append(root + length * (along * ahead + bow * along**2 * aside))
        canvas += 0.10 * strokes(side, lines, 1.1) * soft(lung, 0.08)
