"""The extracted graph of a phantom's label is the graph that was drawn, within the declared errors."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import canvas
from skimage.measure import euler_number

from gftlib.metrics.vessels import score_graph
from gftlib.octa.graph import build_graph
from gftlib.octa.junctions import refine_junctions
from gftlib.octa.pruning import merge_junctions, prune
from gftlib.octa.tracing import trace
from gftlib.phantoms.octa import cohort, generate


@pytest.fixture(scope="module")
def phantom():
    return generate(cohort(4, seed=3)[1])


def test_phantom_graph_within_the_declared_errors(phantom):
    graph = build_graph(phantom.label, phantom.image)
    score = score_graph(graph, phantom.graph, int(phantom.faz.sum()), phantom.ica_count)
    assert score.junctions.f1 >= 0.95
    assert abs(score.length) <= 0.02
    assert score.radius <= 0.5 and abs(score.radius_bias) <= 0.25
    assert abs(score.faz_area) <= 0.02
    assert score.ica_count == 0


def test_refined_junctions_are_nearer_to_the_truth(phantom):
    segments, _ = trace(phantom.label.astype(np.uint8))
    segments = merge_junctions(prune(segments))
    refined, zone = refine_junctions(segments)
    true = phantom.graph.junctions()
    found = segments.degree() >= 3
    miss = [np.linalg.norm(true[:, None] - s.nodes[None, found], axis=2).min(1) for s in (segments, refined)]
    assert np.median(miss[1]) < 0.9 * np.median(miss[0])
    assert (miss[1] > 3).mean() < 0.7 * (miss[0] > 3).mean()
    assert (np.linalg.norm(refined.nodes - segments.nodes, axis=1) <= 3 * segments.radius + 4).all()
    assert (zone[~found & ~segments.cut()] == 0).all()


def test_vessels_reach_the_border_that_cuts_them():
    mask = canvas(80, 80)
    mask[36:45] = 1
    graph = build_graph(mask)
    assert sorted(graph.junctions.tolist()) == [[40, 0], [40, 79]]
    assert graph.vessel[0, 0] / graph.pixel_mm == pytest.approx(79, abs=0.1)


def test_a_stub_that_the_border_cuts_is_a_vessel():
    mask = canvas(80, 80)
    mask[12:17, :] = 1
    mask[:12, 38:43] = 1
    assert len(build_graph(mask).vessel) == 3


@pytest.mark.parametrize("name", ["20230216_232653", "20230216_233449"])
def test_simulated_labels_of_others(shared_data, name):
    """No exact truth for the drawn label here, but topology and order of magnitude have to hold."""
    from gftlib.datasets.images import read_mask, read_scan

    folder = shared_data("octa_synthetic_tum")
    mask = read_mask(folder / "labels" / f"{name}.png")
    graph = build_graph(mask, read_scan(folder / "images" / f"{name}.png"))
    filled = mask.copy()
    filled[2:-2, 2:-2] |= graph.labels[2:-2, 2:-2] == 0
    loops = len(graph.vessel) - len(graph.junctions)
    assert abs(loops + euler_number(filled, connectivity=2)) <= 0.01 * loops
    assert len(graph.faz) == 1 and 0.2 < graph.faz[0, 2] < 1.0
    tubes = (2 * graph.vessel[:, 0] * graph.vessel[:, 7]).sum() / 9.0
    assert tubes == pytest.approx(mask.mean(), rel=0.15)
