"""Small random graphs with the node types, widths and relations of a real one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from gftlib.octa.batches import RELATIONS, WIDTHS, GraphTensors


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
