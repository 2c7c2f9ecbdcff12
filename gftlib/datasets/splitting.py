"""Shares of a cohort, and a test split by patients that keeps the share of every label."""

from __future__ import annotations

import numpy as np

from gftlib.errors import InputError


def shares(counts: list[int], n: int) -> list[int]:
    """Scale ``counts`` to sum to ``n``, by largest remainders (ties to the earlier)."""
    total = sum(counts)
    exact = [n * count / total if total else 0.0 for count in counts]
    whole = [int(value) for value in exact]
    order = sorted(range(len(counts)), key=lambda i: whole[i] - exact[i])
    for i in order[: n - sum(whole)]:
        whole[i] += 1
    return whole


def stratified_test(labels: np.ndarray, subjects: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Choose test patients so that each combination keeps its share (SCALE, section 2.3.1).

    Iterative stratification (Sechidis et al., 2011) over patients: those of the rarest combination still to
    be placed are dealt out first, each to the side that lacks more of it.

    Args:
        labels: ``(N, n_combinations)`` uint8.
        subjects: ``(N,)`` patient identifiers.
        share: Share of patients for the test, 0 to 1.
        seed: Seed of the ties.

    Returns:
        ``(N,)`` bool, True for the samples of test patients.

    Raises:
        InputError: If ``share`` is not between 0 and 1 or the shapes differ.
    """
    if not 0 < share < 1:
        raise InputError(f"the test share must lie between 0 and 1, got {share}")
    if labels.ndim != 2 or subjects.shape != labels.shape[:1]:
        raise InputError(f"labels {labels.shape} and subjects {subjects.shape} do not belong together")
    rng = np.random.default_rng(seed)
    patients, member = np.unique(subjects, return_inverse=True)
    has = np.zeros((len(patients), labels.shape[1]), dtype=np.int64)
    np.maximum.at(has, member, labels.astype(np.int64))
    shares = np.array([1 - share, share])
    wanted = shares[:, None] * has.sum(axis=0)
    room = shares * len(patients)
    side = np.full(len(patients), -1)
    order = rng.permutation(len(patients))
    while (left := order[side[order] < 0]).size:
        remaining = has[left].sum(axis=0)
        label = int(np.argmin(np.where(remaining > 0, remaining, np.iinfo(np.int64).max)))
        chosen = left[has[left, label] > 0] if remaining.any() else left
        for patient in chosen:
            lack = wanted[:, label] if remaining.any() else room
            best = int(np.lexsort((-room, -lack))[0])
            best = best if room[best] >= 0.5 else 1 - best
            side[patient] = best
            wanted[best] -= has[patient]
            room[best] -= 1
    return (side == 1)[member]
