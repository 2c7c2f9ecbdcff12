from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gftlib.errors import InputError
from gftlib.octa.batches import GraphTensors, Normalizer, collate, from_octa_graph
from gftlib.octa.messages import Adjacency, mean_of_neighbours


def dense(
    edges: torch.Tensor, sources: int, targets: int, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """The averaging matrix written out, edges repeated as often as they occur."""
    matrix, degree = torch.zeros(targets, sources, dtype=torch.float64), torch.zeros(targets)
    for index, (source, target) in enumerate(edges.T.tolist()):
        degree[target] += 1
        matrix[target, source] += 1 if weight is None else weight[index]
    return matrix / degree.clamp(min=1)[:, None]


def test_three_edges_by_hand():
    adjacency = Adjacency.of(torch.tensor([[0, 1, 1], [2, 0, 2]]), 2, 3)
    out = mean_of_neighbours(torch.tensor([[1.0, 10.0], [3.0, 30.0]]), adjacency)
    assert out.tolist() == [[3.0, 30.0], [0.0, 0.0], [2.0, 20.0]]
    half = mean_of_neighbours(torch.tensor([[1.0], [3.0]]), adjacency, torch.tensor([1.0, 1.0, 0.0]))
    assert half.tolist() == [[3.0], [0.0], [0.5]]


@pytest.mark.parametrize("seed", range(4))
def test_product_and_its_gradients_equal_the_dense_matrix(seed):
    rng = np.random.default_rng(seed)
    edges = torch.from_numpy(np.stack([rng.integers(0, 7, 25), rng.integers(0, 5, 25)]))
    x = torch.from_numpy(rng.normal(size=(7, 3))).requires_grad_()
    weight = torch.from_numpy(rng.uniform(size=25)).requires_grad_()
    adjacency = Adjacency.of(edges, 7, 5)
    other_x, other_weight = x.detach().clone().requires_grad_(), weight.detach().clone().requires_grad_()
    ours = mean_of_neighbours(x, adjacency, weight)
    theirs = dense(edges, 7, 5, other_weight) @ other_x
    assert torch.allclose(ours, theirs, atol=1e-7)
    probe = torch.from_numpy(rng.normal(size=(5, 3)))
    (ours * probe).sum().backward()
    (theirs * probe).sum().backward()
    assert torch.allclose(x.grad, other_x.grad, atol=1e-6)
    assert torch.allclose(weight.grad, other_weight.grad, atol=1e-6)


def test_a_batch_computes_what_its_graphs_compute_alone(random_graph):
    graphs = [random_graph(0), random_graph(1, vessels=5, icas=9, faz=0), random_graph(2, vessels=20)]
    batch = collate(graphs)
    assert batch.size == 3
    assert batch.counts["faz"] == (1, 0, 1)
    assert torch.bincount(batch.graph_of["vessel"]).tolist() == [12, 5, 20]
    for relation, adjacency in batch.adjacency.items():
        source, _, target = relation
        together = mean_of_neighbours(batch.x[source], adjacency)
        alone = [mean_of_neighbours(g.x[source], g.adjacency[relation]) for g in graphs]
        assert torch.allclose(together, torch.cat(alone), atol=1e-6)
        matrix = dense(batch.edges[relation], len(batch.x[source]), len(batch.x[target]))
        assert torch.allclose(together, (matrix @ batch.x[source].double()).float(), atol=1e-6)


def test_edge_weights_follow_the_order_of_the_edge_table(random_graph):
    batch = collate([random_graph(0), random_graph(1)])
    relation = ("vessel", "touches", "ica")
    weight = torch.rand(batch.edges[relation].shape[1], generator=torch.Generator().manual_seed(0))
    ours = mean_of_neighbours(batch.x["vessel"], batch.adjacency[relation], weight)
    matrix = dense(batch.edges[relation], len(batch.x["vessel"]), len(batch.x["ica"]), weight)
    assert torch.allclose(ours, (matrix @ batch.x["vessel"].double()).float(), atol=1e-6)


def test_z_score_has_the_training_fold_only(random_graph):
    train, held_out = [random_graph(seed) for seed in range(3)], random_graph(9)
    normalizer = Normalizer.fit(train)
    stacked = torch.cat([normalizer(graph).x["vessel"] for graph in train])
    assert torch.allclose(stacked.mean(0), torch.zeros(18), atol=1e-6)
    assert torch.allclose(stacked.std(0, unbiased=False), torch.ones(18), atol=1e-5)
    values = torch.cat([graph.x["ica"] for graph in train])
    expected = (held_out.x["ica"] - values.mean(0)) / values.std(0, unbiased=False)
    assert torch.allclose(normalizer(held_out).x["ica"], expected, atol=1e-5)
    back = Normalizer.from_state(normalizer.state())
    assert torch.equal(back(held_out).x["faz"], normalizer(held_out).x["faz"])


def test_missing_and_constant_features_become_zero():
    column = torch.tensor([[1.0, 5.0], [3.0, 5.0], [float("nan"), 5.0], [float("inf"), 5.0]])
    graph = GraphTensors({"vessel": column}, {})
    out = Normalizer.fit([graph])(graph).x["vessel"]
    assert out.tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    robust = Normalizer.fit([graph], robust=True)
    assert robust.mean["vessel"].tolist() == [2.0, 5.0]
    assert robust.std["vessel"].tolist() == pytest.approx([1.4826, 1.0])


def test_octa_graph_to_tensors():
    relation = ("vessel", "touches", "ica")
    graph = SimpleNamespace(
        vessel=np.ones((2, 18)),
        ica=np.ones((1, 17)),
        faz=np.zeros((0, 17)),
        edges={relation: np.array([[0, 1], [0, 0]]), ("vessel", "touches", "faz"): np.zeros((2, 0))},
    )
    tensors = from_octa_graph(graph, 2)
    assert (tensors.y, tensors.x["faz"].shape, tensors.x["vessel"].dtype) == (2, (0, 17), torch.float32)
    assert tensors.edges[relation].tolist() == [[0, 1], [0, 0]]
    assert tensors.edges["vessel", "touches", "faz"].shape == (2, 0)


def test_bad_input_is_named(random_graph):
    with pytest.raises(InputError, match="outside the 1 ica nodes"):
        GraphTensors(
            {"vessel": torch.ones(2, 1), "ica": torch.ones(1, 1)},
            {("vessel", "touches", "ica"): torch.tensor([[0], [1]])},
        )
    with pytest.raises(InputError, match="at least one"):
        collate([])
    with pytest.raises(InputError, match="graph 1"):
        collate([random_graph(0), GraphTensors({"vessel": torch.ones(2, 18)}, {})])
    with pytest.raises(InputError, match="training fold is empty"):
        Normalizer.fit([])
