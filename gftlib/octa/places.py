"""Where things are in a scan, in words: quadrant, clock position and distance from the fovea.

GFT, section 2.4 and Fig. 2, name quadrants; the public teacher prompt adds clock positions and places beside
the FAZ. The rules are declared here, because neither says how they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gftlib.boxes import QUADRANTS, quadrant
from gftlib.octa.graph import OctaGraph

Quadrant = Literal["UL", "UR", "LL", "LR"]
Ring = Literal["central", "middle", "outer"]
Unit = Annotated[float, Field(ge=0, le=1)]
Box = tuple[Unit, Unit, Unit, Unit]

CENTRAL_MM, MIDDLE_MM = 0.5, 1.0
"""Radii in mm about the fovea that end the central ring (the 1 mm field of the ETDRS grid) and the middle
one."""

QUADRANT_WORDS = {"UL": "upper left", "UR": "upper right", "LL": "lower left", "LR": "lower right"}
RING_WORDS = {"central": "close to the FAZ", "middle": "away from the FAZ", "outer": "near the image margin"}
LEAST_SHARE = 0.1
"""Share of a region's pixels that a quadrant must hold to be named."""


class Record(BaseModel):
    """Base of what is kept as JSON: strict, frozen, no unknown names, no NaN or infinity."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Place(Record):
    """Where one node or edge lies.

    Attributes:
        quadrant: A point on a midline of the image is right of, or below, it.
        clock: 1 to 12, seen from the fovea; 12 is up. The fovea is the centroid of the FAZ, or else the
            centre of the image.
        ring: Distance from the fovea: below 0.5 mm central, below 1 mm middle, else outer.
        x: Column in unit coordinates.
        y: Row in unit coordinates.
    """

    quadrant: Quadrant
    clock: int = Field(ge=1, le=12)
    ring: Ring
    x: Unit
    y: Unit

    @property
    def words(self) -> str:
        """The place as text."""
        return f"{QUADRANT_WORDS[self.quadrant]} quadrant, {self.clock} o'clock, {RING_WORDS[self.ring]}"


def fovea(graph: OctaGraph) -> np.ndarray:
    """Return (row, column) in mask pixels: the centroid of the FAZ, or else the centre of the image."""
    return graph.faz_pos[0].astype(float) if len(graph.faz_pos) else np.array(graph.shape) / 2


def place(graph: OctaGraph, position: np.ndarray) -> Place:
    """Describe one (row, column) position in mask pixels."""
    row, column = (float(value) for value in position)
    y = min(max(row / graph.shape[0], 0.0), 1.0)
    x = min(max(column / graph.shape[1], 0.0), 1.0)
    up, right = fovea(graph) - (row, column)
    angle = math.degrees(math.atan2(-right, up)) % 360
    away = math.hypot(up, right) * graph.pixel_mm
    ring: Ring = "central" if away < CENTRAL_MM else "middle" if away < MIDDLE_MM else "outer"
    return Place(
        quadrant=str(quadrant(x, y)),
        clock=int((angle + 15) // 30) % 12 or 12,
        ring=ring,
        x=_kept(x),
        y=_kept(y),
    )


def positions(graph: OctaGraph) -> dict[str, np.ndarray]:
    """Return node type -> (n, 2) rows and columns in mask pixels."""
    return {"vessel": graph.vessel_pos, "ica": graph.ica_pos, "faz": graph.faz_pos}


def quadrant_index(graph: OctaGraph, points: np.ndarray) -> np.ndarray:
    """Return (n,) the index in `gftlib.boxes.QUADRANTS` of (n, 2) rows and columns in mask pixels."""
    points = np.asarray(points).reshape(-1, 2)
    return 2 * (points[:, 0] >= graph.shape[0] / 2) + (points[:, 1] >= graph.shape[1] / 2)


def named_quadrants(graph: OctaGraph, points: np.ndarray) -> tuple[Quadrant, ...]:
    """Return the quadrants that hold at least a tenth of the points, or the one that holds most."""
    count = np.bincount(quadrant_index(graph, points), minlength=4)
    least = min(LEAST_SHARE * count.sum(), count.max())
    return tuple(name for name, n in zip(QUADRANTS, count, strict=True) if n >= least and n > 0)


def pixel_box(graph: OctaGraph, points: np.ndarray, margin: float | np.ndarray = 0.0) -> Box:
    """Return the unit xyxy box of (n, 2) pixels, grown by a margin in pixels (one, or one a pixel)."""
    margin = np.broadcast_to(margin, len(points))[:, None]
    low, high = (points - margin).min(0), (points + 1 + margin).max(0)
    size = np.array(graph.shape, float)
    (y0, x0), (y1, x1) = (low / size).clip(0, 1), (high / size).clip(0, 1)
    return _kept(x0), _kept(y0), _kept(x1), _kept(y1)


def _kept(value: float) -> float:
    return round(float(value), 5)


def in_words(quadrants: tuple[str, ...], names: Mapping[str, str] = QUADRANT_WORDS) -> str:
    """Return "the upper left and lower left quadrants", "all four quadrants", "the upper left quadrant"."""
    if len(quadrants) == len(QUADRANTS):
        return "all four quadrants"
    words = [names[name] for name in quadrants]
    joined = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return f"the {joined} quadrant{'s' * (len(words) > 1)}"
