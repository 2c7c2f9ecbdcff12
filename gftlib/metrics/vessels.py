"""How close an extracted vessel graph is to the true one: junctions, length, radius, FAZ, areas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial import cKDTree

from gftlib.errors import InputError

TOLERANCE_PX = 3.0
"""A junction counts as found within this distance, on the 1216-grid."""


class ExtractedGraph(Protocol):
    """What is scored of an extracted graph; ``gftlib.octa.graph.OctaGraph`` has it."""

    shape: tuple[int, int]
    field_mm: float
    vessel: np.ndarray
    paths: np.ndarray
    path_offsets: np.ndarray
    junctions: np.ndarray
    ends: np.ndarray
    ica: np.ndarray
    faz: np.ndarray


class TrueGraph(Protocol):
    """What is known of the true graph; ``gftlib.phantoms.truth.VesselGraph`` has it."""

    points: np.ndarray
    radius: np.ndarray

    def junctions(self) -> np.ndarray:
        """Return the true junctions, (j, 2) row and column."""
        ...

    def lengths(self) -> np.ndarray:
        """Return the true length of each segment in pixels."""
        ...


@dataclass(frozen=True)
class Matching:
    """One-to-one matches between found and true points.

    Attributes:
        precision: Matched / found; 1 if nothing was found and nothing is there.
        recall: Matched / true; likewise.
        f1: Their harmonic mean.
        distance: Mean distance of the matches in pixels, NaN without any.
    """

    precision: float
    recall: float
    f1: float
    distance: float


def match_points(found: np.ndarray, true: np.ndarray, tolerance: float = TOLERANCE_PX) -> Matching:
    """Match as many found points as possible to true ones, one to one, within a distance.

    Args:
        found: (a, 2) points.
        true: (b, 2) points.
        tolerance: Largest distance of a match.

    Raises:
        InputError: If an array is not (n, 2).
    """
    for name, points in (("found", found), ("true", true)):
        if np.ndim(points) != 2 or np.shape(points)[1] != 2:
            raise InputError(f"{name} points have shape {np.shape(points)}: give (n, 2) rows and columns")
    if not len(found) or not len(true):
        empty = float(len(found) == len(true))
        return Matching(empty, empty, empty, float("nan"))
    near = cKDTree(found).query_ball_point(true, tolerance)
    columns = np.concatenate([np.asarray(hits, int) for hits in near])
    starts = np.concatenate(([0], np.cumsum([len(hits) for hits in near])))
    links = csr_matrix((np.ones(len(columns), np.int8), columns, starts), shape=(len(true), len(found)))
    partner = maximum_bipartite_matching(links, perm_type="column")
    hit = partner >= 0
    count = int(hit.sum())
    away = np.linalg.norm(np.asarray(true)[hit] - np.asarray(found)[partner[hit]], axis=1)
    return Matching(
        precision=count / len(found),
        recall=count / len(true),
        f1=2 * count / (len(found) + len(true)),
        distance=float(away.mean()) if count else float("nan"),
    )


def relative_error(found: float, true: float) -> float:
    """Return (found - true) / true; 0 if both are 0, infinite if only the truth is."""
    if true == 0:
        return 0.0 if found == 0 else float("inf")
    return (found - true) / true


def radius_errors(
    paths: np.ndarray, offsets: np.ndarray, radius: np.ndarray, points: np.ndarray, true_radius: np.ndarray
) -> np.ndarray:
    """Return each segment's radius minus the mean true radius along it.

    Args:
        paths: (p, 2) centreline pixels of all segments.
        offsets: (n + 1,) first pixel of each segment.
        radius: (n,) radius of each segment, in pixels.
        points: (k, 2) points of the true centreline; each path pixel takes the radius of the nearest.
        true_radius: (k,) true radius at the points.
    """
    if not len(radius):
        return np.zeros(0)
    nearest = cKDTree(points).query(paths)[1]
    sums = np.add.reduceat(np.asarray(true_radius, float)[nearest], offsets[:-1])
    return radius - sums / np.diff(offsets)


@dataclass(frozen=True)
class GraphScore:
    """Scores of one extracted graph.

    Attributes:
        junctions: Junction matching at the tolerance.
        length: Relative error of the total vessel length.
        radius: Length-weighted mean absolute radius error over segments, pixels.
        radius_bias: Length-weighted mean radius error, pixels.
        faz_area: Relative error of the FAZ area; -1 if it was missed.
        ica_count: Number of areas found minus the true number.
    """

    junctions: Matching
    length: float
    radius: float
    radius_bias: float
    faz_area: float
    ica_count: int


def score_graph(
    found: ExtractedGraph,
    true: TrueGraph,
    faz_px: float,
    ica_count: int,
    tolerance: float = TOLERANCE_PX,
) -> GraphScore:
    """Score an extracted graph against the true graph of its label.

    Args:
        found: The extracted graph, on the grid of the truth.
        true: The true graph.
        faz_px: True area of the FAZ in pixels.
        ica_count: True number of intercapillary areas.
        tolerance: Junction tolerance in pixels.
    """
    pixel = found.field_mm / found.shape[1]
    length, radius = found.vessel[:, 0] / pixel, found.vessel[:, 7] / pixel
    degree = np.bincount(found.ends.ravel(), minlength=len(found.junctions))
    error = radius_errors(found.paths, found.path_offsets, radius, true.points, true.radius)
    weight = length / max(length.sum(), 1e-9)
    return GraphScore(
        junctions=match_points(found.junctions[degree >= 3], true.junctions(), tolerance),
        length=relative_error(float(length.sum()), float(true.lengths().sum())),
        radius=float(np.abs(error) @ weight),
        radius_bias=float(error @ weight),
        faz_area=relative_error(float(found.faz[:, 2].sum()) / pixel**2, faz_px),
        ica_count=len(found.ica) - ica_count,
    )
