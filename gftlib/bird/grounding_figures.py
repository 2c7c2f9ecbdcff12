"""The figures of chapter 9: scores over data size, boxes on images, hallucination."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gftlib import plots
from gftlib.bird.arm_names import FLOOR, FULL, UNTUNED
from gftlib.bird.grounding_examples import Marked
from gftlib.bird.grounding_tables import ROUGE, Scores, paper_sizes, sizes_of, students
from gftlib.bird.hallucination import POSITIVES, RATE
from gftlib.bird.paper_tables import METRICS
from gftlib.bird.records import SIZES
from gftlib.bird.score_tables import OVER_ITEMS, OVER_MODALITIES
from gftlib.bird.tasks import RECALL_AT, ROC_RECALL, SLOT_F1

OURS = {"VG": RECALL_AT, "ROC": ROC_RECALL, "RC": SLOT_F1, "MIA": ROUGE}
"""The score of each task that needs no Java."""
_LOOKS = (("ica", "o"), ("npdr", "s"), ("healthy", "^"))


def sizes_figure(scores: Scores, about: str) -> Figure:
    """Show every task's score over the size of the training set, the paper's and the floor beside.

    Args:
        scores: What `gftlib.bird.tuning_study.headline` returned.
        about: Which run this is; says that phantoms are shown.
    """
    with plots.style():
        figure, axes = plots.panels(1, 4, aspect=1.15)
        places = {size: i for i, size in enumerate(SIZES)}
        for ax, (task, score) in zip(axes[0], OURS.items(), strict=True):
            same = task in ("VG", "ROC")
            paper = paper_sizes(task)
            name = f"paper, {METRICS[task]}"
            colour = plots.COLOURS["neutral"]
            ax.plot(
                [places[s] for s in paper], [100 * v for v in paper.values()], "--", color=colour, label=name
            )
            for (shade, marker), student in zip(_LOOKS, students(scores), strict=False):
                _line(ax, scores, student, score, places, plots.COLOURS[shade], marker)
            floor = scores.get(FLOOR, {}).get(score, {}).get(OVER_MODALITIES, {}).get("value")
            if floor is not None:
                ax.axhline(
                    100 * floor, color=plots.COLOURS["vessel"], linewidth=1, linestyle=":", label=FLOOR
                )
            ax.set_xticks(list(places.values()), list(places))
            ax.set(title=score if same else f"{score}", ylim=(0, 100))
            ax.title.set_fontsize(9)
        axes[0, 0].set_ylabel("%")
        handles = {}
        for ax in axes[0]:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                handles.setdefault(
                    "paper (for RC SPICE, for MIA mBMR)" if "paper" in label else label, handle
                )
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
        figure.suptitle(about, fontsize=9)
    return figure


def _line(
    ax: Axes, scores: Scores, student: str, score: str, places: dict[str, int], colour: str, marker: str
) -> None:
    cells = {
        s: scores[f"{student}/{s}"].get(score, {}).get(OVER_MODALITIES) for s in sizes_of(scores, student)
    }
    told = {size: cell for size, cell in cells.items() if cell and "value" in cell}
    x, y = [places[size] for size in told], [100 * cell["value"] for cell in told.values()]
    ax.plot(x, y, marker=marker, color=colour, markersize=4, label=student)
    low, high = ([100 * cell.get(end, cell["value"]) for cell in told.values()] for end in ("low", "high"))
    ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def boxes_figure(shown: Sequence[Marked], about: str, columns: int = 4) -> Figure:
    """Show images with the boxes that were to be found and those that a student marked.

    Args:
        shown: What `gftlib.bird.grounding_examples.marked` returned.
        about: Which student, of which run.
        columns: Images a row.
    """
    with plots.style():
        figure, axes = plots.panels(-(-len(shown) // columns), columns, aspect=1.2)
        for ax in axes.flat[len(shown) :]:
            ax.set_axis_off()
        for ax, one in zip(axes.flat, shown, strict=False):
            plots.show_image(ax, one.image, one.modality)
            height, width = one.image.shape[:2]
            for boxes, colour, line in ((one.wanted, "healthy", "-"), (one.marked, "vessel", "--")):
                for x0, y0, x1, y1 in boxes * np.array([width, height, width, height]):
                    box = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False)
                    box.set(edgecolor=plots.COLOURS[colour], linewidth=1.6, linestyle=line)
                    ax.add_patch(box)
            ax.annotate(
                f"{one.question}\nfound {one.found} of {len(one.wanted)}",
                (0, 0), (0, -4), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=7,
            )  # fmt: skip
        figure.suptitle(f"{about}: solid what was to be found, dashed the answer", fontsize=9)
    return figure


def hallucination_figure(scores: Scores, about: str) -> Figure:
    """Show how often students find what is not there, beside how often they are right on what is.

    Args:
        scores: What `gftlib.bird.tuning_study.headline` returned.
        about: Which run this is; says that phantoms are shown.
    """
    arms = {
        UNTUNED: "as it came",
        FULL: "no negatives",
        "unfrozen": "tower unfrozen",
        "negatives": "negatives",
    }
    rows = [(s, a) for s in students(scores) for a in arms if RATE in scores.get(f"{s}/{a}", {})]
    with plots.style():
        figure, axes = plots.panels(1, 1, aspect=0.12 + 0.05 * len(rows))
        ax = axes[0, 0]
        looks = ((RATE, "vessel", -0.18), (POSITIVES, "healthy", 0.18))
        for score, colour, shift in looks:
            cells = [scores[f"{s}/{a}"].get(score, {}).get(OVER_ITEMS, {}) for s, a in rows]
            values = np.array([100 * cell.get("value", 0.0) for cell in cells])
            ends = [[100 * c.get("low", 0.0) for c in cells], [100 * c.get("high", 0.0) for c in cells]]
            error = np.abs(np.array(ends) - values)
            thin = {"linewidth": 1, "ecolor": plots.COLOURS["neutral"]}
            look = {"color": plots.COLOURS[colour], "label": score, "error_kw": thin}
            ax.barh(np.arange(len(rows)) + shift, values, 0.32, xerr=error, **look)
        ax.set_yticks(range(len(rows)), [f"{s}: {arms[a]}" for s, a in rows])
        ax.invert_yaxis()
        ax.set(xlabel="% of questions, with 95 % intervals", xlim=(0, 105))
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        figure.suptitle(about, fontsize=9)
    return figure
