"""Photographic phantoms: colonoscopy with polyps and instruments, dermoscopy, colour fundus photographs."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gftlib.phantoms.drawing import strokes, walk
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
    soft,
    turn,
    uniform,
)

POLYP, INSTRUMENT, DISC = "polyp", "instrument", "optic_disc"
ENDOSCOPY, FUNDUS = (INSTRUMENT, POLYP), (DISC,)
LESIONS = ("melanoma", "nevus", "seborrheic_keratosis")


def _mix(image: np.ndarray, cover: Field, colour: tuple[float, float, float] | np.ndarray) -> None:
    image += cover[..., None] * (np.asarray(colour, np.float32) - image)


def endoscopy(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw one colonoscopic image; arguments as for CT, ``slices`` is not used."""
    shape = (side, side * 9 // 8)
    y, x = frame(*shape)
    cy, cx = uniform(rng, -0.45, 0.45), uniform(rng, -0.5, 0.5)
    v, u = bend(rng, y, x, 0.05, 3)
    far = np.hypot(v - cy, u - cx)
    # The tube in perspective: rings of folds crowd round the dark lumen.
    folds = np.sin(9 * np.log(far + 0.12) + uniform(rng, 0, 6) + 0.6 * noise(rng, shape, 4))
    relief = 0.30 * far * np.clip(folds, -0.3, 1) + 0.05 * noise(rng, shape, 6)
    light = np.clip(1.15 - 0.55 * np.exp(-far * 1.2) * 1.4 - 0.10 * (y**2 + x**2), 0.05, 1)
    light *= np.clip((far - 0.05) / 0.30, 0.10, 1)
    bumps: list[np.ndarray] = []
    for _ in range(int(rng.choice([0, 1, 2], p=[0.2, 0.6, 0.2]))):
        ry, angle = uniform(rng, 0.18, 0.36), uniform(rng, 0, np.pi)
        py, px = uniform(rng, -0.55, 0.55), uniform(rng, -0.65, 0.65)
        distance = level(v, u, py, px, ry, ry * uniform(rng, 0.8, 1.25), angle) + 0.05 * noise(rng, shape, 9)
        mask = distance < 1
        if bumps and (mask & np.logical_or.reduce(bumps)).any():
            continue
        dome = np.sqrt(np.clip(1 - distance**2, 0, 1))
        relief += 0.55 * ry * dome
        light = light * (1 - 0.20 * np.exp(-(((distance - 1.08) / 0.10) ** 2))) + 0.16 * dome
        bumps.append(mask)
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(relief, 1.5))
    shade = np.clip(1 - 11 * (0.8 * slope_y + 0.6 * slope_x), 0.55, 1.5)
    tint = np.array([0.86, 0.47, 0.38]) + rng.normal(0, 0.03, 3)
    image = (light * shade)[..., None].astype(np.float32) * tint.astype(np.float32)
    vessels = np.clip(0.10 - np.abs(noise(rng, shape, 14)), 0, 0.10) * (noise(rng, shape, 5) > 0) / 0.10
    image *= 1 - (vessels * 0.20)[..., None] * np.array([0.4, 1, 1], np.float32)
    for mask in bumps:
        cover = ndimage.gaussian_filter(mask.astype(np.float32), 2)[..., None]
        image *= 1 + cover * (
            np.array([1.02, 0.86, 0.85], np.float32) + 0.03 * grain(rng, (*shape, 1), 1.5) - 1
        )
    glints = np.clip(noise(rng, shape, 34) + 3.0 * (shade - 1) - 2.6, 0, 0.3) / 0.3
    _mix(image, ndimage.gaussian_filter(glints.astype(np.float32), 0.8), (1, 0.97, 0.95))
    found = [(POLYP, mask) for mask in bumps]
    if not bumps or rng.random() < 0.3:
        tool = _instrument(rng, image, y, x)
        found = [(name, mask & ~tool) for name, mask in found] + [(INSTRUMENT, tool)]
    outside = (np.abs(y) + np.abs(x) > 1.72) | (np.hypot(y, x) > 1.33)
    image[outside] = 0.02
    found = [(name, mask & ~outside) for name, mask in found]
    image = image + 0.008 * grain(rng, image.shape, 0)
    return [Scan("endoscopy_00", None, None, finish(image), instances(found, least))]


