from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn

from gftlib.errors import InputError
from gftlib.octa.batches import GraphTensors, from_octa_graph
from gftlib.octa.carriers import CARRIERS, carriers, together
from gftlib.octa.faithfulness import faithfulness_curves, randomisation_check
from gftlib.octa.graph import OctaGraph, build_graph
from gftlib.octa.lesion_scores import ANY, WHOLE, auroc, scan_truth, score_scan, summarise, z_importance
from gftlib.phantoms.lesion_masks import Lesion
from gftlib.phantoms.lesions import KINDS

PITCH, SIDE = 76, 1216


@pytest.fixture(scope="module")
def mesh() -> OctaGraph:
    """A grid of square cells with an FAZ of 6 x 6 cells and a drop-out of 2 x 2 cells in the upper left."""
    mask = np.zeros((SIDE, SIDE), bool)
    for line in range(PITCH, SIDE, PITCH):
        mask[line - 2 : line + 3] = mask[:, line - 2 : line + 3] = True
    mask[5 * PITCH + 3 : 11 * PITCH - 2, 5 * PITCH + 3 : 11 * PITCH - 2] = False
    mask[PITCH + 3 : 3 * PITCH - 2, PITCH + 3 : 3 * PITCH - 2] = False
    return build_graph(mask)


def square(kind: str, row: int, column: int, height: int, width: int) -> Lesion:
    return Lesion(kind, (row, column), np.ones((height, width), bool))


def at(positions: np.ndarray, chosen: np.ndarray) -> set[tuple[int, int]]:
    return {(round(float(r) / PITCH * 2), round(float(c) / PITCH * 2)) for r, c in positions[chosen]}


def test_every_kind_of_lesion_has_a_rule():
    assert set(CARRIERS) == set(KINDS)


def test_a_drop_out_is_carried_by_the_area_it_left(mesh):
    found = carriers(mesh, square("capillary non-perfusion", PITCH + 10, PITCH + 10, 130, 130))
    assert at(mesh.ica_pos, found.core["ica"]) == {(4, 4)}
    assert not found.core["vessel"].any() and not found.core["faz"].any()
    # Its four sides of two segments are touched, no node else.
    assert at(mesh.vessel_pos, found.around["vessel"]) == {
        place for side in (3, 5) for end in (2, 6) for place in ((side, end), (end, side))
    }
    assert not found.around["ica"].any() and not found.around["faz"].any()


def test_a_half_covered_area_counts_by_its_share_of_the_lesion(mesh):
    # A lesion over a quarter of the large area and all of the cell beside it.
    found = carriers(mesh, square("capillary non-perfusion", PITCH + 3, 2 * PITCH, PITCH, 2 * PITCH))
    assert at(mesh.ica_pos, found.core["ica"]) == {(4, 4), (3, 7)}
    assert {(3, 8), (2, 7)} < at(mesh.vessel_pos, found.around["vessel"])


def test_an_enlarged_faz_is_carried_by_it_and_its_border_there(mesh):
    found = carriers(mesh, square("FAZ enlargement", 5 * PITCH + 3, 5 * PITCH + 3, 60, 6 * PITCH - 6))
    assert found.core["faz"].tolist() == [True]
    assert not found.core["ica"].any() and not found.core["vessel"].any()
    border = {(10, 11 + 2 * i) for i in range(6)} | {(22, 11 + 2 * i) for i in range(6)}
    assert border | {(c, r) for r, c in border} <= at(mesh.vessel_pos, found.around["vessel"])


