"""The features of the graph: names, units and definitions in one table, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.octa.measuring import Measures
from gftlib.octa.region_table import PROPERTIES
from gftlib.octa.tracing import Segments


@dataclass(frozen=True)
class FeatureInfo:
    """One feature of a node type.

    Attributes:
        node: ``vessel`` or ``ica`` (the FAZ has the features of ``ica``).
        name: Name as in the published feature lists.
        unit: ``mm``, ``mm2``, ``mm3``, ``1`` (a ratio or count) or ``grey`` (fraction of full scale).
        power: Power of the pixel size in mm that turns pixels into the unit.
        definition: What it is, in two dimensions.
    """

    node: str
    name: str
    unit: str
    power: int
    definition: str


def _info(node: str, rows: str) -> tuple[FeatureInfo, ...]:
    power = {"mm": 1, "mm2": 2, "mm3": 3, "1": 0, "grey": 0}
    parts = [[part.strip() for part in row.split("|")] for row in rows.strip().splitlines()]
    return tuple(FeatureInfo(node, name, unit, power[unit], text) for name, unit, text in parts)


VESSEL_INFO = _info(
    "vessel",
    """
    length | mm | Length of the smoothed centreline from node to node
    distance | mm | Straight distance between the two end nodes
    curveness | 1 | length / distance; 0 for a loop, whose two ends are one node
    volume | mm3 | avgCrossSection x length: the vessel taken as a tube of circular section
    avgCrossSection | mm2 | Mean of pi r^2 along the centreline, r being half the width across the normal
    minRadiusAvg | mm | Mean distance to the nearer wall along the normal
    minRadiusStd | mm | Standard deviation of that distance along the centreline
    avgRadiusAvg | mm | Mean of r, half the distance between the two walls along the normal
    avgRadiusStd | mm | Standard deviation of r along the centreline
    roundnessAvg | 1 | Mean ratio of the distances to the nearer and the farther wall along the normal
    roundnessStd | 1 | Standard deviation of that ratio along the centreline
    node1_degree | 1 | Segment ends that meet at the end node with fewer of them
    node2_degree | 1 | Segment ends that meet at the other end node
    cl_mean | grey | Mean grey level on the centreline pixels; 0 without an image
    cl_std | grey | Standard deviation of the grey level on the centreline; 0 without an image
    q25 | grey | 25th percentile of the grey level on the centreline; 0 without an image
    q75 | grey | 75th percentile of the grey level on the centreline; 0 without an image
    degree | 1 | Other vessel segments that share an end node with this one
    """,
)

REGION_INFO = _info(
    "ica",
    """
    centroid-0 | mm | Row of the centre of mass, from the centre of the upper left pixel
    centroid-1 | mm | Column of the centre of mass, from the centre of the upper left pixel
    area | mm2 | Area of the region's pixels
    perimeter | mm | Length of the border through its pixel centres (Benkrid and Crookes' estimate)
    eccentricity | 1 | Eccentricity of the ellipse with the same second moments
    equivalent_diameter | mm | Diameter of the circle of the same area
    solidity | 1 | Area / area of the convex hull
    extent | 1 | Area / area of the bounding box
    axis_major_length | mm | Major axis of the ellipse with the same second moments
    axis_minor_length | mm | Minor axis of the ellipse with the same second moments
    intensity_max | grey | Largest grey level in the region; 0 without an image
    intensity_mean | grey | Mean grey level in the region; 0 without an image
    intensity_min | grey | Smallest grey level in the region; 0 without an image
    q25 | grey | 25th percentile of the grey level in the region; 0 without an image
    q75 | grey | 75th percentile of the grey level in the region; 0 without an image
    std | grey | Standard deviation of the grey level in the region; 0 without an image
    degree | 1 | Intercapillary areas across one vessel from this one
    """,
)

VESSEL_FEATURES = tuple(info.name for info in VESSEL_INFO)
ICA_FEATURES = FAZ_FEATURES = tuple(info.name for info in REGION_INFO)

FEATURES: dict[str, tuple[FeatureInfo, ...]] = {"vessel": VESSEL_INFO, "ica": REGION_INFO, "faz": REGION_INFO}
"""The features of each node type, in column order."""


def vessel_features(segments: Segments, measures: Measures, edges: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Return the (n, 18) float32 vessel features.

    Args:
        segments: Segments whose ends are ordered, the node of lower degree first.
        measures: Their measures in pixels.
        edges: (2, E) vessel-vessel edges, both directions.
        pixel_mm: Side of a mask pixel in mm.
    """
    length, distance = measures.column("length"), measures.column("distance")
    section = measures.column("section")
    degree = segments.degree()[segments.ends]
    curveness = np.divide(length, distance, out=np.zeros_like(length), where=distance > 0)
    columns = [
        length,
        distance,
        curveness,
        section * length,
        section,
        *(
            measures.column(name)
            for name in ("min_avg", "min_std", "avg_avg", "avg_std", "round_avg", "round_std")
        ),
        degree[:, 0],
        degree[:, 1],
        *(measures.column(name) for name in ("cl_mean", "cl_std", "q25", "q75")),
        np.bincount(edges[0], minlength=len(length)),
    ]
    return _to_units(columns, VESSEL_INFO, pixel_mm)


def region_features(table: np.ndarray, degree: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Return the (m, 17) float32 features of regions from their table in pixels and their ICA neighbours."""
    return _to_units([*table.T[: len(PROPERTIES)], degree], REGION_INFO, pixel_mm)


def _to_units(columns: list[np.ndarray], infos: tuple[FeatureInfo, ...], pixel_mm: float) -> np.ndarray:
    scale = np.array([pixel_mm**info.power for info in infos])
    return (np.stack(columns, axis=1) * scale).astype(np.float32)