def _instrument(rng: np.random.Generator, image: np.ndarray, y: Field, x: Field) -> np.ndarray:
    """Paint a metal shaft that enters at the rim and ends in a jaw; return its mask."""
    angle = uniform(rng, 0, 2 * np.pi)
    length, width = uniform(rng, 0.55, 0.95), uniform(rng, 0.07, 0.12)
    v, u = turn(y, x, angle, 1.25 * np.sin(angle), 1.25 * np.cos(angle))
    # In these coordinates the shaft comes from u > 0 and its tip lies at -length.
    taper = np.clip((u + length) / 0.30, 0.0, 1.0)
    shaft = (np.abs(v) < width) & (u > 0.25 - length)
    jaw = (
        (np.abs(np.abs(v) - 0.05 * (1 - taper)) < width * (0.15 + 0.5 * taper))
        & (u <= 0.25 - length)
        & (u > -length)
    )
    mask = shaft | jaw
    sheen = 0.30 + 0.55 * np.exp(-(((v / width + 0.25) / 0.35) ** 2))
    rings = 0.06 * (np.sin(u * 60) > 0.8)
    cover = ndimage.gaussian_filter(mask.astype(np.float32), 0.8)
    _mix(image, cover, (sheen - rings)[..., None] * np.array([0.93, 0.97, 1.0], np.float32))
    return mask


