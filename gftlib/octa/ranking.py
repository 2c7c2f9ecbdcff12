"""Which nodes and edges matter: importance, ranking and selection from attributions.

GFT, section 2.3: the attributions rank nodes and edges by their influence on the prediction. The importance
of a node is the sum over its features of ``|attribution|``, that of an edge is ``|attribution|``. The paper
does not say how many are kept; both readings of the graph code it builds on are here: the first k
over all types, or the smallest set that reaches 95 % of the total once nodes below 0.05 % of it are dropped.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike

from gftlib.errors import InputError, did_you_mean
from gftlib.octa.attribution import Attribution
from gftlib.octa.batches import Relation

Kind = TypeVar("Kind", bound=Hashable)
FloatArray = np.ndarray
Sign = Literal["absolute", "supporting"]


@dataclass(frozen=True)
class Ranked(Generic[Kind]):
    """One place of a ranking.

    Attributes:
        kind: Node type or relation.
        index: Row within its type or relation.
        importance: In units of the logit.
        share: Importance over the sum of all.
    """

    kind: Kind
    index: int
    importance: float
    share: float


def node_importance(attribution: Attribution, sign: Sign = "absolute") -> dict[str, FloatArray]:
    """Return node type -> (n,) importances.

    Args:
        attribution: Of one graph.
        sign: ``absolute``, the graph code's reading, adds up ``|attribution|`` over the features;
            ``supporting`` adds up the contributions that speak for the class: a node matters only as
            evidence.
    """
    if sign not in get_args(Sign):
        raise InputError(f"unknown sign {sign!r}{did_you_mean(str(sign), get_args(Sign))}")
    parts = attribution.nodes.items()
    return {
        kind: (part.abs() if sign == "absolute" else part.clamp(min=0)).sum(1).cpu().numpy()
        for kind, part in parts
    }


def edge_importance(
    attribution: Attribution, edges: Mapping[Relation, ArrayLike] | None = None
) -> dict[Relation, FloatArray]:
    """Return relation -> (E,) ``|attribution|`` of the directed edges.

    Args:
        attribution: Of one graph.
        edges: Relation -> (2, E) of that graph; if given, all directed edges between the same two nodes, in
            one relation or in its reverse, get the sum of their importances.
    """
    importance = {relation: part.abs().cpu().numpy() for relation, part in attribution.edges.items()}
    if edges is None:
        return importance
    pairs: dict[tuple, float] = {}
    keys = {}
    for relation, values in importance.items():
        source, _, target = relation
        ends = np.asarray(edges[relation]).T.tolist()
        keys[relation] = [_undirected(source, a, target, b) for a, b in ends]
        for key, value in zip(keys[relation], values.tolist(), strict=True):
            pairs[key] = pairs.get(key, 0.0) + value
    return {
        relation: np.array([pairs[key] for key in keys[relation]], dtype=float) for relation in importance
    }


def _undirected(source: str, a: int, target: str, b: int) -> tuple:
    return tuple(sorted([(source, a), (target, b)]))


def ranking(importance: Mapping[Kind, FloatArray]) -> list[Ranked[Kind]]:
    """Order all entries of all kinds, the most important first; ties keep the order of kinds and rows."""
    kinds = list(importance)
    values = np.concatenate([np.asarray(importance[kind], dtype=float) for kind in kinds] or [np.zeros(0)])
    owner = np.repeat(np.arange(len(kinds)), [len(importance[kind]) for kind in kinds])
    row = np.concatenate([np.arange(len(importance[kind])) for kind in kinds] or [np.zeros(0, int)])
    total = values.sum() or 1.0
    return [
        Ranked(kinds[owner[i]], int(row[i]), float(values[i]), float(values[i] / total))
        for i in np.argsort(-values, kind="stable")
    ]


def select_top(importance: Mapping[Kind, FloatArray], k: int = 20) -> list[Ranked[Kind]]:
    """Return the first k of the `ranking`.

    Raises:
        InputError: If k is not positive.
    """
    if k < 1:
        raise InputError(f"select at least one node, got k={k}")
    return ranking(importance)[:k]


def select_mass(
    importance: Mapping[Kind, FloatArray], mass: float = 0.95, floor: float = 5e-4
) -> list[Ranked[Kind]]:
    """Return the shortest head of the `ranking` that reaches ``mass`` of what is left above ``floor``.

    Args:
        importance: Kind -> (n,) importances.
        mass: Share of the importance kept by the floor.
        floor: Entries below this share of the total importance are dropped first.

    Raises:
        InputError: If mass or floor is no share.
    """
    if not (0 < mass <= 1 and 0 <= floor < 1):
        raise InputError(f"mass must be in (0, 1] and floor in [0, 1), got {mass} and {floor}")
    kept = [entry for entry in ranking(importance) if entry.share >= floor and entry.importance > 0]
    reached = np.cumsum([entry.share for entry in kept])
    enough = int(np.searchsorted(reached, mass * reached[-1] * (1 - 1e-12))) + 1 if kept else 0
    return kept[:enough]
