"""What the explorer draws and tells of each node, as columns: features, importance, outline, colour.

Integrated gradients give the importance (GFT, section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from bokeh.models import ColumnDataSource
from scipy.ndimage import find_objects
from skimage.measure import approximate_polygon, find_contours

from gftlib.errors import InputError
from gftlib.octa.attribution import Attribution
from gftlib.octa.features import FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.heatmaps import COLOUR_MAP, GAMMA, TOP_OF_SCALE
from gftlib.octa.ranking import node_importance, ranking

NODES = {"ica": "intercapillary area", "faz": "FAZ", "vessel": "vessel segment"}
"""Node types in words. What is drawn last lies on top and is what the pointer shows."""
UNITS = {"1": "", "mm2": "mm²", "mm3": "mm³"}
LEADING = 3
"""Features of each node whose part of its importance is told."""
TOLERANCE_PX = 1.5
"""Largest distance of a drawn outline or centreline from the true one, mask pixels."""
UM = 1000.0
"""µm in a mm: coordinates are whole µm, which are short to write."""
STEPS, DARKEST = 256, 0.3
"""Colours of the scale, and where on the colour map it begins: what has no importance is still seen."""


def node_sources(graph: OctaGraph, attribution: Attribution) -> dict[str, ColumnDataSource]:
    """Return what is drawn and shown of the nodes: node type -> one row a node.

    The columns are one for each feature, by its name and in its unit; the outline or centreline (``xs``,
    ``ys``, µm, upwards); ``importance`` in units of the logit; ``rank`` among all nodes, from 1; ``scale``,
    the place on the colour scale; and the features that contribute most: ``lead0``... their columns,
    ``part0``... their contributions in percent of the node's importance, negative if they lower the logit.
    The tags hold the node type in words, the importance of all nodes together, their number, and name, unit
    and definition of each feature.

    Raises:
        InputError: If the attribution is of another graph.
    """
    importance = node_importance(attribution)
    if {k: len(v) for k, v in importance.items()} != {k: len(getattr(graph, k)) for k in NODES}:
        raise InputError("the attribution is of another graph: run the attribution notebook again")
    ranks = {kind: np.zeros(len(values), np.int32) for kind, values in importance.items()}
    for place, entry in enumerate(ranking(importance), start=1):
        ranks[entry.kind][entry.index] = place
    total = float(sum(map(np.sum, importance.values()))) or 1.0
    count = sum(map(len, importance.values()))
    top = scale_top(importance)
    sources = {}
    for kind, words in NODES.items():
        lines = list(_centrelines(graph) if kind == "vessel" else _outlines(graph, kind))
        table = np.nan_to_num(getattr(graph, kind).astype(np.float32), posinf=0, neginf=0)
        columns = {info.name: _small(table[:, k]) for k, info in enumerate(FEATURES[kind])}
        columns |= drawn(lines, graph)
        columns |= {"importance": importance[kind].astype(np.float32), "rank": ranks[kind]}
        columns |= _leading(attribution.nodes[kind].cpu().numpy()) | {"scale": _scale(importance[kind], top)}
        about = [[info.name, UNITS.get(info.unit, info.unit), info.definition] for info in FEATURES[kind]]
        sources[kind] = ColumnDataSource(columns, name=kind, tags=[words, total, count, about])
    return sources


def scale_top(importance: Mapping[str, np.ndarray]) -> float:
    """Return the importance at which the colour scale ends."""
    values = np.concatenate(list(importance.values()))
    return (float(np.percentile(values, TOP_OF_SCALE)) if len(values) else 0.0) or 1.0


def palette() -> list[str]:
    """Return the colours of the scale, from importance 0 up."""
    colours = mpl.colormaps[COLOUR_MAP](np.linspace(DARKEST, 1, STEPS))
    return [mpl.colors.to_hex(colour) for colour in colours]


def outline(crop: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """Return the (k, 2) rows and columns of the longest border of a (h, w) bool crop, in mask pixels."""
    lines = find_contours(np.pad(crop, 1).astype(np.float32), 0.5)
    return approximate_polygon(max(lines, key=len), TOLERANCE_PX) - 1 + corner


def drawn(lines: Sequence[np.ndarray], graph: OctaGraph) -> dict[str, list[list[int]]]:
    """Return rows and columns of mask pixels as x and y in whole µm, y upwards."""
    pixel = UM * graph.pixel_mm
    return {
        "xs": [np.rint(pixel * (line[:, 1] + 0.5)).astype(int).tolist() for line in lines],
        "ys": [np.rint(pixel * (graph.shape[0] - line[:, 0] - 0.5)).astype(int).tolist() for line in lines],
    }


def _scale(importance: np.ndarray, top: float) -> np.ndarray:
    return np.round((STEPS - 1) * np.clip(importance / top, 0, 1) ** GAMMA).astype(np.uint8)


def _leading(contributions: np.ndarray) -> dict[str, np.ndarray]:
    size = np.abs(contributions)
    first = np.argsort(-size, axis=1, kind="stable")[:, :LEADING]
    whole = size.sum(axis=1, keepdims=True)
    part = 100 * np.take_along_axis(contributions, first, axis=1) / np.where(whole > 0, whole, 1)
    return {f"lead{k}": first[:, k].astype(np.uint8) for k in range(LEADING)} | {
        f"part{k}": np.round(part[:, k]).astype(np.int8) for k in range(LEADING)
    }


def _small(values: np.ndarray) -> np.ndarray:
    """Return counts as bytes, all else as it is."""
    counts = np.clip(values, 0, 255).astype(np.uint8)
    return counts if np.array_equal(counts, values) else values


def _centrelines(graph: OctaGraph) -> Iterator[np.ndarray]:
    for segment in range(len(graph.vessel)):
        yield approximate_polygon(graph.path(segment), TOLERANCE_PX)


def _outlines(graph: OctaGraph, kind: str) -> Iterator[np.ndarray]:
    first = 1 if kind == "ica" else len(graph.ica) + 1
    boxes = find_objects(graph.labels)
    for label in range(first, first + len(getattr(graph, kind))):
        rows, columns = boxes[label - 1]
        yield outline(graph.labels[rows, columns] == label, (rows.start, columns.start))
