"""Findings: where a scan's graph shows which abnormality, by rule (GFT, section 2.4).

Nodes whose sign exceeds its limit and that lie together are one finding, with the box around their pixels,
the quadrants it occupies and the share of the attribution that its nodes carry. Nothing but the graph, its
attribution and the healthy reference enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.ndimage import find_objects
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gftlib.octa.features import VESSEL_FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.normal import HealthyReference
from gftlib.octa.places import Box, Place, Quadrant, Record, named_quadrants, pixel_box, place
from gftlib.octa.signs import CARRIER, FINDING_KINDS, FindingKind, signs

TOGETHER_MM = 0.1
"""Vessel segments whose middles are this close, and areas with one vessel between them, lie together."""
MARKED = 1.5
"""A finding is marked, not mild, where its sign is this multiple of the limit."""
MOST = 8
"""Findings of one kind in a scan; the strongest are kept."""


class Finding(Record):
    """One abnormality.

    Attributes:
        id: F1, F2, ... in the order of importance.
        kind: What it is.
        degree: ``mild``, or ``marked`` from 1.5 times the limit.
        quadrants: Those that hold a tenth of its pixels or more.
        place: Its centre.
        box: Unit xyxy around its pixels.
        nodes: The nodes that carry it, the strongest first.
        strength: Its strongest sign over the limit.
        share: Its nodes' share of the importance of all nodes.
    """

    id: Annotated[str, Field(pattern=r"^F\d+$")]
    kind: FindingKind
    degree: Literal["mild", "marked"]
    quadrants: Annotated[tuple[Quadrant, ...], Field(min_length=1)]
    place: Place
    box: Box
    nodes: tuple[str, ...]
    strength: float
    share: float


def find(
    graph: OctaGraph, reference: HealthyReference, importance: Mapping[str, np.ndarray] | None = None
) -> tuple[Finding, ...]:
    """Return the findings of a scan, those with the largest share of the importance first.

    Args:
        graph: The graph, built from the image.
        reference: From healthy scans of the training fold.
        importance: Node type -> (n,) importances; None gives every finding the share 0.
    """
    importance = importance or {}
    total = sum(float(np.sum(values)) for values in importance.values()) or 1.0
    boxes = find_objects(graph.labels)
    found = []
    for kind, score in signs(graph).items():
        limit, carrier = reference.limits[kind], CARRIER[kind]
        groups = _groups(graph, carrier, np.flatnonzero(score > limit))
        ordered = sorted(
            (group[np.argsort(-score[group], kind="stable")] for group in groups), key=lambda g: -score[g[0]]
        )
        for group in ordered[:MOST]:
            strength = float(score[group[0]] / limit) if limit > 0 else float(MARKED)
            share = float(np.sum(importance[carrier][group])) / total if carrier in importance else 0.0
            found.append((kind, carrier, group, strength, share))
    found.sort(key=lambda item: (-item[4], FINDING_KINDS.index(item[0]), -item[3]))
    return tuple(_finding(graph, boxes, f"F{number}", *item) for number, item in enumerate(found, start=1))


def _finding(
    graph: OctaGraph,
    boxes: list,
    name: str,
    kind: FindingKind,
    carrier: str,
    group: np.ndarray,
    strength: float,
    share: float,
) -> Finding:
    pixels, margin = _pixels(graph, boxes, carrier, group)
    return Finding(
        id=name,
        kind=kind,
        degree="marked" if strength >= MARKED else "mild",
        quadrants=named_quadrants(graph, pixels),
        place=place(graph, pixels.mean(0)),
        box=pixel_box(graph, pixels, margin),
        nodes=tuple(f"{carrier}-{row}" for row in group.tolist()),
        strength=round(strength, 3),
        share=round(share, 5),
    )


def _pixels(
    graph: OctaGraph, boxes: list, carrier: str, group: np.ndarray
) -> tuple[np.ndarray, float | np.ndarray]:
    """Return the (k, 2) pixels of nodes and by how much the box goes beyond: a vessel's half width."""
    if carrier == "vessel":
        radius = graph.vessel[group, VESSEL_FEATURES.index("avgRadiusAvg")] / graph.pixel_mm
        parts = [graph.path(int(row)) for row in group]
        return np.concatenate(parts), np.repeat(radius, [len(part) for part in parts])
    parts = []
    for row in group.tolist():
        label = row + 1 if carrier == "ica" else len(graph.ica) + 1
        window = boxes[label - 1]
        corner = np.array([side.start for side in window])
        region = graph.labels[window] == label
        parts.append(np.argwhere(region) + corner)
    return np.concatenate(parts), 0.0


def _groups(graph: OctaGraph, carrier: str, rows: np.ndarray) -> list[np.ndarray]:
    """Return the nodes in groups that lie together."""
    if len(rows) == 0:
        return []
    if carrier == "vessel":
        pairs = (
            cKDTree(graph.vessel_pos[rows]).query_pairs(TOGETHER_MM / graph.pixel_mm, output_type="ndarray").T
        )
    elif carrier == "ica":
        index = np.full(len(graph.ica), -1)
        index[rows] = np.arange(len(rows))
        pairs = index[graph.edges["ica", "touches", "ica"]]
        pairs = pairs[:, (pairs >= 0).all(0)]
    else:
        pairs = np.zeros((2, 0), int)
    links = coo_matrix((np.ones(pairs.shape[1]), tuple(pairs)), shape=(len(rows), len(rows)))
    count, member = connected_components(links, directed=False)
    return [rows[member == group] for group in range(count)]
