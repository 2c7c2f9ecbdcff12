"""Smooth noise, strokes, blobs and scattered points, against exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.phantoms import drawing


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.sampled_from([6, 10]))
def test_smooth_noise_is_standardised_and_smoother_with_fewer_cells(seed, cells):
    field = drawing.smooth_noise(np.random.default_rng(seed), 96, cells)
    assert field.shape == (96, 96)
    assert abs(field.mean()) < 1e-3
    assert abs(field.std() - 1) < 1e-3
    finer = drawing.smooth_noise(np.random.default_rng(seed), 96, 4 * cells)
    assert np.abs(np.diff(finer, axis=0)).mean() > np.abs(np.diff(field, axis=0)).mean()


def test_a_long_stroke_peaks_at_one_on_its_line_and_fades_like_its_pen():
    canvas = drawing.strokes(41, [np.array([[20.0, -30.0], [20.0, 70.0]])], 2.0)
    assert canvas[20] == pytest.approx(np.ones(41), abs=0.02)
    assert canvas[22, 20] == pytest.approx(np.exp(-0.5), abs=0.03)
    assert canvas[32].max() == 0


def test_strokes_do_not_add_up_at_a_crossing_and_none_is_blank():
    lines = [np.array([[15.0, 0.0], [15.0, 30.0]]), np.array([[0.0, 15.0], [30.0, 15.0]])]
    assert drawing.strokes(31, lines, 1.0).max() == 1.0
    assert not drawing.strokes(31, [], 1.0).any()


def test_blobs_are_discs_of_their_radius_even_across_the_rim():
    canvas = drawing.blobs(
        40, np.array([[20.0, 20.0], [0.0, 0.0], [90.0, 5.0]]), np.array([6.0, 3.0, 4.0]), 0.1
    )
    area = int((canvas[8:, 8:] > 0.5).sum())
    assert abs(area - np.pi * 36) < 8
    assert canvas[20, 20] == pytest.approx(1)
    assert canvas[0, 0] == pytest.approx(1)
    assert canvas[39, 5] == 0


def test_an_ellipse_has_radius_one_on_its_axes():
    relative = drawing.ellipse(41, (20, 20), (10, 5))
    assert relative[30, 20] == pytest.approx(1)
    assert relative[20, 25] == pytest.approx(1)
    turned = drawing.ellipse(41, (20, 20), (10, 5), np.pi / 2)
    assert turned[20, 30] == pytest.approx(1, abs=1e-5)


def test_scattered_points_keep_apart_and_inside():
    weight = np.zeros((50, 50))
    weight[10:40, 5:20] = 1
    points = drawing.scatter(np.random.default_rng(0), weight, 20, apart=4.0)
    assert 5 < len(points) <= 20
    assert (points[:, 0] >= 9.5).all() and (points[:, 0] <= 39.5).all()
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    assert gaps[~np.eye(len(points), dtype=bool)].min() >= 4.0
    assert drawing.scatter(np.random.default_rng(0), np.zeros((5, 5)), 3, 1.0).shape == (0, 2)


def test_a_walk_has_its_length_and_a_straight_one_its_heading():
    line = drawing.walk(np.random.default_rng(0), np.array([5.0, 5.0]), np.pi / 2, 20.0, bend=0.0)
    assert line[-1] == pytest.approx([25.0, 5.0])
    assert np.hypot(*np.diff(line, axis=0).T) == pytest.approx(np.full(10, 2.0))
