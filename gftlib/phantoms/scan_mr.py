"""MR phantoms: axial slices of a head in T1 with contrast, T2 and FLAIR, with glioma, stroke or neither."""

from __future__ import annotations

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

DEPTH = 150
VENTRICLE, EDEMA, TUMOR, STROKE = "lateral_ventricle", "edema", "enhancing_tumor", "ischemic_stroke_lesion"
LABELS = (VENTRICLE, EDEMA, TUMOR, STROKE)
# Grey of each tissue by sequence.
TISSUE = {
    "mr_t1ce": {
        "white": 0.62,
        "grey": 0.48,
        "csf": 0.10,
        "scalp": 0.92,
        EDEMA: 0.40,
        TUMOR: 0.95,
        STROKE: 0.37,
    },
    "mr_t2": {
        "white": 0.36,
        "grey": 0.52,
        "csf": 0.95,
        "scalp": 0.62,
        EDEMA: 0.78,
        TUMOR: 0.64,
        STROKE: 0.80,
    },
    "mr_flair": {
        "white": 0.42,
        "grey": 0.54,
        "csf": 0.08,
        "scalp": 0.70,
        EDEMA: 0.86,
        TUMOR: 0.70,
        STROKE: 0.90,
    },
}


def draw(rng: np.random.Generator, side: int, slices: int, least: float) -> list[Scan]:
    """Draw the slices of one case in two sequences of the same head; arguments as for CT."""
    disease = str(rng.choice(["glioma", "stroke", "none"], p=[0.5, 0.3, 0.2]))
    sequences = rng.permutation(sorted(TISSUE))[:2]
    wide, pose = uniform(rng, 0.94, 1.06), (uniform(rng, -0.12, 0.12), uniform(rng, -0.05, 0.05))
    y, x = frame(side, side)
    y, x = turn(y, x, pose[0], pose[1], 0.0, 0.95)
    y, x = bend(rng, y, x / np.float32(wide), 0.018)
    seat = (
        uniform(rng, 0.45, 0.75),
        uniform(rng, -0.35, 0.40),
        float(rng.choice([-1, 1])) * uniform(rng, 0.24, 0.36),
        uniform(rng, 0.17, 0.30),
    )
    folds = noise(rng, y.shape, 20), noise(rng, y.shape, 34), noise(rng, y.shape, 9)
    swelling = uniform(rng, 0.8, 1.5)
    heights = 0.40 + 0.40 * (np.arange(slices) + rng.uniform(0.1, 0.9, slices)) / slices
    scans = []
    for i, z in enumerate(heights):
        parts = _anatomy(float(z), y, x, folds, swelling)
        lesions = _lesions(float(z), y, x, folds, seat, disease, parts["brain"] < 0.93)
        scans.append(_image(rng, str(sequences[i % 2]), float(z), parts, lesions, least))
    return scans


def _anatomy(z: float, y: Field, x: Field, folds: tuple[Field, ...], swelling: float) -> dict[str, Field]:
    profile = float(np.sqrt(max(1 - ((z - 0.42) / 0.62) ** 2, 0.15)))
    head = level(y, x, 0, 0, 0.88 * profile, 0.72 * profile)
    skull = level(y, x, 0, 0, 0.82 * profile, 0.66 * profile)
    brain = level(y, x, 0, 0, 0.76 * profile, 0.60 * profile)
    size = swelling * float(np.sqrt(max(1 - ((z - 0.58) / 0.24) ** 2, 0)))
    parts = {"head": head, "skull": skull, "brain": brain}
    for side, name in ((-1, "left"), (1, "right")):
        far = np.full_like(y, 9)
        if size > 0.35:
            front = level(y, x, -0.12, 0.10 * side, 0.20 * size, 0.060 * size, 0.30 * side)
            back = level(y, x, 0.14, 0.12 * side, 0.21 * size, 0.065 * size, -0.35 * side)
            far = np.minimum(front, back)
        parts[f"{name} ventricle"] = far
    fine, finer, broad = folds
    # Sulci are the zero lines of a noise field, deep only near the surface of the brain.
    crest = np.abs(fine + 0.5 * finer)
    parts["sulci"] = np.clip((brain - 0.60) / 0.4, 0, 1) * (crest < 0.24)
    parts["fissure"] = (np.abs(x) < 0.010) & (np.abs(y) > 0.25 * profile)
    parts["white"] = brain + 0.16 * fine + 0.05 * broad
    return parts


