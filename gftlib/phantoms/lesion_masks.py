"""Lesion masks on the 1216-grid, kept as crops, with the quadrants and box each occupies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from skimage.draw import disk

from gftlib.phantoms.bending import Bend
from gftlib.phantoms.lesions import Change, Plan
from gftlib.phantoms.octa_config import SIZE
from gftlib.phantoms.planar import SHUNT
from gftlib.phantoms.settling import background
from gftlib.phantoms.strokes import Strokes
from gftlib.phantoms.vasculature import Outline

QUADRANTS = ("UL", "UR", "LL", "LR")
LEAST_PIXELS = 40


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        kind: One of ``gftlib.phantoms.lesions.KINDS``.
        corner: Row and column of the crop's first pixel.
        crop: (h, w) bool, the lesion within its bounding box.
    """

    kind: str
    corner: tuple[int, int]
    crop: np.ndarray

    def mask(self) -> np.ndarray:
        """Return the (1216, 1216) bool mask."""
        full = np.zeros((SIZE, SIZE), dtype=bool)
        (r, c), (h, w) = self.corner, self.crop.shape
        full[r : r + h, c : c + w] = self.crop
        return full

    def mirrored(self) -> Lesion:
        """Return the lesion with left and right exchanged."""
        column = SIZE - self.corner[1] - self.crop.shape[1]
        return Lesion(self.kind, (self.corner[0], column), np.ascontiguousarray(self.crop[:, ::-1]))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The bounding box x0, y0, x1, y1 in unit coordinates, half-open."""
        (r, c), (h, w) = self.corner, self.crop.shape
        return (c / SIZE, r / SIZE, (c + w) / SIZE, (r + h) / SIZE)

    @property
    def quadrants(self) -> tuple[str, ...]:
        """The quadrants that hold at least a tenth of the pixels; a midline is right or lower."""
        rows, columns = np.nonzero(self.crop)
        lower, right = rows + self.corner[0] >= SIZE // 2, columns + self.corner[1] >= SIZE // 2
        share = np.bincount(2 * lower + right, minlength=4) / len(rows)
        return tuple(q for q, s in zip(QUADRANTS, share, strict=True) if s >= 0.1)


def crop_lesion(kind: str, mask: np.ndarray) -> list[Lesion]:
    """Return the mask as a list of one lesion, or none if it has fewer than 40 pixels."""
    if np.count_nonzero(mask) < LEAST_PIXELS:
        return []
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corner = int(rows[0]), int(columns[0])
    return [Lesion(kind, corner, mask[corner[0] : rows[-1] + 1, corner[1] : columns[-1] + 1].astype(bool))]


def fill_outline(points: np.ndarray) -> np.ndarray:
    """Return the (1216, 1216) bool mask of a closed polygon of (row, column) points."""
    picture = Image.new("1", (SIZE, SIZE))
    ImageDraw.Draw(picture).polygon([(float(c), float(r)) for r, c in points], fill=1)
    return np.array(picture)


def vessel_free(label: np.ndarray, outlines: list[np.ndarray], faz: np.ndarray) -> list[np.ndarray]:
    """Return the vessel-free regions that drop-outs left, each once, whatever number of drop-outs met in it.

    An area of the label's background belongs to a drop-out if half of the area lies in its outline, or a
    quarter of the outline's vessel-free pixels lie in the area. Drop-outs that share an area are one region.

    Args:
        label: (1216, 1216) vessels.
        outlines: Where capillaries were removed, each a (1216, 1216) bool mask.
        faz: (1216, 1216) bool, never part of a region.
    """
    if not outlines:
        return []
    areas, count = background(label)
    areas[faz] = 0
    sizes = np.bincount(areas.ravel(), minlength=count)
    regions: list[set[int]] = []
    for outline in outlines:
        inside = np.bincount(areas[outline], minlength=count)
        inside[0] = 0
        least = np.minimum(0.5 * sizes, 0.25 * inside.sum())
        region = set(np.flatnonzero((inside > 0) & (inside >= least)).tolist())
        for other in [other for other in regions if other & region]:
            regions.remove(other)
            region |= other
        regions.append(region)
    return [np.isin(areas, sorted(region)) for region in regions if region]


def _drawn(strokes: Strokes, chosen: np.ndarray, widen: float) -> np.ndarray:
    """Draw the chosen edges ``widen`` pixels wider than they are."""
    part = Strokes(**vars(strokes))
    part.keep(chosen)
    part.radius = part.radius + widen
    return part.mask() > 0


def _near(centre: np.ndarray, reach: float) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[disk(tuple(centre), reach, shape=mask.shape)] = True
    return mask


def brighten(light: np.ndarray, bulges: np.ndarray) -> None:
    """Let microaneurysms shine where blood pools in them (in place, only on drawn vessels)."""
    for row, column, radius in bulges:
        spot = disk((row, column), radius + 1, shape=light.shape)
        light[spot] = np.where(light[spot] > 0.05, np.maximum(light[spot], 0.66), light[spot])


def lesion_masks(
    strokes: Strokes,
    plan: Plan,
    changes: list[Change],
    bulges: np.ndarray,
    warp: Bend,
    faz_mask: np.ndarray,
    healthy: Outline,
    label: np.ndarray,
) -> list[Lesion]:
    """Return every lesion that the drawn label really shows.

    Non-perfusion is the vessel-free region that the removed capillaries left; tufts are the warped outlines
    they were made in; FAZ enlargement is the part of the drawn FAZ beyond the eye's own healthy outline;
    vessel changes are the drawn vessels, 3 pixels wider.
    """
    found: list[Lesion] = []
    outlines = [fill_outline(warp(outline.points())) for outline in plan.dropouts]
    for mask in vessel_free(label, outlines, faz_mask):
        found += crop_lesion("capillary non-perfusion", mask)
    if plan.faz is not None:
        found += crop_lesion("FAZ enlargement", faz_mask & ~fill_outline(warp(healthy.points())))
    for row, column, radius in bulges:
        # A later repair may have taken the capillary away.
        if np.hypot(*(strokes.points - (row, column)).T).min() < 1:
            found += crop_lesion("microaneurysm", _near((row, column), radius + 1))
    for change in changes:
        around = _near(warp(change.centre[None])[0], change.reach)
        found += crop_lesion(change.kind, around & _drawn(strokes, strokes.tree == change.tree, 3.0))
    for outline, shunted in zip(plan.dropouts, plan.shunted, strict=True):
        if shunted:
            around = fill_outline(warp(outline.points(1.4)))
            found += crop_lesion("IRMA-like shunt", around & _drawn(strokes, strokes.kind == SHUNT, 3.0))
    for tuft in plan.tufts:
        ring = Outline(tuft.centre, np.full(90, tuft.radius))
        found += crop_lesion("neovascular tuft", fill_outline(warp(ring.points())))
    return found
