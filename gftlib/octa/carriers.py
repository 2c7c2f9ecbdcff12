"""Which nodes carry a lesion: the truth that attributions are held against.

A phantom's lesion is a mask; a graph has nodes. `CARRIERS` declares, for each kind of lesion, which nodes a
sound explanation may point at. A drop-out has lost its vessels, so the area that took their place carries it,
with the stubs of the vessels that end there; an enlarged FAZ is carried by the FAZ and the segments on its
new border; a change of a vessel by the segments it changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation

from gftlib.errors import InputError, did_you_mean
from gftlib.octa.graph import OctaGraph
from gftlib.phantoms.lesion_masks import Lesion

Carried = dict[str, np.ndarray]


@dataclass(frozen=True)
class CarrierRule:
    """When a node carries a lesion; a field that is None, or False, excludes its node type.

    Attributes:
        vessel: Smallest share of a segment's centreline inside the lesion.
        pixels: Smallest number of centreline pixels inside it, beside the share.
        ica: Smallest share of an area's pixels inside the lesion.
        covers: An area that makes up this share of the lesion's vessel-free pixels carries it too.
        faz: Whether the FAZ carries it.
        faz_border: Whether only segments on the border of the FAZ can.
        dilate: Pixels of the mask by which the lesion grows before segments are looked at.
    """

    vessel: float | None = None
    pixels: int = 1
    ica: float | None = None
    covers: float | None = None
    faz: bool = False
    faz_border: bool = False
    dilate: int = 0


CARRIERS: dict[str, CarrierRule] = {
    "capillary non-perfusion": CarrierRule(vessel=0.5, ica=0.5, covers=0.25),
    "FAZ enlargement": CarrierRule(vessel=0.25, faz=True, faz_border=True, dilate=12),
    "microaneurysm": CarrierRule(vessel=0.0, pixels=3),
    "vessel tortuosity": CarrierRule(vessel=0.5),
    "venous beading": CarrierRule(vessel=0.5),
    "IRMA-like shunt": CarrierRule(vessel=0.5),
    "neovascular tuft": CarrierRule(vessel=0.5, ica=0.5),
}


def carriers(graph: OctaGraph, lesion: Lesion) -> Carried:
    """Return node type -> (n,) bool, the nodes of a graph that carry one lesion.

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
    return {
        "vessel": _segments(graph, _grown(mask, rule.dilate), rule),
        "ica": _areas(graph, mask, rule),
        "faz": np.full(len(graph.faz), rule.faz),
    }


def all_carriers(graph: OctaGraph, lesions: Sequence[Lesion]) -> list[tuple[Lesion, Carried]]:
    """Return each lesion with the nodes that carry it."""
    return [(lesion, carriers(graph, lesion)) for lesion in lesions]


def union(graph: OctaGraph, found: Sequence[Carried]) -> Carried:
    """Return the nodes that carry any of the lesions."""
    sizes = {"vessel": len(graph.vessel), "ica": len(graph.ica), "faz": len(graph.faz)}
    return {
        kind: np.logical_or.reduce([np.zeros(size, bool), *(one[kind] for one in found)])
        for kind, size in sizes.items()
    }


def _segments(graph: OctaGraph, mask: np.ndarray, rule: CarrierRule) -> np.ndarray:
    if rule.vessel is None or not len(graph.vessel):
        return np.zeros(len(graph.vessel), bool)
    inside = np.concatenate([[0], np.cumsum(mask[tuple(graph.paths.T)])])
    count = np.diff(inside[graph.path_offsets])
    length = np.maximum(np.diff(graph.path_offsets), 1)
    carry = (count >= rule.pixels) & (count >= rule.vessel * length)
    if rule.faz_border:
        border = np.zeros(len(graph.vessel), bool)
        border[graph.edges["vessel", "touches", "faz"][0]] = True
        carry &= border
    return carry


def _areas(graph: OctaGraph, mask: np.ndarray, rule: CarrierRule) -> np.ndarray:
    count = len(graph.ica)
    if rule.ica is None or not count:
        return np.zeros(count, bool)
    inside = np.bincount(graph.labels[mask], minlength=count + 2)
    whole = np.bincount(graph.labels.ravel(), minlength=count + 2)
    part = inside[1 : count + 1]
    carry = part >= rule.ica * np.maximum(whole[1 : count + 1], 1)
    if rule.covers is not None:
        carry |= part >= rule.covers * max(inside[1:].sum(), 1)
    return carry


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    if not pixels:
        return mask
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low = max(rows[0] - pixels, 0), max(columns[0] - pixels, 0)
    crop = np.s_[low[0] : rows[-1] + pixels + 1, low[1] : columns[-1] + pixels + 1]
    grown = np.zeros_like(mask)
    grown[crop] = binary_dilation(mask[crop], iterations=pixels)
    return grown
