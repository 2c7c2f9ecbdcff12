"""The figures of chapter 3 beside the heatmaps: lift over controls, deletion and insertion."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gftlib import plots
from gftlib.octa.attribution_study import IMPORTANCES, TRAINED
from gftlib.octa.lesion_scores import ANY

LOOKS = dict(zip(IMPORTANCES, (("vessel", "o"), ("npdr", "s"), ("ica", "D"), ("neutral", "^")), strict=True))


def lift_figure(lesions: dict[str, Any], about: str) -> Figure:
    """Show pointing game and AUROC by kind of lesion, every importance in one row.

    Args:
        lesions: One group of what :func:`gftlib.octa.attribution_study.headline` gives; empty without any.
        about: Which run this is; says that phantoms are shown.

    Returns:
        The figure; where nothing was scored, as on real scans, it says so.
    """
    if not lesions:
        with plots.style():
            figure, axes = plots.panels(1, 1, aspect=0.2)
            axes[0, 0].text(0, 0.5, "real scans have no exact lesions: nothing is scored")
            axes[0, 0].set_axis_off()
        return figure
    kinds = [ANY, *(kind for kind in lesions[TRAINED] if kind != ANY)]
    with plots.style():
        figure, axes = plots.panels(1, 2, aspect=0.45 + 0.06 * len(kinds))
        for ax, score, title in zip(axes[0], ("pointing", "auroc"), ("pointing game", "AUROC"), strict=True):
            for y, kind in enumerate(kinds):
                ax.axhline(y, color="0.92", linewidth=1, zorder=0)
                chance = lesions[TRAINED][kind]["chance"] if score == "pointing" else 0.5
                ax.plot([chance, chance], [y - 0.35, y + 0.35], color="0.4", linewidth=1.2)
                for name, (colour, marker) in LOOKS.items():
                    value = lesions[name][kind][score]
                    ax.plot(value, y, marker, color=plots.COLOURS[colour], markersize=5, label=name)
            ax.set(xlim=(-0.02, 1.02), ylim=(len(kinds) - 0.5, -0.5), xlabel=title)
            scans = [lesions[TRAINED][kind]["scans"] for kind in kinds]
            labels = [f"{kind} ({n})" for kind, n in zip(kinds, scans, strict=True)]
            ax.set_yticks(range(len(kinds)), labels if score == "pointing" else [])
        handles, labels = axes[0, 0].get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2, fontsize=8)
        figure.suptitle(about, fontsize=9)
    return figure


def curves_figure(curves: pd.DataFrame, about: str) -> Figure:
    """Show the predicted stage's probability while nodes go or come, the most important first.

    Args:
        curves: What :func:`gftlib.octa.attribution_study.faithfulness` gives.
        about: Which run this is; says that phantoms are shown.
    """
    colours = {name: plots.COLOURS[colour] for name, (colour, _) in LOOKS.items()} | {"random": "black"}
    with plots.style():
        figure, axes = plots.panels(1, 2, aspect=0.7)
        for ax, kind in zip(axes[0], ("deletion", "insertion"), strict=True):
            for name, rows in curves.groupby("ranking", sort=False):
                ax.plot(100 * rows["share"], rows[kind], color=colours[name], label=name)
            ax.set_xscale("symlog", linthresh=1)
            ax.set(xlabel="nodes gone (%)" if kind == "deletion" else "nodes there (%)", ylim=(0, 1))
            ax.set_title(kind, fontsize=9)
        axes[0, 0].set_ylabel("probability of the predicted stage")
        axes[0, 0].legend(fontsize=8)
        figure.suptitle(about, fontsize=9)
    return figure
