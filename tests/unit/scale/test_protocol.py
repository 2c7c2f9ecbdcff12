"""The protocol: decisions at both levels, equal budgets, resumption, numbers recomputed from what is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scale_data import exclusive_task, make_features, multi_task

from gftlib.errors import InputError
from gftlib.scale import protocol
from gftlib.scale.baselines import BUDGET, METHODS, Setting, method
from gftlib.scale.outputs import Outputs, best_threshold, evaluate, from_similarities, predictions
from gftlib.scale.protocol import ProtocolConfig, run
from gftlib.scale.sampling import TrainingConfig
from gftlib.scale.summaries import choices, summarize

CACHED = tuple(name for name, m in METHODS.items() if not m.needs_encoder)
SMALL = ProtocolConfig(methods=CACHED, fractions=(0.5, 1.0), draws=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    setting = Setting(make_features(multi_task()), TrainingConfig(epochs=2))
    return setting, folder, run(setting, SMALL, folder)


def test_decisions_of_exclusive_groups_by_hand():
    cosines = np.array([[0.1, 0.3, 0.2, 0.5, 0.4]])
    outputs = from_similarities(exclusive_task(), cosines, np.array([0.9]), 10.0)
    decided = predictions(exclusive_task(), outputs)
    assert decided["combination"].tolist() == [[False, True, False, True, False]]
    assert decided["class"].tolist() == [[True, False, True, False]]  # nevus by its best concept, twice


def test_decisions_of_several_labels_by_hand():
    cosines = np.array([[0.6, 0.2, 0.45, 0.1]])
    outputs = from_similarities(multi_task(), cosines, np.array([0.5]), 10.0)
    decided = predictions(multi_task(), outputs)
    assert decided["combination"].tolist() == [[True, False, False, False]]
    assert decided["class"].tolist() == [[True, False]]
    # at 0.3 a margin of log(0.3 / 0.7) = -0.85 is enough: 10 (0.45 - 0.5) = -0.5 passes
    assert predictions(multi_task(), outputs, 0.3)["combination"].tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("scale", [1.0, 20.0, 100.0])
def test_scores_are_the_log_odds_of_the_softmax_over_two_prompts(scale):
    rng = np.random.default_rng(0)
    cosines, negative = rng.uniform(-0.1, 0.1, (6, 4)), rng.uniform(-0.1, 0.1, 6)
    odds = from_similarities(multi_task(), cosines, negative, scale).combination
    both = np.exp(scale * np.stack([cosines, np.broadcast_to(negative[:, None], cosines.shape)]))
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), (both / both.sum(0))[0], atol=1e-9)


def test_metrics_of_exclusive_groups_are_means_over_groups():
    task = exclusive_task()
    truth = np.array([[1, 0, 0, 1, 0], [0, 0, 1, 0, 1]], dtype=np.uint8)
    scores = np.array([[2.0, 1, 0, 1, 0], [2.0, 1, 0, 0, 1]])
    report = evaluate(task, truth, from_similarities(task, scores, np.zeros(2), 1.0))
    assert report["combination"]["groups"]["streaks"]["accuracy"] == 0.5
    assert report["combination"]["accuracy"] == pytest.approx(0.75)
    assert report["combination"]["groups"]["veil"]["macro_f1"] == 1


@pytest.mark.parametrize("scale", [0.02, 1.0, 5.0])
def test_a_validated_threshold_does_not_depend_on_the_scale_of_the_scores(scale):
    """A combination holds where its margin is above 1.2: a bound that is found at any scale."""
    rng, task = np.random.default_rng(0), multi_task()
    margin = rng.normal(size=(200, 4))
    truth = (margin > 1.2).astype(np.uint8)
    outputs = from_similarities(task, scale * margin, np.zeros(200), 1.0)
    threshold = best_threshold(task, [truth], [outputs])
    assert np.log(threshold / (1 - threshold)) / scale == pytest.approx(1.2, abs=0.1)
    assert evaluate(task, truth, outputs, threshold)["combination"]["macro_f1"] > 0.9


def test_all_trained_methods_have_the_same_budget():
    for multi_label in (False, True):
        sizes = {
            name: len(m.candidates(multi_label))
            for name, m in METHODS.items()
            if m.follows is None and name != "zero_shot"
        }
        assert set(sizes.values()) == {BUDGET}, sizes


def test_all_cells_are_there_and_numbers_follow_from_the_stored_scores(finished):
    setting, folder, cells = finished
    assert len(cells) == (len(CACHED) - 1) * 2 * 2 + 1  # zero-shot prediction has one cell
    truth = setting.features.labels[setting.features.test]
    for cell in cells:
        stored = protocol.read_cell(protocol.cell_path(folder, cell.method, cell.fraction, cell.draw))
        assert stored.report == json.loads(json.dumps(cell.report))
        again = evaluate(setting.features.task, truth, stored.outputs)
        for level in ("class", "combination"):
            for metric in protocol.METRICS:
                assert again[level][metric] == pytest.approx(stored.report[level][metric])


def test_error_bars_are_one_standard_deviation_over_draws(finished):
    _, _, cells = finished
    own = [c for c in cells if c.method == "scale" and c.fraction == 0.5]
    values = [c.report["combination"]["macro_f1"] for c in own]
    record = next(
        r
        for r in summarize(cells)
        if (r["method"], r["fraction"], r["level"]) == ("scale", 0.5, "combination")
    )
    assert record["macro_f1"] == pytest.approx(np.mean(values))
    assert record["macro_f1_std"] == pytest.approx(np.std(values, ddof=1))


def test_a_single_draw_has_no_error_bar(finished):
    _, _, cells = finished
    one = [r for r in summarize(cells) if r["method"] == "zero_shot"]
    assert all(r["macro_f1"] > 0 and r["macro_f1_std"] is None for r in one)


def test_a_run_goes_on_where_it_stopped(finished, monkeypatch):
    setting, folder, cells = finished
    lost = protocol.cell_path(folder, "scale", 0.5, 1)
    before = protocol.read_cell(lost)
    lost.unlink()
    trained = []
    original = METHODS["scale"].train

    def counting(setting, jobs):
        trained.append(len(jobs))
        return original(setting, jobs)

    monkeypatch.setitem(
        METHODS, "scale", type(METHODS["scale"])(**{**vars(METHODS["scale"]), "train": counting})
    )
    again = run(setting, SMALL, folder)
    assert trained == [1] and len(again) == len(cells)
    after = protocol.read_cell(lost)
    np.testing.assert_allclose(
        after.outputs.combination.astype(float), before.outputs.combination.astype(float), atol=2e-2
    )


def test_the_choice_is_made_on_validation_and_ablations_take_it_over(finished):
    _, _, cells = finished
    by_name = {c.method: c.details for c in cells if c.fraction == 1.0 and c.draw == 0}
    assert by_name["scale_without_text"]["candidate"] == by_name["scale"]["candidate"]
    scores = by_name["scale"]["validation_scores"]
    assert by_name["scale"]["candidates"][int(np.argmax(scores))] == by_name["scale"]["candidate"]


def test_choices_are_told_with_the_scores_that_led_to_them(finished):
    _, _, cells = finished
    told = {(c["method"], c["fraction"]): c for c in choices(cells)}
    assert set(told) == {(name, f) for name in CACHED if name != "zero_shot" for f in (0.5, 1.0)}
    own = told["scale", 0.5]
    assert own["candidate"] == own["candidates"][int(np.argmax(own["validation_scores"]))]
    assert len(own["validation_scores"]) == BUDGET
    assert 0 < own["validation_combinations"] <= len(multi_task())
    json.dumps(list(told.values()), allow_nan=False)


def test_an_ablation_needs_the_method_it_follows(finished):
    setting, folder, _ = finished
    with pytest.raises(InputError, match="takes the choice of 'scale'"):
        run(setting, ProtocolConfig(methods=("scale_without_text",)), folder)


def test_unknown_names_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'linear_probe'"):
        method("linear_prob")
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no cell"):
        protocol.read_cell(tmp_path / "a.safetensors")


def test_scores_survive_the_disk_as_float16():
    outputs = Outputs(np.array([[1.5, -2.0]]), np.array([[0.25]]))
    assert {name: a.dtype for name, a in outputs.arrays().items()} == {
        "combination": np.float16,
        "cls": np.float16,
    }
