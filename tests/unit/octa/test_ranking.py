from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.errors import InputError
from gftlib.octa.attribution import Attribution
from gftlib.octa.batches import GraphTensors
from gftlib.octa.ig_baselines import Baseline
from gftlib.octa.ranking import edge_importance, node_importance, ranking, select_mass, select_top

VV, VI, IV = ("vessel", "to", "vessel"), ("vessel", "to", "ica"), ("ica", "rev_to", "vessel")


def attribution() -> Attribution:
    nodes = {"vessel": torch.tensor([[1.0, -2.0], [0.5, 0.0]]), "ica": torch.tensor([[-4.0]])}
    edges = {VV: torch.tensor([1.0, -3.0]), VI: torch.tensor([0.5]), IV: torch.tensor([-0.25])}
    return Attribution(nodes, edges, 1, torch.zeros(3), 1.0, 8, 8)


def test_importance_is_the_sum_of_absolute_contributions():
    importance = node_importance(attribution())
    assert importance["vessel"].tolist() == [3.0, 0.5] and importance["ica"].tolist() == [4.0]
    supporting = node_importance(attribution(), "supporting")
    assert supporting["vessel"].tolist() == [1.0, 0.5] and supporting["ica"].tolist() == [0.0]
    with pytest.raises(InputError, match="did you mean 'supporting'"):
        node_importance(attribution(), "supports")
    order = [(entry.kind, entry.index, entry.share) for entry in ranking(importance)]
    assert order == [("ica", 0, 4 / 7.5), ("vessel", 0, 3 / 7.5), ("vessel", 1, 0.5 / 7.5)]


def test_both_directions_of_an_edge_are_added_up():
    pairs = {VV: torch.tensor([[0, 1], [1, 0]]), VI: torch.tensor([[1], [0]]), IV: torch.tensor([[0], [1]])}
    assert edge_importance(attribution())[VV].tolist() == [1.0, 3.0]
    merged = edge_importance(attribution(), pairs)
    assert merged[VV].tolist() == [4.0, 4.0] and merged[VI].tolist() == merged[IV].tolist() == [0.75]


def test_top_and_mass_read_the_same_ranking():
    importance = {"vessel": np.array([50.0, 30.0, 15.0, 4.96, 0.04]), "ica": np.zeros(2)}
    assert [entry.index for entry in select_top(importance, 2)] == [0, 1]
    # 0.04 % falls below the floor of 0.05 %; of the 99.96 left, 95 reach 95.04 %.
    assert [entry.index for entry in select_mass(importance)] == [0, 1, 2]
    assert len(select_mass(importance, mass=1.0)) == 4
    assert len(select_mass(importance, mass=1.0, floor=0.0)) == 5
    assert select_mass({"vessel": np.zeros(3)}) == [] and ranking({}) == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.floats(0.1, 1.0), st.floats(0.0, 0.2))
def test_mass_is_the_shortest_head_that_suffices(values, mass, floor):
    importance = {"vessel": np.array(values)}
    total = sum(values) or 1.0
    kept = [
        entry.importance for entry in ranking(importance) if entry.share >= floor and entry.importance > 0
    ]
    chosen = [entry.importance for entry in select_mass(importance, mass, floor)]
    assert chosen == kept[: len(chosen)]
    if kept:
        assert sum(chosen) >= mass * sum(kept) - 1e-9 * total
        assert sum(chosen[:-1]) < mass * sum(kept) + 1e-9 * total


def test_bad_selections_are_refused():
    with pytest.raises(InputError, match="k=0"):
        select_top({"vessel": np.ones(2)}, 0)
    with pytest.raises(InputError, match="mass"):
        select_mass({"vessel": np.ones(2)}, mass=0.0)


def graph(values: list[float]) -> GraphTensors:
    x = {"vessel": torch.tensor(values)[:, None], "ica": torch.zeros(0, 1), "faz": torch.full((1, 1), 7.0)}
    return GraphTensors(x, {}, 0)


def test_neighbour_baselines_look_where_the_node_is():
    left, right = [0.0, 1.0, 2.0, 3.0, 100.0], [-5.0] * 5
    training = [graph(left), graph(right)]
    positions = [{"vessel": [[i, 0.0] for i in range(5)]}, {"vessel": [[i, 1000.0] for i in range(5)]}]
    for place in positions:
        place["ica"] = np.zeros((0, 2))
    scan, where = graph([9.0, 9.0]), {"vessel": [[2.0, 1.0], [2.0, 990.0]]}
    for kind, expected in (
        ("zero", [0, 0]),
        ("mean", [21.2, -5]),
        ("median", [2, -5]),
        ("quantile", [2, -5]),
    ):
        start = Baseline(kind, k=5).fit(training, positions)(scan, where)
        assert start["vessel"][:, 0].tolist() == pytest.approx(expected, abs=1e-5)
        assert start["faz"].tolist() == [[0.0]] and start["ica"].shape == (0, 1)
    # More neighbours than nodes: all of them.
    assert Baseline("mean", k=50).fit(training, positions)(scan, where)["vessel"][0, 0] == pytest.approx(8.1)


def test_bad_baselines_are_refused():
    with pytest.raises(InputError, match="did you mean 'quantile'"):
        Baseline("quantil")
    with pytest.raises(InputError, match="call fit"):
        Baseline("mean")(graph([1.0]), {"vessel": [[0.0, 0.0]]})
    with pytest.raises(InputError, match="training graphs"):
        Baseline("mean").fit([], [])
    with pytest.raises(InputError, match="2 positions for 1"):
        Baseline("mean", zero_types=("faz", "ica")).fit([graph([1.0])], [{"vessel": np.zeros((2, 2))}])
