"""Small random graphs with the node types, widths and relations of a real one, and a small real one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from gftlib.octa.attribution import Attribution
from gftlib.octa.batches import RELATIONS, WIDTHS, GraphTensors
from gftlib.octa.graph import OctaGraph, build_graph


@pytest.fixture(scope="session")
def random_graph() -> Callable[..., GraphTensors]:
    """Return ``make(seed, vessels=12, icas=6, faz=1, y=0)``."""

    def make(seed: int, vessels: int = 12, icas: int = 6, faz: int = 1, y: int = 0) -> GraphTensors:
        rng = np.random.default_rng(seed)
        sizes = {"vessel": vessels, "ica": icas, "faz": faz}
        x = {
            name: torch.from_numpy(rng.normal(size=(size, WIDTHS[name])).astype(np.float32))
            for name, size in sizes.items()
        }
        edges = {}
        for relation in RELATIONS:
            source, target = sizes[relation[0]], sizes[relation[2]]
            count = 2 * max(source, target) if source and target else 0
            pairs = [rng.integers(0, max(source, 1), count), rng.integers(0, max(target, 1), count)]
            edges[relation] = torch.from_numpy(np.stack(pairs))
        return GraphTensors(x, edges, y)

    return make


@pytest.fixture(scope="module")
def graph() -> OctaGraph:
    """Four by four cells, the middle four of them one large area."""
    mask = np.zeros((240, 240), bool)
    for line in range(48, 240, 48):
        mask[line - 1 : line + 2] = mask[:, line - 1 : line + 2] = True
    mask[98:143, 98:143] = False
    return build_graph(mask)


@pytest.fixture(scope="module")
def attribution(graph: OctaGraph) -> Attribution:
    """One segment that matters most, then one area; every edge alike."""
    nodes = {name: torch.zeros(getattr(graph, name).shape) for name in ("vessel", "ica", "faz")}
    nodes["vessel"][2, 4], nodes["vessel"][2, 0] = -3.0, 1.0
    nodes["ica"][1, 2] = 2.0
    edges = {relation: torch.full((pairs.shape[1],), 0.5) for relation, pairs in graph.edges.items()}
    return Attribution(nodes, edges, 1, torch.zeros(3), 1.0, 8, 8)
