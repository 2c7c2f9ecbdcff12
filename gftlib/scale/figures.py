"""The figures of chapter 7: Figures 2 to 4 of SCALE, and what is measured around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gftlib import plots
from gftlib.results import beside
from gftlib.scale import predictions, tables
from gftlib.scale.baselines import METHODS
from gftlib.scale.outputs import LEVELS
from gftlib.scale.shown import NOTEBOOK, Shown
from gftlib.scale.study import Study

COLOURS = {
    "zero_shot_clip": "#999999",
    "zero_shot": "#666666",
    "linear_probe": "#009E73",
    "linear_probe_weighted": "#56B4E9",
    "coop": "#E69F00",
    "clip_adapter": "#CC79A7",
    "info_nce": "#0072B2",
    "lora": "#AA4499",
    "full": "#882255",
    "scale": "#D55E00",
}
TITLES = {"accuracy": "mean accuracy", "macro_recall": "macro recall", "macro_f1": "macro F1", "auc": "AUC"}
LEVEL_NAMES = {"class": "class level", "combination": "class-concept level"}


def label(method: str) -> str:
    """Return a method's name in words."""
    return "zero-shot, CLIP" if method == "zero_shot_clip" else METHODS[method].label


def sheets_figure(studies: Mapping[str, Study]) -> Figure:
    """Show training images of each use case, a row each, with the combinations that they hold."""
    columns = max(len(study.sheet) for study in studies.values())
    with plots.style():
        figure, axes = plots.panels(len(studies), columns, aspect=1.3)
        for row, study in zip(axes, studies.values(), strict=True):
            for panel in row[len(study.sheet) :]:
                panel.set_axis_off()
            for panel, (image, held) in zip(row, study.sheet, strict=False):
                plots.show_image(panel, image, "\n".join(held[:7]))
                panel.title.set_fontsize(6)
    return figure


def criteria_table(own: Path, profile: str) -> pd.DataFrame:
    """Return macro F1 of each method on each criterion of the skin, at class-concept level with all data.

    Args:
        own: Folder of the page's own run.
        profile: Of the page; where it shows a published run, so does the table.
    """
    full = beside(NOTEBOOK, profile)
    cells = predictions.read((full.folder if full else own) / "predictions.npz")
    table = tables.per_group(cells.get("monet", []))
    words = {group: group.replace("_", " ") for group in table.index}
    return table.rename(index=words, columns=label).T.rename_axis(index=None, columns=None).round(2)


def protocol_figure(one: Shown | None) -> Figure | None:
    """Draw Figure 2 or 3: four metrics at two levels over the share of the data, one line a method.

    Args:
        one: Of :func:`gftlib.scale.shown.shown`; None: the use case was not run, and there is no figure.

    Returns:
        The figure: a row per level, a column per metric, error bars of one standard deviation; rings are the
        page's own run, where the lines are another's.
    """
    if one is None:
        return None
    table, beside = pd.DataFrame(one.records), pd.DataFrame(one.beside)
    shown = [m for m in COLOURS if m in set(table["method"])]
    fractions = sorted(set(table["fraction"]) - {0.0})
    with plots.style():
        figure, axes = plots.panels(2, len(TITLES), aspect=1.0)
        for row, level in zip(axes, LEVELS, strict=True):
            for panel, (metric, title) in zip(row, TITLES.items(), strict=True):
                for method in shown:
                    own = table[(table["method"] == method) & (table["level"] == level)]
                    _line(panel, own, metric, method, fractions)
                    if len(beside):
                        mine = beside[(beside["method"] == method) & (beside["level"] == level)]
                        ring = {"markerfacecolor": "none", "markersize": 4, "color": COLOURS[method]}
                        trained = mine[mine["fraction"] > 0]
                        panel.plot(trained["fraction"], trained[metric], "o", **ring)
                panel.set_title(f"{title}\n{LEVEL_NAMES[level]}", fontsize=8)
                panel.set_xscale("log")
                panel.set_xticks(fractions, [f"{100 * f:g}" for f in fractions])
                panel.minorticks_off()
        for panel in axes[-1]:
            panel.set_xlabel("training data, %")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, title=one.source)
    return figure


