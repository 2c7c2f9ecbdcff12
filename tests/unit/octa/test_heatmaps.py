from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection

from gftlib.octa.heatmaps import heatmap_figure, ranked_nodes


def test_ranked_nodes_name_place_and_features(graph, attribution):
    first, second = ranked_nodes(graph, attribution, k=2, features=2)
    assert (first.rank, first.kind, first.index, first.share) == (1, "vessel", 2, pytest.approx(2 / 3))
    assert first.features == (("avgCrossSection", -3.0), ("length", 1.0))
    assert first.position == tuple(graph.vessel_pos[2].tolist())
    row, column = first.position
    assert first.quadrant == ("L" if row >= 120 else "U") + ("R" if column >= 120 else "L")
    assert (second.rank, second.kind, second.index) == (2, "ica", 1)
    assert second.features[0] == ("area", 2.0)


def test_figure_shows_every_segment_the_first_edges_and_the_table(graph, attribution):
    image = np.full((60, 60), 200, np.uint8)
    figure = heatmap_figure(image, graph, attribution, k=3, edges=7, title="phantom")
    try:
        (scan, nodes, edges), table = figure.axes[:3], figure.axes[-1]
        assert scan.get_title() == "scan" and figure.get_suptitle() == "phantom"
        segments, links = (
            next(c for c in axes.collections if isinstance(c, LineCollection)) for axes in (nodes, edges)
        )
        assert len(segments.get_segments()) == len(graph.vessel) and len(links.get_segments()) == 7
        # The most important segment is drawn last and widest.
        assert segments.get_linewidths()[-1] == max(segments.get_linewidths())
        assert np.array_equal(segments.get_segments()[-1], graph.path(2)[:, ::-1])
        words = {text.get_text() for text in table.texts}
        assert {"vessel 2", "ica 1", "avgCrossSection", "-3", "+2"} <= words
        figure.canvas.draw()
    finally:
        plt.close(figure)


def test_a_walk_of_nodes_alone_leaves_the_panel_of_edges_empty(graph, attribution):
    alone = dataclasses.replace(attribution, edges={})
    figure = heatmap_figure(np.zeros((60, 60)), graph, alone, k=1)
    try:
        assert figure.axes[2].get_title() == "edges: not on this walk"
        assert not figure.axes[2].collections
    finally:
        plt.close(figure)


def test_each_undirected_edge_is_drawn_once(graph, attribution):
    figure = heatmap_figure(np.zeros((60, 60)), graph, attribution, k=1, edges=10**6)
    try:
        drawn = next(c for c in figure.axes[2].collections if isinstance(c, LineCollection)).get_segments()
        ends = {tuple(sorted(map(tuple, np.round(pair, 3).tolist()))) for pair in drawn}
        assert len(drawn) == len(ends)
        directed = sum(pairs.shape[1] for (a, _, b), pairs in graph.edges.items() if (a, b) != ("faz", "faz"))
        assert len(drawn) == directed / 2
    finally:
        plt.close(figure)
