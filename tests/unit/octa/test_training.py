from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import gftlib.octa.training as training
from gftlib.errors import InputError, MissingError
from gftlib.octa.batches import GraphTensors, Normalizer
from gftlib.octa.fitting import Recipe, best_epoch, class_weights, seeded
from gftlib.octa.folds import five_folds, scan_table
from gftlib.octa.staging import StagingConfig
from gftlib.phantoms.octa_cohort import cohort

RECIPE = Recipe(epochs=5, batch_size=4, lr=0.01, label_smoothing=0.1)
CONFIG = StagingConfig(hidden=4, head=1, dropout=0.3, recipe=RECIPE)


@pytest.fixture(scope="module")
def scans() -> pd.DataFrame:
    """Twenty-four subjects, one scan each, four a split."""
    number = np.arange(24)
    return pd.DataFrame(
        {"scan": number.astype(str), "subject": number.astype(str), "stage": number % 3, "split": number // 4}
    )


@pytest.fixture(scope="module")
def graphs(random_graph, scans) -> list[GraphTensors]:
    """Graphs whose first vessel feature tells the stage."""
    made = []
    for number, stage in enumerate(scans["stage"]):
        graph = random_graph(number, y=int(stage))
        graph.x["vessel"][:, 0] += 2.0 * int(stage)
        made.append(graph)
    return made


@pytest.mark.parametrize("seed", range(3))
def test_folds_of_a_phantom_cohort_share_no_subject_and_never_show_split_0(seed):
    scans = scan_table(cohort(300, seed))
    tested = set(scans["subject"][scans["split"] == 0])
    seen = []
    for fold in five_folds(scans):
        parts = [set(scans["subject"].iloc[part]) for part in (fold.train, fold.valid, fold.test)]
        assert all(parts) and not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert parts[2] == tested
        assert len(fold.train) + len(fold.valid) + len(fold.test) == 300
        seen += fold.valid.tolist()
    assert sorted(seen) == np.flatnonzero(scans["split"] != 0).tolist()


def test_folds_refuse_a_shared_subject_and_unknown_or_empty_splits(scans):
    with pytest.raises(InputError, match="subject '3' is in more than one split"):
        five_folds(scans.assign(subject=["3"] * 5 + list(scans["subject"][5:])))
    with pytest.raises(InputError, match="no scan is in split 2"):
        five_folds(scans[scans["split"] != 2])
    with pytest.raises(InputError, match="split 6"):
        five_folds(scans.assign(split=6))
    with pytest.raises(InputError, match="fold 0"):
        five_folds(scans, [0])


def test_class_weights_go_by_index_whatever_comes_first():
    assert class_weights(np.array([2, 0, 0, 0])).tolist() == pytest.approx([4 / 9, 1.0, 4 / 3])


def test_best_epoch_wants_enough_training_then_validation_then_loss():
    def entry(train: float, valid: float, loss: float) -> dict[str, float]:
        return {"train_balanced_accuracy": train, "valid_balanced_accuracy": valid, "valid_loss": loss}

    history = [entry(0.5, 0.9, 1.0), entry(0.7, 0.6, 1.0), entry(0.7, 0.6, 0.5), entry(0.9, 0.6, 0.5)]
    assert best_epoch(history, Recipe()) == 2
    assert best_epoch(history[:1], Recipe()) == 0


def test_seeded_repeats_and_leaves_the_state_alone():
    before = torch.random.get_rng_state()
    with seeded(3, 1):
        first = torch.rand(4)
    with seeded(3, 1):
        assert torch.equal(torch.rand(4), first)
    with seeded(3, 2):
        assert not torch.equal(torch.rand(4), first)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_killed_training_goes_on_with_the_same_loss_curve(graphs, scans, tmp_path, monkeypatch):
    fold = five_folds(scans)[0]
    whole = training.train_fold(graphs, fold, CONFIG, 7, tmp_path / "whole")
    collate, calls = training.collate, iter(range(14))

    def dying(chosen):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return collate(chosen)

    monkeypatch.setattr(training, "collate", dying)
    with pytest.raises(KeyboardInterrupt):
        training.train_fold(graphs, fold, CONFIG, 7, tmp_path / "killed")
    monkeypatch.setattr(training, "collate", collate)
    assert (tmp_path / "killed" / "checkpoint.safetensors").is_file()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    resumed = training.train_fold(graphs, fold, CONFIG, 7, tmp_path / "killed")
    assert resumed.history == whole.history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["model.safetensors"]


def test_a_finished_fold_is_read_and_another_setting_is_trained(graphs, scans, tmp_path, monkeypatch):
    fold = five_folds(scans)[0]
    first = training.train_fold(graphs, fold, CONFIG, 0, tmp_path)
    monkeypatch.setattr(training, "fit", None)
    again = training.train_fold(graphs, fold, CONFIG, 0, tmp_path)
    assert again.history == first.history
    assert again.model.config == CONFIG
    assert np.array_equal(again.probabilities(graphs), first.probabilities(graphs))
    with pytest.raises(TypeError):
        training.train_fold(graphs, fold, CONFIG, 1, tmp_path)
    with pytest.raises(TypeError):
        training.train_fold(graphs, fold, replace(CONFIG, hidden=5), 0, tmp_path)


def test_the_test_split_leaves_no_trace_in_training(graphs, scans, tmp_path):
    fold = five_folds(scans)[0]
    first = training.train_fold(graphs, fold, CONFIG, 0, tmp_path / "a")
    changed = list(graphs)
    for i in fold.test:
        changed[i] = GraphTensors({k: v * 9 for k, v in graphs[i].x.items()}, graphs[i].edges, 2)
    second = training.train_fold(changed, fold, CONFIG, 0, tmp_path / "b")
    assert first.history == second.history
    assert torch.equal(first.normalizer.mean["vessel"], second.normalizer.mean["vessel"])


def test_cross_validation_gives_every_scan_once_a_model(graphs, scans, tmp_path):
    configs = [CONFIG, replace(CONFIG, hidden=3)]
    table = training.cross_validate(graphs, scans, configs, tmp_path, seeds=(0, 1), folds=(1, 2))
    assert table.groupby(["seed", "fold", "part"]).size().tolist() == [4] * 8
    assert set(table["candidate"]) <= {0, 1}
    assert np.allclose(table[["healthy", "NPDR", "PDR"]].sum(axis=1), 1, atol=1e-5)
    assert set(table["scan"][table["part"] == "test"]) == set(scans["scan"][scans["split"] == 0])
    kept = table[(table["seed"] == 1) & (table["fold"] == 2) & (table["part"] == "test")]
    path = training.fold_folder(tmp_path, 1, 2, kept["candidate"].iloc[0]) / "model.safetensors"
    values = training.read_fold(path).probabilities([graphs[int(i)] for i in kept["scan"]])
    assert np.allclose(values, kept[["healthy", "NPDR", "PDR"]])


def test_it_learns_what_is_there(graphs, scans, tmp_path):
    recipe = replace(RECIPE, epochs=30, lr=0.02, decay=1.0)
    config = replace(CONFIG, hidden=8, dropout=0.0, pooling=("mean",), recipe=recipe)
    result = training.train_fold(graphs, five_folds(scans)[0], config, 0, tmp_path)
    verdict = result.probabilities(graphs).argmax(1)
    assert (verdict == scans["stage"].to_numpy()).mean() > 0.65


def test_a_foreign_cohort_can_bring_its_own_statistics(graphs, scans, tmp_path):
    result = training.train_fold(graphs, five_folds(scans)[0], CONFIG, 0, tmp_path)
    shifted = [GraphTensors({k: 5 * v + 3 for k, v in g.x.items()}, g.edges, g.y) for g in graphs]
    own = result.probabilities(shifted, Normalizer.fit(shifted, robust=True))
    assert np.allclose(own, result.probabilities(graphs, Normalizer.fit(graphs, robust=True)), atol=1e-3)


def test_bad_input_is_named(graphs, scans, tmp_path):
    fold = five_folds(scans)[0]
    with pytest.raises(InputError, match="has no stage"):
        training.train_fold([replace(graph, y=-1) for graph in graphs], fold, CONFIG, 0, tmp_path)
    with pytest.raises(InputError, match="23 graphs and 24 rows"):
        training.cross_validate(graphs[1:], scans, [CONFIG], tmp_path)
    with pytest.raises(MissingError, match="no trained network"):
        training.read_fold(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="epochs is 0"):
        Recipe(epochs=0)
    with pytest.raises(InputError, match="lr must be"):
        Recipe(lr=0)
