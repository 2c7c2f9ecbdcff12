"""The figures of chapters 5 and 6: losses, stages, explanations of students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gftlib import plots
from gftlib.dialogue.lessons import ARMS, FIRST_ALONE

COLOURS = plots.COLOURS | {"few": "#56B4E9", "frozen": "#8C6BB1"}
LOOKS = dict(
    zip(
        ARMS,
        (
            ("neutral", "^"),
            ("vessel", "s"),
            ("pdr", "o"),
            ("frozen", "<"),
            ("npdr", "v"),
            ("ica", "D"),
            ("few", "P"),
            ("healthy", "X"),
        ),
        strict=True,
    )
)
"""Colour and marker of each arm."""


def loss_figure(losses: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Show the loss of each step, one panel a student.

    Args:
        losses: Student -> arm -> losses of its stages, one after the other, of its first seed.
    """
    with plots.style():
        figure, axes = plots.panels(1, len(losses), aspect=0.7 if len(losses) > 1 else 0.4)
        for ax, (student, arms) in zip(axes[0], losses.items(), strict=True):
            for arm, values in arms.items():
                width = max(1, len(values) // 40)
                smooth = pd.Series(values).rolling(width, min_periods=1).mean()
                ax.plot(np.arange(1, len(values) + 1), smooth, color=COLOURS[LOOKS[arm][0]], label=arm)
            ax.set(xlabel="step", ylabel="loss per token", title=student, yscale="log")
            ax.legend(fontsize=8)
    return figure


def staging_figure(scores: Mapping[str, Any], reference: Mapping[str, float], about: str) -> Figure:
    """Show the balanced accuracy of every student, a dot a seed and fold, beside lines for other methods.

    Hollow dots are of stage 1 alone.

    Args:
        scores: What `gftlib.dialogue.staging_answers.headline` gives.
        reference: Balanced accuracy of other methods.
        about: Which run this is.
    """
    students = list(dict.fromkeys(key.rpartition("/")[0] for key in scores))
    with plots.style():
        figure, axes = plots.panels(1, 1, aspect=0.2 + 0.14 * len(students))
        ax = axes[0, 0]
        for y, student in enumerate(students):
            for k, arm in enumerate(ARMS):
                if (entry := scores.get(f"{student}/{arm}")) is None:
                    continue
                colour, marker = LOOKS[arm]
                height = y + 0.13 * (k - (len(ARMS) - 1) / 2)
                each = entry["balanced_accuracy"]
                ax.plot(each, [height] * len(each), marker, color=COLOURS[colour], markersize=5)
                tick = [height - 0.06, height + 0.06]
                ax.plot([entry["mean"]] * 2, tick, color=COLOURS[colour], label=arm)
                early = scores.get(f"{student}/{arm}{FIRST_ALONE}", {}).get("balanced_accuracy", [])
                hollow = {"markerfacecolor": "none", "color": COLOURS[colour], "markersize": 5}
                ax.plot(early, [height] * len(early), marker, **hollow)
        for (name, value), side in zip(reference.items(), ("right", "left"), strict=False):
            ax.axvline(value, color="0.4", linewidth=1, linestyle="--")
            text = f"{name} " if side == "right" else f" {name}"
            ax.annotate(text, (value, len(students) - 0.45), fontsize=7, ha=side, color="0.3")
        ax.set_yticks(range(len(students)), students)
        ax.set(xlabel="balanced accuracy", xlim=(0, 1), ylim=(len(students) - 0.4, -0.6), title=about)
        handles, labels = ax.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=len(ARMS), fontsize=8)
    return figure


def explanation_figure(scores: Mapping[str, float], ceiling: Mapping[str, float], about: str) -> Figure:
    """Show what students explain rightly: F1 of (kind, quadrant) and recall of boxes, with the table's.

    Args:
        scores: Flat numbers ``<way>/<student>/<arm>/<seed>/<scope>/<score>``; the way ``asked`` is shown.
        ceiling: The same of the table, ``<scope>/<score>``.
        about: Which run this is.
    """
    panels = {"kinds/f1": "F1 of kind and quadrant", "FAZ/box_recall": "FAZ boxes found"}
    panels |= {"non-perfusion/box_recall": "non-perfusion boxes found"}
    found = {k.rsplit("/", 3)[0] for k in scores if k.startswith("asked/") and k.endswith("/kinds/f1")}
    parts = sorted(found, key=lambda part: (part.rpartition("/")[0], ARMS.index(part.rpartition("/")[2])))
    with plots.style():
        figure, axes = plots.panels(1, len(panels), aspect=0.3 + 0.16 * len(parts))
        for ax, (score, title) in zip(axes[0], panels.items(), strict=True):
            for y, part in enumerate(parts):
                colour, marker = LOOKS[part.rpartition("/")[2]]
                end = part.count("/") + 3
                values = [
                    v
                    for key, v in scores.items()
                    if key.startswith(f"{part}/") and key.endswith(score) and key.count("/") == end
                ]
                ax.plot(values, [y] * len(values), marker, color=COLOURS[colour], markersize=5)
            if score in ceiling:
                ax.axvline(ceiling[score], color="0.3", linewidth=1, linestyle="--")
            ax.set(xlabel=title, xlim=(-0.03, 1.03), ylim=(max(1, len(parts)) - 0.5, -0.5))
            names = [part.removeprefix("asked/").replace("/", " · ") for part in parts]
            ax.set_yticks(range(len(parts)), names if ax is axes[0, 0] else [])
        figure.suptitle(about, fontsize=9)
    return figure
