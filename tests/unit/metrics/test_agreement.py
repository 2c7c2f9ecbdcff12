"""Weighted kappa with its interval, and the pointing game."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from gftlib.errors import InputError
from gftlib.metrics.agreement import pointing_game, weighted_kappa


def test_kappa_by_hand() -> None:
    # observed weighted disagreement 1/4 (linear), expected 0.875
    first, second = [0, 1, 2, 2], [0, 1, 2, 1]
    observed = 1 / 4
    expected = np.mean([abs(a - b) for a in first for b in second])
    assert weighted_kappa(first, second, weights="linear", resamples=0).value == pytest.approx(
        1 - observed / expected
    )


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30),
    st.sampled_from([None, "linear", "quadratic"]),
)
def test_kappa_is_scikit_learns(pairs: list[tuple[int, int]], weights: str | None) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    ours = weighted_kappa(first, second, categories=range(4), weights=weights, resamples=0).value
    if len({*first, *second}) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(
            cohen_kappa_score(first, second, labels=range(4), weights=weights), nan_ok=True
        )


def test_unused_categories_keep_their_distance() -> None:
    first, second = ["poor", "good", "good"], ["poor", "good", "fair"]
    full = weighted_kappa(first, second, categories=["poor", "fair", "ok", "good"], resamples=0).value
    tight = weighted_kappa(first, second, categories=["poor", "fair", "good"], resamples=0).value
    assert full != pytest.approx(tight)


def test_interval_holds_the_value_and_narrows_with_items() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 240)
    second = np.where(rng.random(240) < 0.7, first, rng.integers(0, 4, 240))
    few = weighted_kappa(first[:40], second[:40], resamples=100)
    many = weighted_kappa(first, second, resamples=100)
    for cell in (few, many):
        assert cell.low < cell.value < cell.high
    assert many.high - many.low < few.high - few.low
    assert many == weighted_kappa(first, second, resamples=100)
    assert many.n == 240


def test_pointing_game() -> None:
    heat = np.zeros((3, 4, 5))
    heat[0, 1, 2] = heat[1, 3, 4] = 1
    mask = np.zeros((3, 4, 5), bool)
    mask[0, 1, 2] = mask[1, 0, 0] = mask[2, 0, 0] = True
    assert pointing_game(heat, mask).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_kappa([1, 2], [1]), "same items"),
        (lambda: weighted_kappa([], []), "at least one"),
        (lambda: weighted_kappa([1, 9], [1, 2], categories=[1, 2]), "rating 9 is none"),
        (lambda: pointing_game(np.zeros((2, 3)), np.zeros((2, 3))), r"\(n, H, W\)"),
        (lambda: pointing_game(np.full((1, 2, 2), np.nan), np.zeros((1, 2, 2))), "heatmap 0 holds NaN"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
