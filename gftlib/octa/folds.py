"""Who trains, who validates, who is never seen: six subject-disjoint splits, five folds (GFT, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gftlib.errors import InputError

if TYPE_CHECKING:
    from gftlib.phantoms.octa_cohort import ScanSpec

TEST_SPLIT = 0


@dataclass(frozen=True)
class Fold:
    """One fold; the arrays hold positions in the cohort.

    Args:
        number: The split that validates, 1 to 5.
        train: The other four of splits 1 to 5.
        valid: Split ``number``: it chooses the epoch and the settings.
        test: Split 0, the same in every fold; nothing is chosen by it.
    """

    number: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def scan_table(specs: Iterable[ScanSpec]) -> pd.DataFrame:
    """Return scan, subject, stage and split of each scan of a phantom cohort."""
    rows = [(spec.scan_id, str(spec.subject), spec.stage, spec.split) for spec in specs]
    return pd.DataFrame(rows, columns=["scan", "subject", "stage", "split"])


def five_folds(scans: pd.DataFrame, numbers: Sequence[int] = (1, 2, 3, 4, 5)) -> list[Fold]:
    """Return the folds of a cohort.

    Args:
        scans: One row a scan with ``subject`` and ``split`` 0 to 5, as :func:`scan_table` gives.
        numbers: The folds wanted.

    Raises:
        InputError: If a subject is in two splits, a split is empty or unknown, or a fold is no split.
    """
    split = scans["split"].to_numpy()
    if unknown := sorted(set(split) - set(range(6))):
        raise InputError(f"split {unknown[0]} is not one of 0 to 5")
    if empty := sorted(set(range(6)) - set(split)):
        raise InputError(f"no scan is in split {empty[0]}: six splits are needed, have more subjects")
    per_subject = scans.groupby("subject")["split"].nunique()
    if (shared := per_subject[per_subject > 1].index).size:
        raise InputError(f"subject {shared[0]!r} is in more than one split: splits must not share subjects")
    if wrong := [number for number in numbers if number not in (1, 2, 3, 4, 5)]:
        raise InputError(f"fold {wrong[0]} is not one of 1 to 5")
    return [
        Fold(
            number,
            np.flatnonzero((split != TEST_SPLIT) & (split != number)),
            np.flatnonzero(split == number),
            np.flatnonzero(split == TEST_SPLIT),
        )
        for number in numbers
    ]
