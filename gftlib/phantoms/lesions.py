"""Diabetic lesions of an OCTA phantom: which there are, what they do to the vessels, and their masks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from gftlib.phantoms.bending import Ripple
from gftlib.phantoms.capillaries import Thicket
from gftlib.phantoms.octa_config import SIZE, Lesions
from gftlib.phantoms.planar import CAPILLARY, SHUNT, TUFT, VENULE, PlanarGraph
from gftlib.phantoms.vasculature import Outline, wobble

KINDS = (
    "capillary non-perfusion",
    "FAZ enlargement",
    "microaneurysm",
    "vessel tortuosity",
    "venous beading",
    "IRMA-like shunt",
    "neovascular tuft",
)


@dataclass
class Plan:
    """What an eye is to get, before its vessels exist; positions are those before bending.

    Attributes:
        dropouts: Outlines of non-perfused areas.
        faz: Outline of the enlarged FAZ, or None.
        tufts: Discs of neovascular tangle.
        microaneurysms: How many.
        tortuous: How many tortuous vessel parts.
        beaded: How many beaded venule parts.
        thinning: Share of capillaries lost everywhere.
        shunted: For each drop-out, whether a shunt crosses it.
    """

    dropouts: list[Outline] = field(default_factory=list)
    faz: Outline | None = None
    tufts: list[Thicket] = field(default_factory=list)
    microaneurysms: int = 0
    tortuous: int = 0
    beaded: int = 0
    thinning: float = 0.0
    shunted: list[bool] = field(default_factory=list)


def plan_lesions(
    config: Lesions, severity: float, stage: int, faz: Outline, rng: np.random.Generator
) -> Plan:
    """Draw an eye's lesions from its severity; only tufts depend on the stage (proliferative: 2).

    Args:
        config: Rates and sizes.
        severity: Latent severity in [0, 1].
        stage: 0 healthy, 1 NPDR, 2 PDR.
        faz: The eye's own healthy FAZ.
        rng: Random generator.

    Returns:
        The plan.
    """
    steep = severity**1.5

    def number(rate: tuple[float, float]) -> int:
        return int(rng.poisson(rate[0] + rate[1] * steep))

    growth = config.faz_growth * severity + rng.normal(0, config.faz_growth_sigma)
    grown = None
    if growth > config.faz_growth_least:
        lobes = wobble(rng, 0.06 + 0.07 * severity, (2, 3, 4, 6, 9), len(faz.radius))
        grown = Outline(faz.centre, faz.radius * np.maximum(1.0, np.exp(growth) * lobes))
    plan = Plan(
        faz=grown,
        microaneurysms=number(config.microaneurysm_rate),
        tortuous=number(config.tortuosity_rate),
        beaded=number(config.beading_rate),
        thinning=config.capillary_thinning * severity * rng.uniform(0.3, 1.7),
    )
    limit = grown or faz
    for _ in range(number(config.dropout_rate)):
        size = rng.uniform(*config.dropout_radius)
        outline = Outline(_place(limit, size + 34, rng), size * wobble(rng, 0.16, (2, 3, 4, 6)))
        plan.dropouts.append(outline)
        plan.shunted.append(bool(rng.random() < config.shunt_probability * severity))
    if stage == 2 and rng.random() < config.tuft_probability:
        for _ in range(1 + int(rng.random() < 0.35)):
            size = rng.uniform(*config.tuft_radius)
            place = _place(limit, size + 40, rng)
            plan.tufts.append(Thicket(place, size, config.tuft_pitch, config.tuft_vessel_radius))
    return plan


def _place(faz: Outline, clearance: float, rng: np.random.Generator) -> np.ndarray:
    """Return a random point of the frame at least ``clearance`` from the FAZ's outline."""
    for _ in range(200):
        point = rng.uniform(0.05 * SIZE, 0.95 * SIZE, 2)
        offset = point - faz.centre
        if np.hypot(*offset) > faz.at(np.arctan2(offset[1], offset[0])) + clearance:
            return point
    return np.array([0.15 * SIZE, 0.15 * SIZE])


def remove_capillaries(graph: PlanarGraph, plan: Plan, rng: np.random.Generator) -> list[Ripple]:
    """Carry out drop-out, shunts, FAZ enlargement, tufts and thinning on the straight vessels (in place).

    Returns:
        Ripples that make the shunts and tufts tortuous.
    """
    ripples = []
    for outline, shunted in zip(plan.dropouts, plan.shunted, strict=True):
        if shunted:
            ripples.append(_shunt(graph, outline, rng))
    for tuft in plan.tufts:
        inside = np.hypot(*(graph.points - tuft.centre).T) < tuft.radius
        own = inside[graph.edges].all(axis=1) & (graph.kind == CAPILLARY)
        graph.kind[own] = TUFT
        graph.radius[own] = tuft.vessel_radius * np.exp(rng.normal(0, 0.12, own.sum()))
        for _ in range(3):
            angle = rng.uniform(0, 2 * np.pi)
            along = np.array([np.cos(angle), np.sin(angle)])
            ripples.append(
                Ripple(tuft.centre, tuft.radius, along, rng.uniform(2.5, 4.0), rng.uniform(26, 40))
            )
    for outline in plan.dropouts:
        _clear(graph, outline, graph.kind == CAPILLARY, rng)
    if plan.faz is not None:
        _clear(graph, plan.faz, np.ones(len(graph.edges), dtype=bool), rng)
    lost = (rng.random(len(graph.edges)) < plan.thinning) & (graph.kind == CAPILLARY)
    graph.keep(~lost)
    return ripples


