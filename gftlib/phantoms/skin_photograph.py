"""What the dermatoscope and its camera add to a skin phantom: hair, ruler, bubbles, focus and light."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gftlib.phantoms.drawing import blobs, ellipse, grid, scatter, sigmoid, strokes, walk
from gftlib.phantoms.skin_config import SkinConfig


def photograph(
    rng: np.random.Generator, image: np.ndarray, config: SkinConfig, traits: dict[str, str]
) -> np.ndarray:
    """Photograph a lesion.

    Args:
        rng: Source of randomness.
        image: ``(size, size, 3)`` colours of the skin, 0 to 255.
        config: The generator's settings.
        traits: Words for the caption; filled in.

    Returns:
        ``(size, size, 3)`` uint8.
    """
    size = config.size
    rows, columns = grid(size)
    traits["hair"] = "a few hairs" if rng.random() < config.hair else "no hair"
    if traits["hair"] != "no hair":
        image = _hair(rng, image, size)
    traits["ruler"] = "a ruler" if rng.random() < config.ruler else ""
    if traits["ruler"]:
        row, step = rng.uniform(0.9, 0.96) * size, rng.uniform(7, 11)
        ticks = [
            np.array([[row, x], [row - (9 if k % 5 == 0 else 5), x]])
            for k, x in enumerate(np.arange(rng.uniform(0, step), size, step))
        ]
        image = image * (1 - 0.75 * strokes(size, ticks, 0.55))[..., None]
    traits["bubbles"] = "air bubbles" if rng.random() < config.bubbles else ""
    if traits["bubbles"]:
        centres = scatter(rng, np.ones((size, size)), int(rng.integers(4, 14)), apart=6)
        radii = rng.uniform(1.5, 5.0, len(centres))
        rim = blobs(size, centres, radii) - blobs(size, centres, radii * 0.7)
        image = image + 45 * np.clip(rim, 0, 1)[..., None]
    blur = rng.uniform(*config.blur)
    traits["focus"] = "sharp" if blur < 0.5 else "slightly blurred" if blur < 0.68 else "blurred"
    image = ndimage.gaussian_filter(image, (blur, blur, 0), truncate=3.0)
    slope = rng.normal(0, 0.06, 2)
    light = rng.uniform(0.88, 1.06) * (1 + slope[0] * (rows / size - 0.5) + slope[1] * (columns / size - 0.5))
    traits["vignette"] = "dark corners" if rng.random() < config.vignette else ""
    if traits["vignette"]:
        light = light * sigmoid(
            (rng.uniform(1.08, 1.3) - ellipse(size, (size / 2,) * 2, (size / 2,) * 2)) / 0.06
        )
    image = image * light[..., None] * rng.normal(1, 0.025, 3).astype(np.float32)
    grain = rng.standard_normal((size, size, 1), np.float32)
    grain = grain + 0.5 * rng.standard_normal((size, size, 3), np.float32)
    image = image + rng.uniform(*config.noise) * grain
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _hair(rng: np.random.Generator, image: np.ndarray, size: int) -> np.ndarray:
    lines = []
    for _ in range(int(rng.integers(2, 11))):
        start = rng.uniform(0, size, 2)
        lines.append(walk(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.1) * size, 0.035))
    ink = strokes(size, lines, rng.uniform(0.45, 0.75))[..., None] * rng.uniform(0.5, 0.9)
    colour = np.array([60, 42, 34], np.float32) * rng.uniform(0.5, 2.2)
    return image * (1 - ink) + colour * ink
