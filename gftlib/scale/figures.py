"""The figures of chapter 7: Figures 2 to 4 of SCALE, and what is measured around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gftlib import plots
from gftlib.datasets.class_concepts import ClassConceptData
from gftlib.scale.baselines import METHODS
from gftlib.scale.outputs import LEVELS

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


def samples_figure(data: ClassConceptData, count: int = 8) -> Figure:
    """Show images of the training pool, each with the combinations that it holds."""
    rows = np.flatnonzero(data.split != "test")[:count]
    columns = min(count, 4)
    with plots.style():
        figure, axes = plots.panels(-(-len(rows) // columns), columns, aspect=1.25)
        for panel in axes.flat[len(rows) :]:
            panel.set_axis_off()
        for panel, i in zip(axes.flat, rows, strict=False):
            plots.show_image(panel, data.image(int(i)), "\n".join(_held(data, int(i))))
            panel.title.set_fontsize(6)
    return figure


def protocol_figure(records: Sequence[dict[str, Any]], methods: Sequence[str] | None = None) -> Figure:
    """Draw Figure 2 or 3: four metrics at two levels over the share of the data, one line a method.

    Args:
        records: Of :func:`gftlib.scale.protocol.summarize`.
        methods: Those shown; None: all that have a colour.

    Returns:
        The figure: a row per level, a column per metric, error bars of one standard deviation.
    """
    table = pd.DataFrame(records)
    shown = [m for m in COLOURS if m in set(table["method"]) and (methods is None or m in methods)]
    fractions = sorted(set(table["fraction"]) - {0.0})
    with plots.style():
        figure, axes = plots.panels(2, len(TITLES), aspect=1.0)
        for row, level in zip(axes, LEVELS, strict=True):
            for panel, (metric, title) in zip(row, TITLES.items(), strict=True):
                for method in shown:
                    own = table[(table["method"] == method) & (table["level"] == level)]
                    _line(panel, own, metric, method, fractions)
                panel.set_title(f"{title}\n{LEVEL_NAMES[level]}", fontsize=8)
                panel.set_xscale("log")
                panel.set_xticks(fractions, [f"{100 * f:g}" for f in fractions])
                panel.minorticks_off()
        for panel in axes[-1]:
            panel.set_xlabel("training data, %")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    return figure


def ablation_figure(records: Sequence[dict[str, Any]], level: str = "combination") -> Figure:
    """Draw the macro F1 of SCALE beside its ablations over the share of the data."""
    table = pd.DataFrame(records)
    table = table[(table["level"] == level) & (table["fraction"] > 0)]
    shown = [m for m in METHODS if m.startswith("scale") or m == "info_nce"]
    with plots.style():
        figure, ((panel,),) = plots.panels(1, 1, aspect=0.45, width=6)
        for method in (m for m in shown if m in set(table["method"])):
            own = table[table["method"] == method].sort_values("fraction")
            style = {"color": COLOURS.get(method), "linestyle": "-" if method in COLOURS else "--"}
            panel.errorbar(
                own["fraction"], own["macro_f1"], own["macro_f1_std"], label=label(method), capsize=2, **style
            )
        panel.set_xscale("log")
        fractions = sorted(set(table["fraction"]))
        panel.set_xticks(fractions, [f"{100 * f:g}" for f in fractions])
        panel.minorticks_off()
        panel.set(xlabel="training data, %", ylabel=f"macro F1, {LEVEL_NAMES[level]}")
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


def lambda_figure(records: Sequence[dict[str, float]]) -> Figure:
    """Draw the grid of lambdas as a map of validation macro F1."""
    table = pd.DataFrame(records).pivot(index="lambda_1_2", columns="lambda_3_4", values="macro_f1")
    with plots.style():
        figure, ((panel,),) = plots.panels(1, 1, aspect=0.7, width=4.5)
        image = panel.imshow(table.to_numpy(), cmap="cividis", origin="lower", aspect="auto")
        panel.set_xticks(range(len(table.columns)), [f"{v:g}" for v in table.columns])
        panel.set_yticks(range(len(table.index)), [f"{v:g}" for v in table.index])
        panel.set(
            xlabel="$\\lambda_3=\\lambda_4$ (contrastive)", ylabel="$\\lambda_1=\\lambda_2$ (supervised)"
        )
        middle = table.to_numpy().mean()
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            colour = "black" if value > middle else "white"
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
        figure.colorbar(image, label="validation macro F1")
    return figure


def sensitivity_figure(records: Sequence[dict[str, Any]]) -> Figure:
    """Draw what each departure from a declared default changes, sorted by size."""
    table = pd.DataFrame(records[1:]).sort_values("difference")
    with plots.style():
        figure, ((panel,),) = plots.panels(1, 1, aspect=0.022 * len(table) + 0.15, width=6)
        panel.axvline(0, color=plots.COLOURS["neutral"], linewidth=1)
        panel.errorbar(
            table["difference"],
            range(len(table)),
            xerr=table["difference_std"],
            fmt="o",
            color=COLOURS["scale"],
            markersize=4,
            linewidth=1,
        )
        panel.set_yticks(range(len(table)), table["change"], fontsize=7)
        panel.set_xlabel("change in validation macro F1 (mean of both levels)")
    return figure


def imbalance_figure(records: Sequence[dict[str, Any]]) -> Figure:
    """Draw validation macro F1 against the ratio of the commonest to the rarest combination."""
    table = pd.DataFrame(records)
    with plots.style():
        figure, ((panel,),) = plots.panels(1, 1, aspect=0.55, width=5)
        for method, own in table.groupby("method", sort=False):
            panel.errorbar(
                own["imbalance"],
                own["macro_f1"],
                own["macro_f1_std"],
                color=COLOURS.get(str(method)),
                label=label(str(method)),
                marker="o",
                capsize=2,
            )
        panel.set_xscale("log")
        panel.set(xlabel="samples of the commonest combination over the rarest", ylabel="macro F1")
        panel.legend(fontsize=8)
    return figure


def clusters_figure(found: dict[str, Any]) -> Figure:
    """Draw Figure 4: t-SNE of report sentences before and after, coloured by combination.

    Args:
        found: Of :func:`gftlib.scale.knowledge.text_clusters`.
    """
    models = [name for name in found if name != "combination"]
    names = list(dict.fromkeys(found["combination"]))
    colours = list(plots.LESIONS.values())
    with plots.style():
        figure, (row,) = plots.panels(1, len(models), width=3.4 * len(models))
        for panel, model in zip(row, models, strict=True):
            points = np.array(found[model]["points"])
            for i, name in enumerate(names):
                mine = np.array([c == name for c in found["combination"]])
                panel.scatter(*points[mine].T, s=14, color=colours[i % len(colours)], label=name)
            panel.set(xticks=[], yticks=[])
            panel.set_title(f"{model}, silhouette {found[model]['silhouette']:.2f}", fontsize=9)
        handles, labels = row[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _line(panel: Any, own: pd.DataFrame, metric: str, method: str, fractions: list[float]) -> None:
    values = own[own[metric].notna()].sort_values("fraction")
    style = {"color": COLOURS[method], "label": label(method)}
    if values.empty:
        return
    if (values["fraction"] == 0).all():
        panel.plot(fractions, [values[metric].iloc[0]] * len(fractions), linestyle=":", **style)
        return
    line = "--" if method == "linear_probe_weighted" else "-"
    panel.errorbar(
        values["fraction"], values[metric], values[f"{metric}_std"], linestyle=line, capsize=2, **style
    )


def _held(data: ClassConceptData, i: int) -> list[str]:
    return [data.task.combinations[h].concept for h in np.flatnonzero(data.labels[i])][:7]
