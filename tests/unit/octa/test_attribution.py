from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from gftlib.errors import InputError
from gftlib.octa.attribution import IGConfig, integrated_gradients
from gftlib.octa.batches import GraphTensors, Normalizer, collate, from_octa_graph
from gftlib.octa.graph import build_graph
from gftlib.octa.staging import StagingGNN, preset

RELATIONS = (
    ("vessel", "to", "vessel"),
    ("vessel", "to", "ica"),
    ("ica", "rev_to", "vessel"),
    ("faz", "to", "ica"),
)
SIZES = {"vessel": (7, 3), "ica": (4, 2), "faz": (1, 2)}


def random_graph(seed: int = 0) -> GraphTensors:
    generator = torch.Generator().manual_seed(seed)
    x = {kind: torch.randn(*size, generator=generator) for kind, size in SIZES.items()}
    edges = {
        (a, name, b): torch.stack(
            [
                torch.randint(SIZES[a][0], (9,), generator=generator),
                torch.randint(SIZES[b][0], (9,), generator=generator),
            ]
        )
        for a, name, b in RELATIONS
    }
    return GraphTensors(x, edges, 1)


class Messages(nn.Module):
    """Nodes count by ``own``, messages by ``sent`` of their source; ``bend`` acts on the sum."""

    def __init__(self, bend=lambda value: value):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.own = {kind: torch.randn(size[1], generator=generator) for kind, size in SIZES.items()}
        self.sent = {kind: torch.randn(size[1], generator=generator) for kind, size in SIZES.items()}
        self.bend = bend

    def forward(self, batch, x=None, edge_weight=None):
        x = batch.x if x is None else x
        out = torch.zeros(batch.size)
        for kind, values in x.items():
            out = out.index_add(0, batch.graph_of[kind], values @ self.own[kind])
        for relation, edges in batch.edges.items():
            weight = torch.ones(edges.shape[1]) if edge_weight is None else edge_weight[relation]
            source = relation[0]
            message = (x[source] @ self.sent[source])[edges[0]] * weight
            out = out.index_add(0, batch.graph_of[source][edges[0]], message)
        return torch.stack([out, self.bend(out), -out], 1)


class TinyGNN(nn.Module):
    """One kinked message-passing layer with sum and max pooling."""

    def __init__(self, classes: int = 3):
        super().__init__()
        torch.manual_seed(3)
        self.embed = nn.ModuleDict({kind: nn.Linear(size[1], 8) for kind, size in SIZES.items()})
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(48, classes)

    def forward(self, batch, x=None, edge_weight=None):
        x = batch.x if x is None else x
        h = {kind: torch.relu(self.drop(self.embed[kind](values))) for kind, values in x.items()}
        out = dict(h)
        for relation, edges in batch.edges.items():
            weight = 1 if edge_weight is None else edge_weight[relation][:, None]
            out[relation[2]] = out[relation[2]].index_add(0, edges[1], h[relation[0]][edges[0]] * weight)
        pooled = []
        for kind in SIZES:
            y = torch.relu(self.norm(out[kind]))
            index = batch.graph_of[kind]
            pooled.append(torch.zeros(batch.size, 8).index_add(0, index, y))
            pooled.append(torch.stack([y[index == i].amax(0) for i in range(batch.size)]))
        return self.head(torch.cat(pooled, 1))


def fixed(**settings) -> IGConfig:
    return IGConfig(**{"stable": 0.0, "steps": 8, "rule": "gausslegendre", **settings})


def captum_reference(model, graph, target, steps, method, baseline=None, walk="joint"):
    """The same integral by captum, one step at a time."""
    model.eval()
    batch = collate([graph])
    kinds, relations = list(graph.x), list(graph.edges)
    weights = [torch.ones(graph.edges[r].shape[1]) for r in relations]
    features = [graph.x[k] for k in kinds]
    start = [torch.zeros_like(graph.x[k]) if baseline is None else baseline[k] for k in kinds]

    def forward(*inputs):
        inputs = [part[0] for part in inputs]
        x, w = features, weights
        if walk != "edge":
            x, inputs = inputs[: len(kinds)], inputs[len(kinds) :]
        if walk != "node":
            w = inputs
        return model(batch, dict(zip(kinds, x, strict=True)), dict(zip(relations, w, strict=True)))

    inputs = (features if walk != "edge" else []) + (weights if walk != "node" else [])
    zeros = (start if walk != "edge" else []) + (
        [torch.zeros_like(w) for w in weights] if walk != "node" else []
    )
    parts = IntegratedGradients(forward).attribute(
        tuple(part[None] for part in inputs),
        baselines=tuple(part[None] for part in zeros),
        target=target,
        n_steps=steps,
        method=method,
        internal_batch_size=1,
    )
    return [part[0].float() for part in parts]


