"""Attributions on disk: the same as computed, kept as long as nothing they depend on has changed."""

import dataclasses

import pytest
import torch
from drawn import canvas

from gftlib.errors import InputError, MissingError
from gftlib.octa import explaining
from gftlib.octa.attribution import IGConfig, integrated_gradients
from gftlib.octa.batches import Normalizer, from_octa_graph
from gftlib.octa.explaining import explain, node_positions, read_attribution
from gftlib.octa.fitting import seeded
from gftlib.octa.graph import build_graph
from gftlib.octa.ig_baselines import Baseline
from gftlib.octa.staging import StagingConfig, StagingGNN
from gftlib.octa.training import FoldResult

CONFIG = IGConfig(steps=4, most_steps=8, top=3)


@pytest.fixture(scope="module")
def graphs():
    found = {}
    for name, gap in (("a", 12), ("b", 17)):
        mask = canvas(96)
        mask[8::gap] = True
        mask[:, 8::gap] = True
        found[name] = build_graph(mask)
    return found


@pytest.fixture(scope="module")
def network(graphs):
    with seeded(3):
        model = StagingGNN(StagingConfig(hidden=4)).eval()
    return FoldResult(model, Normalizer.fit([from_octa_graph(graph) for graph in graphs.values()]), (), 0)


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_what_is_read_is_what_is_computed(graphs, network, tmp_path, kind):
    normal = {name: network.normalizer(from_octa_graph(graph)) for name, graph in graphs.items()}
    places = {name: node_positions(graph) for name, graph in graphs.items()}
    baseline = Baseline(kind, 3).fit(list(normal.values()), list(places.values()))
    files = explain(graphs, network, CONFIG, tmp_path, baseline=baseline)
    for name, path in files.items():
        start = baseline(normal[name], places[name])
        expected = integrated_gradients(network.model, normal[name], CONFIG, start)
        found = read_attribution(path)
        assert list(found.nodes) == list(expected.nodes) and list(found.edges) == list(expected.edges)
        for part, values in (*expected.nodes.items(), *expected.edges.items()):
            torch.testing.assert_close((found.nodes | found.edges)[part], values)
        torch.testing.assert_close(found.logits, expected.logits)
        for field in ("target", "change", "steps", "evaluations", "overlap"):
            assert getattr(found, field) == getattr(expected, field)


def test_only_what_changed_is_computed_again(graphs, network, tmp_path, monkeypatch):
    computed = []
    original = explaining._explain_one
    monkeypatch.setattr(
        explaining,
        "_explain_one",
        lambda shared, *job: computed.append(job[2].stem) or original(shared, *job),
    )

    def run(**changes):
        computed.clear()
        asked = {"graphs": graphs, "network": network, "config": CONFIG} | changes
        explain(asked["graphs"], asked["network"], asked["config"], tmp_path)
        return list(computed)

    assert run() == ["a", "b"]
    assert run() == []
    assert run(config=dataclasses.replace(CONFIG, chunk=2)) == []
    assert run(config=dataclasses.replace(CONFIG, output="log_odds")) == ["a", "b"]
    assert run() == ["a", "b"]
    assert run(graphs={"a": graphs["b"], "b": graphs["b"]}) == ["a"]
    with seeded(4):
        other = dataclasses.replace(network, model=StagingGNN(StagingConfig(hidden=4)).eval())
    assert run(network=other) == ["a", "b"]


def test_what_is_no_attribution_is_refused(tmp_path):
    with pytest.raises(MissingError, match="run the attribution notebook first"):
        read_attribution(tmp_path / "a.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="holds no attribution"):
        read_attribution(tmp_path / "b.safetensors")