def _clear(graph: PlanarGraph, outline: Outline, affected: np.ndarray, rng: np.random.Generator) -> None:
    """Remove affected edges inside an outline; those that cross it are removed or end there as sprouts."""
    ratio = outline.ratio(graph.points)
    inside = (ratio < 1)[graph.edges]
    gone = inside.all(axis=1) & affected
    crossing = np.flatnonzero((inside.sum(axis=1) == 1) & affected)
    cut, shares = [], []
    step = graph.points[graph.edges[:, 1]] - graph.points[graph.edges[:, 0]]
    length = np.hypot(step[:, 0], step[:, 1])
    for edge in crossing:
        share = rng.uniform(0.5, 0.8)
        if share * length[edge] < graph.radius[edge] + 12 or rng.random() < 0.35:
            gone[edge] = True
        else:
            cut.append(edge)
            shares.append(share)
    if cut:
        swap = ~inside[cut, 1]
        u, v = np.where(swap, graph.edges[cut].T[::-1], graph.edges[cut].T)
        share = np.array(shares)[:, None]
        graph.end_at(cut, u, graph.points[u] + share * (graph.points[v] - graph.points[u]))
    graph.keep(~gone)


def _shunt(graph: PlanarGraph, outline: Outline, rng: np.random.Generator) -> Ripple:
    """Widen one mesh path across an area that is about to lose its capillaries (in place)."""
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    size = outline.radius.mean()
    used = np.unique(graph.edges)
    side = rng.normal(0, 0.3) * size * np.array([-along[1], along[0]])
    start, stop = (
        used[
            np.hypot(*(graph.points[used] - (outline.centre + side + sign * 1.25 * size * along)).T).argmin()
        ]
        for sign in (-1, 1)
    )
    n = len(graph.points)
    matrix = csr_matrix((graph.lengths() + 0.1, tuple(graph.edges.T)), shape=(n, n))
    previous = dijkstra(matrix, directed=False, indices=start, return_predecessors=True)[1]
    on_path = np.zeros(len(graph.edges), dtype=bool)
    low, high = np.sort(graph.edges, axis=1).T
    while previous[stop] >= 0:
        step = min(stop, previous[stop]), max(stop, previous[stop])
        on_path |= (low == step[0]) & (high == step[1])
        stop = previous[stop]
    chosen = on_path & (graph.kind == CAPILLARY)
    graph.kind[chosen], graph.radius[chosen] = SHUNT, rng.uniform(4.0, 5.4)
    return Ripple(outline.centre, 1.1 * size, along, rng.uniform(6, 9), rng.uniform(50, 70))


@dataclass(frozen=True)
class Change:
    """A local change of a vessel: where, over which reach, and of which kind (tree numbers or -1)."""

    kind: str
    centre: np.ndarray
    reach: float
    tree: int


def plan_changes(
    graph: PlanarGraph, plan: Plan, rng: np.random.Generator
) -> tuple[list[Change], list[Ripple]]:
    """Choose the vessel parts that become tortuous or beaded."""
    changes, ripples = [], []
    middle = graph.points[graph.edges].mean(axis=1)
    visible = np.all((middle > 0.08 * SIZE) & (middle < 0.92 * SIZE), axis=1)
    thick = np.flatnonzero(visible & graph.in_tree() & (graph.radius > 4.5))
    for _ in range(plan.tortuous if len(thick) else 0):
        edge = rng.choice(thick)
        step = graph.points[graph.edges[edge, 1]] - graph.points[graph.edges[edge, 0]]
        along, reach = step / np.hypot(*step), rng.uniform(75, 120)
        ripples.append(Ripple(middle[edge], reach, along, rng.uniform(5.5, 9.5), rng.uniform(48, 72)))
        changes.append(Change("vessel tortuosity", middle[edge], reach, int(graph.tree[edge])))
    venules = np.flatnonzero(visible & (graph.kind == VENULE) & (graph.radius > 5.5))
    for _ in range(plan.beaded if len(venules) else 0):
        edge = rng.choice(venules)
        changes.append(Change("venous beading", middle[edge], rng.uniform(90, 150), int(graph.tree[edge])))
    return changes, ripples