def parts_of(attribution):
    return [*attribution.nodes.values(), *attribution.edges.values()]


def test_linear_model_has_the_closed_form_on_every_walk():
    graph, model = random_graph(), Messages()
    sent = {kind: graph.x[kind] @ model.sent[kind] for kind in graph.x}
    leaving = {kind: torch.zeros(len(x)) for kind, x in graph.x.items()}
    for (source, _, _), edges in graph.edges.items():
        leaving[source].index_add_(0, edges[0], torch.ones(edges.shape[1]))
    # A message is weight x feature: on the joint path both ends share it in equal halves.
    for walk, node_part, edge_part in (("joint", 0.5, 0.5), ("node", 1.0, None), ("edge", None, 1.0)):
        result = integrated_gradients(model, graph, fixed(walk=walk), target=0)
        assert bool(result.nodes) == (node_part is not None) and bool(result.edges) == (edge_part is not None)
        for kind, part in result.nodes.items():
            exact = graph.x[kind] * (model.own[kind] + node_part * leaving[kind][:, None] * model.sent[kind])
            torch.testing.assert_close(part, exact, atol=1e-5, rtol=1e-5)
        for relation, part in result.edges.items():
            torch.testing.assert_close(
                part, edge_part * sent[relation[0]][graph.edges[relation][0]], atol=1e-5, rtol=1e-5
            )
        assert result.completeness_error < 1e-4


def test_quadratic_model_has_the_closed_form_from_any_baseline():
    graph, model = random_graph(1), Messages(bend=lambda value: value**2)
    baseline = {kind: 0.3 * torch.ones_like(x) for kind, x in graph.x.items()}
    result = integrated_gradients(model, graph, fixed(walk="node", steps=4), baseline=baseline, target=1)
    linear = integrated_gradients(model, graph, fixed(walk="node", steps=4), baseline=baseline, target=0)
    # d(s^2) along a straight path: each share of the change of s times (s at the start + s at the end).
    base = float(linear.logits[0]) - linear.change
    for kind, part in result.nodes.items():
        torch.testing.assert_close(
            part, linear.nodes[kind] * (2 * base + linear.change), atol=1e-4, rtol=1e-4
        )
    assert result.change == pytest.approx((base + linear.change) ** 2 - base**2, rel=1e-5)
    assert result.completeness_error < 1e-4


@pytest.mark.parametrize("walk", ["joint", "node", "edge"])
@pytest.mark.parametrize(
    ("rule", "method"), [("gausslegendre", "gausslegendre"), ("midpoint", "riemann_middle")]
)
def test_agrees_with_captum_at_the_same_steps(walk, rule, method):
    graph, model = random_graph(2), TinyGNN()
    baseline = {
        kind: 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
        for kind, x in graph.x.items()
    }
    ours = integrated_gradients(
        model, graph, fixed(walk=walk, rule=rule, steps=13, chunk=5), baseline=baseline, target=2
    )
    reference = captum_reference(model, graph, 2, 13, method, baseline, walk)
    assert len(parts_of(ours)) == len(reference)
    for part, expected in zip(parts_of(ours), reference, strict=True):
        torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["split2", "split3"])
def test_the_staging_network_is_explained_as_captum_explains_it(name):
    mask = np.zeros((96, 96), bool)
    mask[::16] = mask[:, ::16] = True
    graph = from_octa_graph(build_graph(mask))
    graph = Normalizer.fit([graph])(graph)
    torch.manual_seed(5)
    model = StagingGNN(replace(preset(name), hidden=8)).eval()
    ours = integrated_gradients(model, graph, fixed(steps=7), target=1)
    reference = captum_reference(model, graph, 1, 7, "gausslegendre")
    largest = max(float(part.abs().max()) for part in reference)
    for part, expected in zip(parts_of(ours), reference, strict=True):
        torch.testing.assert_close(part / largest, expected / largest, atol=1e-5, rtol=1e-5)


