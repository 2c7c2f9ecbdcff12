"""Edges of the heterogeneous graph: vessels that meet, areas across a vessel, areas that a vessel touches."""

from __future__ import annotations

import numpy as np

from gftlib.octa.measuring import Measures, unique_pairs

EdgeType = tuple[str, str, str]

EDGE_TYPES: tuple[EdgeType, ...] = (
    ("vessel", "touches", "vessel"),
    ("ica", "touches", "ica"),
    ("vessel", "touches", "ica"),
    ("ica", "rev_touches", "vessel"),
    ("vessel", "touches", "faz"),
    ("faz", "rev_touches", "vessel"),
    ("faz", "touches", "ica"),
    ("ica", "rev_touches", "faz"),
    ("faz", "touches", "faz"),
)
"""All relations; each is there in every graph, with no columns where nothing touches."""


def vessel_pairs(ends: np.ndarray) -> np.ndarray:
    """Return (2, E) int64: the segments that share an end node, both directions, sorted, each pair once."""
    segment = np.repeat(np.arange(len(ends)), 2)
    order = np.argsort(ends.ravel(), kind="stable")
    node, segment = ends.ravel()[order], segment[order]
    pairs = []
    shift = 1
    while (same := np.flatnonzero(node[shift:] == node[:-shift])).size:
        pairs.append(np.stack([segment[same], segment[same + shift]]))
        shift += 1
    return _both_ways(np.concatenate(pairs, axis=1)) if pairs else np.empty((2, 0), np.int64)


def _both_ways(pairs: np.ndarray) -> np.ndarray:
    pairs = pairs[:, pairs[0] != pairs[1]]
    return unique_pairs(np.concatenate([pairs, pairs[::-1]], axis=1).T).T


def all_edges(ends: np.ndarray, measures: Measures, areas: int, has_faz: bool) -> dict[EdgeType, np.ndarray]:
    """Return every relation of ``EDGE_TYPES`` as (2, E) int64.

    Args:
        ends: (n, 2) end nodes of the vessel segments.
        measures: Which region labels each segment touches, and which lie on its two sides.
        areas: Number m of intercapillary areas; their labels are 1..m and the FAZ has m + 1.
        has_faz: Whether there is an FAZ.
    """
    segment, label = measures.touches.T
    low, high = measures.beside.T
    to_ica, to_faz = label <= areas, label == areas + 1
    vessel_ica = np.stack([segment[to_ica], label[to_ica] - 1])
    vessel_faz = np.stack([segment[to_faz], np.zeros(np.count_nonzero(to_faz), np.int64)])
    between, around = high <= areas, high == areas + 1
    faz_ica = np.stack([np.zeros(np.count_nonzero(around), np.int64), low[around] - 1])
    found = (
        vessel_pairs(ends),
        _both_ways(np.stack([low[between] - 1, high[between] - 1])),
        vessel_ica,
        vessel_ica[::-1],
        vessel_faz,
        vessel_faz[::-1],
        faz_ica,
        faz_ica[::-1],
        np.zeros((2, int(has_faz)), np.int64),
    )
    return {name: np.ascontiguousarray(pairs) for name, pairs in zip(EDGE_TYPES, found, strict=True)}
