"""The figures of chapter 8: scans with boxes, turns of a conversation, what the sets hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gftlib import plots
from gftlib.bird.display import box_colours, boxes_of
from gftlib.bird.records import SIZES, TURNS, Record
from gftlib.datasets.sa_med2d import SAMed2D
from gftlib.datasets.sa_med2d_names import MODALITIES
from gftlib.endpoint.messages import plain_image

_SHADES = ("#08306b", "#2171b5", "#6baed6", "#c6dbef")


def scans_figure(records: Sequence[Record], source: Path, columns: int = 4) -> Figure:
    """Show records' images with the boxes that they speak of, each name in its colour below.

    Args:
        records: What is shown.
        source: Root of the set.
        columns: Images a row.
    """
    with plots.style():
        figure, axes = plots.panels(-(-len(records) // columns), columns, aspect=1.25)
        for ax in axes.flat[len(records) :]:
            ax.set_axis_off()
        for ax, record in zip(axes.flat, records, strict=False):
            image = np.asarray(plain_image(Path(SAMed2D(source).file(record.image))))
            plots.show_image(ax, image, MODALITIES.get(record.modality, record.modality))
            ax.set_anchor("N")
            height, width = image.shape[:2]
            colours = box_colours(record)
            for line, (name, boxes) in enumerate(boxes_of(record).items()):
                for x0, y0, x1, y1 in boxes:
                    corner, size = (
                        (x0 * width - 0.5, y0 * height - 0.5),
                        ((x1 - x0) * width, (y1 - y0) * height),
                    )
                    ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colours[name], linewidth=1.5))
                ax.annotate(
                    f"■ {name}",
                    (0, 0),
                    (2, -9 - 10 * line),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    color=colours[name],
                    fontsize=7.5,
                    annotation_clip=False,
                )
    return figure


def turns_figure(counts: Mapping[str, Any], about: str) -> Figure:
    """Show how many questions a conversation has, training above and test below, as in BiRD's Figure 3.

    Args:
        counts: What `gftlib.bird.dataset_study.headline` returned.
        about: Which run this is; says that phantoms are shown.
    """
    with plots.style():
        figure, axes = plots.panels(2, 1, aspect=0.24)
        for ax, split, name in zip(axes[:, 0], ("train", "test"), ("training", "test"), strict=True):
            found = {int(n): k for n, k in counts[split]["turns"].items()}
            total = sum(found.values())
            lengths = range(min(*found, *TURNS), max(*found, *TURNS) + 1)
            shares = [100 * found.get(n, 0) / total for n in lengths]
            ax.bar(lengths, shares, color=plots.COLOURS["ica"], width=0.7, label="found")
            ax.plot(
                TURNS.keys(),
                [100 * share for share in TURNS.values()],
                "o",
                color=plots.COLOURS["vessel"],
                markersize=4,
                label="asked for",
            )
            ax.set_xticks(list(lengths), [f"{n} ({found.get(n, 0)})" for n in lengths])
            ax.set(ylabel=f"{name},\n% of images", ylim=(0, 1.15 * max(shares)))
        axes[0, 0].legend(fontsize=8)
        axes[1, 0].set_xlabel("questions and answers of an image (images), negatives not counted")
        figure.suptitle(about, fontsize=9)
    return figure


def balance_figure(counts: Mapping[str, Any], about: str) -> Figure:
    """Show the images of each modality: the nested sizes of the training set, and the test set.

    Args:
        counts: What `gftlib.bird.dataset_study.headline` returned.
        about: Which run this is; says that phantoms are shown.
    """
    names = [name for name in MODALITIES if name in counts["train"]["modalities"]]
    with plots.style():
        figure, axes = plots.panels(1, 1, aspect=0.42)
        ax, before = axes[0, 0], np.zeros(len(names))
        for shade, size in zip(_SHADES, SIZES, strict=True):
            inside = np.array([counts["sizes"][size]["modalities"].get(name, 0) for name in names])
            ax.barh(range(len(names)), inside - before, left=before, color=shade, label=f"within {size}")
            before = inside
        test = [counts["test"]["modalities"].get(name, {"images": 0})["images"] for name in names]
        ax.barh(range(len(names)), test, left=before, color=plots.COLOURS["npdr"], label="test")
        ax.set_yticks(range(len(names)), [MODALITIES[name] for name in names])
        ax.invert_yaxis()
        ax.set_xlabel("images")
        figure.legend(loc="outside lower center", ncols=5, fontsize=8)
        figure.suptitle(about, fontsize=9)
    return figure