def test_chunks_do_not_change_the_result():
    graph, model = random_graph(3), TinyGNN()
    results = [
        integrated_gradients(model, graph, fixed(steps=10, chunk=chunk), target=0) for chunk in (1, 4, 10, 64)
    ]
    for other in results[1:]:
        for a, b in zip(parts_of(results[0]), parts_of(other), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_refined_trapezoid_is_the_trapezoid_of_all_its_points():
    graph, model = random_graph(4), TinyGNN()
    refined = integrated_gradients(
        model, graph, IGConfig(rule="trapezoid", steps=4, stable=1.0, most_steps=8), target=0
    )
    assert refined.steps == 8 and refined.evaluations == 9
    direct = integrated_gradients(model, graph, fixed(rule="trapezoid", steps=8), target=0)
    for a, b in zip(parts_of(refined), parts_of(direct), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_steps_double_until_the_ranking_is_stable_or_the_limit_is_met():
    graph, model = random_graph(5), TinyGNN()
    for rule in ("trapezoid", "midpoint", "gausslegendre"):
        result = integrated_gradients(model, graph, IGConfig(rule=rule, steps=2, top=4, most_steps=64))
        assert result.steps in (4, 8, 16, 32, 64) and 0 <= result.overlap <= 1
        assert result.overlap >= 0.95 or result.steps == 64
    many = integrated_gradients(model, graph, IGConfig(steps=256, stable=0.0))
    assert many.completeness_error < 1e-2 and many.overlap is None


class Shifted(TinyGNN):
    """The same probabilities, another logit: a part that grows with the graph is added to all classes."""

    def forward(self, batch, x=None, edge_weight=None):
        x = batch.x if x is None else x
        common = torch.zeros(batch.size).index_add(0, batch.graph_of["ica"], x["ica"].sum(1))
        return super().forward(batch, x, edge_weight) + common[:, None]


def test_log_odds_do_not_see_what_all_logits_share():
    graph = random_graph(6)
    for output, same in (("logit", False), ("log_odds", True)):
        plain, moved = (
            integrated_gradients(model, graph, fixed(output=output, steps=64), target=1)
            for model in (TinyGNN(), Shifted())
        )
        assert torch.allclose(plain.nodes["ica"], moved.nodes["ica"], atol=1e-4) is same
        assert plain.completeness_error < 0.05


def test_predicted_class_is_the_default_target():
    graph, model = random_graph(6), TinyGNN()
    result = integrated_gradients(model, graph, fixed())
    assert result.target == int(result.logits.argmax())


def test_the_model_is_left_as_it_was():
    model = TinyGNN()
    model.train()
    model.drop.eval()
    model.head.bias.requires_grad_(False)
    integrated_gradients(model, random_graph(), fixed())
    assert model.training and model.norm.training and not model.drop.training
    assert not model.head.bias.requires_grad and model.head.weight.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(model.norm.running_mean, torch.zeros(8))


def test_a_graph_without_faz_or_edges_is_attributed():
    graph = random_graph()
    x = graph.x | {"faz": torch.zeros(0, 2)}
    edges = {r: e if r[0] != "faz" else torch.zeros(2, 0, dtype=torch.int64) for r, e in graph.edges.items()}
    result = integrated_gradients(Messages(), GraphTensors(x, edges, 0), IGConfig(), target=0)
    assert result.nodes["faz"].shape == (0, 2) and result.edges[("faz", "to", "ica")].shape == (0,)
    assert result.completeness_error < 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"walk": "joined"}, "did you mean 'joint'"),
        ({"rule": "trapeze"}, "did you mean 'trapezoid'"),
        ({"output": "logodds"}, "did you mean 'log_odds'"),
        ({"steps": 1}, "2 <= steps"),
        ({"chunk": 0}, "chunk"),
        ({"stable": 1.5}, "share"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        IGConfig(**settings)


def test_bad_targets_and_baselines_are_refused():
    with pytest.raises(InputError, match="no class"):
        integrated_gradients(TinyGNN(), random_graph(), target=3)
    with pytest.raises(InputError, match="shape"):
        integrated_gradients(TinyGNN(), random_graph(), baseline={"ica": torch.zeros(3, 2)})
