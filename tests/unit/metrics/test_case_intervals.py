"""Intervals over cases: by hand, beside those over items, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.errors import InputError
from gftlib.metrics.captions import bleu
from gftlib.metrics.case_intervals import by_case
from gftlib.metrics.intervals import by_group, ratio_of_sums


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), min_size=1, max_size=12))
def test_with_one_item_a_case_it_is_the_bootstrap_of_items(items: list[tuple[str, bool]]) -> None:
    groups, values = zip(*items, strict=True)
    statistic = ratio_of_sums(values)
    cases = [str(i) for i in range(len(items))]
    assert by_case(statistic, groups, cases, resamples=20) == by_group(statistic, groups, resamples=20)


def test_whole_cases_are_drawn() -> None:
    drawn = []

    def statistic(index: np.ndarray) -> float:
        drawn.append(np.bincount(index, minlength=6).tolist())
        return float(index.mean())

    # Cases p: 0 and 2, q: 1; r in a group of its own, and p there too.
    table = by_case(statistic, list("aaabbb"), list("pqprrp"), resamples=50)
    assert all(counts[0] == counts[2] and counts[3] == counts[4] for counts in drawn)
    assert len({tuple(counts) for counts in drawn}) > 6
    assert {name: (cell.value, cell.n) for name, cell in table.cells.items()} == {
        "a": (1.0, 3),
        "b": (4.0, 3),
    }
    assert (table.over_groups.value, table.over_groups.n) == (2.5, 6)
    assert (table.over_items.value, table.over_items.n) == (2.5, 6)
    left = by_case(statistic, list("aaabbb"), list("pqprrp"), leave_out=["b"], resamples=5)
    assert (left.over_items.value, left.over_items.n, left.cells["b"].n) == (1.0, 3, 3)


def test_repeated_items_do_not_narrow_an_interval() -> None:
    right = np.random.default_rng(0).random(30) < 0.5
    alone = by_case(ratio_of_sums(right), ["ct"] * 30, list(map(str, range(30))), resamples=300)
    many = np.repeat(right, 20)
    together, apart = (
        by_case(ratio_of_sums(many), ["ct"] * 600, list(map(str, cases)), resamples=300)
        for cases in (np.repeat(np.arange(30), 20), range(600))
    )
    assert together.over_items.low == pytest.approx(alone.over_items.low)
    assert together.over_items.high == pytest.approx(alone.over_items.high)
    width = together.over_items.high - together.over_items.low
    assert width > 3 * (apart.over_items.high - apart.over_items.low)


def test_a_corpus_score_is_that_of_all_items() -> None:
    told, wanted = ["a b c d e", "a b", "x y z w"], ["a b c d e", "a c", "x y z v"]
    score = bleu(told, wanted)
    table = by_case(score.statistic, ["ct"] * 3, ["p", "q", "p"], resamples=20)
    assert table.over_items.value == pytest.approx(score.value)
    assert table.over_items.low <= score.value <= table.over_items.high


def test_bad_input_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="2 groups for the cases of 1 items"):
        by_case(ratio_of_sums([1, 1]), ["ct", "mr"], ["a"])
    with pytest.raises(InputError, match="no items to average"):
        by_case(ratio_of_sums([]), [], [])
