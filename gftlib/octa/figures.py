"""The figures of chapter 1: scans, segmentation, and the graph on its scan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from gftlib import plots
from gftlib.datasets.images import read_scan
from gftlib.octa.graph import OctaGraph
from gftlib.octa.scans import Scan
from gftlib.phantoms.octa_cohort import STAGES

ZOOM = 0.25
"""Side of the enlarged part, as a fraction of the field."""


def scans_figure(scans: Sequence[Scan]) -> Figure:
    """Show scans and, below phantoms, what was drawn: vessels, FAZ and lesions.

    Args:
        scans: One to four scans.

    Returns:
        The figure: one column a scan.
    """
    known = [scan.spec is not None for scan in scans]
    with plots.style():
        figure, axes = plots.panels(1 + any(known), len(scans))
        for column, scan in enumerate(scans):
            if not known[column]:
                plots.show_image(axes[0, column], read_scan(scan.image), scan.name)
                continue
            truth = scan.phantom()
            plots.show_image(axes[0, column], truth.image, STAGES[truth.spec.stage])
            plots.show_image(axes[1, column], 0.6 * truth.label[::2, ::2])
            plots.tint(axes[1, column], truth.faz[::2, ::2], plots.COLOURS["faz"], 0.6)
            for lesion in truth.lesions:
                plots.tint(axes[1, column], lesion.mask()[::2, ::2], plots.LESIONS[lesion.kind], 0.6)
        if any(known):
            kinds = [Patch(color=colour, label=kind) for kind, colour in plots.LESIONS.items()]
            faz = Patch(color=plots.COLOURS["faz"], label="FAZ")
            figure.legend(handles=[faz, *kinds], loc="outside lower center", ncols=4, fontsize=8)
    return figure


def segmentation_figure(image: np.ndarray, mask: np.ndarray, truth: np.ndarray | None = None) -> Figure:
    """Show a scan, the mask found in it and, where it is known, the true mask.

    Args:
        image: Scan, shape (h, w).
        mask: Vessel mask, shape (H, W).
        truth: True mask of the same shape, or nothing.

    Returns:
        The figure: two or three panels; in the third, agreement is white, missed orange, added blue.
    """
    with plots.style():
        figure, ((first, second, *rest),) = plots.panels(1, 2 if truth is None else 3)
        plots.show_image(first, image, "scan")
        plots.show_image(second, mask, "mask used" if truth is None else "mask found")
        for axes in rest:
            plots.show_image(axes, mask & truth, "against the true mask")
            plots.tint(axes, truth & ~mask, plots.COLOURS["vessel"], 1.0)
            plots.tint(axes, mask & ~truth, plots.COLOURS["ica"], 1.0)
    return figure


def graph_figure(image: np.ndarray, graph: OctaGraph, centre: tuple[float, float] = (0.5, 0.3)) -> Figure:
    """Show the three kinds of nodes on their scan, and the edges between them in an enlarged part.

    Args:
        image: Scan, shape (h, w).
        graph: Its graph.
        centre: Row and column of the enlarged part's centre, as fractions of the field.

    Returns:
        The figure: nodes on the left, nodes and edges enlarged on the right.
    """
    height, width = graph.shape
    with plots.style():
        figure, ((whole, part),) = plots.panels(1, 2)
        for axes in (whole, part):
            plots.show_image(axes, image, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        _draw_areas(whole, graph, 0.45)
        _draw_segments(whole, graph, 0.6)
        plots.scale_bar(whole, width, graph.field_mm)
        _draw_areas(part, graph, 0.2)
        _draw_segments(part, graph, 1.2)
        _draw_edges(part, graph)
        half = ZOOM / 2
        rows, columns = (
            (c * n - half * n, c * n + half * n) for c, n in zip(centre, graph.shape, strict=True)
        )
        part.set(xlim=columns, ylim=rows[::-1])
        frame = Rectangle((columns[0], rows[0]), columns[1] - columns[0], rows[1] - rows[0])
        whole.add_patch(frame)
        frame.set(fill=False, edgecolor="white", linewidth=1.5)
        whole.set_title("nodes: segments, areas, FAZ", fontsize=9)
        part.set_title("edges, in the framed part", fontsize=9)
    return figure


def _draw_areas(axes: Axes, graph: OctaGraph, alpha: float) -> None:
    """Tint each area in one of a few blues, so that neighbours differ, and the FAZ in its own colour."""
    areas = len(graph.ica)
    shades = np.zeros((areas + 2, 4))
    blues = np.random.default_rng(0).uniform(0.35, 1.0, areas)
    shades[1 : areas + 1, 1:3] = np.stack([0.6 * blues, blues], axis=1)
    shades[1 : areas + 1, 3] = alpha
    shades[areas + 1] = (0.94, 0.89, 0.26, alpha)
    axes.imshow(graph.labels, cmap=ListedColormap(shades), vmin=0, vmax=areas + 1, interpolation="nearest")


def _draw_segments(axes: Axes, graph: OctaGraph, linewidth: float) -> None:
    lines = [graph.path(segment)[:, ::-1] for segment in range(len(graph.vessel))]
    axes.add_collection(LineCollection(lines, colors=plots.COLOURS["vessel"], linewidths=linewidth))


def _draw_edges(axes: Axes, graph: OctaGraph) -> None:
    places = {"vessel": graph.vessel_pos, "ica": graph.ica_pos, "faz": graph.faz_pos}
    for (source, _, target), pairs in graph.edges.items():
        if (source, target) in (("ica", "vessel"), ("faz", "vessel"), ("ica", "faz"), ("faz", "faz")):
            continue  # the reverse of an edge that is drawn, or a loop
        ends = np.stack([places[source][pairs[0]], places[target][pairs[1]]], axis=1)[..., ::-1]
        colour = plots.COLOURS[source] if source == target else "white"
        axes.add_collection(LineCollection(ends, colors=colour, linewidths=0.7, alpha=0.8))
    for kind, place in places.items():
        axes.scatter(
            *place[:, ::-1].T, s=14, color=plots.COLOURS[kind], edgecolor="black", linewidth=0.4, zorder=3
        )


SHOWN = {
    "vessel_density": "vessel density",
    "segments": "segments per scan",
    "segment_length_um": "segment length, \u00b5m",
    "calibre_um": "calibre, \u00b5m",
    "areas": "intercapillary areas per scan",
    "area_um2": "intercapillary area, \u00b5m\u00b2",
}
"""What the realism figure shows, with units."""


def realism_figure(rows: pd.DataFrame, marks: dict[str, float]) -> Figure:
    """Show the distribution of a few figures over the scans of each set.

    Args:
        rows: From :func:`gftlib.octa.real_sets.compare`.
        marks: Values to mark by a dashed line, by quantity.

    Returns:
        The figure: a panel for each quantity, a box for each set, a dot for each scan.
    """
    sets = list(dict.fromkeys(rows["set"]))
    colours = [plots.COLOURS["vessel"], plots.COLOURS["ica"], plots.COLOURS["healthy"]]
    rng = np.random.default_rng(0)
    with plots.style():
        figure, axes = plots.panels(2, 3, aspect=0.75)
        for panel, (quantity, words) in zip(axes.flat, SHOWN.items(), strict=True):
            for place, (name, colour) in enumerate(zip(sets, colours, strict=False)):
                values = rows.loc[rows["set"] == name, quantity].dropna()
                panel.boxplot(
                    values, positions=[place], widths=0.6, showfliers=False, medianprops={"color": "black"}
                )
                panel.scatter(
                    place + rng.uniform(-0.2, 0.2, len(values)), values, s=6, color=colour, alpha=0.6
                )
            if quantity in marks:
                panel.axhline(marks[quantity], color=plots.COLOURS["neutral"], linestyle="--", linewidth=1)
            panel.set(ylabel=words, xticks=[], ylim=(0, None))
        names = [Patch(color=colour, label=name) for name, colour in zip(sets, colours, strict=False)]
        figure.legend(handles=names, loc="outside lower center", ncols=len(sets), fontsize=8)
    return figure
