"""Recall@0.5 of a ragged batch against a plain loop over all pairs of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks._timing import interleaved
from gftlib.metrics.grounding import find_targets


def _iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def _loop_recall(predicted: Sequence, targets: Sequence) -> float:
    found = [
        any(_iou(guess, target) > 0.5 for guess in guesses)
        for guesses, wanted in zip(predicted, targets, strict=True)
        for target in wanted
    ]
    return sum(found) / len(found)


def _batch(items: int, boxes: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    predicted, targets = [], []
    for _ in range(items):
        low = rng.random((rng.integers(1, boxes + 1), 2)) * 0.7
        truth = np.hstack([low, low + 0.05 + 0.25 * rng.random(low.shape)])
        guess = truth[rng.random(len(truth)) < 0.8] + rng.normal(0, 0.03, 4)
        targets.append(truth)
        predicted.append(guess)
    return predicted, targets


def rows() -> list[dict[str, object]]:
    """Time few and many boxes an item; the loop gets the same arrays, or plain floats, its best case."""
    out = []
    for items, boxes, plain, target in (
        (10_000, 4, False, 15),
        (10_000, 4, True, None),
        (2_000, 20, True, 15),
    ):
        predicted, targets = _batch(items, boxes)
        peer = (
            ([a.tolist() for a in predicted], [a.tolist() for a in targets])
            if plain
            else (predicted, targets)
        )
        if find_targets(predicted, targets).recall != _loop_recall(*peer):
            raise SystemExit("the two recalls differ")
        times = interleaved(
            lambda p=predicted, t=targets: find_targets(p, t), lambda q=peer: _loop_recall(*q)
        )
        note = (
            "peer: a per-pair loop over plain floats"
            if plain
            else "peer: a per-pair loop over the same arrays"
        )
        name = f"Recall@0.5, {items} items, up to {boxes} boxes"
        out.append({"name": name, "target": target, "note": note, **times})
    return out
