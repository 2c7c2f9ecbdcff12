"""What an image shows to anyone: light and dark, by quadrant, with boxes. No word of disease.

Small students learn to see and to speak from these lessons before they meet a chapter's own task, as large
ones did from the pictures of the web. All comes from the grey values of the image in front of the student:
what a phantom holds is never asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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
TONES = ("black", "dark", "light", "white")
CELLS = 4
"""Cells of the grid on a side."""
MOST = 1
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
        tones: Position in `TONES` of each cell of a grid, row by row.
        centre: The dark spot in the middle, if there is one.
        dark: Other dark spots, the largest first.
        bright: Bright spots, the largest first.
    """

    light: tuple[float, ...]
    tones: tuple[tuple[int, ...], ...]
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
        _tones(fine),
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
    darkest, brightest = QUADRANT_WORDS[order[0]], QUADRANT_WORDS[order[-1]]
    one, other = rng.permutation(4)[:2]
    more = "brighter" if looks.light[one] > looks.light[other] else "darker"
    a, b = QUADRANT_WORDS[one], QUADRANT_WORDS[other]
    pairs = [
        ("Name the tones, row by row.", "; ".join(" ".join(TONES[t] for t in row) for row in looks.tones)),
        ("Which quadrant is the darkest?", f"The {darkest} quadrant."),
        ("Which quadrant is the brightest?", f"The {brightest} quadrant."),
        (f"Is the {a} quadrant brighter or darker than the {b} quadrant?", f"It is {more}."),
    ]
    groups = {"dark": looks.dark, "bright": looks.bright}
    name = list(groups)[int(rng.integers(len(groups)))]
    k = int(rng.integers(4))
    there = any(s.quadrant == k for s in groups[name])
    place = f"the {QUADRANT_WORDS[k]} quadrant"
    pairs.append((f"Is there a {name} patch in {place}?", f"Yes, in {place}." if there else "No."))
    marks = [(f"{name} patches", [s.box for s in spots[:MOST]]) for name, spots in groups.items()]
    if looks.centre is not None:
        marks.append(("dark centre", [looks.centre.box]))
    what, boxes = marks[int(rng.integers(len(marks)))]
    told = format_boxes(boxes, fmt, [what] * len(boxes), size, **resize) if boxes else "There are none."
    return [*pairs, (f"Mark the {what} with a box.", told)]


def _tones(grey: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Return the tone of each cell of a grid, a quarter of the cells each."""
    rows, cols = (np.linspace(0, length, CELLS + 1).astype(int) for length in grey.shape)
    cells = np.array([[grey[a:b, c:d].mean() for c, d in pairwise(cols)] for a, b in pairwise(rows)])
    levels = np.searchsorted(np.quantile(cells, [0.25, 0.5, 0.75]), cells)
    return tuple(tuple(int(level) for level in row) for row in levels)


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