def _lesions(
    z: float,
    y: Field,
    x: Field,
    folds: tuple[Field, ...],
    seat: tuple[float, float, float, float],
    disease: str,
    brain: np.ndarray,
) -> dict[str, np.ndarray]:
    height, cy, cx, radius = seat
    left = 1 - ((z - height) / (radius * 0.9)) ** 2
    if disease == "none" or left <= 0.25:
        return {}
    radius *= float(np.sqrt(left))
    far = level(y, x, cy, cx, radius, radius * 0.85)
    if disease == "stroke":
        return {STROKE: (far + 0.10 * folds[2] + 0.10 * folds[0] < 0.9) & brain}
    return {
        EDEMA: (far + 0.20 * folds[2] < 1) & brain,
        TUMOR: (far * 1.7 + 0.16 * folds[0] + 0.10 * folds[2] < 1) & brain,
    }


def _image(
    rng: np.random.Generator,
    sequence: str,
    z: float,
    parts: dict[str, Field],
    lesions: dict[str, np.ndarray],
    least: float,
) -> Scan:
    tone = {name: value + float(rng.normal(0, 0.012)) for name, value in TISSUE[sequence].items()}
    shape = parts["head"].shape
    edge = 3.0 / shape[0] * 2
    brain = soft(parts["brain"], edge)
    canvas = np.full(shape, 0.02, np.float32)
    paint(canvas, soft(parts["head"], edge), tone["scalp"])
    paint(canvas, soft(parts["skull"], edge), 0.07)
    paint(canvas, soft(parts["brain"] / np.float32(1.04), edge), tone["csf"])
    paint(canvas, brain, tone["grey"])
    paint(canvas, soft(parts["white"] + 0.20, 0.05) * brain, tone["white"])
    paint(canvas, np.maximum(parts["sulci"], parts["fissure"]) * brain * 0.8, tone["csf"])
    if 0.42 < z < 0.66:
        _nuclei(canvas, parts, tone["grey"])
    found = []
    blocked = np.logical_or.reduce(list(lesions.values())) if lesions else np.zeros(shape, bool)
    for name in ("left ventricle", "right ventricle"):
        paint(canvas, soft(parts[name], 0.12), tone["csf"])
        found.append((VENTRICLE, (parts[name] < 1) & ~blocked))
    for name in (EDEMA, STROKE, TUMOR):
        if name in lesions:
            cover = ndimage.gaussian_filter(lesions[name].astype(np.float32), 1.3)
            paint(canvas, cover, tone[name])
            found.append((name, lesions[name]))
    if TUMOR in lesions:
        core = ndimage.gaussian_filter(lesions[TUMOR].astype(np.float32), 4.0)
        paint(canvas, np.clip((core - 0.75) * 4, 0, 1), 0.25 if sequence == "mr_t1ce" else 0.85)
    bias = 1 + 0.10 * noise(rng, shape, 2)
    canvas = ndimage.gaussian_filter(canvas, 0.7) * bias + 0.02 * grain(rng, shape, 1.0)
    # The magnitude of a complex signal: noise is Rician, so air is never quite black.
    noisy = np.hypot(canvas + 0.022 * grain(rng, shape, 0), 0.022 * grain(rng, shape, 0))
    return Scan(sequence, "z", round(z * DEPTH), finish(noisy), instances(found, least))


def _nuclei(canvas: Field, parts: dict[str, Field], grey: float) -> None:
    height = canvas.shape[0]
    y, x = frame(height, canvas.shape[1])
    for side in (-1, 1):
        for cy, cx, ry, rx in ((-0.08, 0.20, 0.13, 0.06), (0.06, 0.09, 0.09, 0.06)):
            paint(canvas, 0.8 * soft(level(y, x, cy, cx * side, ry, rx, 0.3 * side), 0.15), grey)
