"""What an attribution table can say at best: the quadrants and boxes it names, against the true lesions.

Every later explanation is made from the table of the most important nodes (GFT, section 2.4), so the places
that the table names bound what a teacher or a tuned model can get right. A quadrant is named if enough of the
table's importance lies in it; a box is the extent of neighbouring nodes of the table. Both are read for all
lesions together and for each kind alone, from the node types that show the kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from gftlib.boxes import QUADRANTS, quadrant
from gftlib.errors import InputError
from gftlib.metrics.grounding import find_targets, quadrant_f1
from gftlib.octa.batches import NODE_TYPES
from gftlib.octa.carriers import CARRIERS
from gftlib.octa.graph import OctaGraph
from gftlib.octa.lesion_scores import ANY
from gftlib.octa.ranking import Ranked, select_top
from gftlib.phantoms.lesion_masks import Lesion

PAD = 3
"""Pixels of the mask added around a centreline, about the radius of a capillary."""
SHOWN_BY: dict[str, tuple[str, ...]] = {
    ANY: NODE_TYPES,
    "capillary non-perfusion": ("ica",),
    "FAZ enlargement": ("faz",),
    "microaneurysm": ("vessel",),
    "vessel tortuosity": ("vessel",),
    "venous beading": ("vessel",),
    "IRMA-like shunt": ("vessel",),
    "neovascular tuft": ("vessel", "ica"),
}
"""Node types that show a kind of lesion."""


@dataclass(frozen=True)
class Ceiling:
    """How well a table's places meet one kind of lesion, over many scans.

    Attributes:
        kind: Kind of lesion, or `ANY`.
        quadrant_f1: Pooled F1 of named quadrants.
        all_four_f1: The same if every quadrant of every scan were named.
        recall: Share of the lesions whose box meets a named box with IoU > 0.5.
        boxes: Mean number of named boxes a scan.
        lesions: Number of lesions.
        scans: Number of scans, those without such a lesion included.
    """

    kind: str
    quadrant_f1: float
    all_four_f1: float
    recall: float
    boxes: float
    lesions: int
    scans: int


def named_quadrants(
    graph: OctaGraph, table: Sequence[Ranked[str]], types: Sequence[str] = NODE_TYPES, least: float = 0.15
) -> set[str]:
    """Return the quadrants that hold at least ``least`` of the table's importance; the FAZ lies in all four.

    Args:
        graph: The scan's graph.
        table: Its most important nodes.
        types: Node types that count, in the table and in its total.
        least: Share of the importance, in [0, 1].
    """
    places = {"vessel": graph.vessel_pos, "ica": graph.ica_pos}
    held = dict.fromkeys(QUADRANTS, 0.0)
    for entry in table:
        if entry.kind == "faz" and "faz" in types:
            held = {name: value + entry.importance / 4 for name, value in held.items()}
        elif entry.kind in types:
            row, column = places[entry.kind][entry.index] / graph.shape
            held[str(quadrant(column, row))] += entry.importance
    total = sum(held.values())
    return {name for name, value in held.items() if total > 0 and value >= least * total}


def named_boxes(
    graph: OctaGraph, table: Sequence[Ranked[str]], types: Sequence[str] = NODE_TYPES
) -> np.ndarray:
    """Return (b, 4) unit boxes around each group of neighbouring nodes of the table, of the given types."""
    chosen = {
        kind: [entry.index for entry in table if entry.kind == kind and kind in types] for kind in NODE_TYPES
    }
    extents = np.concatenate([_extents(graph, kind, rows) for kind, rows in chosen.items()])
    if not len(extents):
        return np.empty((0, 4))
    group = _groups(graph, chosen, len(extents))
    boxes = np.array(
        [[*extents[group == g, :2].min(0), *extents[group == g, 2:].max(0)] for g in range(group.max() + 1)]
    )
    height, width = graph.shape
    return np.clip(boxes / (width, height, width, height), 0, 1)


def ceiling(
    graphs: Sequence[OctaGraph],
    importances: Sequence[Mapping[str, np.ndarray]],
    lesions: Sequence[Sequence[Lesion]],
    k: int = 20,
    least: float = 0.15,
) -> list[Ceiling]:
    """Score the places that the tables of many scans name.

    Args:
        graphs: One graph a scan.
        importances: Node type -> (n,) of each scan.
        lesions: The true lesions of each scan.
        k: Rows of a table.
        least: See `named_quadrants`.

    Returns:
        One row for all lesions together and one for each kind that is there.

    Raises:
        InputError: If the three differ in length.
    """
    if not len(graphs) == len(importances) == len(lesions):
        raise InputError(
            f"{len(graphs)} graphs, {len(importances)} importances, {len(lesions)} lists of lesions"
        )
    tables = [select_top(importance, k) for importance in importances]
    present = {lesion.kind for scan in lesions for lesion in scan}
    rows = []
    for kind in (ANY, *(kind for kind in CARRIERS if kind in present)):
        types = SHOWN_BY[kind]
        mine = [[one for one in scan if kind in (ANY, one.kind)] for scan in lesions]
        truth = [{name for one in scan for name in one.quadrants} for scan in mine]
        named = [
            named_quadrants(graph, table, types, least) for graph, table in zip(graphs, tables, strict=True)
        ]
        boxes = [named_boxes(graph, table, types) for graph, table in zip(graphs, tables, strict=True)]
        targets = [np.array([one.box for one in scan]).reshape(-1, 4) for scan in mine]
        rows.append(
            Ceiling(
                kind,
                quadrant_f1(named, truth).f1,
                quadrant_f1([QUADRANTS] * len(truth), truth).f1,
                find_targets(boxes, targets).recall,
                float(np.mean([len(part) for part in boxes])),
                sum(len(scan) for scan in mine),
                len(graphs),
            )
        )
    return rows


def _extents(graph: OctaGraph, kind: str, rows: list[int]) -> np.ndarray:
    """Return (r, 4) pixel boxes x0, y0, x1, y1 of nodes."""
    if kind == "vessel":
        paths = [graph.path(row) for row in rows]
        low, high = ([f(path, 0) for path in paths] for f in (np.min, np.max))
        low, high = np.reshape(low, (-1, 2)) - PAD, np.reshape(high, (-1, 2)) + 1 + PAD
    else:
        found = find_objects(graph.labels) if rows else []
        first = 0 if kind == "ica" else len(graph.ica)
        slices = [found[first + row] for row in rows]
        low = np.reshape([[s.start for s in pair] for pair in slices], (-1, 2))
        high = np.reshape([[s.stop for s in pair] for pair in slices], (-1, 2))
    return np.concatenate([low[:, ::-1], high[:, ::-1]], 1).astype(float)


def _groups(graph: OctaGraph, chosen: Mapping[str, list[int]], count: int) -> np.ndarray:
    """Return the (count,) connected component of each chosen node in the graph of the chosen nodes."""
    number: dict[str, np.ndarray] = {}
    start = 0
    for kind, rows in chosen.items():
        number[kind] = np.full(len(getattr(graph, kind)), -1)
        number[kind][rows] = np.arange(start, start + len(rows))
        start += len(rows)
    ends = [
        np.stack([number[source][pairs[0]], number[target][pairs[1]]])
        for (source, _, target), pairs in graph.edges.items()
    ]
    links = np.concatenate(ends, 1)
    links = links[:, (links >= 0).all(0)]
    joined = coo_matrix((np.ones(links.shape[1]), links), shape=(count, count))
    return connected_components(joined, directed=False)[1]
