"""What is measured around the protocol: defaults, imbalance, held-back concepts, retrieval, Figure 4."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scale_data import exclusive_task, make_features, multi_task

from gftlib.datasets import derm7pt, padchest_locations
from gftlib.errors import InputError
from gftlib.phantoms import chest, skin
from gftlib.scale import figures, measures, tables, use_cases
from gftlib.scale.adapters import AdapterConfig, AdapterPair
from gftlib.scale.baselines import Setting
from gftlib.scale.features import restrict
from gftlib.scale.imbalance import imbalance, rare_combinations, ratio, thinned
from gftlib.scale.knowledge import Space, hold_back, recall_at, retained, retrieval, text_clusters
from gftlib.scale.sampling import TrainingConfig
from gftlib.scale.sensitivity import changes, lambda_grid, sensitivity
from gftlib.scale.shown import Shown


@pytest.fixture
def setting(features):
    return Setting(features, TrainingConfig(epochs=1, max_batch=32, min_steps=1))


def space(features) -> Space:
    return Space(
        features.images[0], features.prompts, features.negative, features.sentences, features.images[0] + 0.0
    )


def test_every_change_runs_and_the_defaults_differ_by_nothing(setting):
    records = sensitivity(setting, fraction=0.5, draws=2)
    assert len(records) == 1 + len(changes(setting.features.task.multi_label))
    assert records[0]["difference"] == 0 and records[0]["change"] == "declared defaults"
    assert all(np.isfinite(r["macro_f1"]) for r in records)


def test_changes_name_fields_that_exist_and_differ_from_the_defaults():
    for multi_label in (False, True):
        names = [c.name for c in changes(multi_label)]
        assert len(set(names)) == len(names)
        for change in changes(multi_label):
            assert change.joint or any((change.loss, change.adapter, change.training))


def test_lambda_grid_is_complete(setting):
    records = lambda_grid(setting, (0.0, 1.0), (0.0, 0.5, 1.0), fraction=0.5, draws=2)
    assert [(r["lambda_1_2"], r["lambda_3_4"]) for r in records] == [
        (a, b) for a in (0.0, 1.0) for b in (0.0, 0.5, 1.0)
    ]


def test_imbalance_grows_as_rare_combinations_are_thinned_out(setting):
    records = imbalance(setting, {"scale": {}, "linear_probe": {}}, kept=(1.0, 0.3), draws=2)
    whole, thin = (next(r for r in records if r["kept"] == share) for share in (1.0, 0.3))
    assert thin["imbalance"] > whole["imbalance"] and thin["absent"] >= whole["absent"]
    assert thin["train"] == whole["train"] and len(records) == 4


def cohort_labels(name: str) -> np.ndarray:
    if name == "skin":
        expressions = derm7pt.EXPRESSIONS
        cases = [s.recorded for s in skin.cohort(1011, 2026)]
        return np.array([[c[e.criterion] == e.label for e in expressions] for c in cases], np.uint8)
    labels = np.zeros((748, len(padchest_locations.PRINTED)), np.uint8)
    for row, spec in zip(labels, chest.cohort(748, 2026), strict=True):
        row[list(spec.recorded)] = 1
    return labels


@pytest.mark.parametrize("name", ["skin", "chest"])
def test_cohorts_are_thinned_at_one_size_and_only_get_less_even(name):
    labels, shares = cohort_labels(name), (1.0, 0.5, 0.25, 0.1)
    rows = np.random.default_rng(1).permutation(len(labels))[:460]
    parts = thinned(labels, rows, shares, np.random.default_rng(0))
    rare = rare_combinations(labels[rows])
    assert {len(set(part.tolist()) & set(rows.tolist())) for part in parts} == {len(parts[0])}
    found = [ratio(labels[part], rare) for part in parts]
    assert all(after > 1.2 * before for before, after in pairwise(found))
    holders = [set(part[labels[part][:, rare].any(1)].tolist()) for part in parts]
    assert all(after < before for before, after in pairwise(holders))


def test_what_cannot_be_thinned_is_refused():
    with pytest.raises(InputError, match="all"):
        thinned(np.eye(2, dtype=np.uint8), np.arange(2), (1.0,), np.random.default_rng(0))
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        thinned(np.eye(3, dtype=np.uint8), np.arange(3), (0.0,), np.random.default_rng(0))


def test_a_single_draw_has_no_spread_and_is_shown_without_a_bar(setting):
    (record,) = imbalance(setting, {"linear_probe": {}}, kept=(0.5,), draws=1)
    (cell,) = lambda_grid(setting, (1.0,), (0.1,), fraction=0.5, draws=1)
    base, change = sensitivity(setting, 0.5, 1, changes(False)[:1])
    assert record["macro_f1_std"] is cell["macro_f1_std"] is change["difference_std"] is None
    one = Shown("", [], {"defaults": [base, change]}, [])
    assert tables.defaults({"monet": one})["skin, s.d."].isna().all()
    axes = Figure().subplots()
    figures._imbalance(axes, [record])
    assert len(axes.containers) == 1


def test_restricting_keeps_pairs_and_columns_together(features):
    smaller = restrict(features, [3, 1])
    assert (smaller.labels == features.labels[:, [3, 1]]).all()
    samples, _, columns = smaller.pairs.T
    assert smaller.labels[samples, columns].all()
    assert smaller.task.prompts == [features.task.prompts[3], features.task.prompts[1]]


def test_held_back_groups_leave_the_training_but_not_the_test(features):
    group = list(features.task.groups())[-1]
    rest, held = hold_back(features, [group])
    assert len(rest.task) + len(held) == len(features.task)
    assert group not in rest.task.groups()
    report = retained(features, space(features), held, 20.0)
    assert report["caption_recall_at_5"] == 1.0  # each image is its own caption here
    with pytest.raises(InputError, match="unknown group"):
        hold_back(features, ["nothing"])
    with pytest.raises(InputError, match="every group"):
        hold_back(features, list(features.task.groups()))


def test_a_set_without_the_group_or_the_class_shows_neither():
    whole = padchest_locations.task()
    assert use_cases._shown("medclip", whole) == ("consolidation", "pleural effusion")
    no_consolidation = [h for h, c in enumerate(whole.combinations) if c.cls != "consolidation"]
    assert use_cases._shown("medclip", whole.part(no_consolidation)) == ("", "pleural effusion")
    assert use_cases._shown("medclip", whole.part([4, 5])) == ("", "")  # nothing else is left to train on
    plan = SimpleNamespace(use=SimpleNamespace(retention_group="", figure_class="", features=None))
    assert measures.retention(plan) == [] and measures.clusters(plan) == {}
    assert figures.clusters_figure(Shown("", [], {"clusters": {}}, [])) is None


def test_an_adapter_that_blends_nothing_retains_everything():
    features = make_features(exclusive_task())
    pair = AdapterPair(features.dim, AdapterConfig(alpha=0.0, alpha_range="fixed"), 1)
    before, after = space(features), space(features).adapted(pair)
    _, held = hold_back(features, ["veil"])
    torch.testing.assert_close(after.images, before.images)
    assert retained(features, after, held, 20.0) == retained(features, before, held, 20.0)


def test_recall_by_hand():
    images = torch.eye(3)
    captions = torch.tensor([[0.0, 1, 0], [0, 1, 0], [0, 0, 1]])
    # image 0 ties with both others (rank 1), image 1 with one (rank 0.5), image 2 is found
    assert recall_at(images, captions, 1) == pytest.approx(2 / 3)
    # now image 2 finds another caption better than its own
    assert recall_at(images, torch.flip(captions, [0]), 1) == pytest.approx(1 / 3)


def test_retrieval_of_a_perfect_space_is_perfect():
    features = make_features(multi_task())
    labels = torch.tensor(features.labels, dtype=torch.float32)
    perfect = Space(labels, torch.eye(4), torch.zeros(4), torch.eye(4), labels[:0])
    found = retrieval(features, perfect, k=3)
    assert found["mean_average_precision"] == pytest.approx(1) and found["precision_at_k"] == 1
    assert 0 < found["chance"] < 1


def test_clusters_of_texts_are_scored_in_the_full_space():
    features = make_features(multi_task(), n=200)
    spread = space(features)
    tight = Space(
        spread.images,
        spread.prompts,
        spread.negative,
        spread.prompts.repeat_interleave(3, 0) + 1e-3 * torch.rand(12, features.dim),
        spread.captions,
    )
    found = text_clusters(features, {"before": spread, "after": tight}, "fluid", samples=6)
    assert len(found["combination"]) == len(found["after"]["points"]) == 6
    assert found["after"]["silhouette"] > found["before"]["silhouette"]
    with pytest.raises(InputError, match="unknown class"):
        text_clusters(features, {}, "fluids")
