"""Recall@0.5, quadrant F1, and their averages over groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.errors import InputError
from gftlib.metrics.grounding import find_targets, iou_matrix, quadrant_f1, set_f1
from gftlib.metrics.intervals import bootstrap, by_group, ratio_of_sums

NONE = np.empty((0, 4))


def box(*xyxy: float) -> np.ndarray:
    return np.array(xyxy, dtype=float).reshape(-1, 4)


def test_iou_of_known_boxes() -> None:
    ious = iou_matrix([[0, 0, 2, 2], [0, 0, 0, 0]], [[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 3, 3], [0, 0, 0, 0]])
    np.testing.assert_allclose(ious, [[1, 1 / 3, 0, 0], [0, 0, 0, 0]])
    assert iou_matrix(NONE, box(0, 0, 1, 1)).shape == (0, 1)


def test_an_overlap_of_exactly_half_is_no_hit() -> None:
    half, more = box(0, 0, 1, 1), box(0, 0, 1.01, 1)
    target = box(0, 0, 2, 1)
    assert find_targets([half], [target]).recall == 0
    assert find_targets([more], [target]).recall == 1


def test_one_prediction_serves_two_targets_only_in_the_lenient_reading() -> None:
    targets = box(0, 0, 10, 10, 0, 0, 10, 9)
    guess = box(0, 0, 10, 10)
    assert find_targets([guess], [targets]).found.tolist() == [True, True]
    # the better overlap keeps the prediction
    assert find_targets([guess], [targets], matching="one_to_one").found.tolist() == [True, False]


def test_one_to_one_finds_as_many_as_possible() -> None:
    # greedy by overlap would give the first prediction to the second target and strand the first target
    targets = box(0, 0, 10, 7, 0, 0, 10, 10)
    guesses = box(0, 0, 10, 9.5, 0, 0, 10, 14)
    overlaps = iou_matrix(targets, guesses) > 0.5
    assert overlaps.tolist() == [[True, False], [True, True]]
    assert find_targets([guesses], [targets], matching="one_to_one").found.tolist() == [True, True]


def test_empty_items() -> None:
    one = box(0, 0, 1, 1)
    hits = find_targets([NONE, one, NONE, one], [one, NONE, NONE, one])
    assert hits.found.tolist() == [False, True]
    assert hits.targets.tolist() == [1, 0, 0, 1]
    assert hits.per_item.tolist() == [0, 0, 0, 1]
    assert hits.recall == 0.5
    assert math.isnan(find_targets([], []).recall)
    assert math.isnan(find_targets([one], [NONE], matching="one_to_one").recall)


def brute_force(predicted: list[np.ndarray], targets: list[np.ndarray], one_to_one: bool) -> int:
    from itertools import permutations

    total = 0
    for guesses, wanted in zip(predicted, targets, strict=True):
        good = iou_matrix(wanted, guesses) > 0.5
        if not one_to_one:
            total += int(good.any(axis=1).sum())
            continue
        slots = [*range(len(guesses)), *[-1] * len(wanted)]
        total += max(
            sum(s >= 0 and good[t, s] for t, s in enumerate(chosen))
            for chosen in permutations(slots, len(wanted))
        )
    return total


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 4))
def test_equal_to_brute_force_over_ragged_batches(seed: int, items: int) -> None:
    rng = np.random.default_rng(seed)

    def some() -> np.ndarray:
        low = rng.integers(0, 3, (rng.integers(0, 4), 2))
        return np.hstack([low, low + rng.integers(3, 6, low.shape)]).astype(float)

    predicted, targets = [some() for _ in range(items)], [some() for _ in range(items)]
    for matching in ("any", "one_to_one"):
        hits = find_targets(predicted, targets, matching=matching)
        assert hits.found.sum() == brute_force(predicted, targets, matching == "one_to_one")
        assert hits.per_item.sum() == hits.found.sum()
        assert len(hits.found) == sum(map(len, targets))


def test_recall_of_groups_by_both_rules() -> None:
    one, two = box(0, 0, 1, 1), box(0, 0, 1, 1, 5, 5, 6, 6)
    hits = find_targets([one, NONE, one, one], [one, one, two, one])
    statistic = ratio_of_sums(hits.per_item, hits.targets)
    table = by_group(statistic, ["ct", "ct", "mr", "pet"], leave_out=["pet"], resamples=50)
    assert {name: (cell.value, cell.n) for name, cell in table.cells.items()} == {
        "ct": (0.5, 2),
        "mr": (0.5, 1),
        "pet": (1.0, 1),
    }
    assert (table.over_groups.value, table.over_groups.n) == (0.5, 3)
    assert table.over_items.value == 0.5
    everything = by_group(statistic, ["ct", "ct", "mr", "pet"], resamples=50)
    assert everything.over_groups.value == pytest.approx(2 / 3)
    assert everything.over_items.value == pytest.approx(3 / 5)
    # the same seed gives the same interval, whichever other groups there are
    assert everything.cells == table.cells


def test_interval_covers_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(60):
        cell = bootstrap(ratio_of_sums(rng.random(40) < 0.3), 40, resamples=200, seed=seed)
        inside += cell.low <= 0.3 <= cell.high
    assert 50 <= inside <= 60


def test_undefined_cells_are_nan_not_errors() -> None:
    table = by_group(ratio_of_sums([0, 1], [0, 1]), ["a", "b"], resamples=20)
    assert math.isnan(table.cells["a"].value)
    assert math.isnan(table.cells["a"].low)
    assert math.isnan(table.over_groups.value)
    assert table.over_items.value == 1
    assert math.isnan(bootstrap(ratio_of_sums([]), 0).value)


def test_quadrant_f1_exactly() -> None:
    score = quadrant_f1([["UL", "UL", "UR"], [], ["LL"]], [["UL"], ["LR"], ["LL"]])
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 1, 1)
    assert score.precision == score.recall == score.f1 == pytest.approx(2 / 3)
    assert math.isnan(quadrant_f1([[]], [[]]).f1)
    assert set_f1([{("dropout", "UL")}], [{("dropout", "UR")}]).f1 == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find_targets([NONE], []), "1 predictions for 0 items"),
        (lambda: find_targets([NONE, np.ones(4)], [NONE, NONE]), r"predicted\[1\] must have shape \(N, 4\)"),
        (lambda: find_targets([NONE], [np.ones((2, 5))]), r"targets\[0\] must have shape"),
        (lambda: find_targets([NONE], [NONE], matching="greedy"), "matching must be"),
        (lambda: iou_matrix([1, 2, 3, 4], NONE), r"a must have shape"),
        (lambda: by_group(len, ["ct"], leave_out=["cr"]), "did you mean 'ct'"),
        (lambda: by_group(len, ["ct"], leave_out=["ct"]), "no items to average"),
        (lambda: quadrant_f1([["TL"]], [["UL"]]), "unknown quadrant 'TL'"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