def test_a_vessel_change_is_carried_by_the_segments_inside(mesh):
    found = carriers(mesh, square("vessel tortuosity", 13 * PITCH - 6, PITCH, 12, 3 * PITCH))
    assert at(mesh.vessel_pos, found.core["vessel"]) == {(26, 3), (26, 5), (26, 7)}
    assert not found.core["ica"].any()
    assert at(mesh.ica_pos, found.around["ica"]) == {(r, c) for r in (25, 27) for c in (1, 3, 5, 7, 9)}
    bulge = carriers(mesh, square("microaneurysm", 13 * PITCH - 6, PITCH + 20, 12, 12))
    assert at(mesh.vessel_pos, bulge.core["vessel"]) == {(26, 3)}
    assert at(mesh.ica_pos, bulge.around["ica"]) == {(25, 3), (27, 3)}


def test_a_tuft_is_carried_by_segments_and_areas(mesh):
    found = carriers(mesh, square("neovascular tuft", 12 * PITCH - 5, 12 * PITCH - 5, 2 * PITCH, 2 * PITCH))
    assert at(mesh.ica_pos, found.core["ica"]) == {(25, 25), (25, 27), (27, 25), (27, 27)}
    assert {(24, 25), (25, 24), (26, 25), (25, 26)} <= at(mesh.vessel_pos, found.core["vessel"])
    assert not any((found.core[kind] & found.around[kind]).any() for kind in ("vessel", "ica", "faz"))


def test_bad_lesions_are_refused(mesh):
    with pytest.raises(InputError, match="did you mean 'microaneurysm'"):
        carriers(mesh, square("micro aneurysm", 0, 0, 9, 9))
    with pytest.raises(InputError, match="grid"):
        carriers(build_graph(np.eye(64, dtype=bool)), square("microaneurysm", 0, 0, 9, 9))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=9), st.lists(st.integers(0, 6), min_size=1, max_size=9)
)
def test_auroc_is_scikit_learns(positives, negatives):
    labels = [1] * len(positives) + [0] * len(negatives)
    expected = roc_auc_score(labels, positives + negatives)
    assert auroc(np.array(positives, float), np.array(negatives, float)) == pytest.approx(expected)


def test_auroc_of_nothing_is_nan():
    assert math.isnan(auroc(np.zeros(0), np.ones(2)))


LESIONS = (
    square("capillary non-perfusion", PITCH + 10, PITCH + 10, 130, 130),
    square("vessel tortuosity", 13 * PITCH - 6, PITCH, 12, 3 * PITCH),
)


def truth(mesh: OctaGraph, lesions=LESIONS) -> dict[str, np.ndarray]:
    found = together(mesh, [carriers(mesh, one) for one in lesions])
    return {kind: core.astype(float) for kind, core in found.core.items()}


def test_the_truth_scores_full_marks_and_its_opposite_none(mesh):
    scores = {(s.kind, s.scope): s for s in score_scan(truth(mesh), scan_truth(mesh, LESIONS))}
    kinds = ("capillary non-perfusion", "vessel tortuosity")
    scopes = {(ANY, WHOLE), (ANY, "UL"), (ANY, "LL"), *((kind, WHOLE) for kind in kinds)}
    assert set(scores) == scopes | {(kinds[0], "UL"), (kinds[1], "LL")}
    assert all(score.hit == 1 and score.auroc == 1 for score in scores.values())
    # The other lesion's segments are no negatives, and what either touches is neither.
    free = scores[kinds[0], WHOLE].negatives
    around = together(mesh, [carriers(mesh, one) for one in LESIONS]).around
    nodes = len(mesh.vessel) + len(mesh.ica) + 1
    assert scores[kinds[0], WHOLE].positives == 1
    assert free == nodes - 4 - sum(int(part.sum()) for part in around.values())
    assert scores[ANY, WHOLE].chance == pytest.approx(4 / (4 + free))
    wrong = {kind: -values for kind, values in truth(mesh).items()}
    assert all(score.hit == 0 and score.auroc == 0 for score in score_scan(wrong, scan_truth(mesh, LESIONS)))


def test_a_flat_importance_scores_chance(mesh):
    flat = {kind: np.zeros(len(values)) for kind, values in truth(mesh).items()}
    for score in score_scan(flat, scan_truth(mesh, LESIONS)):
        assert score.hit == pytest.approx(score.chance) and score.auroc == 0.5


