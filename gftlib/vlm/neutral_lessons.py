"""What an image shows to anyone: light and dark, by quadrant, with boxes. No word of disease.

Small students learn to see and to speak from these lessons before they meet a chapter's own task, as large
ones did from the pictures of the web. All comes from the grey values of the image in front of the student:
what a phantom holds is never asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gftlib.boxes import BoxFormat, format_boxes

QUADRANT_WORDS = ("upper left", "upper right", "lower left", "lower right")
FINE, COARSE = 0.012, 0.03
"""Blur of bright and dark spots, in widths of the image."""
DARK, BRIGHT = 0.7, 1.45
"""A spot is darker than this share of the median, or brighter."""
LEAST = 0.0025
"""Smallest spot, in areas of the image."""
MOST = 3
"""Spots of a kind that are named, the largest first."""


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
        light: Mean brightness of the four quadrants.
        centre: The dark spot in the middle, if there is one.
        dark: Other dark spots, the largest first.
        bright: Bright spots, the largest first.
    """

    light: tuple[float, ...]
    centre: Spot | None
    dark: tuple[Spot, ...]
    bright: tuple[Spot, ...]


def look(image: np.ndarray) -> Looks:
    """Measure an image, (h, w), in grey values of any scale."""
    grey = np.asarray(image, float)
    height, width = grey.shape
    coarse, fine = (ndimage.gaussian_filter(grey, sigma * width) for sigma in (COARSE, FINE))
    middle = np.median(coarse)
    dark = _spots(coarse < DARK * middle)
    central = [s for s in dark if _holds(s, 0.5, 0.5)]
    quadrants = [grey[rows, cols].mean() for rows in _halves(height) for cols in _halves(width)]
    return Looks(
        tuple(float(value) for value in quadrants),
        central[0] if central else None,
        tuple(s for s in dark if s not in central),
        _spots(fine > BRIGHT * np.median(fine)),
    )


def lessons(
    looks: Looks, rng: np.random.Generator, fmt: BoxFormat | str, size: tuple[int, int], **resize: int
) -> list[tuple[str, str]]:
    """Return questions with answers about an image.

    Args:
        looks: What can be said of it.
        rng: Picks quadrants and wordings.
        fmt: How the student writes boxes.
        size: (height, width) of the image.
        **resize: As in `gftlib.boxes.frame`.
    """
    order = np.argsort(looks.light)
    pairs = [
        ("Which quadrant is the darkest?", f"The {QUADRANT_WORDS[order[0]]} quadrant is the darkest."),
        ("Which quadrant is the brightest?", f"The {QUADRANT_WORDS[order[-1]]} quadrant is the brightest."),
    ]
    one, other = rng.permutation(4)[:2]
    more = "brighter" if looks.light[one] > looks.light[other] else "darker"
    a, b = QUADRANT_WORDS[one], QUADRANT_WORDS[other]
    pairs.append((f"Compare the {a} quadrant with the {b} quadrant.", f"The {a} quadrant is {more}."))
    for name, spots in (("dark", looks.dark), ("bright", looks.bright)):
        there = [k for k in range(4) if any(s.quadrant == k for s in spots)]
        where = _listed([QUADRANT_WORDS[k] for k in there])
        pairs.append((f"Where are {name} patches?", f"In the {where}." if there else "There are none."))
        for k in rng.permutation(4)[:2]:
            place = f"the {QUADRANT_WORDS[k]} quadrant"
            yes = f"Yes, there is a {name} patch in {place}."
            no = f"No, there is no {name} patch in {place}."
            pairs.append((f"Is there a {name} patch in {place}?", yes if k in there else no))
        shown = [s.box for s in spots[:MOST]]
        told = "There are none."
        if shown:
            told = f"Here: {format_boxes(shown, fmt, [f'{name} patch'] * len(shown), size, **resize)}"
        pairs.append((f"Mark the {name} patches with boxes.", told))
    if looks.centre is not None:
        box = format_boxes([looks.centre.box], fmt, ["dark centre"], size, **resize)
        pairs.append(("Mark the dark centre with a box.", f"Here: {box}"))
        pairs.append(("How large is the dark centre?", f"It is {_size_word(looks.centre.area)}."))
    return pairs


def _size_word(area: float) -> str:
    steps = (0.015, 0.022, 0.03, 0.045)
    words = ("very small", "small", "of middle size", "large", "very large")
    return words[int(np.searchsorted(steps, area))]


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


def _holds(spot: Spot, x: float, y: float) -> bool:
    return spot.box[0] <= x <= spot.box[2] and spot.box[1] <= y <= spot.box[3]


def _halves(length: int) -> tuple[slice, slice]:
    return slice(0, length // 2), slice(length // 2, length)


def _listed(words: Sequence[str]) -> str:
    joined = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return f"{joined} quadrant{'s' * (len(words) > 1)}"
