"""Thinning keeps topology and leaves thin, centred lines; pruning keeps loops."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import blobs, canvas, disc, lattice, line
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, label
from skimage.measure import euler_number

from gftlib.octa.pruning import dissolve, merge_junctions, prune, raw_lengths
from gftlib.octa.thinning import CORNER, FIRST, SECOND, count_table, deletion_table, thin
from gftlib.octa.tracing import trace
from gftlib.octa.walls import ray, wall_distances

EIGHT = np.ones((3, 3))


def masks(seed: int, kind: str) -> np.ndarray:
    if kind == "noise":
        rng = np.random.default_rng(seed)
        return (rng.random((50, 60)) < rng.uniform(0.2, 0.8)).astype(np.uint8)
    return blobs(seed) if kind == "blobs" else lattice(seed)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(["noise", "blobs", "lattice"]))
def test_topology_is_kept(seed, kind):
    mask = masks(seed, kind)
    padded, code, points = thin(mask)
    skeleton = padded[1:-1, 1:-1]
    assert not (skeleton & ~(mask > 0)).any() and not padded[[0, -1]].any()
    assert np.array_equal(np.flatnonzero(padded), points)
    pieces, before = label(skeleton, EIGHT)[1], label(mask, EIGHT)
    assert pieces == before[1] == len(np.unique(before[0][skeleton > 0]))
    assert euler_number(skeleton, connectivity=2) == euler_number(mask, connectivity=2)
    around = sum(np.roll(padded, shift, (0, 1)) for shift in np.ndindex(3, 3))
    around = np.roll(around, -1, (0, 1)) - padded
    assert (around.ravel()[points] == count_table()[0][code.ravel()[points]]).all()


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_lines_are_one_pixel_thin(seed):
    _, code, points = thin(lattice(seed))
    codes = code.ravel()[points]
    assert not (deletion_table()[codes] & CORNER).any()
    # No pixel of the middle of a line can go without a break; only at branches may pixels cluster.
    table = deletion_table()[codes] & (FIRST | SECOND)
    assert (count_table()[0][codes[table > 0]] >= 2).all() and (table == FIRST | SECOND).sum() == 0


def test_the_skeleton_runs_along_the_middle():
    mask = canvas(60, 200)
    mask[20:31, 10:190] = 1
    distance = distance_transform_edt(mask)
    padded, _, _ = thin(mask)
    on_line = distance[padded[1:-1, 1:-1] > 0]
    assert (on_line >= 5).mean() > 0.97 and np.median(on_line) == 6


def test_every_way_to_draw_a_corner_or_a_branch_is_thin():
    for turns in range(4):
        t = np.rot90(line(line(canvas(), (30, 10), (30, 50)), (30, 24), (50, 24)), turns).copy()
        assert (thin(t)[0][1:-1, 1:-1] == t).all()


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_wall_distances_equal_scipy(seed):
    mask = blobs(seed)
    mask[0, 0] = 0
    _, _, points = thin(mask)
    got = wall_distances(mask, points).reshape(mask.shape[0] + 2, -1)[1:-1, 1:-1]
    inner = got > 0
    assert np.allclose(got[inner], distance_transform_edt(mask)[inner], rtol=1e-6)


def test_the_border_is_no_wall():
    mask = canvas()
    mask[:9] = 1
    points = np.array([1 * 62 + 31, 9 * 62 + 31], np.int32)
    assert wall_distances(mask, points)[points].tolist() == [9, 1]


@pytest.mark.parametrize(
    ("angle", "expected"), [(0, 4.5), (90, 4.5), (45, 4.5 * 2**0.5), (30, 4.5 / np.cos(np.pi / 6))]
)
def test_rays_stop_at_the_exact_edge(angle, expected):
    mask = canvas()
    mask[26:35, 26:35] = 1
    a = np.deg2rad(angle)
    away, end = ray(mask, 30.0, 30.0, np.sin(a), np.cos(a), 50.0)
    assert away == pytest.approx(expected) and end >= 0 and not mask.ravel()[end]
    assert ray(mask, 30.0, 30.0, np.sin(a), np.cos(a), 3.0) == (-1.0, -1)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(["blobs", "lattice"]))
def test_pruning_keeps_loops_and_dissolves_pairs(seed, kind):
    segments, _ = trace(masks(seed, kind))
    pruned = prune(segments)
    assert len(pruned.nodes) - len(pruned.ends) == len(segments.nodes) - len(segments.ends)
    degree = pruned.degree()
    pairs = np.flatnonzero(degree == 2)
    assert all((pruned.ends == node).any(1).sum() == 1 for node in pairs), (
        "only rings have a node of degree two"
    )
    at_end = degree[pruned.ends] == 1
    spurs = (at_end[:, 0] ^ at_end[:, 1]) & ~pruned.cut()[pruned.ends].any(1)
    limit = (pruned.radius[pruned.ends] - 0.5).sum(1) + 1.0
    third = (degree[pruned.ends] >= 3).any(1)
    assert (raw_lengths(pruned)[spurs & third] > limit[spurs & third]).all()
    assert len(prune(pruned).ends) == len(pruned.ends)


def test_a_microaneurysm_is_a_bulge_of_any_size():
    for radius in (4, 6, 8):
        mask = canvas(80, 160)
        mask[40:45, 5:155] = 1
        segments = prune(trace(disc(mask, (40 - radius, 80), radius))[0])
        assert len(segments.ends) == 1


def test_near_junctions_merge_at_their_mean():
    mask = line(line(line(canvas(), (30, 5), (30, 55)), (10, 28), (30, 28)), (30, 33), (50, 33))
    segments = prune(trace(mask)[0])
    assert (segments.degree() == 3).sum() == 2
    merged = merge_junctions(segments, 5.0)
    assert merged.nodes[merged.degree() == 4].tolist() == [[30.0, 30.5]]
    assert len(merged.ends) == 4 and (merge_junctions(segments, 2.0).degree() == 3).sum() == 2


def test_dissolving_joins_paths_without_a_gap():
    mask = line(line(canvas(), (30, 5), (30, 55)), (10, 28), (30, 28))
    segments, _ = trace(mask)
    branch = (segments.nodes[segments.ends][..., 0] < 15).any(1)
    joined = dissolve(segments, ~branch)
    assert len(joined.ends) == 1 and len(joined.nodes) == 2
    path = joined.rows_cols()
    assert np.abs(np.diff(path, axis=0)).max() == 1 and len(path) == 51
