"""What an image shows to anyone: dark and bright patches, by quadrant, with boxes. No word of disease.

Small students learn to see and to speak from these lessons before they meet a chapter's own task, as large
ones did from the pictures of the web. All comes from the grey values of the image in front of the student:
what a phantom holds is never asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gftlib.boxes import BoxFormat, format_boxes

QUADRANT_WORDS = ("upper left", "upper right", "lower left", "lower right")
FINE, COARSE = 0.02, 0.03
"""Blur of bright and dark spots, in widths of the image."""
DARK, BRIGHT = 0.6, 1.6
"""A spot is darker than this share of the median, or brighter."""
LEAST = 0.005
"""Smallest spot, in areas of the image."""
MOST = 2
"""Spots of a kind that are marked, the largest first."""
SIDE = 152
"""Images are measured at about this side; blur makes a finer one no better."""


@dataclass(frozen=True)
class Spot:
    """A patch of an image.

    Attributes:
        box: Unit xyxy.
        quadrant: Position in `QUADRANT_WORDS` of its centre.
        area: In areas of the image.
    """

    box: tuple[float, float, float, float]
    quadrant: int
    area: float


@dataclass(frozen=True)
class Looks:
    """What can be said of an image.

    Attributes:
        dark: Dark spots, the largest first; one over the middle belongs to no quadrant and is left out.
        bright: Bright spots, the largest first.
    """

    dark: tuple[Spot, ...]
    bright: tuple[Spot, ...]


def look(image: np.ndarray) -> Looks:
    """Measure an image, (h, w), in grey values of any scale."""
    grey = np.asarray(image)[:: max(1, len(image) // SIDE), :: max(1, len(image) // SIDE)].astype(float)
    coarse, fine = (ndimage.gaussian_filter(grey, blur * grey.shape[1]) for blur in (COARSE, FINE))
    dark = _spots(coarse < DARK * np.median(coarse))
    return Looks(tuple(s for s in dark if not _central(s)), _spots(fine > BRIGHT * np.median(fine)))


def add_patches(image: np.ndarray, rng: np.random.Generator, most: int = 4) -> np.ndarray:
    """Return a uint8 image (h, w) or (h, w, c) with some soft ellipses darkened or brightened.

    What is dark or bright stands out more than it does in a scan, and is anywhere: a student that starts from
    nothing finds out sooner where to look.
    """
    changed = image.astype(float)
    height, width = image.shape[:2]
    rows, cols = np.mgrid[:height, :width]
    for _ in range(rng.integers(0, most + 1)):
        (y, x), (a, b), turn = rng.uniform(0.08, 0.92, 2), rng.uniform(0.04, 0.14, 2), rng.uniform(0, np.pi)
        across, down = cols / width - x, rows / height - y
        u, v = (
            across * np.cos(turn) + down * np.sin(turn),
            down * np.cos(turn) - across * np.sin(turn),
        )
        inside = 1 / (1 + np.exp(np.minimum(6 * ((u / a) ** 2 + (v / b) ** 2 - 1), 50)))
        if rng.random() < 0.5:
            other = changed * rng.uniform(0.15, 0.45)
        else:
            other = changed * rng.uniform(1.7, 2.5) + 25
        inside = inside.reshape(inside.shape + (1,) * (image.ndim - 2))
        changed += inside * (other.clip(0, 255) - changed)
    return changed.astype(np.uint8)


def lessons(
    looks: Looks, rng: np.random.Generator, fmt: BoxFormat | str, size: tuple[int, int], **resize: int
) -> list[tuple[str, str]]:
    """Return questions with answers about an image.

    Args:
        looks: What can be said of it.
        rng: Picks kinds and quadrants.
        fmt: How the student writes boxes.
        size: (height, width) of the image.
        **resize: As in `gftlib.boxes.frame`.
    """
    kinds = {"dark": looks.dark, "bright": looks.bright}
    pairs = []
    for kind, spots in kinds.items():
        held = sorted({spot.quadrant for spot in spots})
        told = ", ".join(QUADRANT_WORDS[k] for k in held) + "." if held else "None."
        pairs.append((f"Which quadrants hold {kind} patches?", told))
    kind = str(rng.choice(list(kinds)))
    held = sorted({spot.quadrant for spot in kinds[kind]})
    there = bool(held) and (len(held) == 4 or rng.random() < 0.5)
    k = int(rng.choice(held if there else sorted(set(range(4)) - set(held))))
    pairs.append(
        (f"Is there a {kind} patch in the {QUADRANT_WORDS[k]} quadrant?", "Yes." if there else "No.")
    )
    kind = str(rng.choice(list(kinds)))
    boxes = [spot.box for spot in kinds[kind][:MOST]]
    told = "There are none."
    if boxes:
        told = format_boxes(boxes, fmt, [f"{kind} patch"] * len(boxes), size, **resize)
    return [*pairs, (f"Mark the {kind} patches with boxes.", told)]


def _central(spot: Spot) -> bool:
    x0, y0, x1, y1 = spot.box
    return x0 <= 0.5 <= x1 and y0 <= 0.5 <= y1


def _spots(mask: np.ndarray) -> tuple[Spot, ...]:
    labels, _ = ndimage.label(mask)
    height, width = mask.shape
    found = []
    for index, (rows, cols) in enumerate(ndimage.find_objects(labels), start=1):
        area = float((labels[rows, cols] == index).sum()) / mask.size
        box = (cols.start / width, rows.start / height, cols.stop / width, rows.stop / height)
        quadrant = 2 * int(box[1] + box[3] >= 1) + int(box[0] + box[2] >= 1)
        found.append(Spot(box, quadrant, area))
    return tuple(sorted((s for s in found if s.area >= LEAST), key=lambda s: -s.area))
