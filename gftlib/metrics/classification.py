"""Classification metrics, thin over scikit-learn: per class, averaged over classes, and the two-prompt AUC.

Averages run over the classes that occur in the truth; one that does not has no recall, and no AUC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from gftlib.errors import InputError
from gftlib.metrics.intervals import Cell, bootstrap


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
    per_class = precision_recall_fscore_support(y, p, labels=np.arange(n_classes), zero_division=0)
    return _scores(float((y == p).mean()), per_class, None)


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
    per_class = precision_recall_fscore_support(y, p, average=None, zero_division=0)
    negatives = (~y).sum(0)
    specificity = (~y & ~p).sum(0) / np.maximum(negatives, 1)
    per_class = tuple(np.atleast_1d(part) for part in per_class)
    both = (per_class[3] > 0) & (negatives > 0)
    balanced = float(((per_class[1] + specificity) / 2)[both].mean()) if both.any() else float("nan")
    return _scores(float((y == p).mean()), per_class, balanced)


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve of a binary truth; NaN if only one of its values occurs.

    Raises:
        InputError: If the shapes differ, there are no items, or a score is not finite.
    """
    y, s = _same_shape(truth, score, 1)
    if not np.isfinite(s).all():
        raise InputError(f"score[{np.flatnonzero(~np.isfinite(s))[0]}] is not finite")
    return float("nan") if y.min() == y.max() else float(roc_auc_score(y, s))


def macro_auc(truth: ArrayLike, score: ArrayLike) -> tuple[float, int]:
    """Return the mean AUC over the classes that have one, and how many have.

    Args:
        truth: ``(N, C)`` of 0 and 1.
        score: ``(N, C)``.

    Raises:
        InputError: As :func:`auc`.
    """
    y, s = _same_shape(truth, score, 2)
    found = np.array([auc(y[:, c], s[:, c]) for c in range(y.shape[1])])
    defined = np.isfinite(found)
    return (float(found[defined].mean()) if defined.any() else float("nan")), int(defined.sum())


def two_prompt_probability(
    similarity: ArrayLike, negative: ArrayLike, logit_scale: float
) -> NDArray[np.float64]:
    """Return the softmax over two prompt options, the label's and "No finding." (SCALE, section 2.3.2).

    Args:
        similarity: Cosines to the prompt of each label, ``(N, C)``.
        negative: Cosines to the negative prompt, ``(N,)``.
        logit_scale: What cosines are multiplied with.

    Returns:
        The probability of the label's prompt, ``(N, C)``.
    """
    margin = logit_scale * (np.asarray(similarity, float) - np.asarray(negative, float)[:, None])
    return np.where(margin >= 0, 1 / (1 + np.exp(-abs(margin))), 1 - 1 / (1 + np.exp(-abs(margin))))


def interval(metric: Callable[..., float], *columns: ArrayLike, resamples: int = 1000, seed: int = 0) -> Cell:
    """Return a metric with its percentile bootstrap interval over items.

    Args:
        metric: From the arrays to a number, such as :func:`auc`.
        columns: Arrays of one length, resampled together.
        resamples: Number of resamples.
        seed: Of the resampling.

    Raises:
        InputError: If the arrays differ in length.
    """
    arrays = [np.asarray(column) for column in columns]
    if len({len(a) for a in arrays}) != 1:
        raise InputError(f"arrays of one length are needed, got {[len(a) for a in arrays]}")
    return bootstrap(lambda index: metric(*(a[index] for a in arrays)), len(arrays[0]), resamples, seed)


def _same_shape(first: ArrayLike, second: ArrayLike, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != ndim:
        raise InputError(f"two arrays of one {ndim}-d shape are needed, got {a.shape} and {b.shape}")
    if not a.size:
        raise InputError("there is nothing to score: the arrays are empty")
    return a, b


def _scores(accuracy: float, per_class: tuple[np.ndarray, ...], balanced: float | None) -> Scores:
    precision, recall, f1, support = (np.asarray(part) for part in per_class)
    there = support > 0
    means = [float(part[there].mean()) if there.any() else float("nan") for part in (precision, recall, f1)]
    parts = [np.where(there, part, np.nan) for part in (precision, recall, f1)]
    return Scores(accuracy, means[1] if balanced is None else balanced, *means, *parts, support)
