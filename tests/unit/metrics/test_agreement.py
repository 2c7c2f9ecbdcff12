"""Weighted kappa with its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from gftlib.errors import InputError
from gftlib.metrics.agreement import weighted_kappa


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_kappa([1, 2], [1]), "same items"),
        (lambda: weighted_kappa([], []), "at least one"),
        (lambda: weighted_kappa([1, 9], [1, 2], categories=[1, 2]), "rating 9 is none"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_ratings_of_one_item_stay_together_when_items_are_resampled():
    rng = np.random.default_rng(0)
    one = np.repeat(rng.integers(0, 5, (12, 1)), 3, axis=1)
    other = np.where(rng.random((12, 1)) < 0.5, one, (one + 2) % 5)
    together = weighted_kappa(one, other, categories=range(5), resamples=400)
    apart = weighted_kappa(one.ravel(), other.ravel(), categories=range(5), resamples=400)
    assert together.value == pytest.approx(apart.value)
    assert together.n == 12
    assert together.high - together.low > 1.3 * (apart.high - apart.low)
