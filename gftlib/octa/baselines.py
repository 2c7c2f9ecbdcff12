"""Staging from biomarkers by scikit-learn, and by the majority (GFT, Table 2: "Biomarkers").

Every method has a list of settings; the validation split of a fold chooses among as many of them as the graph
network has candidates, so that no method is searched harder than another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gftlib.errors import InputError, did_you_mean
from gftlib.metrics.classification import multiclass
from gftlib.octa.folds import Fold, five_folds
from gftlib.octa.predictions import choose, prediction_rows
from gftlib.octa.staging import STAGES

# The first is the library's own default; the order is the order in which a larger budget tries them.
SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "random_forest": (
        {"n_estimators": 300},
        {"n_estimators": 300, "min_samples_leaf": 3},
        {"n_estimators": 300, "max_features": 0.5, "min_samples_leaf": 2},
        {"n_estimators": 300, "max_depth": 5},
    ),
    "svm": ({"C": 1.0}, {"C": 10.0, "gamma": 0.01}, {"C": 0.1}, {"C": 100.0, "gamma": 0.001}),
    "logistic": ({"C": 1.0}, {"C": 0.1}, {"C": 10.0}, {"C": 0.01}),
    "majority": ({},),
}


def classifier(method: str, settings: dict[str, Any], seed: int) -> ClassifierMixin:
    """Return an untrained classifier with balanced class weights.

    Raises:
        InputError: If there is no such method.
    """
    make: dict[str, Callable[[], ClassifierMixin]] = {
        "random_forest": lambda: RandomForestClassifier(
            class_weight="balanced", random_state=seed, **settings
        ),
        "svm": lambda: make_pipeline(StandardScaler(), SVC(class_weight="balanced", **settings)),
        "logistic": lambda: make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=5000, **settings)
        ),
        "majority": lambda: DummyClassifier(strategy="prior"),
    }
    if method not in make:
        raise InputError(f"no baseline {method!r}{did_you_mean(method, make)}")
    return make[method]()


def cross_validate_baseline(
    features: pd.DataFrame,
    scans: pd.DataFrame,
    method: str,
    *,
    budget: int = 1,
    seeds: Sequence[int] = (0, 1, 2),
    folds: Sequence[int] = (1, 2, 3, 4, 5),
    foreign: dict[str, tuple[pd.DataFrame, pd.DataFrame]] | None = None,
) -> pd.DataFrame:
    """Train and judge one baseline on the folds of the graph network.

    Args:
        features: One row a scan, one column a biomarker.
        scans: One row a scan: scan, subject, stage, split.
        method: ``random_forest``, ``svm``, ``logistic`` or ``majority``.
        budget: Settings tried; the validation split chooses. ``majority`` has one.
        seeds: Seeds; only the random forest depends on them, the others are repeated as they are.
        folds: Folds, named by their validation split.
        foreign: Further cohorts to judge by name: features and scans.

    Returns:
        Predictions of the validation split, the test split and the foreign cohorts.

    Raises:
        InputError: If a feature is not finite or rows do not correspond.
    """
    _check(features, scans)
    for other in (foreign or {}).values():
        _check(*other)
    x, y = features.to_numpy(), scans["stage"].to_numpy()
    tables = []
    for seed in seeds:
        for fold in five_folds(scans, folds):
            model, kept = _fit_fold(x, y, fold, method, budget, seed)
            cohorts = {"valid": (features.iloc[fold.valid], scans.iloc[fold.valid])}
            cohorts |= {"test": (features.iloc[fold.test], scans.iloc[fold.test])} | (foreign or {})
            for part, (columns, rows) in cohorts.items():
                values = _probabilities(model, columns[features.columns].to_numpy())
                tables.append(prediction_rows(rows, values, method, seed, fold.number, part, kept))
    return pd.concat(tables, ignore_index=True)


def _fit_fold(
    x: np.ndarray, y: np.ndarray, fold: Fold, method: str, budget: int, seed: int
) -> tuple[ClassifierMixin, int]:
    """Return the classifier whose settings the validation split prefers, and their number."""
    settings = SETTINGS.get(method, ({},))[:budget]
    models = [classifier(method, setting, seed).fit(x[fold.train], y[fold.train]) for setting in settings]
    verdicts = [_probabilities(model, x[fold.valid]).argmax(1) for model in models]
    kept = choose([multiclass(y[fold.valid], verdict, len(STAGES)).balanced_accuracy for verdict in verdicts])
    return models[kept], kept


def _probabilities(model: ClassifierMixin, x: np.ndarray) -> np.ndarray:
    """Return (n, 3); a stage that was not in training has probability 0.

    A support vector machine has no probabilities: the softmax of its one-against-rest decisions has the same
    order, and takes no second fit.
    """
    if hasattr(model, "predict_proba"):
        known = model.predict_proba(x)
    else:
        margin = np.atleast_2d(model.decision_function(x).T).T
        margin = np.hstack([-margin, margin]) if margin.shape[1] == 1 else margin
        known = np.exp(margin - margin.max(1, keepdims=True))
        known /= known.sum(1, keepdims=True)
    values = np.zeros((len(x), len(STAGES)))
    values[:, model.classes_.astype(int)] = known
    return values


def _check(features: pd.DataFrame, scans: pd.DataFrame) -> None:
    if len(features) != len(scans):
        raise InputError(f"{len(features)} rows of features and {len(scans)} of scans: they must correspond")
    if (bad := np.argwhere(~np.isfinite(features.to_numpy(float)))).size:
        row, column = bad[0]
        raise InputError(f"the biomarker {features.columns[column]!r} of row {row} is not finite")