def test_summary_is_the_mean_over_scans(mesh):
    right = truth(mesh, LESIONS[:1])
    good = score_scan(right, scan_truth(mesh, LESIONS[:1]))
    bad = score_scan({kind: -v for kind, v in right.items()}, scan_truth(mesh, LESIONS[:1]))
    for row in summarise([*good, *bad]):
        assert (row.scans, row.pointing, row.auroc) == (2, 0.5, 0.5)
    assert score_scan(truth(mesh), scan_truth(mesh, ())) == []


def test_importances_must_fit_the_graph(mesh):
    with pytest.raises(InputError, match="every node"):
        score_scan({"vessel": np.zeros(3)}, scan_truth(mesh, LESIONS))


def test_z_importance_adds_up_the_features():
    graph = GraphTensors({"vessel": torch.tensor([[1.0, -2.0], [0.0, 0.5]])}, {}, 0)
    assert z_importance(graph)["vessel"].tolist() == [3.0, 0.5]


class Counter(nn.Module):
    """Class 1 is likelier the larger the sum of messages and of first features."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(1, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, batch, x=None, edge_weight=None):
        x = batch.x if x is None else x
        out = torch.zeros(batch.size)
        for kind, values in x.items():
            out = out.index_add(0, batch.graph_of[kind], values[:, 0])
        for relation, pairs in batch.edges.items():
            weight = torch.ones(pairs.shape[1]) if edge_weight is None else edge_weight[relation]
            source = relation[0]
            out = out.index_add(0, batch.graph_of[source][pairs[0]], x[source][pairs[0], 0] * weight)
        return torch.stack([0 * out, out], 1) + 0 * self.head(self.first(out[:, None]))


def counted() -> GraphTensors:
    x = {"vessel": torch.tensor([[4.0], [0.0], [-1.0], [2.0]])}
    return GraphTensors(x, {("vessel", "to", "vessel"): torch.tensor([[0, 3], [1, 0]])}, 1)


def test_curves_delete_and_insert_nodes_with_their_messages():
    curves = faithfulness_curves(
        Counter(), counted(), {"vessel": np.array([4.0, 0.1, 0.2, 3.0])}, 1, shares=(0.0, 0.25, 0.5, 1.0)
    )
    # Whole: 4 + 0 - 1 + 2, messages 4 and 2. Without the first: -1 + 2, both messages touch it.
    logits = {"deletion": [11.0, 1.0, -1.0, 0.0], "insertion": [0.0, 4.0, 8.0, 11.0]}
    for name, values in logits.items():
        assert getattr(curves, name) == pytest.approx(1 / (1 + np.exp(-np.array(values))), abs=1e-6)
    assert curves.deletion_area < curves.insertion_area


def test_bad_curves_are_refused():
    with pytest.raises(InputError, match="ascend"):
        faithfulness_curves(Counter(), counted(), {"vessel": np.zeros(4)}, 1, shares=(0.0, 0.5))
    with pytest.raises(InputError, match="every node"):
        faithfulness_curves(Counter(), counted(), {"vessel": np.zeros(3)}, 1)


def test_randomisation_damages_a_copy_from_the_output_down(mesh):
    from gftlib.octa.attribution import IGConfig
    from gftlib.octa.staging import StagingGNN, preset

    torch.manual_seed(1)
    model, graph = StagingGNN(preset("split2")), from_octa_graph(mesh, 1)
    graph = GraphTensors({k: torch.nan_to_num(x - x.mean(0)) for k, x in graph.x.items()}, graph.edges, 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    config = IGConfig(steps=2, stable=0.0)
    found = randomisation_check(model, graph, seed=3, config=config)
    assert [name for name, _ in found] == ["head", "after", "layers", "before"]
    assert all(-1 <= value < 1 for _, value in found)
    assert found == randomisation_check(model, graph, seed=3, config=config)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