def dermoscopy(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw one dermoscopic image of one lesion; arguments as for CT, ``slices`` is not used."""
    shape = (side * 7 // 8, side * 9 // 8)
    y, x = frame(*shape)
    kind = str(rng.choice(LESIONS))
    skin = np.array([0.85, 0.66, 0.57]) + rng.normal(0, 0.035, 3)
    image = np.broadcast_to(skin.astype(np.float32), (*shape, 3)).copy()
    image *= 1 + (0.025 * noise(rng, shape, 5) + 0.02 * grain(rng, shape, 1.2))[..., None]
    distance = _border(rng, kind, y, x)
    edge = {"melanoma": 0.10, "nevus": 0.22, "seborrheic_keratosis": 0.05}[kind]
    cover = soft(distance, edge)
    _pigment(rng, kind, image, cover, distance)
    if rng.random() < 0.6:
        lines = []
        for _ in range(int(rng.integers(3, 14))):
            start = rng.uniform(0, shape[1], 2)
            lines.append(walk(rng, start, uniform(rng, 0, 2 * np.pi), uniform(rng, 60, 220), 0.035))
        hair = strokes(shape[1], lines, 0.8)[: shape[0], : shape[1]]
        _mix(image, 0.75 * hair, (0.16, 0.11, 0.09))
    vignette = np.clip(1.12 - 0.20 * (y**2 + x**2), 0.3, 1)
    image *= vignette[..., None]
    if rng.random() < 0.3:
        image[np.hypot(y, x) > 1.28] = 0.03
    image = image + 0.008 * grain(rng, image.shape, 0)
    return [Scan("dermoscopy_00", None, None, finish(image), instances([(kind, distance < 1)], least))]


def _border(rng: np.random.Generator, kind: str, y: Field, x: Field) -> Field:
    cy, cx = uniform(rng, -0.25, 0.25), uniform(rng, -0.35, 0.35)
    radius = uniform(rng, 0.32, 0.62)
    distance = level(y, x, cy, cx, radius, radius * uniform(rng, 0.85, 1.35), uniform(rng, 0, np.pi))
    rough = {"melanoma": (0.16, 6), "nevus": (0.05, 5), "seborrheic_keratosis": (0.07, 8)}[kind]
    return distance + np.float32(rough[0]) * noise(rng, y.shape, rough[1])


def _pigment(rng: np.random.Generator, kind: str, image: np.ndarray, cover: Field, distance: Field) -> None:
    shape = distance.shape
    if kind == "nevus":
        _mix(image, 0.85 * cover, np.array([0.50, 0.31, 0.20]) + rng.normal(0, 0.03, 3))
        mesh = np.clip(0.35 - np.abs(noise(rng, shape, 34)), 0, 0.35) / 0.35
        image *= 1 - (0.38 * mesh * cover * np.clip(distance + 0.3, 0, 1))[..., None]
    elif kind == "melanoma":
        _mix(image, 0.92 * cover, np.array([0.34, 0.21, 0.15]) + rng.normal(0, 0.03, 3))
        for colour, cells in (((0.10, 0.08, 0.09), 5), ((0.38, 0.42, 0.52), 4), ((0.58, 0.30, 0.22), 5)):
            patch = np.clip(1.6 * noise(rng, shape, cells) - 0.9, 0, 1)
            _mix(image, 0.75 * patch * cover, colour)
        dots = np.clip(noise(rng, shape, 40) - 1.7, 0, 0.5) * 2
        _mix(image, 0.8 * dots * cover, (0.08, 0.06, 0.06))
    else:
        _mix(image, 0.80 * cover, np.array([0.60, 0.46, 0.31]) + rng.normal(0, 0.03, 3))
        ridges = np.clip(0.40 - np.abs(noise(rng, shape, 16)), 0, 0.4) / 0.4
        _mix(image, 0.55 * ridges * cover, (0.33, 0.23, 0.15))
        milia = np.clip(noise(rng, shape, 30) - 1.9, 0, 0.3) / 0.3
        _mix(image, 0.85 * milia * cover, (0.95, 0.90, 0.78))


def fundus(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw one fundus photograph; arguments as for CT, ``slices`` is not used."""
    shape = (side, side)
    y, x = frame(*shape)
    eye = float(rng.choice([-1, 1]))
    dy, dx = uniform(rng, -0.18, 0.18), eye * uniform(rng, 0.30, 0.62)
    radius = uniform(rng, 0.13, 0.20)
    base = np.array([0.80, 0.38, 0.17]) + rng.normal(0, 0.04, 3)
    light = 1.0 - 0.22 * np.hypot(y - dy, x - dx) + 0.05 * noise(rng, shape, 4) + 0.02 * noise(rng, shape, 24)
    image = light[..., None].astype(np.float32) * base.astype(np.float32)
    fovea_x = dx - eye * uniform(rng, 0.85, 0.95)
    image *= 1 - (0.42 * np.exp(-(((y - dy - 0.05) ** 2 + (x - fovea_x) ** 2) / 0.05)))[..., None]
    distance = level(y, x, dy, dx, radius, radius * uniform(rng, 0.85, 1.0)) + 0.02 * noise(rng, shape, 8)
    _mix(image, soft(distance, 0.10), (0.98, 0.78, 0.48))
    cup = uniform(rng, 0.35, 0.65)
    _mix(image, 0.7 * soft(distance / np.float32(cup), 0.25), (1.0, 0.93, 0.74))
    _retina_vessels(rng, image, (dy, dx), eye)
    if rng.random() < 0.5:
        _exudates(rng, image)
    image *= np.clip(1.12 - 0.30 * (y**2 + x**2), 0, 1)[..., None]
    image[np.hypot(y, x) > 0.95] = 0.01
    image = ndimage.gaussian_filter(image, (0.6, 0.6, 0)) + 0.007 * grain(rng, image.shape, 0)
    return [Scan("fundus_photography", None, None, finish(image), instances([(DISC, distance < 1)], least))]


def _retina_vessels(
    rng: np.random.Generator, image: np.ndarray, disc: tuple[float, float], eye: float
) -> None:
    side = image.shape[0]
    start = (np.array(disc) + 1) * side / 2
    thick, thin = [], []
    for up in (-1, 1):
        for bow, width in ((0.9, thick), (0.55, thick), (-0.7, thin)):
            # Arcades leave the disc upwards and downwards and bend round the macula.
            along = np.linspace(0, 1, 40)
            turn_x = -eye * np.sign(bow) * (0.10 * along + abs(bow) * 1.1 * along**1.6)
            turn_y = up * (uniform(rng, 0.75, 0.95) * along - 0.25 * along**2)
            wobble = 0.015 * np.cumsum(rng.normal(0, 0.35, 40))
            line = start + np.column_stack([turn_y + wobble, turn_x + wobble]) * side / 2
            width.append(line)
            for k in rng.integers(6, 34, 4):
                heading = np.arctan2(*(line[k + 1] - line[k])) + float(rng.choice([-1, 1])) * uniform(
                    rng, 0.5, 1.0
                )
                thin.append(walk(rng, line[k], heading, uniform(rng, 25, 70), 0.10))
    for lines, width, depth in ((thick, 1.7, 0.62), (thin, 0.85, 0.42)):
        _mix(image, depth * strokes(side, lines, width), (0.42, 0.09, 0.06))


def _exudates(rng: np.random.Generator, image: np.ndarray) -> None:
    shape = image.shape[:2]
    near = noise(rng, shape, 5) > 0.9
    spots = np.clip(noise(rng, shape, 44) - 1.6, 0, 0.4) / 0.4 * near
    _mix(image, 0.8 * spots.astype(np.float32), (0.95, 0.84, 0.45))
    blood = np.clip(noise(rng, shape, 36) - 2.2, 0, 0.3) / 0.3
    _mix(image, 0.6 * blood.astype(np.float32), (0.40, 0.07, 0.05))
