"""Integrated gradients against PyG's ``Explainer(CaptumExplainer("IntegratedGradients"))``, same weights.

The graphs are Voronoi meshes of the size of a real scan (about 1,600 segments and 570 areas); the network is
trained briefly to tell coarse meshes from fine ones, so that it ranks nodes by something it has learnt.

PyG 2.8.1 passes the edge masks of heterogeneous graphs through a sigmoid on their way to captum: an edge
then walks from weight 0.5 to 0.73 and the function explained is not the model. Here the peer is given plain
masks, as PyG itself does for homogeneous graphs, so that both sides compute the same.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import nn
from torch_geometric.explain import CaptumExplainer, Explainer
from torch_geometric.explain.algorithm import captum
from torch_geometric.explain.algorithm.utils import set_hetero_masks

from benchmarks._pyg_staging import PygStaging
from benchmarks._timing import interleaved
from gftlib.octa.attribution import Attribution, IGConfig, integrated_gradients
from gftlib.octa.batches import NODE_TYPES, GraphTensors, Normalizer, collate, from_octa_graph
from gftlib.octa.graph import build_graph
from gftlib.octa.ranking import node_importance, select_top
from gftlib.octa.staging import StagingGNN, preset

SIDE = 1216

PEER_STEPS, FEWER = 50, (8, 16, 32, 50)
SAME_TOP = 19
"""So many of the first twenty nodes are "the same twenty": two that are level may change places."""


def voronoi_graph(rng: np.random.Generator, seeds: int, y: int) -> GraphTensors:
    """Return the graph of the borders between the cells of random points, with an FAZ in the middle."""
    points = rng.uniform(0, SIDE, (seeds, 2))
    points = np.vstack([points[np.linalg.norm(points - SIDE / 2, axis=1) > 170], [[SIDE / 2, SIDE / 2]]])
    grid = np.indices((SIDE, SIDE)).reshape(2, -1).T
    cell = cKDTree(points).query(grid)[1].reshape(SIDE, SIDE)
    mask = np.zeros((SIDE, SIDE), bool)
    for shift in range(1, 5):
        mask[shift:] |= cell[shift:] != cell[:-shift]
        mask[:, shift:] |= cell[:, shift:] != cell[:, :-shift]
    return from_octa_graph(build_graph(mask), y)


def trained(name: str, graphs: list[GraphTensors], epochs: int = 12) -> StagingGNN:
    """Return a network fitted to the graphs' classes."""
    torch.manual_seed(0)
    model = StagingGNN(preset(name))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = collate(graphs)
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch), batch.y).backward()
        optimizer.step()
    return model.eval()


@dataclass(frozen=True)
class _View:
    """One graph as the peer reads it, made of the two dictionaries that the explainer hands over."""

    nodes: dict
    edge_index_dict: dict
    num_graphs: int = 1

    def __getitem__(self, kind: str) -> SimpleNamespace:
        """Return the nodes of a type, all of one graph."""
        x = self.nodes[kind]
        return SimpleNamespace(x=x, batch=torch.zeros(len(x), dtype=torch.int64))


class DictTwin(PygStaging):
    """The peer with the signature that PyG's explainer calls."""

    def forward(self, x: dict, edge_index: dict) -> torch.Tensor:
        """Return (1, 3) logits."""
        return super().forward(_View(x, edge_index))


def peer_explainer(twin: DictTwin, edges: bool, steps: int = PEER_STEPS) -> Explainer:
    """Return PyG's explainer of node features, and of edges if asked."""
    return Explainer(
        twin,
        algorithm=CaptumExplainer("IntegratedGradients", n_steps=steps),
        explanation_type="phenomenon",
        node_mask_type="attributes",
        edge_mask_type="object" if edges else None,
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
    )


def _top(attribution: Attribution) -> set[tuple[str, int]]:
    return {(entry.kind, entry.index) for entry in select_top(node_importance(attribution))}


def _compare(
    name: str, edges: bool, target: float, tried: tuple[int, ...] = (PEER_STEPS,)
) -> dict[str, object]:
    """Time one network with the first of some numbers of steps that ranks as the peer does, else the last."""
    rng = np.random.default_rng(0)
    graphs = [voronoi_graph(rng, seeds, y) for y, seeds in enumerate((520, 620, 720)) for _ in range(2)]
    graphs = [Normalizer.fit(graphs)(graph) for graph in graphs]
    model, graph = trained(name, graphs), graphs[2]
    twin, goal = DictTwin(model).eval(), 1
    difference = (twin(graph.x, graph.edges) - model(collate([graph]))).abs().max().item()
    if difference > 1e-3:
        raise RuntimeError(f"the twin differs from the model by {difference}")
    explainer, label = peer_explainer(twin, edges), torch.tensor([goal])
    config = IGConfig(walk="joint" if edges else "node", rule="gausslegendre", stable=0.0)

    def ours(steps: int) -> Attribution:
        return integrated_gradients(model, graph, replace(config, steps=steps), target=goal)

    def peer() -> object:
        return explainer(graph.x, graph.edges, target=label)

    plain = functools.partial(set_hetero_masks, apply_sigmoid=False)
    with warnings.catch_warnings(), mock.patch.object(captum, "set_hetero_masks", plain):
        # PyG warns that it takes one step at a time; that is what is measured.
        warnings.simplefilter("ignore")
        theirs = peer()
        reference = {kind: theirs[kind].node_mask.abs().sum(1).numpy() for kind in NODE_TYPES}
        same = {(entry.kind, entry.index) for entry in select_top(reference)}
        for steps in tried:
            shared = len(_top(ours(steps)) & same)
            if shared >= SAME_TOP:
                break
        times = interleaved(functools.partial(ours, steps), peer, 3)
    walk = "nodes and edges" if edges else "nodes"
    sizes = f"{len(graph.x['vessel'])} segments, {len(graph.x['ica'])} areas"
    note = f"peer: Explainer(CaptumExplainer), {PEER_STEPS} steps; {shared} of 20 first nodes shared; {sizes}"
    return {"name": f"IG of {walk}, {name}, {steps} steps", "target": target, "note": note, **times}


def rows() -> list[dict[str, object]]:
    """Time matched steps, and the fewest that keep the peer's first twenty nodes."""
    return [
        _compare("split2", True, 2),
        _compare("split2", False, 2),
        _compare("split2", True, 4, FEWER),
        _compare("split3", True, 2),
        _compare("split3", True, 4, FEWER),
    ]
