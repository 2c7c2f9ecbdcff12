"""Attributions against the lesions that are really there: pointing game and AUROC by kind and quadrant.

The papers do not score the attributions of a staging network against exact lesions; phantoms make it
possible. A node that carries a lesion of the kind in question (see `gftlib.octa.carriers`) is a positive, a
node that no lesion touches a negative, any other node counts for nothing. The pointing game asks
whether the most important of these nodes is a positive; its chance level is the share of positives.
Importances worth printing beside it: `z_importance`, which knows the training scans but no stage, and the
attributions of a network that was never trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from gftlib.boxes import QUADRANTS, quadrant
from gftlib.errors import InputError
from gftlib.octa.batches import NODE_TYPES, GraphTensors
from gftlib.octa.carriers import Carriers, Marked, carriers, together
from gftlib.octa.graph import OctaGraph
from gftlib.phantoms.lesion_masks import Lesion

ANY, WHOLE = "any lesion", "whole scan"
Importance = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class LesionScore:
    """How one scan's importances meet its lesions of one kind, in one quadrant or the whole scan.

    Attributes:
        kind: Kind of lesion, or `ANY`.
        scope: Quadrant, or `WHOLE`.
        hit: Whether the most important node is a positive; the share of positives among equals.
        chance: Share of positives, the pointing game of a random ranking.
        auroc: Probability that a positive is ranked above a negative; 0.5 by chance.
        positives: Number of nodes that carry the lesions.
        negatives: Number of nodes that no lesion touches.
    """

    kind: str
    scope: str
    hit: float
    chance: float
    auroc: float
    positives: int
    negatives: int


@dataclass(frozen=True)
class Summary:
    """Means over scans of `LesionScore`, with the number of scans."""

    kind: str
    scope: str
    scans: int
    pointing: float
    chance: float
    auroc: float


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Return the probability that a positive exceeds a negative, ties as one half; NaN if either is empty."""
    if not len(positives) or not len(negatives):
        return math.nan
    ranks = rankdata(np.concatenate([positives, negatives]))[: len(positives)]
    return float((ranks.mean() - (len(positives) + 1) / 2) / len(negatives))


def z_importance(graph: GraphTensors) -> dict[str, np.ndarray]:
    """Return the sum of ``|z|`` over a node's normalised features: how unusual a node is."""
    return {kind: x.abs().sum(1).cpu().numpy() for kind, x in graph.x.items()}


@dataclass(frozen=True)
class ScanTruth:
    """Which nodes of a scan are positives and negatives; nodes of all types one after another.

    Attributes:
        sizes: Number of nodes of each type.
        positives: Kind of lesion -> (n,) bool, the cores; `ANY` for all lesions together.
        free: (n,) bool, nodes that no lesion touches.
        scopes: Scope -> (n,) bool, the nodes that lie in it; the FAZ lies in every quadrant.
    """

    sizes: dict[str, int]
    positives: dict[str, np.ndarray]
    free: np.ndarray
    scopes: dict[str, np.ndarray]


def scan_truth(graph: OctaGraph, lesions: Sequence[Lesion]) -> ScanTruth:
    """Find the positives and negatives of one scan, once for every importance that is scored against them."""
    groups: dict[str, list[Carriers]] = {ANY: [carriers(graph, lesion) for lesion in lesions]}
    for lesion, found in zip(lesions, groups[ANY], strict=True):
        groups.setdefault(lesion.kind, []).append(found)
    joined = {kind: together(graph, parts) for kind, parts in groups.items()}
    touched = _flat(joined[ANY].core) | _flat(joined[ANY].around)
    return ScanTruth(
        {kind: len(getattr(graph, kind)) for kind in NODE_TYPES},
        {kind: _flat(found.core) for kind, found in joined.items()},
        ~touched,
        {WHOLE: np.ones(len(touched), bool)} | _quadrants(graph),
    )


def score_scan(importance: Importance, truth: ScanTruth) -> list[LesionScore]:
    """Score one scan.

    Args:
        importance: Node type -> (n,), larger means more important.
        truth: What `scan_truth` found.

    Returns:
        One score for each kind that is there, and for `ANY`, in the whole scan and in each quadrant in which
        some node carries it and some node is free.

    Raises:
        InputError: If importances and nodes do not match.
    """
    if {kind: len(importance.get(kind, ())) for kind in NODE_TYPES} != truth.sizes:
        raise InputError(f"importances must be given for every node: the graph has {truth.sizes}")
    values = np.concatenate([importance[kind] for kind in NODE_TYPES])
    scores = []
    for kind, carry in truth.positives.items():
        for scope, inside in truth.scopes.items():
            if (carry & inside).any() and (truth.free & inside).any():
                scores.append(_score(kind, scope, values, carry & inside, truth.free & inside))
    return scores


def summarise(scores: Iterable[LesionScore]) -> list[Summary]:
    """Return the means over scans for each kind and scope, in the order in which these are met."""
    groups: dict[tuple[str, str], list[LesionScore]] = {}
    for score in scores:
        groups.setdefault((score.kind, score.scope), []).append(score)
    return [
        Summary(
            kind,
            scope,
            len(group),
            float(np.mean([score.hit for score in group])),
            float(np.mean([score.chance for score in group])),
            float(np.mean([score.auroc for score in group])),
        )
        for (kind, scope), group in groups.items()
    ]


def _score(kind: str, scope: str, values: np.ndarray, carry: np.ndarray, free: np.ndarray) -> LesionScore:
    taking_part = carry | free
    first = taking_part & (values == values[taking_part].max())
    return LesionScore(
        kind,
        scope,
        hit=float(carry[first].mean()),
        chance=float(carry.sum() / taking_part.sum()),
        auroc=auroc(values[carry], values[free]),
        positives=int(carry.sum()),
        negatives=int(free.sum()),
    )


def _flat(marked: Marked) -> np.ndarray:
    return np.concatenate([marked[kind] for kind in NODE_TYPES])


def _quadrants(graph: OctaGraph) -> dict[str, np.ndarray]:
    places = np.concatenate([graph.vessel_pos, graph.ica_pos]).reshape(-1, 2)
    names = np.asarray(quadrant(places[:, 1] / graph.shape[1], places[:, 0] / graph.shape[0])).reshape(-1)
    everywhere = np.ones(len(graph.faz), bool)
    return {name: np.concatenate([names == name, everywhere]) for name in QUADRANTS}
