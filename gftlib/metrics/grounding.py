"""Do the named places agree? Recall@0.5 of boxes and F1 of quadrants.

BiRD, section 4 (evaluation metrics): a target is found if a predicted box overlaps it with IoU > 0.5,
strictly. The published script lets one prediction serve several targets, and extra boxes cost nothing
(``"any"``); the strict reading gives each prediction to at most one target (``"one_to_one"``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from gftlib.boxes import QUADRANTS
from gftlib.errors import InputError

Matching = Literal["any", "one_to_one"]


@dataclass(frozen=True)
class Hits:
    """Which target boxes were found, for a batch of items.

    Attributes:
        found: (T,) bool, all targets of all items one after the other.
        offsets: (items + 1,) where the targets of each item begin and end.
    """

    found: NDArray[np.bool_]
    offsets: NDArray[np.intp]

    @property
    def targets(self) -> NDArray[np.intp]:
        """Number of targets per item."""
        return np.diff(self.offsets)

    @property
    def per_item(self) -> NDArray[np.intp]:
        """Number of targets found per item."""
        return np.diff(np.concatenate([[0], np.cumsum(self.found)])[self.offsets])

    @property
    def recall(self) -> float:
        """Share of all targets that were found; NaN if there are none."""
        return float(self.found.mean()) if len(self.found) else math.nan


@dataclass(frozen=True)
class SetScore:
    """Micro-averaged agreement of sets: precision, recall and F1 with the counts behind them."""

    precision: float
    recall: float
    f1: float
    true_positives: int
    false_positives: int
    false_negatives: int


def iou_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the (N, M) IoU of (N, 4) and (M, 4) xyxy boxes; 0 where the union is empty."""
    return _all_pairs(_boxes(a, "a"), _boxes(b, "b"))


@numba.njit(cache=True)
def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


