"""Classification metrics: per class and averaged over classes.

The values are scikit-learn's; they are counted here because a protocol of thousands of trainings asks for
them tens of thousands of times, at milliseconds each there.

Averages run over the classes that occur in the truth; one that does not has no recall, and no AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from gftlib.errors import InputError


@dataclass(frozen=True, eq=False)
class Scores:
    """Agreement of predictions with the truth.

    Attributes:
        accuracy: Share of right predictions; over several labels the mean over classes of the binary one.
        balanced_accuracy: Mean recall over the classes in the truth.
        macro_precision: Mean precision over the classes in the truth; 0 for one that is never predicted.
        macro_recall: The same as ``balanced_accuracy`` for exclusive classes.
        macro_f1: Mean F1 over the classes in the truth.
        precision: Per class, ``(C,)``; NaN where the class is not in the truth.
        recall: Per class.
        f1: Per class.
        support: Number of true items of each class.
    """

    accuracy: float
    balanced_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]


def multiclass(truth: ArrayLike, predicted: ArrayLike, n_classes: int) -> Scores:
    """Score predictions of exclusive classes.

    Args:
        truth: ``(N,)`` integers in ``[0, n_classes)``.
        predicted: ``(N,)`` integers in the same range.
        n_classes: Number of classes C.

    Raises:
        InputError: If the shapes differ, there are no items, or a class is out of range.
    """
    y, p = _same_shape(truth, predicted, 1)
    for name, values in (("truth", y), ("predicted", p)):
        if (wrong := np.flatnonzero((values < 0) | (values >= n_classes))).size:
            raise InputError(
                f"{name}[{wrong[0]}] is {values[wrong[0]]}, not a class from 0 to {n_classes - 1}"
            )
    right, said, support = (np.bincount(v, minlength=n_classes) for v in (y[y == p], p, y))
    return _scores(float((y == p).mean()), right, said, support, None)


def multilabel(truth: ArrayLike, predicted: ArrayLike) -> Scores:
    """Score predictions of labels that may hold together.

    ``balanced_accuracy`` is the mean over classes of the mean of sensitivity and specificity.

    Args:
        truth: ``(N, C)`` of 0 and 1.
        predicted: ``(N, C)`` of 0 and 1.

    Raises:
        InputError: If the shapes differ or there are no items.
    """
    y, p = _same_shape(truth, predicted, 2)
    y, p = y.astype(bool), p.astype(bool)
    right, said, support = (y & p).sum(0), p.sum(0), y.sum(0)
    negatives = len(y) - support
    specificity = (~y & ~p).sum(0) / np.maximum(negatives, 1)
    both = (support > 0) & (negatives > 0)
    sensitivity = right / np.maximum(support, 1)
    balanced = float(((sensitivity + specificity) / 2)[both].mean()) if both.any() else float("nan")
    return _scores(float((y == p).mean()), right, said, support, balanced)


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve of a binary truth; NaN if only one of its values occurs.

    Raises:
        InputError: If the shapes differ, there are no items, or a score is not finite.
    """
    y, s = _same_shape(truth, score, 1)
    return float(_aucs(y[:, None], s[:, None])[0])


def macro_auc(truth: ArrayLike, score: ArrayLike) -> tuple[float, int]:
    """Return the mean AUC over the classes that have one, and how many have.

    Args:
        truth: ``(N, C)`` of 0 and 1.
        score: ``(N, C)``.

    Raises:
        InputError: As :func:`auc`.
    """
    found = _aucs(*_same_shape(truth, score, 2))
    defined = np.isfinite(found)
    return (float(found[defined].mean()) if defined.any() else float("nan")), int(defined.sum())


def _same_shape(first: ArrayLike, second: ArrayLike, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != ndim:
        raise InputError(f"two arrays of one {ndim}-d shape are needed, got {a.shape} and {b.shape}")
    if not a.size:
        raise InputError("there is nothing to score: the arrays are empty")
    return a, b


def _aucs(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    if not np.isfinite(score).all():
        raise InputError(f"score[{np.argwhere(~np.isfinite(score))[0][0]}] is not finite")
    positive = truth.astype(bool)
    p, n = positive.sum(0), (~positive).sum(0)
    ranks = (rankdata(score, axis=0) * positive).sum(0)  # the Mann-Whitney statistic, ties counted half
    return np.where((p > 0) & (n > 0), (ranks - p * (p + 1) / 2) / np.maximum(p * n, 1), np.nan)


def _scores(
    accuracy: float, right: np.ndarray, said: np.ndarray, support: np.ndarray, balanced: float | None
) -> Scores:
    precision, recall = right / np.maximum(said, 1), right / np.maximum(support, 1)
    f1 = 2 * right / np.maximum(said + support, 1)
    there = support > 0
    means = [float(part[there].mean()) if there.any() else float("nan") for part in (precision, recall, f1)]
    parts = [np.where(there, part, np.nan) for part in (precision, recall, f1)]
    return Scores(accuracy, means[1] if balanced is None else balanced, *means, *parts, support)
