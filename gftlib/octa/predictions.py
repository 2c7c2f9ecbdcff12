"""Predictions of staging as a table, and every number of the staging tables from it (GFT, Tables 1 and 2).

One row is one scan judged by one trained model: ``method, seed, fold, part, candidate, scan, subject, stage``
and the probabilities ``healthy, NPDR, PDR``. Parts are ``valid`` (chose epoch and settings), ``test`` (split
0, never seen) and whatever a foreign cohort is called. A summary is a function of the table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.errors import InputError, MissingError
from gftlib.metrics.classification import auc, multiclass
from gftlib.metrics.intervals import bootstrap
from gftlib.octa.staging import STAGES
from gftlib.paths import atomic_path

KEYS = ["method", "seed", "fold", "part"]
COLUMNS = [*KEYS, "candidate", "scan", "subject", "stage", *STAGES]
GRADES = {3: STAGES, 2: ("healthy", "DR")}


def prediction_rows(
    scans: pd.DataFrame,
    probabilities: np.ndarray,
    method: str,
    seed: int,
    fold: int,
    part: str,
    candidate: int = 0,
) -> pd.DataFrame:
    """Return the predictions of one model.

    Args:
        scans: ``scan``, ``subject`` and ``stage`` of the scans judged.
        probabilities: (n, 3), finite.
        method: Name of the method.
        seed: Its seed.
        fold: Its fold.
        part: Which scans these are: ``valid``, ``test`` or the name of a foreign cohort.
        candidate: Which of the candidate settings the validation split chose.

    Raises:
        InputError: If the shape is another or a value is not finite.
    """
    if probabilities.shape != (len(scans), len(STAGES)) or not np.isfinite(probabilities).all():
        raise InputError(
            f"probabilities of shape {probabilities.shape} for {len(scans)} scans, finite values needed"
        )
    table = scans[["scan", "subject", "stage"]].reset_index(drop=True)
    table = table.assign(method=method, seed=seed, fold=fold, part=part, candidate=candidate)
    return table.assign(**dict(zip(STAGES, probabilities.T, strict=True)))[COLUMNS]


def choose(scores: Sequence[float]) -> int:
    """Return the first of the candidates with the best validation score."""
    return int(np.argmax(scores))


def write_predictions(path: Path, table: pd.DataFrame) -> Path:
    """Write predictions as CSV, probabilities to six digits."""
    with atomic_path(path) as temporary:
        table[COLUMNS].to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")
    return Path(path)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read what :func:`write_predictions` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If a column is missing.
    """
    if not Path(path).is_file():
        raise MissingError(f"no predictions {path}")
    table = pd.read_csv(path, dtype={"scan": str, "subject": str, "method": str, "part": str})
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise InputError(f"{path} has no column {missing[0]!r}; predictions have {', '.join(COLUMNS)}")
    return table


def summarise(predictions: pd.DataFrame, grades: int = 3, resamples: int = 1000) -> dict[str, Any]:
    """Return the staging tables.

    Args:
        predictions: The table.
        grades: 3 stages, or 2: healthy against DR, NPDR and PDR pooled; the verdict stays the likeliest of
            the three stages, as in the public code.
        resamples: Bootstrap draws of subjects; one draw serves all models of a method.

    Returns:
        By part and method: balanced accuracy (``mean`` over models, standard deviation over ``folds`` and
        over ``seeds``, ``low`` and ``high`` of the 95 % bootstrap over subjects), precision, recall, F1 and
        AUC by class (mean over models), the confusion matrix (rows true, summed over models), the number of
        models and of scans.
    """
    if grades not in GRADES:
        raise InputError(f"grades is {grades}; it must be 2 or 3")
    summary: dict[str, Any] = {}
    for (part, method), rows in predictions.groupby(["part", "method"], sort=True):
        summary.setdefault(str(part), {})[str(method)] = _method(rows, grades, resamples)
    return summary


def _method(rows: pd.DataFrame, grades: int, resamples: int) -> dict[str, Any]:
    """Summarise one method on one part."""
    names = GRADES[grades]
    truth, verdict, score = _verdicts(rows, grades)
    models = rows.groupby(["seed", "fold"], sort=True).indices
    scores = {key: multiclass(truth[index], verdict[index], grades) for key, index in models.items()}
    balanced = pd.Series({key: value.balanced_accuracy for key, value in scores.items()})
    confusion = np.zeros((grades, grades), int)
    np.add.at(confusion, (truth, verdict), 1)
    classes = {}
    for k, name in enumerate(names):
        areas = [auc(truth[index] == k, score[index, k]) for index in models.values()]
        columns = {
            kind: [getattr(value, kind)[k] for value in scores.values()]
            for kind in ("precision", "recall", "f1")
        }
        classes[name] = {kind: _mean(values) for kind, values in {**columns, "auc": areas}.items()}
    low, high = _interval(rows, truth, verdict, grades, resamples)
    return {
        "balanced_accuracy": {
            "mean": float(balanced.mean()),
            "folds": _spread(balanced.groupby(level=1).mean()),
            "seeds": _spread(balanced.groupby(level=0).mean()),
            "low": low,
            "high": high,
        },
        "classes": classes,
        "confusion": confusion.tolist(),
        "models": len(models),
        "scans": int(rows["scan"].nunique()),
    }


def _verdicts(rows: pd.DataFrame, grades: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the true grade (n,), the predicted grade (n,) and the probability of each grade (n, grades)."""
    score = rows[list(STAGES)].to_numpy()
    truth, verdict = rows["stage"].to_numpy().astype(int), score.argmax(1)
    if grades == 3:
        return truth, verdict, score
    return np.minimum(truth, 1), np.minimum(verdict, 1), np.stack([score[:, 0], 1 - score[:, 0]], 1)


def _interval(
    rows: pd.DataFrame, truth: np.ndarray, verdict: np.ndarray, grades: int, resamples: int
) -> tuple[float, float]:
    """Return the 95 % interval of the mean balanced accuracy when subjects are drawn anew.

    A subject's predictions by all models are drawn together: eyes, repeats and models are not independent.
    """
    subjects = rows["subject"].factorize()[0]
    hits = np.zeros((subjects.max() + 1, grades))
    support = np.zeros_like(hits)
    np.add.at(hits, (subjects, truth), truth == verdict)
    np.add.at(support, (subjects, truth), 1)

    def balanced(index: np.ndarray) -> float:
        right, there = hits[index].sum(0), support[index].sum(0)
        return float((right[there > 0] / there[there > 0]).mean())

    cell = bootstrap(balanced, len(hits), resamples)
    return cell.low, cell.high


def _spread(values: pd.Series) -> float:
    """Return the standard deviation, 0 for a single value."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _mean(values: Sequence[float]) -> float | None:
    """Return the mean of the values that are defined, None if none is."""
    defined = [value for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined else None
