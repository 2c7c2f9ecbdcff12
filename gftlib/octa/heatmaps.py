"""Heatmaps of attributions on their scan, and the ranked table beside them (GFT, section 2.3 and Fig. 2).

Colour is importance, the sum of ``|contribution|`` over a node's features or ``|contribution|`` of an edge,
on a perceptually uniform scale that ends at a high percentile, so that a single node does not leave the rest
dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gftlib import plots
from gftlib.boxes import quadrant
from gftlib.octa.attribution import Attribution
from gftlib.octa.batches import Relation
from gftlib.octa.explaining import node_positions
from gftlib.octa.features import ICA_FEATURES, VESSEL_FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.ranking import edge_importance, node_importance, select_top

COLOUR_MAP = "inferno"
TOP_OF_SCALE = 99.5
"""Percentile of the importances at which the colour scale ends."""
GAMMA = 0.5
FEATURES = {"vessel": VESSEL_FEATURES, "ica": ICA_FEATURES, "faz": ICA_FEATURES}
RAISES, LOWERS = "#D55E00", "#0072B2"


@dataclass(frozen=True)
class RankedNode:
    """One row of the ranked table.

    Attributes:
        rank: From 1.
        kind: Node type.
        index: Row within its type.
        quadrant: Where the node's position lies.
        position: Row and column, mask pixels.
        share: Part of the importance of all nodes.
        features: The features with the largest ``|contribution|``: name, signed contribution to the logit.
    """

    rank: int
    kind: str
    index: int
    quadrant: str
    position: tuple[float, float]
    share: float
    features: tuple[tuple[str, float], ...]


def ranked_nodes(
    graph: OctaGraph, attribution: Attribution, k: int = 20, features: int = 3
) -> list[RankedNode]:
    """Return the first ``k`` nodes of all types with the features that moved the logit most."""
    places = node_positions(graph)
    rows = []
    for rank, entry in enumerate(select_top(node_importance(attribution), k), 1):
        contributions = attribution.nodes[entry.kind][entry.index].cpu().numpy()
        first = np.argsort(-np.abs(contributions), kind="stable")[:features]
        row, column = (float(v) for v in places[entry.kind][entry.index])
        rows.append(
            RankedNode(
                rank,
                entry.kind,
                entry.index,
                str(quadrant(column / graph.shape[1], row / graph.shape[0])),
                (row, column),
                entry.share,
                tuple((FEATURES[entry.kind][i], float(contributions[i])) for i in first),
            )
        )
    return rows


def heatmap_figure(
    image: np.ndarray,
    graph: OctaGraph,
    attribution: Attribution,
    *,
    k: int = 20,
    edges: int = 200,
    title: str = "",
) -> Figure:
    """Draw scan, node importance and edge importance side by side, the ranked table below.

    Args:
        image: (h, w) scan, uint8 or floats in [0, 1].
        graph: Its graph.
        attribution: Of the joint path, or of nodes alone, which leaves the panel of edges empty.
        k: Rows of the table; these nodes carry their rank in the middle panel.
        edges: Edges drawn, the most important ones.
        title: Above the figure; says at least whether the scan is a phantom.

    Returns:
        The figure.
    """
    rows = ranked_nodes(graph, attribution, k)
    with plots.style():
        figure = plt.figure(figsize=(plots.WIDTH, 3.2 + 0.16 * (k + 2)), layout="constrained")
        grid = figure.add_gridspec(2, 3, height_ratios=(2.7, 0.16 * (k + 2)))
        scan, nodes, links = (figure.add_subplot(grid[0, column]) for column in range(3))
        show_scan(scan, image, graph, "scan")
        plots.scale_bar(scan, graph.shape[1], graph.field_mm)
        show_nodes(nodes, image, graph, node_importance(attribution))
        number_nodes(nodes, rows[:10])
        show_edges(links, image, graph, edge_importance(attribution, graph.edges), edges)
        show_table(figure.add_subplot(grid[1, :]), rows)
        if title:
            figure.suptitle(title, fontsize=10)
    # Closed for pyplot only: otherwise a notebook shows it twice, as the cell's value and on its own.
    plt.close(figure)
    return figure


def show_scan(axes: Axes, image: np.ndarray, graph: OctaGraph, label: str, dim: float = 1.0) -> None:
    """Show the scan in mask pixels, darkened by ``dim`` so that colours laid over it can be told apart."""
    height, width = graph.shape
    image = np.asarray(image) / (255 if np.asarray(image).dtype == np.uint8 else 1)
    plots.show_image(axes, dim * image, label, extent=(-0.5, width - 0.5, height - 0.5, -0.5))


def show_nodes(
    axes: Axes,
    image: np.ndarray,
    graph: OctaGraph,
    importance: Mapping[str, np.ndarray],
    label: str = "nodes",
) -> None:
    """Colour segments along their centreline and areas and FAZ over their pixels by node importance."""
    show_scan(axes, image, graph, label, dim=0.6)
    norm = _norm(np.concatenate([importance[kind] for kind in ("vessel", "ica", "faz")]))
    colours = mpl.colormaps[COLOUR_MAP]
    regions = np.concatenate([[0.0], importance["ica"], importance["faz"]])
    strength = np.clip(norm(regions), 0, 1)
    palette = colours(strength)
    palette[:, 3] = 0.75 * strength
    palette[0, 3] = 0
    height, width = graph.shape
    layer = palette[np.minimum(graph.labels, len(palette) - 1)]
    axes.imshow(layer, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")
    strength = np.clip(norm(importance["vessel"]), 0, 1)
    order = np.argsort(strength, kind="stable")
    lines = [graph.path(segment)[:, ::-1] for segment in order]
    strokes = LineCollection(lines, linewidths=0.3 + 1.8 * strength[order], colors=colours(strength[order]))
    axes.add_collection(strokes)
    _colour_bar(axes, norm)


def number_nodes(axes: Axes, rows: list[RankedNode]) -> None:
    """Write the rank beside each node."""
    for row in rows:
        axes.annotate(
            str(row.rank),
            (row.position[1], row.position[0]),
            xytext=(3, 3),
            textcoords="offset points",
            color="white",
            fontsize=6,
            annotation_clip=True,
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": "black", "alpha": 0.6, "linewidth": 0},
        )


def show_edges(
    axes: Axes,
    image: np.ndarray,
    graph: OctaGraph,
    importance: Mapping[Relation, np.ndarray],
    count: int = 200,
) -> None:
    """Draw the most important edges between the positions of their nodes, each undirected edge once.

    A walk of nodes alone has attributed none: the panel says so.
    """
    if not importance:
        show_scan(axes, image, graph, "edges: not on this walk", dim=0.6)
        return
    show_scan(axes, image, graph, "edges", dim=0.6)
    places = node_positions(graph)
    ends, values = [], []
    for relation, strength in importance.items():
        source, name, target = relation
        pairs = graph.edges[relation]
        # Reverse relations repeat the pair of their forward one; within a type each pair is there twice.
        keep = (
            pairs[0] < pairs[1] if source == target else np.full(pairs.shape[1], not name.startswith("rev_"))
        )
        ends.append(np.stack([places[source][pairs[0, keep]], places[target][pairs[1, keep]]], 1))
        values.append(strength[keep])
    ends, values = np.concatenate(ends)[..., ::-1], np.concatenate(values)
    norm = _norm(values)
    chosen = np.argsort(-values, kind="stable")[:count][::-1]
    strength = np.clip(norm(values[chosen]), 0, 1)
    colours = mpl.colormaps[COLOUR_MAP](strength)
    axes.add_collection(LineCollection(ends[chosen], linewidths=0.4 + 1.8 * strength, colors=colours))
    axes.set_title(f"edges (first {len(chosen)})", fontsize=9)
    _colour_bar(axes, norm)


def show_table(axes: Axes, rows: list[RankedNode]) -> None:
    """Write the ranked nodes as a table; each feature's contribution has a bar, its direction a colour."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(rows) + 0.6, -1.6))
    columns = {"#": 0.0, "node": 0.04, "quadrant": 0.15, "share": 0.24}
    for name, x in columns.items():
        axes.text(x, -0.9, name, fontsize=7, weight="bold", va="center")
    axes.text(0.32, -0.9, "largest feature contributions", fontsize=7, weight="bold", va="center")
    largest = max((abs(value) for row in rows for _, value in row.features), default=0.0) or 1.0
    for y, row in enumerate(rows):
        cells = (str(row.rank), f"{row.kind} {row.index}", row.quadrant, f"{100 * row.share:.1f} %")
        for x, cell in zip(columns.values(), cells, strict=True):
            axes.text(x, y, cell, fontsize=7, va="center")
        for column, (name, value) in enumerate(row.features):
            x = 0.32 + 0.23 * column
            colour = RAISES if value > 0 else LOWERS
            axes.barh(y, 0.04 * abs(value) / largest, left=x + 0.18, height=0.7, color=colour)
            axes.text(x, y, name, fontsize=7, va="center")
            axes.text(x + 0.175, y, f"{value:+.2g}", fontsize=7, va="center", ha="right", color=colour)
    handles = [Line2D([], [], color=c, linewidth=4) for c in (RAISES, LOWERS)]
    axes.legend(
        handles, ["raises the logit", "lowers it"], fontsize=6, ncols=2, loc="upper right", borderaxespad=0
    )


def _norm(values: np.ndarray) -> PowerNorm:
    top = float(np.percentile(values, TOP_OF_SCALE)) if len(values) else 0.0
    return PowerNorm(GAMMA, vmin=0.0, vmax=top or 1.0)


def _colour_bar(axes: Axes, norm: PowerNorm) -> None:
    source = mpl.cm.ScalarMappable(norm, COLOUR_MAP)
    bar = axes.figure.colorbar(source, ax=axes, location="bottom", shrink=0.8, pad=0.01, extend="max")
    bar.set_ticks([0.0, norm.vmax / 4, norm.vmax], labels=["0", f"{norm.vmax / 4:.1g}", f"{norm.vmax:.1g}"])
    bar.ax.tick_params(labelsize=6)
    bar.ax.minorticks_off()
    bar.set_label("importance (logit)", fontsize=6)
