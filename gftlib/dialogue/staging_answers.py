"""Stages in the answers of students, scored (GFT, Table 1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.dialogue.lessons import ARMS, FIRST_ALONE
from gftlib.errors import InputError
from gftlib.metrics.classification import Scores
from gftlib.octa.table_rows import STAGES
from gftlib.vlm.labels import compare_rules, label_scores

COLUMNS = ("student", "arm", "seed", "scan", "stage", "answer")
"""Of answers; ``fold`` may stand among them, and is 1 where it does not."""


def read_answers(predictions: Path | pd.DataFrame) -> pd.DataFrame:
    """Return answers, from a CSV file if a path is given.

    Raises:
        InputError: If a column is missing.
    """
    if not isinstance(predictions, pd.DataFrame):
        predictions = pd.read_csv(predictions, keep_default_na=False)
    if missing := [name for name in COLUMNS if name not in predictions]:
        raise InputError(f"answers on stages need the column {missing[0]!r}")
    return predictions if "fold" in predictions else predictions.assign(fold=1)


def headline(predictions: Path | pd.DataFrame) -> dict[str, Any]:
    """Score the stages that students gave, one entry a (student, arm).

    Args:
        predictions: Columns of `COLUMNS`, one row an answer.

    Returns:
        ``<student>/<arm>`` -> ``balanced_accuracy`` of each fold and seed, ``mean``, precision and recall of
        each stage (means over them), the share of answers without a stage, ``pooled``: the mean balanced
        accuracy of healthy against diabetic retinopathy, as on OCTA-500 (GFT, section 3), and ``first_rule``:
        that of three stages if the first stage named counts, as in the paper's public code.

    Raises:
        InputError: If a column is missing.
    """
    found: dict[str, Any] = {}
    for key, parts in _runs(predictions):
        runs = [compare_rules(*_told(part)) for part in parts]
        scores = [run.negation.scores for run in runs]
        entry: dict[str, Any] = {
            "balanced_accuracy": [round(score.balanced_accuracy, 4) for score in scores],
            "mean": round(float(np.mean([score.balanced_accuracy for score in scores])), 4),
            "pooled": round(float(np.mean([_pooled(part).balanced_accuracy for part in parts])), 4),
            "first_rule": round(float(np.mean([run.first.scores.balanced_accuracy for run in runs])), 4),
            "unparsable": round(sum(run.negation.unparsable for run in runs) / sum(map(len, parts)), 4),
            "scans": len({scan for part in parts for scan in part["scan"]}),
        }
        for name in ("precision", "recall"):
            means = np.mean([getattr(score, name)[: len(STAGES)] for score in scores], axis=0)
            entry[name] = {
                stage: round(float(value), 4)
                for stage, value in zip(STAGES, means, strict=True)
                if np.isfinite(value)
            }
        found[key] = entry
    return found


def two_grades(predictions: Path | pd.DataFrame) -> dict[str, dict[str, float]]:
    """Score answers on a cohort of two grades, healthy (0) against diabetic retinopathy (1; GFT, Table 2).

    Args:
        predictions: As `headline`.

    Returns:
        ``<student>/<arm>`` -> ``balanced accuracy``, ``F1 healthy`` and ``F1 DR``, means over folds and
        seeds; what is undefined is left out.
    """
    found = {}
    for key, parts in _runs(predictions):
        each = [(one.balanced_accuracy, *one.f1[:2]) for one in map(_pooled, parts)]
        names = ("balanced accuracy", "F1 healthy", "F1 DR")
        means = zip(names, np.mean(each, axis=0), strict=True)
        found[key] = {name: round(float(v), 4) for name, v in means if np.isfinite(v)}
    return found


def table(scores: dict[str, Any]) -> pd.DataFrame:
    """Return `headline` as the paper's Table 1: one row a (tuning, student), after each stage of tuning."""
    rows: list[dict[str, str]] = []
    for key, entry in scores.items():
        student, _, arm = key.rpartition("/")
        each = entry["balanced_accuracy"]
        spread = f" ± {np.std(each, ddof=1):.3f}" if len(each) > 1 else ""
        row = {"tuning": arm, "model": student, "balanced accuracy": f"{entry['mean']:.3f}{spread}"}
        for stage in STAGES:
            for name in ("precision", "recall"):
                value = entry[name].get(stage)
                row[f"{name} {stage}"] = "–" if value is None else f"{value:.3f}"
        row["healthy against DR"] = f"{entry['pooled']:.3f}"
        row["no stage given"] = f"{entry['unparsable']:.1%}"
        row["first stage named counts"] = f"{entry['first_rule']:.3f}"
        rows.append(row)
    order = [arm + when for arm in ARMS for when in (FIRST_ALONE, "")]
    rows.sort(key=lambda row: order.index(row["tuning"]))
    return pd.DataFrame(rows, columns=None if rows else ["tuning", "model"]).set_index(["tuning", "model"])


def _runs(predictions: Path | pd.DataFrame) -> Iterator[tuple[str, list[pd.DataFrame]]]:
    """Yield ``<student>/<arm>`` and the answers of each of its folds and seeds."""
    for (student, arm), rows in read_answers(predictions).groupby(["student", "arm"], sort=False):
        yield f"{student}/{arm}", [part for _, part in rows.groupby(["fold", "seed"])]


def _told(rows: pd.DataFrame) -> tuple[list[int], list[str]]:
    return rows["stage"].tolist(), rows["answer"].tolist()


def _pooled(rows: pd.DataFrame) -> Scores:
    return label_scores(*_told(rows), pooled=True).scores
