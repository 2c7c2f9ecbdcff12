"""The attribution table of one scan: what the teacher is given (GFT, section 2.4).

Three levels, as in the paper: densities of nodes and edges in the four quadrants; the most important nodes
and edges, with place and leading features; label and class probabilities. Declared here, because it is
published nowhere: a density is a count per mm2 of the quadrant; an edge lies at the middle of its two nodes,
is counted once whatever its directions, and an edge from a node to itself is none; what lies on a midline is
right of, or below, it. Edges have no features of their own: theirs are the leading ones of their two nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gftlib.boxes import QUADRANTS
from gftlib.errors import InputError
from gftlib.octa.attribution import Attribution
from gftlib.octa.batches import Relation
from gftlib.octa.feature_words import LEADING, compared, describe, leading
from gftlib.octa.features import FAZ_FEATURES
from gftlib.octa.findings import find
from gftlib.octa.graph import OctaGraph
from gftlib.octa.normal import HealthyReference
from gftlib.octa.places import Quadrant, named_quadrants, pixel_box, place, positions, quadrant_index
from gftlib.octa.ranking import edge_importance, node_importance, select_top
from gftlib.octa.signs import quadrant_areas, vessel_density
from gftlib.octa.table_rows import (
    STAGES,
    EdgeRow,
    FazRow,
    NodeRow,
    QuadrantRow,
    ScanTable,
    read_tables,
    write_tables,
)

__all__ = ["STAGES", "ScanTable", "faz_row", "make_table", "read_tables", "write_tables"]

AREA, SHAPE, OUTLINE = (FAZ_FEATURES.index(name) for name in ("area", "eccentricity", "solidity"))


def make_table(
    scan: str,
    graph: OctaGraph,
    attribution: Attribution,
    reference: HealthyReference,
    label: int | None = None,
    top: int = 10,
) -> ScanTable:
    """Compile the table of one scan.

    Args:
        scan: Its name.
        graph: Built from its image.
        attribution: Of this graph; its logits give the probabilities.
        reference: From healthy scans of the training fold.
        label: Its stage, 0 to 2, the only truth that enters; None if it is not known.
        top: How many nodes, and how many edges, are listed.

    Raises:
        InputError: If the attribution is of another graph, or the label is no stage.
    """
    if label is not None and label not in range(len(STAGES)):
        raise InputError(f"the label of {scan} is {label!r}: it must be 0, 1 or 2")
    importance = node_importance(attribution)
    wrong = [k for k, v in importance.items() if len(v) != len(positions(graph)[k])]
    if wrong or len(attribution.logits) != len(STAGES):
        raise InputError(f"the attribution of {scan} is of another graph or model: {wrong} differ in number")
    odds = attribution.logits.double().softmax(0).tolist()
    return ScanTable(
        scan=scan,
        label=None if label is None else STAGES[label],
        predicted=STAGES[int(np.argmax(odds))],
        probabilities={name: round(p, 6) for name, p in zip(STAGES, odds, strict=True)},
        field_mm=graph.field_mm,
        quadrants=_quadrant_rows(graph, reference),
        faz=faz_row(graph, reference),
        nodes=tuple(
            NodeRow(
                id=f"{row.kind}-{row.index}",
                kind=row.kind,
                importance=round(row.importance, 6),
                share=round(row.share, 6),
                place=place(graph, positions(graph)[row.kind][row.index]),
                features=leading(graph, attribution, reference, row.kind, row.index),
            )
            for row in (select_top(importance, top) if importance else [])
        ),
        edges=tuple(_edge_rows(graph, attribution, reference, top)),
        findings=find(graph, reference, importance),
    )


def _once(edges: Mapping[Relation, np.ndarray]) -> dict[Relation, np.ndarray]:
    """Return relation -> (E,) bool, true for one of the directed edges between two different nodes."""
    order = ("vessel", "ica", "faz")
    kept = {}
    for (source, name, target), pairs in edges.items():
        forward = order.index(source) < order.index(target)
        kept[source, name, target] = (
            pairs[0] < pairs[1] if source == target else np.full(pairs.shape[1], forward)
        )
    return kept


def _quadrant_rows(graph: OctaGraph, reference: HealthyReference) -> dict[Quadrant, QuadrantRow]:
    where = positions(graph)
    nodes = sum(np.bincount(quadrant_index(graph, points), minlength=4) for points in where.values())
    edges = np.zeros(4, int)
    for relation, kept in _once(graph.edges).items():
        a, b = graph.edges[relation][:, kept]
        middle = (where[relation[0]][a] + where[relation[2]][b]) / 2
        edges += np.bincount(quadrant_index(graph, middle), minlength=4)
    area, density = quadrant_areas(graph), vessel_density(graph)
    z = (density - reference.density[0]) / reference.density[1]
    return {
        name: QuadrantRow(
            nodes=int(nodes[i]),
            edges=int(edges[i]),
            node_density=round(float(nodes[i] / area[i]), 2),
            edge_density=round(float(edges[i] / area[i]), 2),
            vessel_density=round(float(density[i]), 3),
            z=round(float(z[i]), 3),
            words=compared(float(z[i]), "sparser", "denser"),
        )
        for i, name in enumerate(QUADRANTS)
    }


def faz_row(graph: OctaGraph, reference: HealthyReference) -> FazRow | None:
    """Return what a table says of the FAZ, or None if the graph has none."""
    if not len(graph.faz):
        return None
    z = reference.z("faz", graph.faz.astype(float))[0]
    pixels = np.argwhere(graph.labels == len(graph.ica) + 1)
    named = [("area", AREA), ("eccentricity", SHAPE), ("solidity", OUTLINE)]
    return FazRow(
        area=round(float(graph.faz[0, AREA]), 5),
        z=round(float(z[AREA]), 3),
        box=pixel_box(graph, pixels),
        quadrants=named_quadrants(graph, pixels),
        words=tuple(describe("faz", name, float(z[column])) for name, column in named),
    )


def _pair_importance(graph: OctaGraph, attribution: Attribution) -> dict[Relation, np.ndarray]:
    """Return relation -> (E,) ``|attribution|`` summed over both directions, at one; 0 at the other."""
    single, kept = edge_importance(attribution), _once(graph.edges)
    both = {relation: np.where(kept[relation], single[relation], 0.0) for relation in single}
    for relation, values in single.items():
        source, _, target = relation
        at = next(r for r in single if r[::2] == (target, source))
        opposite = ~kept[relation]
        if source == target:
            opposite &= graph.edges[relation][0] != graph.edges[relation][1]
        keys, home = (
            pairs[0].astype(np.int64) << 32 | pairs[1]
            for pairs in (graph.edges[relation][::-1][:, opposite], graph.edges[at][:, kept[at]])
        )
        if len(keys):
            order = np.argsort(home, kind="stable")
            row = np.flatnonzero(kept[at])[order[np.searchsorted(home, keys, sorter=order)]]
            np.add.at(both[at], row, values[opposite])
    return both


def _edge_rows(
    graph: OctaGraph, attribution: Attribution, reference: HealthyReference, top: int
) -> list[EdgeRow]:
    if not attribution.edges:
        return []
    both = _pair_importance(graph, attribution)
    ranked = select_top(both, top)
    where, rows = positions(graph), []
    for entry in ranked:
        (source, _, target), (a, b) = entry.kind, graph.edges[entry.kind][:, entry.index].tolist()
        if not entry.importance:
            break
        notes = [
            note
            for kind, row in ((source, a), (target, b))
            if kind in attribution.nodes
            for note in leading(graph, attribution, reference, kind, row)
        ]
        rows.append(
            EdgeRow(
                id=f"{source}-{a}:{target}-{b}",
                importance=round(entry.importance, 6),
                share=round(entry.share, 6),
                pair=(f"{source}-{a}", f"{target}-{b}"),
                place=place(graph, (where[source][a] + where[target][b]) / 2),
                features=tuple(sorted(notes, key=lambda n: -abs(n.contribution))[:LEADING]),
            )
        )
    return rows
