from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gftlib.errors import InputError
from gftlib.octa.adjacency import EDGE_TYPES
from gftlib.octa.batches import RELATIONS, collate
from gftlib.octa.staging import PRESETS, SUM_UNIT, StagingConfig, StagingGNN, preset

SMALL = StagingConfig(hidden=8, dropout=0.0)


@pytest.fixture(scope="module")
def peer():
    """The PyG model that the benchmark compares with."""
    path = Path(__file__).parents[3] / "benchmarks" / "_pyg_staging.py"
    spec = importlib.util.spec_from_file_location("_pyg_staging", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [*PRESETS, "between", "silu"])
@pytest.mark.parametrize("training", [False, True])
def test_equals_pyg_with_copied_weights(name, training, peer, random_graph):
    from torch_geometric.data import Batch

    extra = {
        "between": replace(SMALL, relations="between", layers=3, aggregation="sum"),
        "silu": replace(SMALL, activation="silu", pooling=("mean",), head=1, after=0),
    }
    config = replace(extra.get(name) or preset(name), dropout=0.0)
    torch.manual_seed(0)
    model = StagingGNN(config).train(training)
    other = peer.PygStaging(model).train(training)
    graphs = [random_graph(seed, vessels=10 + seed, icas=15 - seed) for seed in range(4)]
    ours = model(collate(graphs))
    theirs = other(Batch.from_data_list([peer.to_hetero(graph) for graph in graphs]))
    assert ours.shape == (4, 3)
    assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    first, second = model.before["vessel"][0].weight.grad, other.before["vessel"][0].weight.grad
    assert torch.allclose(first, second, atol=1e-4 * float(second.abs().max()))


def test_one_layer_by_hand(random_graph):
    torch.manual_seed(1)
    model = StagingGNN(replace(SMALL, before=1, after=0, head=1, pool_input=False)).eval()
    graph = random_graph(0)
    nodes = {name: model.before[name](values) for name, values in graph.x.items()}
    layer, out = model.layers[0], {name: v + model.layers[0].root[name](v) for name, v in nodes.items()}
    for relation, linear in zip(layer.relations, layer.neighbour, strict=True):
        source, _, target = relation
        meeting = sum(other[2] == target for other in RELATIONS)
        for node in range(len(nodes[target])):
            senders = graph.edges[relation][0][graph.edges[relation][1] == node]
            if len(senders):
                out[target][node] += linear(nodes[source][senders].mean(0)) / meeting
    final = {name: torch.relu(out[name]) for name in nodes}
    pooled = torch.cat(
        [torch.cat([final[name].sum(0) / SUM_UNIT[name], final[name].amax(0)]) for name in nodes]
    )
    assert torch.allclose(model(collate([graph]))[0], model.head(pooled), atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_a_graph_without_faz_alone_and_in_a_batch(name, random_graph):
    torch.manual_seed(0)
    model = StagingGNN(replace(preset(name), dropout=0.0))
    without, other = random_graph(0, faz=0), random_graph(1)
    assert torch.isfinite(model.train()(collate([without]))).all()
    assert torch.isfinite(model(collate([without, other]))).all()
    model.eval()
    together = model(collate([without, other]))
    assert torch.allclose(together[:1], model(collate([without])), atol=1e-4)
    assert torch.allclose(together[1:], model(collate([other])), atol=1e-4)


def test_a_graph_without_vessels_or_areas(random_graph):
    model = StagingGNN(SMALL).eval()
    assert torch.isfinite(model(collate([random_graph(0, vessels=0)]))).all()
    assert torch.isfinite(model(collate([random_graph(0, icas=0, faz=0)]))).all()


def test_edge_weights_of_one_change_nothing_and_of_zero_remove_the_edges(random_graph):
    torch.manual_seed(0)
    model = StagingGNN(SMALL).eval()
    batch = collate([random_graph(0), random_graph(1)])
    plain = model(batch)
    ones = {relation: torch.ones(pairs.shape[1]) for relation, pairs in batch.edges.items()}
    assert torch.allclose(model(batch, edge_weight=ones), plain, atol=1e-5)
    zeros = {relation: torch.zeros_like(weight) for relation, weight in ones.items()}
    silenced = model(batch, edge_weight=zeros)
    assert not torch.allclose(plain, silenced, atol=1e-4)
    for linear in model.layers[0].neighbour:
        torch.nn.init.zeros_(linear.weight)
    assert torch.allclose(model(batch), silenced, atol=1e-5)


def test_gradients_in_nodes_and_edges_are_the_finite_differences(random_graph):
    torch.manual_seed(0)
    model = StagingGNN(replace(SMALL, activation="silu", pooling=("sum", "mean"))).double().eval()
    batch = collate([random_graph(3, vessels=5, icas=4)])
    x = {name: values.double().requires_grad_() for name, values in batch.x.items()}
    weight = {
        relation: torch.ones(pairs.shape[1], dtype=torch.float64, requires_grad=True)
        for relation, pairs in batch.edges.items()
    }
    model(batch, x, weight)[0, 1].backward()
    step = 1e-5
    for table, key, index in ((x, "vessel", (2, 3)), (x, "faz", (0, 1)), (weight, RELATIONS[2], (1,))):
        values = []
        for sign in (1, -1):
            moved = table[key].detach().clone()
            moved[index] += sign * step
            inputs = {**x, key: moved} if table is x else x
            weights = {**weight, key: moved} if table is weight else weight
            values.append(model(batch, inputs, weights)[0, 1].item())
        expected = (values[0] - values[1]) / (2 * step)
        assert float(table[key].grad[index]) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_relations_are_those_of_the_graph():
    assert RELATIONS == EDGE_TYPES
    within = StagingGNN(replace(SMALL, relations="within")).layers[0].relations
    assert within == tuple(relation for relation in EDGE_TYPES if relation[0] == relation[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "leeky"}, "did you mean 'leaky'"),
        ({"pooling": ("sum", "median")}, "sum, mean, max"),
        ({"aggregation": "cat"}, "known: mean, sum"),
        ({"hidden": 0}, "hidden is 0"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        replace(StagingConfig(), **change)


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="did you mean 'split5'"):
        preset("splt5")
