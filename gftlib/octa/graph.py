"""The graph of an OCTA scan: vessel segments, intercapillary areas and the FAZ (GFT, section 2.2)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gftlib.errors import InputError
from gftlib.octa.adjacency import EdgeType, all_edges
from gftlib.octa.features import region_features, vessel_features
from gftlib.octa.greys import grey_levels
from gftlib.octa.junctions import refine_junctions
from gftlib.octa.measuring import measure
from gftlib.octa.pruning import MERGE_PX, MIN_SPUR_PX, merge_junctions, prune
from gftlib.octa.region_table import measure_regions
from gftlib.octa.regions import MIN_FAZ_MM, MIN_HOLE_PX, label_regions
from gftlib.octa.tracing import Segments, trace

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

MAX_SIDE = 16384
"""Largest height or width of a mask."""


@dataclass(frozen=True)
class OctaGraph:
    """A scan as a graph.

    Attributes:
        shape: Height and width of the mask in pixels.
        field_mm: Width of the image in mm; pixels are square.
        vessel: (n, 18) float32, the columns ``features.VESSEL_FEATURES``.
        vessel_pos: (n, 2) float32 row and column in mask pixels, half-way along the segment.
        paths: (p, 2) int32 rows and columns of the centreline pixels of all segments, one after another.
        path_offsets: (n + 1,) int64 first entry of each segment in ``paths``.
        junctions: (j, 2) float32 positions of the end nodes of segments: bifurcations, free ends, and one
            anchor on each ring without a branch.
        ends: (n, 2) int64 end nodes of each segment, the one of lower degree first.
        ica: (m, 17) float32 intercapillary areas, the columns ``features.ICA_FEATURES``.
        ica_pos: (m, 2) float32 centroids in mask pixels.
        faz: (0 or 1, 17) float32, the same columns; no row if the scan has no FAZ.
        faz_pos: (0 or 1, 2) float32 centroid in mask pixels.
        labels: (H, W) int32: 0 vessel and frame, k + 1 for area k, m + 1 for the FAZ.
        edges: Every relation of ``adjacency.EDGE_TYPES`` as (2, E) int64.
    """

    shape: tuple[int, int]
    field_mm: float
    vessel: np.ndarray
    vessel_pos: np.ndarray
    paths: np.ndarray
    path_offsets: np.ndarray
    junctions: np.ndarray
    ends: np.ndarray
    ica: np.ndarray
    ica_pos: np.ndarray
    faz: np.ndarray
    faz_pos: np.ndarray
    labels: np.ndarray
    edges: dict[EdgeType, np.ndarray]

    @property
    def pixel_mm(self) -> float:
        """Side of a mask pixel in mm."""
        return self.field_mm / self.shape[1]

    def path(self, segment: int) -> np.ndarray:
        """Return the (k, 2) centreline pixels of one segment, from its first to its second end node."""
        return self.paths[self.path_offsets[segment] : self.path_offsets[segment + 1]]

    def junction_degree(self) -> np.ndarray:
        """Return how many segment ends meet at each end node: 1 a free end, 3 and more a bifurcation."""
        return np.bincount(self.ends.ravel(), minlength=len(self.junctions))


def build_graph(
    mask: np.ndarray,
    image: np.ndarray | None = None,
    *,
    field_mm: float = 3.0,
    min_spur_px: float = MIN_SPUR_PX,
    merge_px: float = MERGE_PX,
    min_hole_px: int = MIN_HOLE_PX,
    min_faz_mm: float = MIN_FAZ_MM,
    faz_rule: str = "inscribed",
) -> OctaGraph:
    """Build the graph of a vessel mask.

    Args:
        mask: (H, W) bool, or numbers of which non-zero is vessel and which take at most two values.
        image: (h, w) scan of the same field at any resolution (uint8, uint16, or floats in [0, 1]); gives the
            intensity features, which are 0 without it.
        field_mm: Width of the image in mm.
        min_spur_px: Margin of the spur rule, see ``pruning.prune``.
        merge_px: Junctions this close along a segment are one, see ``pruning.merge_junctions``.
        min_hole_px: Background components of at most this many pixels are filled.
        min_faz_mm: Smallest inscribed radius of an FAZ, see ``regions.find_faz``.
        faz_rule: ``inscribed``, or ``centre`` for the historical rule.

    Returns:
        The graph. A mask without vessels gives no vessel nodes; one without background gives no areas.

    Raises:
        InputError: If mask or image cannot be used; the message says why.
    """
    mask = check_mask(mask)
    if not (np.isfinite(field_mm) and field_mm > 0):
        raise InputError(f"field_mm is {field_mm!r}: give the width of the image in mm")
    levels, values = grey_levels(image, mask.shape)
    pixel_mm = field_mm / mask.shape[1]
    labels, filled, _, box, has_faz = label_regions(mask, min_hole_px, min_faz_mm / pixel_mm, faz_rule)
    segments, distance = trace(filled)
    segments = _lower_degree_first(merge_junctions(prune(segments, min_spur_px), merge_px))
    segments, zone = refine_junctions(segments)
    measures = measure(segments, zone, distance, filled, labels, levels, values)
    table = measure_regions(labels, box, levels, values)
    m = len(table) - int(has_faz)
    edges = all_edges(segments.ends, measures, m, has_faz)
    ica = region_features(table[:m], np.bincount(edges["ica", "touches", "ica"][0], minlength=m), pixel_mm)
    around = np.full(len(table) - m, edges["faz", "touches", "ica"].shape[1])
    return OctaGraph(
        shape=mask.shape,
        field_mm=float(field_mm),
        vessel=vessel_features(segments, measures, edges["vessel", "touches", "vessel"], pixel_mm),
        vessel_pos=measures.table[:, -2:].astype(np.float32),
        paths=segments.rows_cols(),
        path_offsets=segments.offsets,
        junctions=segments.nodes.astype(np.float32),
        ends=segments.ends,
        ica=ica,
        ica_pos=table[:m, :2].astype(np.float32),
        faz=region_features(table[m:], around, pixel_mm),
        faz_pos=table[m:, :2].astype(np.float32),
        labels=labels,
        edges=edges,
    )


def check_mask(mask: np.ndarray) -> np.ndarray:
    """Return the mask as uint8 0 and 1.

    Raises:
        InputError: If it is not a two-dimensional, two-valued array of numbers of a usable size.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise InputError(f"the mask has shape {mask.shape}: give one channel, (height, width)")
    if mask.dtype.kind not in "buif":
        raise InputError(f"the mask has dtype {mask.dtype}: give booleans or numbers")
    if min(mask.shape) < 8 or max(mask.shape) > MAX_SIDE:
        raise InputError(f"the mask has shape {mask.shape}: each side must have 8 to {MAX_SIDE} pixels")
    if mask.dtype.kind == "f" and not np.isfinite(mask).all():
        raise InputError("the mask holds NaN or infinite values: threshold it first")
    if mask.dtype.kind != "b":
        low, high = mask.min(), mask.max()
        if not ((mask == low) | (mask == high)).all() or (low != high and low != 0):
            raise InputError(
                "the mask has more than two values or no zero: give background 0 and vessel 1 (or 255)"
            )
    # Kernels are compiled for C order; a transposed mask would have them compiled again.
    return np.ascontiguousarray(mask != 0).astype(np.uint8)


