"""Do two raters agree?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gftlib.errors import InputError
from gftlib.metrics.intervals import Cell, bootstrap


def weighted_kappa(
    first: ArrayLike,
    second: ArrayLike,
    categories: Sequence[object] | None = None,
    weights: Literal["linear", "quadratic"] | None = "quadratic",
    resamples: int = 1000,
    seed: int = 0,
) -> Cell:
    """Return Cohen's kappa of two raters, with a percentile interval by resampling the rated items.

    The number is scikit-learn's ``cohen_kappa_score``; NaN where it is undefined (both raters used one
    and the same category throughout). Such resamples are left out of the interval.

    Args:
        first: (n,) ratings of the first rater, or (n, k): k ratings of each item, pooled, which stay together
            when items are resampled.
        second: Those of the second rater, for the same items.
        categories: All categories in their order, used or not: the weights are distances in this list. None
            takes the sorted categories that occur, which is right only if none in between is unused.
        weights: Disagreement grows with the distance (``"linear"``), its square, or not at all (None).
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.

    Raises:
        InputError: If the raters differ in length, nothing is rated, or a rating is no category.
    """
    from sklearn.exceptions import UndefinedMetricWarning
    from sklearn.metrics import cohen_kappa_score

    a, b = np.asarray(first), np.asarray(second)
    if a.ndim not in (1, 2) or a.shape != b.shape or not a.size:
        raise InputError(f"two raters must rate the same items, at least one: shapes {a.shape} and {b.shape}")
    given = {*a.ravel().tolist(), *b.ravel().tolist()}
    order = sorted(given) if categories is None else list(categories)
    if strangers := given - set(order):
        raise InputError(f"the rating {min(map(str, strangers))} is none of the categories {order}")
    place = {category: i for i, category in enumerate(order)}
    a, b = (
        np.array([place[rating] for rating in rater.ravel().tolist()]).reshape(rater.shape)
        for rater in (a, b)
    )

    def kappa(index: NDArray[np.intp]) -> float:
        one, other = a[index].ravel(), b[index].ravel()
        if len(np.union1d(one, other)) == 1:
            return math.nan
        with warnings.catch_warnings():
            # Undefined is a documented answer here (NaN), so it needs no warning for each resample.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return float(cohen_kappa_score(one, other, labels=range(len(order)), weights=weights))

    return bootstrap(kappa, len(a), resamples=resamples, seed=seed)
