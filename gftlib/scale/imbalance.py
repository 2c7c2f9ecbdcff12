"""What a rarer rare combination costs: the training set is thinned where it is thin, its size held.

"Linear probing and prompt tuning are sensitive to class imbalance, while SCALE is more robust" (SCALE,
section 4). Like the other choices it is measured on a validation part carved from the training pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gftlib.errors import InputError
from gftlib.scale.baselines import Candidate, Job, Setting, method
from gftlib.scale.features import carve
from gftlib.scale.sensitivity import spread, validation_scores


def imbalance(
    setting: Setting,
    candidates: dict[str, Candidate],
    kept: Sequence[float] = (1.0, 0.5, 0.25, 0.1),
    draws: int = 5,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Thin out the rare combinations of the training part more and more; the validation part stays as it is.

    Args:
        setting: Features, training, defaults.
        candidates: Methods, each with the candidate to train.
        kept: See :func:`thinned`.
        draws: Repetitions with other samples and seeds.
        seed: Of the thinning.

    Returns:
        Per method and share: number of training samples ``train``, :func:`ratio` as ``imbalance``, the number
        of combinations without any sample as ``absent`` (both means over draws), and macro F1.
    """
    labels = setting.features.labels
    train, held = carve(setting.features, setting.features.pool, 0.25, seed)
    rare = rare_combinations(labels[train])
    drawn = [thinned(labels, train, kept, np.random.default_rng([seed, i])) for i in range(draws)]
    records = []
    for share, rows in zip(kept, zip(*drawn, strict=True), strict=True):
        facts = {
            "kept": float(share),
            "train": len(rows[0]),
            "imbalance": float(np.mean([ratio(labels[r], rare) for r in rows])),
            "absent": float(np.mean([(labels[r].sum(0) == 0).sum() for r in rows])),
        }
        for name, candidate in candidates.items():
            jobs = [Job(candidate, r, held, seed + i) for i, r in enumerate(rows)]
            scores = validation_scores(setting, jobs, method(name).train(setting, jobs))
            found = {"macro_f1": float(scores.mean()), "macro_f1_std": spread(scores)}
            records.append({"method": name, **facts, **found})
    return records


def rare_combinations(labels: np.ndarray) -> np.ndarray:
    """Return which combinations are rarer than the median one, ``(H,)`` bool, from ``(N, H)``."""
    count = labels.sum(0)
    return count < np.median(count)


def ratio(labels: np.ndarray, rare: np.ndarray) -> float:
    """Return how often the commonest combination occurs for one occurrence of a mean rare one."""
    count = labels.sum(0)
    return float(count.max() / count[rare].mean())


def thinned(
    labels: np.ndarray, rows: np.ndarray, kept: Sequence[float], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return parts of ``rows``, all of one size, that hold less and less of what is rare.

    Of the samples with a rare combination a share stays, and what then is left is cut to the size of the
    smallest part without another look at the labels, so that sizes agree and only the mixture differs. A
    smaller share keeps a part of the same rare samples and puts common ones in the place of the others.

    Args:
        labels: ``(N, H)``.
        rows: Samples to thin out.
        kept: Shares of the samples with a combination rarer than the median, in (0, 1].
        rng: Source of randomness.

    Raises:
        InputError: If a share is out of range, or no sample or every one holds a rare combination.
    """
    if not all(0 < share <= 1 for share in kept):
        raise InputError(f"shares must lie in (0, 1], got {tuple(kept)}")
    is_rare = labels[rows][:, rare_combinations(labels[rows])].any(1)
    rare, common = (rng.permutation(rows[which]) for which in (is_rare, ~is_rare))
    if not len(rare) or not len(common):
        raise InputError(f"{len(rare)} of {len(rows)} samples hold a rare combination; some must, not all")
    size = len(common) + max(round(min(kept) * len(rare)), 1)
    parts = []
    for share in kept:
        left = share * len(rare)
        n = max(round(size * left / (len(common) + left)), size - len(common))
        parts.append(np.sort(np.concatenate([rare[:n], common[: size - n]])))
    return parts