def _lower_degree_first(segments: Segments) -> Segments:
    """Turn segments so that they run from the end node of lower degree to the other."""
    degree = segments.degree()[segments.ends]
    turn = degree[:, 0] > degree[:, 1]
    length = np.diff(segments.offsets)
    index = np.arange(len(segments.pixels))
    start, stop = np.repeat(segments.offsets[:-1], length), np.repeat(segments.offsets[1:], length)
    source = np.where(np.repeat(turn, length), start + stop - 1 - index, index)
    ends = np.where(turn[:, None], segments.ends[:, ::-1], segments.ends)
    return dataclasses.replace(segments, pixels=segments.pixels[source], ends=np.ascontiguousarray(ends))


def to_hetero(graph: OctaGraph, y: int | None = None) -> HeteroData:
    """Return the graph for PyTorch Geometric: ``x``, ``pos`` (mm) per node type, ``edge_index`` per relation.

    Args:
        graph: The graph.
        y: Stage label, stored as ``data.y`` of shape (1,) if given.
    """
    import torch
    from torch_geometric.data import HeteroData

    data = HeteroData()
    for kind in ("vessel", "ica", "faz"):
        data[kind].x = torch.from_numpy(getattr(graph, kind))
        data[kind].pos = torch.from_numpy(getattr(graph, f"{kind}_pos") * np.float32(graph.pixel_mm))
    for relation, pairs in graph.edges.items():
        data[relation].edge_index = torch.from_numpy(pairs)
    if y is not None:
        data.y = torch.tensor([y])
    return data


def precompile() -> None:
    """Compile every kernel and keep the result on disk, so that the first user does not wait for it."""
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:19] = mask[16:48, 45:48] = mask[16:19, 16:48] = mask[30:33, 4:60] = mask[45:48, 16:48] = 1
    build_graph(mask, mask * np.uint8(255), min_faz_mm=0.01)
