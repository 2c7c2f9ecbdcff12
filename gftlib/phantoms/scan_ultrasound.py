"""Ultrasound phantoms: the breast with cysts, benign and malignant tumours under speckle."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gftlib.phantoms.scan_anatomy import (
    Field,
    Scan,
    finish,
    frame,
    instances,
    level,
    noise,
    soft,
    uniform,
)

LABELS = ("benign_tumor", "cyst", "malignant_tumor")


def draw(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw one image; arguments as for CT, ``slices`` is not used; the width is five quarters of the side."""
    shape = (side, side * 5 // 4)
    y, x = frame(*shape)
    echo = _layers(rng, y)
    found: list[tuple[str, np.ndarray]] = []
    centres = [(uniform(rng, -0.25, 0.30), uniform(rng, -0.75, 0.75))]
    if rng.random() < 0.25:
        centres.append((uniform(rng, -0.25, 0.30), centres[0][1] + (1.0 if centres[0][1] < 0 else -1.0)))
    behind = np.ones(shape, np.float32)
    for cy, cx in centres:
        kind = str(rng.choice(LABELS))
        distance, radius = _outline(rng, kind, y, x, cy, cx)
        mask = distance < 1
        inside = soft(distance, 0.06 if kind != "malignant_tumor" else 0.16)
        level_in = {"cyst": 0.06, "benign_tumor": 0.23, "malignant_tumor": 0.16}[kind]
        echo += inside * (level_in * (1 + 0.25 * noise(rng, shape, 16)) - echo)
        if kind == "malignant_tumor":
            halo = np.exp(-(((distance - 1.12) / 0.14) ** 2))
            echo += 0.22 * halo
        else:
            echo += (0.18 if kind == "cyst" else 0.08) * np.exp(-(((distance - 1.04) / 0.05) ** 2))
        # A cyst lets sound through and brightens what lies behind; a malignant tumour shadows it.
        beam = np.exp(-np.square(np.square((x - cx) / (radius * 0.8)))) * np.clip(
            (y - cy) / radius - 0.5, 0, 1
        )
        gain = {"cyst": 0.75, "benign_tumor": 0.20, "malignant_tumor": -0.62}[kind]
        behind *= 1 + gain * beam * np.exp(-np.clip(y - cy - radius, 0, None))
        found.append((kind, mask))
    fade = np.exp(-uniform(rng, 0.10, 0.45) * (y + 1))
    image = _speckle(rng, echo * behind * fade)
    return [Scan("ultrasound_00", None, None, finish(image), instances(found, least))]


def _layers(rng: np.random.Generator, y: Field) -> Field:
    shape = y.shape
    wave = y + 0.05 * noise(rng, shape, 3)
    skin, fat, gland = -0.90, uniform(rng, -0.62, -0.45), uniform(rng, 0.35, 0.60)
    echo = np.full(shape, 0.34, np.float32)
    echo += 0.42 * (wave < skin)
    # Fat is dark with bright septa, glandular tissue is bright and streaky, muscle is striped.
    septa = np.clip(0.30 - np.abs(noise(rng, shape, 8)), 0, 0.3) / 0.3
    fatty = (wave >= skin) & (wave < fat)
    echo += fatty * (0.20 * septa - 0.12)
    streaks = _streaks(rng, shape, 1.5, 24)
    glandular = (wave >= fat) & (wave < gland)
    echo += glandular * (0.12 + 1.3 * streaks)
    muscle = wave >= gland
    fibres = _streaks(rng, shape, 1.0, 42)
    echo += muscle * (1.6 * fibres - 0.05)
    echo += 0.35 * np.exp(-(((wave - gland) / 0.02) ** 2))
    return ndimage.gaussian_filter(echo, 1.5)


def _streaks(rng: np.random.Generator, shape: tuple[int, int], thick: float, long: int) -> Field:
    """Return noise drawn out along the rows: two moving means of ``long`` pixels, ``thick`` across."""
    field = rng.standard_normal(shape, dtype=np.float32)
    for _ in range(2):
        field = ndimage.uniform_filter1d(field, long, axis=1)
    return ndimage.gaussian_filter1d(field, thick, axis=0)


def _outline(
    rng: np.random.Generator, kind: str, y: Field, x: Field, cy: float, cx: float
) -> tuple[Field, float]:
    radius = uniform(rng, 0.20, 0.38)
    if kind == "malignant_tumor":
        # Taller than wide, spiculated.
        distance = level(y, x, cy, cx, radius, radius * uniform(rng, 0.75, 0.95), uniform(rng, -0.3, 0.3))
        angle = np.arctan2(y - cy, x - cx)
        spikes = 0.09 * np.sin(rng.integers(7, 12) * angle + uniform(rng, 0, 6)) + 0.11 * noise(
            rng, y.shape, 14
        )
        return distance + spikes.astype(np.float32), radius
    wide = uniform(rng, 1.3, 1.7) if kind == "benign_tumor" else uniform(rng, 1.0, 1.25)
    radius *= 0.85
    distance = level(y, x, cy, cx, radius, radius * wide, uniform(rng, -0.2, 0.2))
    return distance + np.float32(0.04 if kind == "cyst" else 0.07) * noise(rng, y.shape, 7), radius


def _speckle(rng: np.random.Generator, echo: Field) -> Field:
    # Speckle is the envelope of a complex Gaussian field, wider across the beam than along it.
    white = rng.standard_normal((4, *echo.shape), dtype=np.float32)
    looks = ndimage.gaussian_filter(white, (0, 0.8, 1.5), truncate=2.5)
    # Two looks are compounded; their mean power sets the level.
    power = (looks * looks).sum(axis=0)
    power /= power.mean()
    # Log compression to 45 dB, as every scanner shows it.
    decibel = 40 * np.log10(np.clip(echo, 0.02, None)) + 10 * np.log10(power + 1e-3)
    return np.clip((decibel + 38) / 45, 0, 1)
