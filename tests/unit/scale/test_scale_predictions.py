"""One file of scores: nothing is lost on the way, and every number follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gftlib.errors import InputError
from gftlib.results import published
from gftlib.scale import figures, predictions, tables
from gftlib.scale.outputs import Outputs, class_maximum
from gftlib.scale.protocol import Cell, report_of
from gftlib.scale.shown import Shown
from gftlib.scale.summaries import summarize


def made(use_case: str, n: int = 24) -> tuple[np.ndarray, list[Cell]]:
    """Random scores: two draws of a method with prompts, and of a probe with a head for the classes."""
    rng, task = np.random.default_rng(0), predictions.task_of(use_case)
    labels = np.zeros((n, len(task)), dtype=np.uint8)
    if task.multi_label:
        labels[:] = rng.random(labels.shape) < 0.3
    else:
        for columns in task.groups().values():
            labels[np.arange(n), rng.choice(columns, n)] = 1
    cells = []
    for method in ("scale", "linear_probe"):
        for draw in range(2):
            scores = rng.normal(size=labels.shape)
            cls = class_maximum(task, scores)
            outputs = Outputs(**Outputs(scores, cls if method == "scale" else cls + 1).arrays())
            report = report_of(task, labels, outputs, 0.3)
            cells.append(Cell(method, 0.25, draw, outputs, report, {"threshold": 0.3}))
    return labels, cells


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    content = {name: made(name) for name in ("monet", "medclip")}
    path = tmp_path_factory.mktemp("predictions") / "predictions.npz"
    labels, cells = ({name: pair[i] for name, pair in content.items()} for i in (0, 1))
    return predictions.write(path, labels, cells), cells


def test_scores_and_metrics_come_back_as_they_were(written):
    path, cells = written
    for name, own in predictions.read(path).items():
        for before, after in zip(cells[name], own, strict=True):
            assert (before.method, before.fraction, before.draw) == (after.method, after.fraction, after.draw)
            np.testing.assert_array_equal(before.outputs.combination, after.outputs.combination)
            np.testing.assert_array_equal(before.outputs.cls, after.outputs.cls)
            assert before.report == after.report


def test_the_summary_holds_the_means_and_can_be_read_back(written):
    path, cells = written
    summary = predictions.summarise(path)
    for name, own in cells.items():
        expected = {(r["method"], r["level"]): r for r in summarize(own)}
        found = predictions.records(summary, name)
        assert len(found) == len(expected)
        for record in found:
            for metric in ("accuracy", "macro_f1", "macro_f1_std", "auc"):
                assert record[metric] == pytest.approx(expected[record["method"], record["level"]][metric])


def test_scores_keep_eight_significant_bits():
    values = np.array([[1 / 3, -100.3, 1e-3, 0.0]])
    stored = Outputs(values, values).arrays()["combination"].astype(float)
    np.testing.assert_allclose(stored, values, rtol=2**-8)


def test_combinations_that_the_data_do_not_hold_are_left_out_and_named(tmp_path):
    labels, cells = made("medclip")
    keep = [0, 2, 3, 6, 7, 8]  # no consolidation
    task = predictions.task_of("medclip").part(keep)
    own = []
    for cell in cells:
        scores = cell.outputs.combination[:, keep]
        outputs = Outputs(scores, class_maximum(task, scores))
        report = report_of(task, labels[:, keep], outputs, 0.3)
        own.append(Cell(cell.method, cell.fraction, cell.draw, outputs, report, cell.details))
    names = [c.name for c in task.combinations]
    path = tmp_path / "predictions.npz"
    predictions.write(path, {"medclip": labels[:, keep]}, {"medclip": own}, {"medclip": names})
    assert [c.report for c in predictions.read(path)["medclip"]] == [c.report for c in own]
    assert predictions.summarise(path)


def test_goals_by_hand():
    numbers = {("scale", 0.05): 0.3, ("scale", 1.0): 0.6, ("coop", 1.0): 0.4, ("zero_shot", 0.0): 0.35}
    records = [
        {"method": m, "fraction": f, "level": "combination", "macro_f1": v} for (m, f), v in numbers.items()
    ]
    table = tables.goals({"monet": Shown("", records, {}, [])})
    assert table.loc[("skin", "100 %"), ["CoOp", "zero-shot"]].tolist() == [0.2, 0.25]
    assert table.loc[("skin", "5 %"), "zero-shot"] == -0.05
    assert np.isnan(table.loc[("skin", "5 %"), "CoOp"])


def test_a_foreign_file_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    with pytest.raises(InputError, match="holds no predictions"):
        predictions.read(tmp_path / "x.npz")


def test_the_mean_over_the_criteria_of_the_published_table_is_the_published_number():
    table = figures.criteria_table(Path("no run of its own"), "smoke")
    summary = published("07_scale").results["protocol"]
    for method, fraction in (("scale", 1), ("linear_probe_weighted", 1), ("zero_shot", 0)):
        told = summary[f"monet|{method}|{fraction}|combination|macro_f1"]
        assert table.loc[figures.label(method)].mean() == pytest.approx(told, abs=0.005)
