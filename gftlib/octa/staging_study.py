"""Who stages better, and does it hold elsewhere? Every method on the same folds (GFT, section 4).

The graph network, biomarkers with three classifiers, a residual network on the raw scan, and the majority are
trained on the same folds with the same search budget, and judged on the split that no one has seen and on
cohorts that no one was trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from gftlib.octa.baselines import cross_validate_baseline
from gftlib.octa.batches import Normalizer
from gftlib.octa.predictions import GRADES, read_predictions, summarise
from gftlib.octa.resnet import ResNetConfig, cross_validate_resnet
from gftlib.octa.staging import StagingConfig, preset
from gftlib.octa.staging_cohorts import FOUND, REAL, SHIFTED, Cohort
from gftlib.octa.training import cross_validate
from gftlib.results import beside
from gftlib.sections import Staging

METHODS = {
    "gnn": "graph network",
    "resnet18": "ResNet-18",
    "random_forest": "biomarkers, random forest",
    "svm": "biomarkers, support vectors",
    "logistic": "biomarkers, logistic regression",
    "majority": "majority",
}
OWN = ", own z-score"
PARTS = {
    "test": "unseen split",
    FOUND: "its masks found, not given",
    SHIFTED: "other device, masks found",
    REAL: "OCTA-500, healthy against DR",
}
# Balanced accuracies of the paper: its own set (section 4.1), OCTA-500 (Table 2). Its biomarkers had a random
# forest or another classifier, which it does not say: the figure stands beside each.
PAPER = {"gnn": {"test": 0.689, REAL: 0.893}, "resnet18": {REAL: 0.586}} | {
    name: {REAL: 0.821} for name in ("random_forest", "svm", "logistic")
}


def run_methods(
    cohort: Cohort,
    foreign: dict[str, Cohort],
    settings: Staging,
    folder: Path,
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> pd.DataFrame:
    """Train and judge every method; what is finished in ``folder`` is not repeated.

    Args:
        cohort: Six splits, see :mod:`gftlib.octa.folds`.
        foreign: Cohorts to judge only, by name. The graph network meets them twice: with the z-score of its
            training fold, and with their own robust one, as its public code does; the latter needs all
            scans of the cohort at once.
        settings: Presets, seeds, folds, epochs.
        folder: Gets the networks: ``<preset>/seed<s>/fold<f>/candidate<c>``.
        workers: Networks trained at once.
        progress: Called with (method, done, total).

    Returns:
        Predictions (see :mod:`gftlib.octa.predictions`).
    """
    # A fresh process needs seconds to start: small cohorts are done sooner without.
    workers = workers if len(cohort.rows) > 200 else 1
    folds, device = settings.folds, settings.device
    seeds = range(settings.seeds)

    def told(method: str) -> Callable[[int, int], None] | None:
        return (lambda done, total: progress(method, done, total)) if progress else None

    graphs = {name: (other.graphs, other.rows) for name, other in foreign.items()}
    normalizers = {
        f"{name}{OWN}": Normalizer.fit(other.graphs, robust=True) for name, other in foreign.items()
    }
    graphs |= {name + OWN: pair for name, pair in graphs.items()}
    tables = [
        cross_validate(
            cohort.graphs,
            cohort.rows,
            [_short(preset(name), settings.epochs) for name in settings.presets],
            folder / "gnn",
            seeds=seeds,
            folds=folds,
            foreign=graphs,
            normalizers=normalizers,
            device=device,
            workers=workers,
            progress=told("gnn"),
        )
    ]
    budget = len(settings.presets)
    features = {name: (other.features, other.rows) for name, other in foreign.items()}
    for method in ("random_forest", "svm", "logistic", "majority"):
        tables.append(
            cross_validate_baseline(
                cohort.features,
                cohort.rows,
                method,
                budget=budget,
                seeds=seeds,
                folds=folds,
                foreign=features,
            )
        )
    if settings.resnet_epochs:
        config = ResNetConfig(size=settings.resnet_size)
        recipe = config.recipe.shortened(settings.resnet_epochs, usual=config.recipe.epochs)
        tables.append(
            cross_validate_resnet(
                cohort.images,
                cohort.rows,
                dataclasses.replace(config, recipe=recipe),
                folder / "resnet18",
                budget=budget,
                seeds=range(settings.resnet_seeds),
                folds=settings.resnet_folds,
                foreign={name: (other.images, other.rows) for name, other in foreign.items()},
                device=device,
                workers=workers,
                progress=told("resnet18"),
            )
        )
    return pd.concat(tables, ignore_index=True)


def _short(config: StagingConfig, epochs: int) -> StagingConfig:
    return dataclasses.replace(config, recipe=config.recipe.shortened(epochs))


def headline(path: Path) -> dict[str, Any]:
    """Return balanced accuracy by part and method with its spread and interval, from ``predictions.csv``."""
    table = read_predictions(path)
    real = table["part"].str.startswith(REAL)
    found = summarise(table[~real])
    if real.any():
        found |= summarise(table[real], grades=2)
    return {
        part: {method: numbers["balanced_accuracy"] for method, numbers in methods.items()}
        for part, methods in found.items()
    }


def balanced_accuracy_table(summary: dict[str, Any], full: dict[str, Any] | None = None) -> Styler:
    """Put balanced accuracies beside the paper's: one row a part and method.

    Args:
        summary: What `headline` gives for this run.
        full: The same of the published full-size run.

    Returns:
        Mean over models with the 95 % interval over subjects, and the paper's figure where its text has one.
    """
    rows = []
    for part, title in PARTS.items():
        for method, name in METHODS.items():
            runs = {"published run": (full or {}), "this run": summary}
            for suffix, note in (("", ""), (OWN, OWN)):
                cells = {run: _cell(found.get(part + suffix, {}).get(method)) for run, found in runs.items()}
                if any(cells.values()):
                    paper = PAPER.get(method, {}).get(part) if not suffix else None
                    rows.append(
                        {"judged on": title, "method": name + note}
                        | cells
                        | {"paper, its own data": "" if paper is None else f"{paper:.3f}"}
                    )
    table = pd.DataFrame(rows).set_index(["judged on", "method"])
    return table.loc[:, (table != "").any()].style.format(escape="html")


def class_table(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Return one row a method on one part: spread of balanced accuracy, and scores by stage, model means.

    OCTA-500 has two stages, healthy and diseased (GFT, Table 2). A part that was not judged has no rows. The
    standard deviations are those of the means of folds (over seeds) and of seeds (over folds).
    """
    rows, judged = {}, predictions[predictions["part"] == part]
    if judged.empty:
        return pd.DataFrame()
    grades = 2 if part.startswith(REAL) else 3
    for method, numbers in summarise(judged, grades, resamples=2)[part].items():
        spread = numbers["balanced_accuracy"]
        rows[METHODS[method]] = {
            ("balanced accuracy", "mean"): spread["mean"],
            ("balanced accuracy", "sd of folds"): spread["folds"],
            ("balanced accuracy", "sd of seeds"): spread["seeds"],
        } | {
            (stage, kind): value
            for stage in GRADES[grades]
            for kind, value in numbers["classes"][stage].items()
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table.reindex([name for name in METHODS.values() if name in table.index]).round(3)


def class_tables(predictions: pd.DataFrame) -> str:
    """Return `class_table` of the unseen split and, where it was judged, of OCTA-500, as HTML."""
    parts = [part for part in ("test", REAL) if (predictions["part"] == part).any()]
    tables = [class_table(predictions, part).style.format(precision=3) for part in parts]
    return "".join(
        table.set_caption(PARTS[part]).to_html() for part, table in zip(parts, tables, strict=True)
    )


def confusions(predictions: pd.DataFrame, part: str = "test") -> dict[str, np.ndarray]:
    """Return the confusion matrix of each method on one part, rows true, as shares of the true stage."""
    found = {}
    for method, numbers in summarise(predictions[predictions["part"] == part], resamples=2)[part].items():
        matrix = np.array(numbers["confusion"], float)
        found[METHODS[method]] = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    return found


def _cell(numbers: dict[str, float] | None) -> str:
    return f"{numbers['mean']:.3f} [{numbers['low']:.3f}, {numbers['high']:.3f}]" if numbers else ""


def published_summary(profile: str) -> dict[str, Any]:
    """Return what `headline` gave for the full-size run beside a page's own; empty without one."""
    full = beside("02_staging", profile)
    return full.results["balanced_accuracy"] if full else {}


def larger(summary: dict[str, Any], full: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the published summary if there is one, else that of this run, and what it is."""
    return (full, "published run, phantoms") if full else (summary, "this run")