def choices_figure(found: Mapping[str, Shown]) -> Figure:
    """Draw for each use case the ablation of SCALE's terms, the grid of lambdas, and the imbalance sweep."""
    with plots.style():
        figure, axes = plots.panels(len(found), 3, aspect=1.0)
        for (ablation, grid, sweep), (name, one) in zip(axes, found.items(), strict=True):
            _ablation(ablation, one.records)
            _lambdas(grid, one.measured["lambdas"])
            _imbalance(sweep, one.measured["imbalance"])
            ablation.set_ylabel(f"{tables.USE_CASES[name]}\nmacro F1, test")
        for panel, title in zip(axes[0], ("terms left out", "$\\lambda$ grid", "imbalance"), strict=True):
            panel.set_title(title, fontsize=9)
        axes[0, 0].legend(fontsize=6)
        axes[0, 2].legend(fontsize=6)
        figure.supxlabel(next(iter(found.values())).source, fontsize=8)
    return figure


def clusters_figure(one: Shown | None) -> Figure | None:
    """Draw Figure 4: t-SNE of report sentences before and after, coloured by combination.

    Args:
        one: The use case with sentences; None, or without clusters: there is no figure.
    """
    if one is None or not one.measured["clusters"]:
        return None
    found = one.measured["clusters"]
    models = [name for name in found if name != "combination"]
    names = sorted(set(found["combination"]))
    colours = list(plots.LESIONS.values())
    with plots.style():
        figure, (row,) = plots.panels(1, len(models), width=3.4 * len(models))
        for panel, model in zip(row, sorted(models, reverse=True), strict=True):
            points = np.array(found[model]["points"])
            for i, name in enumerate(names):
                mine = np.array([c == name for c in found["combination"]])
                panel.scatter(*points[mine].T, s=14, color=colours[i % len(colours)], label=name)
            panel.set(xticks=[], yticks=[])
            panel.set_title(f"{model}, silhouette {found[model]['silhouette']:.2f}", fontsize=9)
        handles, labels = row[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7, title=one.source)
    return figure


def _ablation(panel: Axes, records: Sequence[dict[str, Any]]) -> None:
    table = pd.DataFrame(records)
    table = table[(table["level"] == "combination") & (table["fraction"] > 0)]
    fractions = sorted(set(table["fraction"][table["method"].str.startswith("scale_")]))
    for method in (m for m in METHODS if m.startswith("scale") and m in set(table["method"])):
        own = table[(table["method"] == method) & table["fraction"].isin(fractions)].sort_values("fraction")
        style = {"color": COLOURS.get(method), "linestyle": "-" if method in COLOURS else "--", "marker": "."}
        bars = own["macro_f1_std"].astype(float)
        panel.errorbar(own["fraction"], own["macro_f1"], bars, label=label(method), capsize=2, **style)
    panel.set_xscale("log")
    panel.set_xticks(fractions, [f"{100 * f:g}" for f in fractions])
    panel.minorticks_off()
    panel.set_xlabel("training data, %", fontsize=8)


def _lambdas(panel: Axes, records: Sequence[dict[str, float]]) -> None:
    table = pd.DataFrame(records).pivot(index="lambda_1_2", columns="lambda_3_4", values="macro_f1")
    values = table.to_numpy()
    panel.imshow(values, cmap="cividis", origin="lower", aspect="auto")
    panel.set_xticks(range(len(table.columns)), [f"{v:g}" for v in table.columns])
    panel.set_yticks(range(len(table.index)), [f"{v:g}" for v in table.index])
    panel.set_xlabel("$\\lambda_3=\\lambda_4$ (contrastive)", fontsize=8)
    panel.set_ylabel("$\\lambda_1=\\lambda_2$ (supervised)", fontsize=8)
    middle = (values.min() + values.max()) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value > middle else "white"
        panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=colour)


def _imbalance(panel: Axes, records: Sequence[dict[str, Any]]) -> None:
    for method, own in pd.DataFrame(records).groupby("method", sort=False):
        style = {"color": COLOURS.get(str(method)), "label": label(str(method)), "marker": "."}
        bars = own["macro_f1_std"].astype(float)  # None, of a single draw, becomes NaN: no bar
        panel.errorbar(100 * own["kept"], own["macro_f1"], bars, capsize=2, **style)
    panel.invert_xaxis()
    panel.set_xlabel("samples with rare combinations kept, %", fontsize=8)
    panel.set_ylabel("macro F1, validation", fontsize=8)


def _line(panel: Any, own: pd.DataFrame, metric: str, method: str, fractions: list[float]) -> None:
    values = own[own[metric].notna()].sort_values("fraction")
    style = {"color": COLOURS[method], "label": label(method)}
    if values.empty:
        return
    if (values["fraction"] == 0).all():
        panel.plot(fractions, [values[metric].iloc[0]] * len(fractions), linestyle=":", **style)
        return
    line = "--" if method == "linear_probe_weighted" else "-"
    bars = values[f"{metric}_std"].astype(float)
    panel.errorbar(values["fraction"], values[metric], bars, linestyle=line, capsize=2, **style)
