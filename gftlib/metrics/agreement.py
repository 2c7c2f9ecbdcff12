"""Do two raters, or a heatmap and a mask, agree?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import cohen_kappa_score

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
        first: (n,) ratings of the first rater.
        second: (n,) ratings of the second rater, for the same items.
        categories: All categories in their order, used or not: the weights are distances in this list. None
            takes the sorted categories that occur, which is right only if none in between is unused.
        weights: Disagreement grows with the distance (``"linear"``), its square, or not at all (None).
        resamples: Number of bootstrap resamples.
        seed: Of the resampling.

    Raises:
        InputError: If the raters differ in length, nothing is rated, or a rating is no category.
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise InputError(f"two raters must rate the same items, at least one: shapes {a.shape} and {b.shape}")
    order = sorted({*a.tolist(), *b.tolist()}) if categories is None else list(categories)
    if strangers := {*a.tolist(), *b.tolist()} - set(order):
        raise InputError(f"the rating {min(map(str, strangers))} is none of the categories {order}")
    place = {category: i for i, category in enumerate(order)}
    a, b = (np.array([place[rating] for rating in rater.tolist()]) for rater in (a, b))

    def kappa(index: NDArray[np.intp]) -> float:
        if len(np.union1d(a[index], b[index])) == 1:
            return math.nan
        with warnings.catch_warnings():
            # Undefined is a documented answer here (NaN), so it needs no warning for each resample.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return float(cohen_kappa_score(a[index], b[index], labels=range(len(order)), weights=weights))

    return bootstrap(kappa, len(a), resamples=resamples, seed=seed)


def pointing_game(heatmaps: ArrayLike, masks: ArrayLike) -> NDArray[np.bool_]:
    """Say for each heatmap whether its highest pixel lies on the mask (the first one, among equals).

    Source: Zhang et al., "Top-down neural attention by excitation backprop" (the pointing game).

    Args:
        heatmaps: (n, H, W) importances.
        masks: (n, H, W) bool, where the finding is.

    Returns:
        (n,) bool hits; their mean is the score.

    Raises:
        InputError: If the shapes differ, are not three-dimensional, or a heatmap holds NaN.
    """
    heat, mask = np.asarray(heatmaps, dtype=float), np.asarray(masks, dtype=bool)
    if heat.ndim != 3 or heat.shape != mask.shape:
        raise InputError(f"heatmaps and masks must both be (n, H, W): shapes {heat.shape} and {mask.shape}")
    if np.isnan(heat).any():
        raise InputError(f"heatmap {int(np.flatnonzero(np.isnan(heat).any(axis=(1, 2)))[0])} holds NaN")
    peak = heat.reshape(len(heat), -1).argmax(axis=1)
    return mask.reshape(len(mask), -1)[np.arange(len(mask)), peak]
