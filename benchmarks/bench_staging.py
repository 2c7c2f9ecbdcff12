"""A training step of the staging network against PyTorch Geometric's ``DataLoader`` and ``HeteroConv``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch_geometric.loader import DataLoader

from benchmarks._pyg_staging import PygStaging, to_hetero
from benchmarks._timing import interleaved
from gftlib.octa.batches import WIDTHS, GraphTensors, collate
from gftlib.octa.staging import StagingConfig, StagingGNN, preset

SIZES = {"vessel": 1588, "ica": 589, "faz": 1}
EDGES = {
    ("vessel", "touches", "vessel"): 6341,
    ("ica", "touches", "ica"): 2849,
    ("vessel", "touches", "ica"): 3466,
    ("ica", "rev_touches", "vessel"): 3466,
    ("vessel", "touches", "faz"): 40,
    ("faz", "rev_touches", "vessel"): 40,
    ("faz", "touches", "ica"): 30,
    ("ica", "rev_touches", "faz"): 30,
    ("faz", "touches", "faz"): 1,
}


def real_size(seed: int) -> GraphTensors:
    """Return a random graph as large and as local as that of a real scan: neighbours have near numbers."""
    rng = np.random.default_rng(seed)
    x = {
        name: torch.from_numpy(rng.normal(size=(n, WIDTHS[name])).astype(np.float32))
        for name, n in SIZES.items()
    }
    edges = {}
    for relation, count in EDGES.items():
        sources, targets = SIZES[relation[0]], SIZES[relation[2]]
        target = rng.integers(0, targets, count)
        near = target * sources // targets + rng.integers(-40, 41, count)
        edges[relation] = torch.from_numpy(np.stack([np.clip(near, 0, sources - 1), target]))
    return GraphTensors(x, edges, int(rng.integers(3)))


def _step(model: nn.Module, fused: bool) -> Callable[[object, torch.Tensor], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)

    def step(batch: object, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch), y).backward()
        optimizer.step()

    return step


def _row(name: str, config: StagingConfig, graphs: list[GraphTensors], target: str) -> dict[str, object]:
    torch.manual_seed(0)
    model = StagingGNN(config)
    peer = PygStaging(model)
    loader = DataLoader([to_hetero(graph) for graph in graphs], batch_size=config.recipe.batch_size)
    chunks = [
        graphs[i : i + config.recipe.batch_size] for i in range(0, len(graphs), config.recipe.batch_size)
    ]
    model.eval(), peer.eval()
    with torch.no_grad():
        ours, theirs = model(collate(chunks[0])), peer(next(iter(loader)))
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    model.train(), peer.train()
    our_step, peer_step = _step(model, True), _step(peer, False)

    def our_epoch() -> None:
        for chunk in chunks:
            batch = collate(chunk)
            our_step(batch, batch.y)

    def peer_epoch() -> None:
        for batch in loader:
            peer_step(batch, batch.y)

    timing = interleaved(our_epoch, peer_epoch, 5)
    return {
        "name": f"staging: training epoch, {name}, {len(graphs)} graphs",
        "ours_ms": timing["ours_ms"],
        "peer_ms": timing["peer_ms"],
        "ratio": timing["ratio"],
        "target": target,
        "note": f"{timing['ours_ms'] / len(graphs):.1f} ms a graph; outputs differ by {difference:.0e}",
    }


def rows() -> list[dict[str, object]]:
    """Time the presets of one and of two layers, and the network of the reference measurement (three)."""
    graphs = [real_size(seed) for seed in range(32)]
    three = replace(preset("split2"), hidden=64, layers=3, aggregation="sum")
    return [
        _row("split2", preset("split2"), graphs, ">= 2"),
        _row("split3", preset("split3"), graphs, ">= 2"),
        _row("3 layers of 64", three, graphs, ">= 2"),
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
