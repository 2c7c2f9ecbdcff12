"""Graph scores on cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gftlib.errors import InputError
from gftlib.metrics.vessels import match_points, radius_errors, relative_error, score_graph
from gftlib.octa.graph import build_graph


def test_matching_is_one_to_one():
    true = np.array([[0.0, 0.0], [0.0, 4.0], [50.0, 50.0]])
    found = np.array([[0.0, 2.0], [0.0, 2.5], [0.0, 1.0], [90.0, 90.0]])
    matching = match_points(found, true, 3.0)
    assert (matching.precision, matching.recall) == (2 / 4, 2 / 3)
    assert matching.f1 == pytest.approx(4 / 7)


def test_matching_finds_the_largest_set():
    # Greedy nearest-first would pair the middle ones and leave the outer two alone.
    matching = match_points(np.array([[0.0, 0.0], [0.0, 3.0]]), np.array([[0.0, 2.0], [0.0, 5.0]]), 2.0)
    assert matching.f1 == 1 and matching.distance == 2


@pytest.mark.parametrize(("found", "true", "f1"), [(0, 0, 1.0), (0, 2, 0.0), (2, 0, 0.0)])
def test_matching_of_nothing(found, true, f1):
    assert match_points(np.zeros((found, 2)), np.zeros((true, 2))).f1 == f1


def test_matching_beyond_the_tolerance_is_none():
    matching = match_points(np.zeros((1, 2)), np.array([[0.0, 3.1]]), 3.0)
    assert matching.f1 == 0 and np.isnan(matching.distance)


def test_bad_points_are_refused():
    with pytest.raises(InputError, match="true points"):
        match_points(np.zeros((1, 2)), np.zeros(3))


def test_relative_error():
    assert relative_error(98, 100) == pytest.approx(-0.02)
    assert relative_error(0, 0) == 0 and relative_error(1, 0) == float("inf")


def test_radius_errors_compare_with_the_radius_along_the_path():
    paths = np.array([[0, 0], [0, 1], [5, 5]])
    points, radius = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0]]), np.array([2.0, 4.0, 1.0])
    errors = radius_errors(paths, np.array([0, 2, 3]), np.array([3.5, 0.5]), points, radius)
    assert errors.tolist() == [0.5, -0.5]


class Cross:
    """The true graph of two crossing vessels of radius 2.5."""

    points = np.concatenate([[[40.0, c] for c in range(80)], [[r, 40.0] for r in range(80)]])
    radius = np.full(160, 2.5)

    def junctions(self) -> np.ndarray:
        return np.array([[40.0, 40.0]])

    def lengths(self) -> np.ndarray:
        return np.array([40.0, 39.0, 40.0, 39.0])


def test_a_drawn_cross_scores_full_marks():
    mask = np.zeros((80, 80), np.uint8)
    mask[38:43] = mask[:, 38:43] = 1
    graph = build_graph(mask, min_faz_mm=2.0)
    score = score_graph(graph, Cross(), faz_px=0, ica_count=4)
    assert score.junctions.f1 == 1 and score.ica_count == 0 and score.faz_area == 0
    assert abs(score.length) < 0.02 and score.radius < 0.1 and abs(score.radius_bias) < 0.1
    missed = score_graph(graph, Cross(), faz_px=100, ica_count=3)
    assert missed.faz_area == -1 and missed.ica_count == 1
