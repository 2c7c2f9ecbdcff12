"""Signs of disease in a graph: for each kind of finding, a score of every node that could carry it.

The scores are definitions that need the graph and no lesion; what is too much of one is decided by
`gftlib.octa.normal` from healthy training scans alone. Among several definitions of each sign, and of the
pixels of areas, and for the alarm rates of `gftlib.octa.normal`, the choice was made on 54 phantoms of the
training splits with their truth at hand, so agreement with the truth has to be measured on other scans.
"""

from __future__ import annotations

from typing import Literal, get_args

import edt
import numpy as np
from scipy.ndimage import maximum
from scipy.spatial import cKDTree

from gftlib.octa.features import ICA_FEATURES, VESSEL_FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.places import quadrant_index

FindingKind = Literal[
    "non-perfusion", "FAZ enlargement", "dilated vessels", "tortuous vessels", "dense tangle"
]
FINDING_KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
CARRIER: dict[FindingKind, str] = {
    "non-perfusion": "ica",
    "FAZ enlargement": "faz",
    "dilated vessels": "vessel",
    "tortuous vessels": "vessel",
    "dense tangle": "vessel",
}
"""The node type that carries each kind."""

WINDING_MM = 0.2
"""Radius of the window over which the winding of larger vessels is averaged."""
TANGLE_MM = 0.12
"""Radius of the window in which the turning of all vessels is added up."""
LARGER = 1.5
"""Multiple of a scan's median calibre from which a vessel is a larger one."""
CHORD_PX = 5
"""Turning is the angle between the chords over this many path pixels before and after a pixel."""
LEAST_PX = 40
"""Path pixels that an average of turning counts at least, so that a short stub has no large one."""


def signs(graph: OctaGraph) -> dict[FindingKind, np.ndarray]:
    """Return finding kind -> (n,) score of each node of the type that carries it (`CARRIER`).

    * non-perfusion: diameter of the circle of the area's size times the radius of its largest inscribed
      circle, mm2, so that a wide dark patch counts for more than small meshes that ran together;
    * FAZ enlargement: its area, mm2;
    * dilated vessels: standard deviation of the calibre along the segment, mm (a bulge or a string of them);
    * tortuous vessels: mean turning of the larger vessels within `WINDING_MM`, radians per path pixel;
    * dense tangle: summed turning of all vessels within `TANGLE_MM`, radians.
    """
    across, area = (ICA_FEATURES.index(n) for n in ("equivalent_diameter", "area"))
    turned, counted = _turning(graph)
    return {
        "non-perfusion": graph.ica[:, across].astype(float) * _inscribed(graph),
        "FAZ enlargement": graph.faz[:, area].astype(float),
        "dilated vessels": _column(graph, "avgRadiusStd"),
        "tortuous vessels": _winding(graph, turned, counted),
        "dense tangle": _within(graph, TANGLE_MM, turned),
    }


def vessel_density(graph: OctaGraph) -> np.ndarray:
    """Return (4,) mm of centreline per mm2 of each quadrant, a segment shared out by its pixels."""
    pixels = np.diff(graph.path_offsets)
    weight = np.repeat(_column(graph, "length") / np.maximum(pixels, 1), pixels)
    length = np.bincount(quadrant_index(graph, graph.paths), weights=weight, minlength=4)
    return length / quadrant_areas(graph)


def quadrant_areas(graph: OctaGraph) -> np.ndarray:
    """Return (4,) mm2 of the quadrants, the pixels on a midline being right of, or below, it."""
    upper, left = (-(-side // 2) for side in graph.shape)
    rows, columns = np.array([upper, graph.shape[0] - upper]), np.array([left, graph.shape[1] - left])
    return np.outer(rows, columns).ravel() * graph.pixel_mm**2


def _inscribed(graph: OctaGraph) -> np.ndarray:
    """Return (m,) the radius of the largest circle inside each area, mm."""
    depth = edt.edt(graph.labels.astype(np.uint32), black_border=True, parallel=1)
    regions = np.arange(1, len(graph.ica) + 1)
    return (
        maximum(depth, graph.labels, regions).astype(float) * graph.pixel_mm if len(regions) else np.zeros(0)
    )


def _column(graph: OctaGraph, name: str) -> np.ndarray:
    return np.nan_to_num(graph.vessel[:, VESSEL_FEATURES.index(name)].astype(float))


def _turning(graph: OctaGraph) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) summed turning of each segment, radians, and the path pixels at which it was taken."""
    pixels = np.diff(graph.path_offsets)
    owner = np.repeat(np.arange(len(pixels)), pixels)
    index = np.arange(len(graph.paths))
    inner = (index - CHORD_PX >= graph.path_offsets[owner]) & (
        index + CHORD_PX < graph.path_offsets[owner + 1]
    )
    at, path = index[inner], graph.paths.astype(float)
    before, after = path[at] - path[at - CHORD_PX], path[at + CHORD_PX] - path[at]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    angle = np.abs(np.arctan2(cross, (before * after).sum(1))) / CHORD_PX
    turned = np.bincount(owner[inner], weights=angle, minlength=len(pixels))
    return turned, np.bincount(owner[inner], minlength=len(pixels)).astype(float)


def _winding(graph: OctaGraph, turned: np.ndarray, counted: np.ndarray) -> np.ndarray:
    radius = _column(graph, "avgRadiusAvg")
    larger = radius > LARGER * np.median(radius) if len(radius) else np.zeros(0, bool)
    total, pixels = (_within(graph, WINDING_MM, part * larger) for part in (turned, counted))
    return np.where(larger, total / np.maximum(pixels, LEAST_PX), 0.0)


def _within(graph: OctaGraph, radius_mm: float, values: np.ndarray) -> np.ndarray:
    """Return (n,) the sum of the values of all segments whose middle lies within the radius of each one's."""
    out = values.astype(float)
    if len(values):
        pairs = cKDTree(graph.vessel_pos).query_pairs(radius_mm / graph.pixel_mm, output_type="ndarray")
        for one, other in ((0, 1), (1, 0)):
            out = out + np.bincount(pairs[:, one], weights=values[pairs[:, other]], minlength=len(values))
    return out
