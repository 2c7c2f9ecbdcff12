"""Which nodes carry a lesion: the truth that attributions are held against.

A phantom's lesion is a mask; a graph has nodes. `CARRIERS` declares, for each kind of lesion, which nodes
hold what changed, its core: a drop-out has lost its vessels, so the area that took their place carries it,
with the stubs that still end inside; an enlarged FAZ is carried by the FAZ; a change of a vessel by the
segments that it changed. Nodes that a lesion merely touches are its surroundings, neither right nor wrong
to point at: those with a pixel inside it or close by, and the segments on the border of a core area or of
an enlarged FAZ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation

from gftlib.errors import InputError, did_you_mean
from gftlib.octa.graph import OctaGraph
from gftlib.phantoms.lesion_masks import Lesion

Marked = dict[str, np.ndarray]
MARGIN = 6
"""Pixels of the mask (2.5 µm each at 3 mm) around a lesion that belong to its surroundings."""


@dataclass(frozen=True)
class CarrierRule:
    """When a node belongs to the core of a lesion; None, or False, excludes its node type.

    Attributes:
        vessel: Smallest share of a segment's centreline inside the lesion.
        pixels: Smallest number of centreline pixels inside it, beside the share.
        ica: Smallest share of an area's pixels inside the lesion.
        covers: An area that makes up this share of the lesion's vessel-free pixels carries it too.
        faz: Whether the FAZ carries it.
    """

    vessel: float | None = None
    pixels: int = 1
    ica: float | None = None
    covers: float | None = None
    faz: bool = False


CARRIERS: dict[str, CarrierRule] = {
    "capillary non-perfusion": CarrierRule(vessel=0.5, ica=0.5, covers=0.25),
    "FAZ enlargement": CarrierRule(faz=True),
    "microaneurysm": CarrierRule(vessel=0.0, pixels=3),
    "vessel tortuosity": CarrierRule(vessel=0.5),
    "venous beading": CarrierRule(vessel=0.5),
    "IRMA-like shunt": CarrierRule(vessel=0.5),
    "neovascular tuft": CarrierRule(vessel=0.5, ica=0.5),
}


@dataclass(frozen=True)
class Carriers:
    """The nodes of one lesion, or of several.

    Attributes:
        core: Node type -> (n,) bool, the nodes that carry it.
        around: Node type -> (n,) bool, the nodes that it touches; none of the core.
    """

    core: Marked
    around: Marked


def carriers(graph: OctaGraph, lesion: Lesion) -> Carriers:
    """Find the nodes of one lesion.

    Args:
        graph: Built on the grid of the lesion's mask.
        lesion: One lesion of the same phantom.

    Raises:
        InputError: If there is no rule for the kind, or the grids differ.
    """
    if lesion.kind not in CARRIERS:
        raise InputError(f"no carrier rule for {lesion.kind!r}{did_you_mean(lesion.kind, CARRIERS)}")
    rule, mask = CARRIERS[lesion.kind], lesion.mask()
    if mask.shape != graph.shape:
        raise InputError(f"the lesion lies on a grid of {mask.shape}, the graph on one of {graph.shape}")
    wide = _grown(mask, MARGIN)
    core = {
        "vessel": _segments(graph, mask, rule.vessel, rule.pixels),
        "ica": _areas(graph, mask, rule.ica, rule.covers),
        "faz": np.full(len(graph.faz), rule.faz),
    }
    touched = {
        "vessel": _segments(graph, wide, 0.0, 1) | _bordering(graph, core),
        "ica": _areas(graph, wide, 0.0, None),
        "faz": np.array([bool((graph.labels[wide] == len(graph.ica) + 1).any())] * len(graph.faz), bool),
    }
    return Carriers(core, {kind: part & ~core[kind] for kind, part in touched.items()})


def together(graph: OctaGraph, found: Sequence[Carriers]) -> Carriers:
    """Join several lesions: what is core of any is core, what is around any and core of none is around."""
    sizes = {"vessel": len(graph.vessel), "ica": len(graph.ica), "faz": len(graph.faz)}
    core, around = (
        {
            kind: np.logical_or.reduce([np.zeros(size, bool), *(getattr(one, part)[kind] for one in found)])
            for kind, size in sizes.items()
        }
        for part in ("core", "around")
    )
    return Carriers(core, {kind: part & ~core[kind] for kind, part in around.items()})


def _segments(graph: OctaGraph, mask: np.ndarray, share: float | None, pixels: int) -> np.ndarray:
    if share is None or not len(graph.vessel):
        return np.zeros(len(graph.vessel), bool)
    inside = np.concatenate([[0], np.cumsum(mask[tuple(graph.paths.T)])])
    count = np.diff(inside[graph.path_offsets])
    length = np.maximum(np.diff(graph.path_offsets), 1)
    return (count >= pixels) & (count >= share * length)


def _areas(graph: OctaGraph, mask: np.ndarray, share: float | None, covers: float | None) -> np.ndarray:
    count = len(graph.ica)
    if share is None or not count:
        return np.zeros(count, bool)
    inside = np.bincount(graph.labels[mask], minlength=count + 2)
    whole = np.bincount(graph.labels.ravel(), minlength=count + 2)[1 : count + 1]
    part = inside[1 : count + 1]
    carry = (part > 0) & (part >= share * whole)
    if covers is not None:
        carry |= part >= covers * max(inside[1:].sum(), 1)
    return carry


def _bordering(graph: OctaGraph, core: Marked) -> np.ndarray:
    """Return the segments that touch a core area or a core FAZ."""
    border = np.zeros(len(graph.vessel), bool)
    for kind in ("ica", "faz"):
        segment, area = graph.edges["vessel", "touches", kind]
        border[segment[core[kind][area]]] = True
    return border


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low = max(rows[0] - pixels, 0), max(columns[0] - pixels, 0)
    crop = np.s_[low[0] : rows[-1] + pixels + 1, low[1] : columns[-1] + pixels + 1]
    grown = np.zeros_like(mask)
    grown[crop] = binary_dilation(mask[crop], iterations=pixels)
    return grown
