from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, roc_auc_score

from gftlib.errors import InputError, MissingError
from gftlib.octa.predictions import prediction_rows, read_predictions, summarise, write_predictions


def table(seed: int, models: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (1, 1), (1, 2))) -> pd.DataFrame:
    """Random predictions of several models on the same scans."""
    rng = np.random.default_rng(seed)
    stage = np.arange(30) % 3
    scans = pd.DataFrame(
        {"scan": [f"s{i}" for i in range(30)], "subject": np.arange(30) // 2, "stage": stage}
    )
    parts = []
    for model_seed, fold in models:
        values = rng.dirichlet(np.ones(3), 30) + 0.3 * np.eye(3)[stage]
        values /= values.sum(1, keepdims=True)
        parts.append(prediction_rows(scans, values, "gnn", model_seed, fold, "test"))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("grades", [2, 3])
def test_every_number_is_scikit_learns(grades):
    rows = table(0)
    found = summarise(rows, grades, resamples=20)["test"]["gnn"]
    expected, f1, areas = {}, [], []
    for key, part in rows.groupby(["seed", "fold"]):
        score = part[["healthy", "NPDR", "PDR"]].to_numpy()
        truth, verdict = part["stage"].to_numpy(), score.argmax(1)
        areas.append(roc_auc_score(truth == 0, score[:, 0]))
        if grades == 2:
            truth, verdict = truth > 0, verdict > 0
        expected[key] = balanced_accuracy_score(truth, verdict)
        f1.append(f1_score(truth, verdict, average=None))
    accuracy = found["balanced_accuracy"]
    assert accuracy["mean"] == pytest.approx(np.mean(list(expected.values())))
    folds = [np.mean([expected[s, f] for s in (0, 1)]) for f in (1, 2)]
    seeds = [np.mean([expected[s, f] for f in (1, 2)]) for s in (0, 1)]
    assert accuracy["folds"] == pytest.approx(np.std(folds, ddof=1))
    assert accuracy["seeds"] == pytest.approx(np.std(seeds, ddof=1))
    assert accuracy["low"] <= accuracy["mean"] <= accuracy["high"]
    assert [c["f1"] for c in found["classes"].values()] == pytest.approx(np.mean(f1, axis=0).tolist())
    assert found["classes"]["healthy"]["auc"] == pytest.approx(np.mean(areas))
    score = rows[["healthy", "NPDR", "PDR"]].to_numpy().argmax(1)
    truth = rows["stage"].to_numpy()
    if grades == 2:
        score, truth = score > 0, truth > 0
    assert found["confusion"] == confusion_matrix(truth, score).tolist()
    assert (found["models"], found["scans"]) == (4, 30)


def test_a_summary_is_the_same_from_the_written_table(tmp_path):
    rows = table(1)
    path = write_predictions(tmp_path / "p.csv", rows)
    again = summarise(read_predictions(path), resamples=50)
    first = summarise(rows, resamples=50)
    assert again["test"]["gnn"]["balanced_accuracy"] == first["test"]["gnn"]["balanced_accuracy"]
    assert path.read_bytes() == write_predictions(tmp_path / "q.csv", read_predictions(path)).read_bytes()


def test_the_interval_draws_subjects_not_scans():
    rows = table(2, ((0, 1),))
    one_subject_each = summarise(rows.assign(subject=rows["scan"]))["test"]["gnn"]["balanced_accuracy"]
    doubled = pd.concat([rows, rows.assign(scan=rows["scan"] + "again")])
    twice = summarise(doubled.assign(subject=doubled["scan"].str.removesuffix("again")))["test"]["gnn"]
    assert twice["balanced_accuracy"]["low"] == pytest.approx(one_subject_each["low"])


def test_a_class_that_is_not_there_has_no_numbers():
    rows = table(3)
    found = summarise(rows[rows["stage"] < 2], resamples=5)["test"]["gnn"]["classes"]["PDR"]
    assert found == {"precision": None, "recall": None, "f1": None, "auc": None}


def test_bad_input_is_named(tmp_path):
    rows = table(0)
    with pytest.raises(InputError, match="grades is 4"):
        summarise(rows, 4)
    with pytest.raises(InputError, match="finite"):
        prediction_rows(rows[:2], np.full((2, 3), np.nan), "gnn", 0, 1, "test")
    with pytest.raises(MissingError, match="no predictions"):
        read_predictions(tmp_path / "none.csv")
    rows.drop(columns="fold").to_csv(tmp_path / "bad.csv")
    with pytest.raises(InputError, match="no column 'fold'"):
        read_predictions(tmp_path / "bad.csv")
