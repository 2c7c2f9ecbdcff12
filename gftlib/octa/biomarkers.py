"""Image biomarkers of an OCTA scan, one number each: the classical alternative to the graph (GFT, Table 2).

All come from the graph and its mask, so that graph network and biomarkers see the same segmentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gftlib.errors import InputError
from gftlib.octa.features import ICA_FEATURES, VESSEL_FEATURES

if TYPE_CHECKING:
    from gftlib.octa.graph import OctaGraph

BIOMARKERS = {
    "vessel_density": "share of the image that is vessel",
    "skeleton_density": "centreline length / image area, 1/mm",
    "calibre_mean": "mean diameter along the centreline, mm",
    "calibre_cv": "standard deviation / mean of the segments' diameters, weighted by length",
    "calibre_p90": "90th percentile of the segments' diameters, mm",
    "tortuosity": "total centreline length / total straight distance of the segments",
    "tortuosity_p90": "90th percentile of length / distance of the segments",
    "fractal_dimension": "box-counting dimension of the centreline",
    "segment_density": "vessel segments / image area, 1/mm2",
    "junction_density": "end nodes of three or more segments / image area, 1/mm2",
    "free_end_density": "free ends / image area, 1/mm2",
    "faz_present": "1 if there is a foveal avascular zone",
    "faz_area": "its area, mm2",
    "faz_perimeter": "its perimeter, mm",
    "faz_circularity": "4 pi area / perimeter^2",
    "faz_axis_ratio": "minor / major axis of the ellipse with its second moments",
    "faz_solidity": "its area / area of its convex hull",
    "ica_density": "intercapillary areas / image area, 1/mm2",
    "ica_area_mean": "their mean area, mm2",
    "ica_area_median": "their median area, mm2",
    "ica_area_std": "the standard deviation of their area, mm2",
    "ica_area_p95": "the 95th percentile of their area, mm2",
    "ica_area_max": "the largest of them, mm2",
    "ica_eccentricity": "their mean eccentricity",
    "ica_solidity": "their mean solidity",
    "quadrant_density_min": "the lowest vessel density of the four quadrants",
    "quadrant_density_std": "the standard deviation of the four quadrants' vessel density",
}
"""What each biomarker is."""


def biomarkers(graph: OctaGraph, mask: np.ndarray) -> dict[str, float]:
    """Measure every biomarker of :data:`BIOMARKERS`.

    Args:
        graph: The graph of the scan.
        mask: (H, W) bool, the vessel mask that it was built from.

    Returns:
        One finite number a biomarker, in that order; those of an FAZ or of areas that are not there are 0.

    Raises:
        InputError: If mask and graph differ in shape.
    """
    if mask.shape != tuple(graph.shape):
        raise InputError(
            f"the mask is {mask.shape} and the graph's {tuple(graph.shape)}: they belong together"
        )
    area = mask.size * graph.pixel_mm**2
    degree = np.bincount(graph.ends.ravel(), minlength=len(graph.junctions))
    found = {
        "vessel_density": mask.mean(),
        **_vessels(graph.vessel, area),
        "fractal_dimension": fractal_dimension(graph.paths, max(mask.shape)),
        "segment_density": len(graph.vessel) / area,
        "junction_density": np.count_nonzero(degree >= 3) / area,
        "free_end_density": np.count_nonzero(degree == 1) / area,
        **_faz(graph.faz),
        **_areas(graph.ica, area),
        **_quadrants(mask),
    }
    return {name: float(found[name]) for name in BIOMARKERS}


def fractal_dimension(paths: np.ndarray, side: int) -> float:
    """Return the box-counting dimension of pixels: the slope of log(boxes) over log(1 / side of a box).

    Args:
        paths: (p, 2) rows and columns.
        side: Side of the image in pixels; boxes are 4 pixels to a quarter of it.
    """
    if len(paths) == 0:
        return 0.0
    sizes = 2 ** np.arange(2, max(int(np.log2(side)) - 1, 4))
    boxes = [len(np.unique(paths[:, 0] // size * side + paths[:, 1] // size)) for size in sizes]
    return float(-np.polyfit(np.log(sizes), np.log(boxes), 1)[0])


def _vessels(vessel: np.ndarray, area: float) -> dict[str, float]:
    if len(vessel) == 0:
        return dict.fromkeys(
            ("skeleton_density", "calibre_mean", "calibre_cv", "calibre_p90", "tortuosity", "tortuosity_p90"),
            0.0,
        )
    column = {name: vessel[:, VESSEL_FEATURES.index(name)].astype(float) for name in VESSEL_FEATURES}
    length, open_ = column["length"], column["distance"] > 0
    calibre, weight = 2 * column["avgRadiusAvg"], np.maximum(length, 1e-9)
    mean = np.average(calibre, weights=weight)
    spread = np.sqrt(np.average((calibre - mean) ** 2, weights=weight))
    ratio = length[open_] / column["distance"][open_]
    return {
        "skeleton_density": length.sum() / area,
        "calibre_mean": mean,
        "calibre_cv": spread / mean if mean > 0 else 0.0,
        "calibre_p90": np.percentile(calibre, 90),
        "tortuosity": length[open_].sum() / column["distance"][open_].sum() if open_.any() else 0.0,
        "tortuosity_p90": np.percentile(ratio, 90) if open_.any() else 0.0,
    }


def _faz(faz: np.ndarray) -> dict[str, float]:
    names = ("area", "perimeter", "axis_major_length", "axis_minor_length", "solidity")
    values = faz[0, [ICA_FEATURES.index(name) for name in names]].astype(float) if len(faz) else np.zeros(5)
    area, perimeter, major, minor, solidity = values
    return {
        "faz_present": float(len(faz) > 0),
        "faz_area": area,
        "faz_perimeter": perimeter,
        "faz_circularity": 4 * np.pi * area / perimeter**2 if perimeter > 0 else 0.0,
        "faz_axis_ratio": minor / major if major > 0 else 0.0,
        "faz_solidity": solidity,
    }


def _areas(ica: np.ndarray, area: float) -> dict[str, float]:
    values = ica if len(ica) else np.zeros((1, len(ICA_FEATURES)))
    column = {name: values[:, ICA_FEATURES.index(name)].astype(float) for name in ICA_FEATURES}
    return {
        "ica_density": len(ica) / area,
        "ica_area_mean": column["area"].mean(),
        "ica_area_median": np.median(column["area"]),
        "ica_area_std": column["area"].std(),
        "ica_area_p95": np.percentile(column["area"], 95),
        "ica_area_max": column["area"].max(),
        "ica_eccentricity": column["eccentricity"].mean(),
        "ica_solidity": column["solidity"].mean(),
    }


def _quadrants(mask: np.ndarray) -> dict[str, float]:
    density = [part.mean() for half in np.array_split(mask, 2) for part in np.array_split(half, 2, axis=1)]
    return {"quadrant_density_min": min(density), "quadrant_density_std": np.std(density)}
