"""Bootstrap intervals, per group and averaged over groups by both rules.

A statistic is any function from an index array, which items to use and how often, to a number; so the same
code serves means, ratios of sums and corpus scores such as BLEU, which are no mean of anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gftlib.errors import InputError, did_you_mean

Statistic = Callable[[NDArray[np.intp]], float]


@dataclass(frozen=True)
class Cell:
    """A number with its percentile bootstrap interval and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class GroupTable:
    """A statistic per group and averaged by two rules.

    Attributes:
        cells: One cell a group, in sorted order, the left-out groups included.
        over_groups: The plain mean of the groups that are not left out (the rule of BiRD's tables).
        over_items: The statistic of all their items pooled.
    """

    cells: dict[str, Cell]
    over_groups: Cell
    over_items: Cell


@dataclass(frozen=True)
class Score:
    """A score of a corpus.

    Attributes:
        value: Of the whole corpus.
        per_item: (n,) of each item alone; the corpus value need not be their mean (BLEU, METEOR).
        statistic: The corpus value of any selection of items.
    """

    value: float
    per_item: NDArray[np.float64]
    statistic: Statistic

    @classmethod
    def of(cls, statistic: Statistic, per_item: NDArray[np.float64]) -> Score:
        """Return the score of all items."""
        return cls(statistic(np.arange(len(per_item))), per_item, statistic)


def ratio_of_sums(numerator: ArrayLike, denominator: ArrayLike | None = None) -> Statistic:
    """Return the statistic sum(numerator) / sum(denominator) of per-item values, or else their mean."""
    top = np.asarray(numerator, dtype=float)
    bottom = np.ones(len(top)) if denominator is None else np.asarray(denominator, dtype=float)

    def statistic(index: NDArray[np.intp]) -> float:
        total = bottom[index].sum()
        return float(top[index].sum() / total) if total else math.nan

    return statistic


def bootstrap(
    statistic: Statistic, n: int, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Cell:
    """Return a statistic of ``n`` items with its percentile interval.

    Resamples in which the statistic is undefined (NaN) are left out of the interval.

    Args:
        statistic: See the module.
        n: Number of items; the unit of resampling (for boxes: the image, not the box).
        resamples: Number of bootstrap resamples; 0 gives no interval (NaN).
        seed: Of the resampling.
        level: Coverage.
    """
    draws = _draws(statistic, np.arange(n), resamples, np.random.default_rng(seed))
    return Cell(statistic(np.arange(n)) if n else math.nan, *_interval(draws, level), n)


def by_group(
    statistic: Statistic,
    groups: Sequence[str],
    leave_out: Collection[str] = (),
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> GroupTable:
    """Return a statistic per group (a modality, say) and its two averages.

    The interval of the mean over groups comes from resampling within each group.

    Args:
        statistic: See the module.
        groups: The group of each item.
        leave_out: Groups that stay out of both averages (BiRD leaves PET and fundus out of ROC).
        resamples: As in `bootstrap`.
        seed: As in `bootstrap`; each group has a stream of its own, so a group's interval does not depend on
            which others there are.
        level: As in `bootstrap`.

    Raises:
        InputError: If there are no items, a left-out group does not occur, or all groups are left out.
    """
    labels = np.asarray(groups, dtype=str)
    names = sorted(set(labels.tolist()))
    if unknown := sorted(set(leave_out) - set(names)):
        raise InputError(f"cannot leave out the group {unknown[0]!r}{did_you_mean(unknown[0], names)}")
    kept = [name for name in names if name not in leave_out]
    if not kept:
        raise InputError("no items to average over: every group is left out or there are none")
    cells, draws = {}, {}
    for name in names:
        index = np.flatnonzero(labels == name)
        stream = np.random.default_rng([seed, *name.encode()])
        draws[name] = _draws(statistic, index, resamples, stream)
        cells[name] = Cell(statistic(index), *_interval(draws[name], level), len(index))
    inside = np.flatnonzero(np.isin(labels, kept))
    pooled = _draws(statistic, inside, resamples, np.random.default_rng(seed))
    means = np.mean([draws[name] for name in kept], axis=0)
    mean = float(np.mean([cells[name].value for name in kept]))
    return GroupTable(
        cells,
        Cell(mean, *_interval(means, level), len(inside)),
        Cell(statistic(inside), *_interval(pooled, level), len(inside)),
    )


def _draws(
    statistic: Statistic, index: NDArray[np.intp], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    n = len(index)
    return np.array(
        [statistic(index[rng.integers(0, n, n)]) for _ in range(resamples if n else 0)], dtype=float
    )


def _interval(draws: NDArray[np.float64], level: float) -> tuple[float, float]:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return math.nan, math.nan
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
