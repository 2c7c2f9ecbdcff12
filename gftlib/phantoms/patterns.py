"""Plain pictures with plain captions: shapes, colours, textures and places, nothing medical.

They stand for the general pairs that CLIP was trained on, so that the embedded encoders know everyday words
("blue", "dots", "irregular") before they meet a medical image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gftlib.errors import InputError

COLOURS = {
    "black": (25, 22, 22),
    "brown": (105, 60, 40),
    "red": (190, 40, 45),
    "pink": (232, 160, 165),
    "blue": (80, 100, 175),
    "grey": (130, 130, 130),
    "white": (240, 238, 235),
    "yellow": (225, 205, 110),
}
SHAPES = ("round", "elongated", "square", "ragged")
TEXTURES = ("plain", "dots", "globules", "network", "streaks", "lines")
PLACES = {
    f"{row} {column}".strip(): (0.5 + 0.16 * i, 0.5 + 0.16 * j)
    for i, row in ((-1, "upper"), (0, ""), (1, "lower"))
    for j, column in ((-1, "left"), (0, "centre" if not row else ""), (1, "right"))
}


@dataclass(frozen=True)
class Pattern:
    """One picture: ``image`` is ``(size, size, 3)`` uint8, ``words`` what a caption may say, by topic."""

    image: np.ndarray
    words: dict[str, str]


def draw(rng: np.random.Generator, size: int = 160) -> Pattern:
    """Draw one picture.

    Raises:
        InputError: If ``size`` is too small to show anything.
    """
    if size < 32:
        raise InputError(f"a pattern needs at least 32 pixels a side, got {size}")
    ground, colour, mark, spot = rng.permutation(list(COLOURS))[:4]
    shape, texture = str(rng.choice(SHAPES)), str(rng.choice(TEXTURES))
    order = str(rng.choice(["regular", "irregular"]))
    spread = str(rng.choice(["diffuse", "localized"]))
    place = str(rng.choice(list(PLACES)))
    radius = rng.uniform(0.15, 0.36)
    body = _body(rng, size, shape, PLACES[place], radius)
    image = np.broadcast_to(np.array(COLOURS[ground], float), (size, size, 3)).copy()
    image[body > 0] = COLOURS[colour]
    where = body & _half(rng, size, PLACES[place]) if spread == "localized" else body
    image[_texture(rng, size, texture, order) & where] = COLOURS[mark]
    if has_spot := rng.random() < 0.4:
        offset = np.array(PLACES[place]) + rng.uniform(-0.5, 0.5, 2) * radius
        image[_body(rng, size, "ragged", tuple(offset), radius * rng.uniform(0.3, 0.55)) & body] = COLOURS[
            spot
        ]
    image = ndimage.gaussian_filter(image * rng.uniform(0.85, 1.1), (rng.uniform(0.3, 1.2),) * 2 + (0,))
    image = np.clip(image + rng.normal(0, rng.uniform(1, 6), image.shape), 0, 255).astype(np.uint8)
    size_word = ("small", "medium-sized", "large")[int(np.digitize(radius, (0.22, 0.29)))]
    kind = "plain" if texture == "plain" else f"{spread} {order} {mark} {texture}"
    words = {
        "shape": f"a {size_word} {shape} area",
        "colour": f"a {colour} area on {ground}",
        "texture": kind if texture == "plain" else f"{kind} present",
        "place": f"an area at the {place}",
        "spot": f"a {spot} spot present" if has_spot else "spots absent",
    }
    return Pattern(image, words)


def caption(pattern: Pattern, rng: np.random.Generator) -> str:
    """Return a caption that says two or more of the things that the picture shows."""
    facts = list(pattern.words.values())
    chosen = [facts[i] for i in rng.permutation(len(facts))[: int(rng.integers(2, len(facts) + 1))]]
    return f"{rng.choice(['A photo of', 'A picture of', 'An image with'])} {', '.join(chosen)}."


def _body(
    rng: np.random.Generator, size: int, shape: str, centre: tuple[float, ...], radius: float
) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] / size
    y, x = rows - centre[0], columns - centre[1]
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    if shape == "square":
        return np.maximum(abs(u), abs(v)) < 0.85 * radius
    stretch = rng.uniform(1.4, 1.8) if shape == "elongated" else 1.0
    distance = np.hypot(u / stretch, v * stretch)
    if shape == "ragged":
        angle = np.arctan2(v, u)
        waves = [rng.normal(0, 0.12) * np.sin(k * angle + rng.uniform(0, 6.3)) for k in range(2, 9)]
        distance = distance * (1 + sum(waves))
    return distance < radius


def _half(rng: np.random.Generator, size: int, centre: tuple[float, float]) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] / size
    turn = rng.uniform(0, 2 * np.pi)
    return (rows - centre[0]) * np.cos(turn) + (columns - centre[1]) * np.sin(turn) > 0.05


def _texture(rng: np.random.Generator, size: int, texture: str, order: str) -> np.ndarray:
    if texture == "plain":
        return np.zeros((size, size), bool)
    step = rng.uniform(0.05, 0.09) * size
    jitter = 0.0 if order == "regular" else 0.45
    rows, columns = np.mgrid[:size, :size].astype(float)
    warp = [jitter * step * ndimage.gaussian_filter(rng.normal(0, 4, (size, size)), 4) for _ in range(2)]
    y, x = (rows + warp[0]) / step, (columns + warp[1]) / step
    if texture in ("dots", "globules"):
        small = 0.16 if texture == "dots" else 0.33
        reach = small * (1 if order == "regular" else rng.uniform(0.6, 1.4))
        found = np.hypot(y - np.round(y), x - np.round(x)) < reach
        keep = rng.random((size, size)) < (1 if order == "regular" else 0.6)
        return found & keep[np.round(y).astype(int) % size, np.round(x).astype(int) % size]
    if texture == "network":
        return (abs(y - np.round(y)) < 0.16) | (abs(x - np.round(x)) < 0.16)
    if texture == "lines":
        turn = rng.uniform(0, np.pi)
        across = x * np.cos(turn) + y * np.sin(turn)
        return abs(across - np.round(across)) < 0.2
    angle = np.arctan2(rows - size / 2 + warp[0], columns - size / 2 + warp[1]) * 24 / (2 * np.pi)
    return abs(angle - np.round(angle)) < 0.22
