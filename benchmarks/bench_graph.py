"""Mask to graph against the plain stack: skeletonize, distance transform, skan, label, regionprops_table.

The plain stack delivers neither adjacency nor the nodes' edges; ours is the whole graph with every feature.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.ndimage import distance_transform_edt
from skan import Skeleton, summarize
from skimage.measure import label, regionprops_table
from skimage.morphology import skeletonize

from benchmarks._timing import interleaved
from gftlib.octa.graph import build_graph
from gftlib.phantoms.octa import cohort, generate

# The properties of the published graph's regions, before correlated ones are dropped.
PROPERTIES = (
    "centroid",
    "centroid_weighted",
    "area",
    "perimeter",
    "eccentricity",
    "equivalent_diameter_area",
    "orientation",
    "solidity",
    "feret_diameter_max",
    "extent",
    "axis_major_length",
    "axis_minor_length",
    "intensity_max",
    "intensity_mean",
    "intensity_min",
)


def plain_stack(mask: np.ndarray, image: np.ndarray) -> None:
    """Measure segments and regions with well-kept libraries alone."""
    skeleton = skeletonize(mask, method="zhang")
    distance = distance_transform_edt(mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        summarize(Skeleton(skeleton * distance), separator="_")
    regions = label(~mask, connectivity=1)
    regionprops_table(regions, intensity_image=image, properties=PROPERTIES)


def coarse(mask: np.ndarray) -> np.ndarray:
    """Return the mask at a quarter of its resolution, vessels kept connected."""
    h, w = mask.shape
    return mask.reshape(h // 4, 4, w // 4, 4).mean(axis=(1, 3)) >= 0.375


def rows() -> list[dict[str, object]]:
    """Time both grids on the label of one phantom."""
    phantom = generate(cohort(2, seed=5)[0])
    cases = (
        ("graph 1216x1216", phantom.label, np.kron(phantom.image, np.ones((4, 4), np.uint8)), 10),
        ("graph 304x304", coarse(phantom.label), phantom.image, 30),
    )
    result = []
    for name, mask, image, target in cases:
        graph = build_graph(mask, image)
        times = interleaved(
            lambda mask=mask, image=image: build_graph(mask, image),
            lambda mask=mask, image=image: plain_stack(mask, image),
            5,
        )
        note = f"{len(graph.vessel)} vessels, {len(graph.ica)} areas; plain stack without adjacency"
        result.append({"name": name, **times, "target": target, "note": note})
    return result