@numba.njit(cache=True)
def _all_pairs(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            out[i, j] = _iou(a[i], b[j])
    return out


@numba.njit(cache=True)
def _overlapping(
    boxes: NDArray[np.float64],
    starts: NDArray[np.intp],
    wanted: NDArray[np.float64],
    offsets: NDArray[np.intp],
    threshold: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return target, prediction and IoU of the pairs of one item that overlap by more than the threshold."""
    target, guess, overlap = [], [], []
    for item in range(len(offsets) - 1):
        for t in range(offsets[item], offsets[item + 1]):
            for g in range(starts[item], starts[item + 1]):
                iou = _iou(boxes[g], wanted[t])
                if iou > threshold:
                    target.append(t)
                    guess.append(g)
                    overlap.append(iou)
    return (
        np.array(target, dtype=np.intp),
        np.array(guess, dtype=np.intp),
        np.array(overlap, dtype=np.float64),
    )


def find_targets(
    predicted: Sequence[NDArray[np.float64]],
    targets: Sequence[NDArray[np.float64]],
    threshold: float = 0.5,
    matching: Matching = "any",
) -> Hits:
    """Mark each target box of each item as found or not.

    Args:
        predicted: One (P, 4) xyxy array per item, P from 0.
        targets: One (T, 4) xyxy array per item in the same coordinates, T from 0; items without targets count
            for nothing, items without predictions keep their targets, unfound.
        threshold: Overlap that must be exceeded, strictly.
        matching: ``"any"``: any predicted box will do; ``"one_to_one"``: as many targets as possible are
            found with each prediction used once.

    Raises:
        InputError: If the two differ in length, an array is not (N, 4), or the matching is unknown.
    """
    if matching not in ("any", "one_to_one"):
        raise InputError(f"matching must be 'any' or 'one_to_one', not {matching!r}")
    if len(predicted) != len(targets):
        raise InputError(f"{len(predicted)} predictions for {len(targets)} items")
    boxes, counts = _concatenated(predicted, "predicted")
    wanted, sizes = _concatenated(targets, "targets")
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    starts = np.concatenate([[0], np.cumsum(counts)])
    target, guess, iou = _overlapping(boxes, starts, wanted, offsets, threshold)
    found = np.zeros(len(wanted), dtype=bool)
    found[target] = True
    if matching == "one_to_one":
        _settle_conflicts(found, target, guess, iou, offsets)
    return Hits(found, offsets)


def _boxes(boxes: ArrayLike, name: str) -> NDArray[np.float64]:
    boxes = np.ascontiguousarray(boxes, dtype=float)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"{name} must have shape (N, 4), not {boxes.shape}")
    return boxes


def _concatenated(
    arrays: Sequence[NDArray[np.float64]], name: str
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    counts = np.fromiter(map(len, arrays), dtype=np.intp, count=len(arrays))
    try:
        return _boxes(np.concatenate([np.empty((0, 4)), *arrays]), name), counts
    except ValueError as error:
        bad = next(i for i, array in enumerate(arrays) if np.ndim(array) != 2 or np.shape(array)[1] != 4)
        raise InputError(f"{name}[{bad}] must have shape (N, 4), not {np.shape(arrays[bad])}") from error


def _settle_conflicts(
    found: NDArray[np.bool_],
    target: NDArray[np.intp],
    guess: NDArray[np.intp],
    iou: NDArray[np.float64],
    offsets: NDArray[np.intp],
) -> None:
    """Undo, in place, the finds that need a prediction which another target takes."""
    item = np.searchsorted(offsets, target, side="right") - 1
    shared = np.bincount(guess)[guess] > 1 if len(guess) else np.empty(0, dtype=bool)
    for conflicted in np.unique(item[shared]):
        inside = item == conflicted
        rows, row = np.unique(target[inside], return_inverse=True)
        cols, col = np.unique(guess[inside], return_inverse=True)
        value = np.zeros((len(rows), len(cols)))
        # One more pair outweighs any gain in overlap; among equals the larger overlap is kept.
        value[row, col] = min(value.shape) + iou[inside]
        kept, given = linear_sum_assignment(value, maximize=True)
        found[rows] = False
        found[rows[kept[value[kept, given] > 0]]] = True


def set_f1(predicted: Sequence[Collection[Hashable]], truth: Sequence[Collection[Hashable]]) -> SetScore:
    """Compare sets item by item and pool the counts: F1 of named quadrants, or of (finding, quadrant) pairs.

    Args:
        predicted: One collection per item; repetitions count once.
        truth: As ``predicted``.

    Returns:
        Precision, recall and F1; NaN where nothing was predicted, nothing is true, or both.

    Raises:
        InputError: If the two differ in length.
    """
    if len(predicted) != len(truth):
        raise InputError(f"{len(predicted)} predictions for {len(truth)} items")
    pairs = [(set(p), set(t)) for p, t in zip(predicted, truth, strict=True)]
    both = sum(len(p & t) for p, t in pairs)
    extra = sum(len(p - t) for p, t in pairs)
    missed = sum(len(t - p) for p, t in pairs)

    def share(part: int, whole: int) -> float:
        return part / whole if whole else math.nan

    return SetScore(
        precision=share(both, both + extra),
        recall=share(both, both + missed),
        f1=share(2 * both, 2 * both + extra + missed),
        true_positives=both,
        false_positives=extra,
        false_negatives=missed,
    )


def quadrant_f1(predicted: Sequence[Collection[str]], truth: Sequence[Collection[str]]) -> SetScore:
    """Return `set_f1` of quadrant names, one collection per item.

    Raises:
        InputError: If a name is not one of `gftlib.boxes.QUADRANTS`; otherwise as `set_f1`.
    """
    if unknown := {name for item in (*predicted, *truth) for name in item} - set(QUADRANTS):
        raise InputError(f"unknown quadrant {min(unknown)!r}; known: {', '.join(QUADRANTS)}")
    return set_f1(predicted, truth)
