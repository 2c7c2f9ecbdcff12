"""The figures of chapter 2: balanced accuracies with their intervals, and confusion matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gftlib import plots
from gftlib.octa.staging import STAGES
from gftlib.octa.staging_study import METHODS, PAPER, PARTS, confusions


def accuracies_figure(summary: dict[str, Any], about: str) -> Figure:
    """Show the balanced accuracy of every method on every part.

    Args:
        summary: What :func:`gftlib.octa.staging_study.headline` gives.
        about: Which run this is; says that phantoms are shown.

    Returns:
        One panel a part; a dot is the mean over models, a bar the 95 % interval over subjects, a line chance.
    """
    parts = [part for part in PARTS if part in summary]
    names = [method for method in METHODS if any(method in summary[part] for part in parts)]
    with plots.style():
        figure, axes = plots.panels(1, len(parts), aspect=0.25 + 0.16 * len(parts))
        for column, part in enumerate(parts):
            ax = axes[0, column]
            for y, method in enumerate(names):
                numbers = summary[part].get(method)
                if numbers is None:
                    continue
                colour = plots.COLOURS["vessel" if method == "gnn" else "neutral"]
                ax.plot([numbers["low"], numbers["high"]], [y, y], color=colour)
                ax.plot(numbers["mean"], y, "o", color=colour)
                paper = PAPER.get(method, {}).get(part)
                if paper is not None:
                    ax.plot(paper, y, "D", color="none", markeredgecolor=colour, label="paper, its own data")
            ax.axvline(1 / 2 if "OCTA-500" in part else 1 / 3, color="0.6", linewidth=1, linestyle=":")
            ax.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.5, -0.5), xlabel="balanced accuracy")
            ax.set_title(PARTS[part], fontsize=9)
            ax.set_yticks(range(len(names)), [METHODS[name] for name in names] if column == 0 else [])
        if axes[0, 0].get_legend_handles_labels()[0]:
            handles, labels = axes[0, 0].get_legend_handles_labels()
            figure.legend(handles[:1], labels[:1], fontsize=8, loc="outside lower center")
        figure.suptitle(about, fontsize=9)
    return figure


def confusion_figure(predictions: pd.DataFrame, about: str, part: str = "test") -> Figure:
    """Show, for each method but the majority, what each true stage was taken for, in per cent."""
    found = {name: matrix for name, matrix in confusions(predictions, part).items() if name != "majority"}
    found = {name: found[name] for name in METHODS.values() if name in found}
    with plots.style():
        figure, axes = plots.panels(1, len(found), aspect=1.25)
        for column, (name, matrix) in enumerate(found.items()):
            ax = axes[0, column]
            ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
            for row, taken in np.ndindex(matrix.shape):
                value = matrix[row, taken]
                colour = "white" if value > 0.55 else "black"
                ax.text(taken, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=8)
            ax.set_title(name.replace(", ", ",\n"), fontsize=8)
            ax.set_xticks(range(3), STAGES, fontsize=7)
            ax.set_yticks(range(3), STAGES if column == 0 else [], fontsize=7)
        axes[0, 0].set_ylabel("true stage")
        figure.supxlabel(f"taken for (% of the true stage); {about}", fontsize=9)
    return figure
