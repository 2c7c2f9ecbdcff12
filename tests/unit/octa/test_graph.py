"""The graph of masks drawn by hand has exactly the nodes, lengths and edges that were drawn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from drawn import blobs, canvas, disc, lattice, line, ring
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import euler_number

from gftlib.errors import InputError
from gftlib.octa.adjacency import EDGE_TYPES
from gftlib.octa.features import FEATURES, ICA_FEATURES, VESSEL_FEATURES
from gftlib.octa.graph import OctaGraph, build_graph, to_hetero


def column(graph: OctaGraph, name: str) -> np.ndarray:
    return graph.vessel[:, VESSEL_FEATURES.index(name)]


def pixels(graph: OctaGraph, name: str) -> np.ndarray:
    return column(graph, name) / graph.pixel_mm


def branches(graph: OctaGraph) -> int:
    return int((graph.junction_degree() >= 3).sum())


def check(graph: OctaGraph) -> None:
    """Assert what holds for every graph."""
    n, m, f = len(graph.vessel), len(graph.ica), len(graph.faz)
    assert graph.vessel.shape[1] == 18 and graph.ica.shape[1] == graph.faz.shape[1] == 17 and f in (0, 1)
    assert all(np.isfinite(getattr(graph, kind)).all() for kind in ("vessel", "ica", "faz"))
    assert tuple(graph.edges) == EDGE_TYPES
    sizes = {"vessel": n, "ica": m, "faz": f}
    for (source, _, target), pairs in graph.edges.items():
        assert pairs.dtype == np.int64 and pairs.shape[0] == 2
        for side, kind in zip(pairs, (source, target), strict=True):
            assert side.size == 0 or (side.min() >= 0 and side.max() < sizes[kind])
        assert np.unique(pairs, axis=1).shape == pairs.shape
    for (source, relation, target), pairs in graph.edges.items():
        back = graph.edges[
            target, relation if source == target else f"rev_{relation}".replace("rev_rev_", ""), source
        ]
        assert set(zip(*pairs.tolist(), strict=True)) == set(zip(*back[::-1].tolist(), strict=True))
    assert len(graph.path_offsets) == n + 1 and graph.path_offsets[-1] == len(graph.paths)
    for k in range(n):
        assert np.abs(np.diff(graph.path(k), axis=0)).max() <= 1
    assert set(np.unique(graph.labels)) <= set(range(m + f + 1))


@pytest.mark.parametrize("half", [0, 1, 3])
@pytest.mark.parametrize(
    ("end", "length"),
    [((20, 48), 36.0), ((48, 12), 28.0), ((48, 40), 28 * 2**0.5)],
    ids=["row", "column", "diagonal"],
)
def test_a_straight_line_has_its_exact_length_and_radius(end, length, half):
    mask = canvas()
    line(mask, (20, 12), end, 0)
    if half:
        mask = canvas()
        r, c = np.indices(mask.shape)
        a, b = np.array([20, 12]), np.array(end)
        u = (b - a) / np.hypot(*(b - a))
        along, off = (r - 20) * u[0] + (c - 12) * u[1], (r - 20) * u[1] - (c - 12) * u[0]
        mask[(np.abs(off) <= half + 1e-9) & (along >= -1e-9) & (along <= np.hypot(*(b - a)) + 1e-9)] = 1
    graph = build_graph(mask)
    check(graph)
    assert len(graph.vessel) == 1 and branches(graph) == 0
    # Thinning takes up to the half-width off a blunt end.
    assert length - 2 * half - 0.01 <= pixels(graph, "length")[0] <= length + 0.01
    assert column(graph, "curveness")[0] == pytest.approx(1, abs=0.01)
    if end[0] == 20 or end[1] == 12:
        assert pixels(graph, "avgRadiusAvg")[0] == pytest.approx(half + 0.5, abs=1e-4)
        assert column(graph, "roundnessAvg")[0] == pytest.approx(1, abs=1e-4)


def test_a_plus_is_one_junction_with_four_segments():
    mask = line(line(canvas(), (30, 10), (30, 50)), (14, 30), (44, 30))
    graph = build_graph(mask)
    check(graph)
    assert branches(graph) == 1 and len(graph.vessel) == 4
    assert graph.junctions[graph.junction_degree() == 4].tolist() == [[30, 30]]
    assert sorted(pixels(graph, "length").tolist()) == pytest.approx([14, 16, 20, 20], rel=1e-5)
    assert graph.edges["vessel", "touches", "vessel"].shape == (2, 12)
    assert column(graph, "degree").tolist() == [3, 3, 3, 3]
    assert (
        column(graph, "node1_degree").tolist() == [1] * 4
        and column(graph, "node2_degree").tolist() == [4] * 4
    )


@pytest.mark.parametrize("turns", range(4))
def test_a_t_keeps_its_straight_bar(turns):
    mask = np.rot90(line(line(canvas(), (30, 10), (30, 50)), (30, 24), (50, 24)), turns).copy()
    graph = build_graph(mask)
    check(graph)
    assert branches(graph) == 1
    assert sorted(pixels(graph, "length").tolist()) == pytest.approx([14, 20, 26], rel=1e-5)


def test_a_ring_is_one_loop_and_one_more_area():
    graph = build_graph(ring(canvas(), (30, 30), 15))
    check(graph)
    assert len(graph.vessel) == 1 and len(graph.junctions) == 1 and graph.ends.tolist() == [[0, 0]]
    assert len(graph.ica) + len(graph.faz) == 2
    assert pixels(graph, "length")[0] == pytest.approx(2 * np.pi * 15, rel=0.02)
    assert column(graph, "curveness")[0] == 0 and column(graph, "distance")[0] == 0


def test_a_theta_is_two_junctions_three_segments_two_areas_inside():
    mask = line(ring(canvas(), (30, 30), 18), (30, 12), (30, 48), 1)
    graph = build_graph(mask, min_faz_mm=9.0)
    check(graph)
    assert branches(graph) == 2 and len(graph.vessel) == 3 and len(graph.ica) == 3 and len(graph.faz) == 0
    assert graph.edges["vessel", "touches", "vessel"].shape == (2, 6)
    areas = {tuple(pair) for pair in graph.edges["ica", "touches", "ica"].T.tolist()}
    assert areas == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert graph.edges["vessel", "touches", "ica"].shape == (2, 6)
    assert all(graph.edges[kind].shape == (2, 0) for kind in EDGE_TYPES if "faz" in kind)


def test_the_faz_is_the_large_region_in_the_middle():
    mask = line(line(ring(canvas(120, 120), (60, 60), 30), (0, 60), (30, 60), 1), (90, 60), (119, 60), 1)
    graph = build_graph(mask)
    check(graph)
    assert len(graph.faz) == 1 and len(graph.ica) == 2
    assert graph.labels[60, 60] == 3
    assert graph.faz[0, ICA_FEATURES.index("area")] == pytest.approx(
        (graph.labels == 3).sum() * graph.pixel_mm**2
    )
    assert graph.edges["faz", "touches", "faz"].tolist() == [[0], [0]]
    assert graph.edges["faz", "touches", "ica"].tolist() == [[0, 0], [0, 1]]
    assert graph.faz[0, ICA_FEATURES.index("degree")] == 2
    assert graph.edges["vessel", "touches", "faz"].shape == (2, 2)
    assert len(build_graph(mask, min_faz_mm=1.0).faz) == 0
    assert build_graph(mask, faz_rule="centre").faz_pos.tolist() == graph.faz_pos.tolist()


def test_a_bulge_is_no_branch_and_a_twig_is():
    mask = canvas(60, 120)
    mask[28:33, 5:115] = 1
    bulge = build_graph(disc(mask.copy(), (25, 60), 6))
    assert len(bulge.vessel) == 1
    mask[10:30, 59:62] = 1
    twig = build_graph(mask)
    assert len(twig.vessel) == 3 and branches(twig) == 1


def test_rough_walls_give_no_spurs():
    rng = np.random.default_rng(0)
    mask = canvas(60, 300)
    mask[26:35, 10:290] = 1
    mask[25, 10:290] = rng.random(280) < 0.5
    mask[35, 10:290] = rng.random(280) < 0.5
    graph = build_graph(mask)
    assert len(graph.vessel) == 1
    assert pixels(graph, "length")[0] == pytest.approx(270, abs=5)
    assert pixels(graph, "avgRadiusAvg")[0] == pytest.approx(5, abs=0.15)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_graph_of_a_random_network(seed):
    mask = blobs(seed)
    graph = build_graph(mask, merge_px=0.0)
    check(graph)
    # Euler: as many loops as the mask has holes, in as many pieces (blobs without a centreline aside).
    nodes, segments = len(graph.junctions), len(graph.vessel)
    filled = mask.copy()
    filled[2:-2, 2:-2] |= graph.labels[2:-2, 2:-2] == 0
    assert 0 <= euler_number(filled, connectivity=2) - (nodes - segments) <= 2
    # Vessel area is close to the tubes that the features describe.
    tubes = (2 * pixels(graph, "length") * pixels(graph, "avgRadiusAvg")).sum()
    assert tubes == pytest.approx(filled.sum(), rel=0.35)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_turning_and_flipping_change_no_count_and_hardly_a_feature(seed):
    mask = lattice(seed)
    base = build_graph(mask)
    for other in (np.rot90(mask).copy(), mask[::-1].copy(), mask[:, ::-1].copy()):
        graph = build_graph(other)
        assert len(graph.ica) == len(base.ica) and len(graph.faz) == len(base.faz)
        area = ICA_FEATURES.index("area")
        assert np.allclose(np.sort(graph.ica[:, area]), np.sort(base.ica[:, area]))
        # A junction of four may come out as two of three in one orientation.
        assert abs(len(graph.vessel) - len(base.vessel)) <= 2
        for kind in EDGE_TYPES:
            assert abs(graph.edges[kind].shape[1] - base.edges[kind].shape[1]) <= 16
        assert column(graph, "length").sum() == pytest.approx(column(base, "length").sum(), rel=0.02)
        radius = [np.average(column(g, "avgRadiusAvg"), weights=column(g, "length")) for g in (graph, base)]
        assert radius[0] == pytest.approx(radius[1], rel=0.03)


def test_intensity_features_read_the_image():
    mask = line(canvas(), (30, 10), (30, 50), 1)
    image = canvas()
    image[:, 30:] = 255
    graph = build_graph(mask, image)
    on_line = image[tuple(graph.path(0).T)] / 255
    got = [column(graph, name)[0] for name in ("cl_mean", "cl_std", "q25", "q75")]
    assert got == pytest.approx([on_line.mean(), on_line.std(), *np.percentile(on_line, [25, 75])], abs=1e-6)
    coarse = build_graph(mask, image[::4, ::4])
    assert coarse.vessel.tolist()[0][13] == pytest.approx(on_line.mean(), abs=0.05)
    assert not build_graph(mask).vessel[:, 13:17].any()


def test_hetero_data_holds_everything():
    mask = line(line(ring(canvas(120, 120), (60, 60), 30), (0, 60), (30, 60), 1), (90, 60), (119, 60), 1)
    graph = build_graph(mask)
    data = to_hetero(graph, 2)
    data.validate(raise_on_error=True)
    assert data.y.tolist() == [2] and data["vessel"].x.shape == graph.vessel.shape
    assert data["ica", "touches", "ica"].edge_index.tolist() == graph.edges["ica", "touches", "ica"].tolist()
    assert set(data.edge_types) == set(EDGE_TYPES)
    assert np.allclose(data["faz"].pos, graph.faz_pos * 3 / 120)


def test_features_are_documented_with_units():
    assert len(FEATURES["vessel"]) == 18 and len(FEATURES["ica"]) == len(FEATURES["faz"]) == 17
    assert all(
        info.definition and info.unit in {"mm", "mm2", "mm3", "1", "grey"} for info in FEATURES["vessel"]
    )


def test_units_scale_with_the_field():
    mask = blobs(3)
    one, two = build_graph(mask, field_mm=3.0, min_faz_mm=0), build_graph(mask, field_mm=6.0, min_faz_mm=0)
    for kind in ("vessel", "ica", "faz"):
        power = {"mm": 1, "mm2": 2, "mm3": 3, "1": 0, "grey": 0}
        scale = np.array([2.0 ** power[info.unit] for info in FEATURES[kind]])
        assert np.allclose(getattr(two, kind), getattr(one, kind) * scale, rtol=1e-5)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((60, 60, 3)), "one channel"),
        (np.full((60, 60), np.nan), "NaN"),
        (np.arange(3600).reshape(60, 60), "two values"),
        (np.zeros((60, 60), complex), "dtype"),
        (np.zeros((4, 60)), "each side"),
        (np.ones((60, 60)) + np.eye(60), "no zero"),
    ],
)
def test_bad_masks_are_refused(mask, message):
    with pytest.raises(InputError, match=message):
        build_graph(mask)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((60, 60, 3)), "one channel"),
        (np.zeros((60, 80)), "proportions"),
        (np.full((60, 60), np.nan), "NaN"),
        (np.full((60, 60), 2.0), "outside"),
        (np.zeros((60, 60), np.int32), "dtype"),
    ],
)
def test_bad_images_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        build_graph(canvas(), image)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="field_mm"):
        build_graph(canvas(), field_mm=0)
    with pytest.raises(InputError, match="FAZ rule"):
        build_graph(canvas(), faz_rule="largest")


@pytest.mark.parametrize(
    ("mask", "vessels", "regions"),
    [
        (np.zeros((60, 60), bool), 0, 1),
        (np.pad([[1]], 30).astype(np.uint8), 0, 1),
        (np.zeros((60, 90), np.uint8), 0, 1),
    ],
)
def test_masks_without_vessels(mask, vessels, regions):
    graph = build_graph(mask)
    check(graph)
    assert len(graph.vessel) == vessels and len(graph.ica) + len(graph.faz) == regions


def test_a_full_mask_has_no_regions():
    graph = build_graph(np.ones((60, 60)))
    check(graph)
    assert len(graph.ica) == len(graph.faz) == 0


def test_a_large_mask():
    mask = np.zeros((4096, 4096), bool)
    for k in range(256, 4096, 512):
        mask[k - 4 : k + 5] = mask[:, k - 4 : k + 5] = True
    graph = build_graph(mask)
    assert branches(graph) == 64 and len(graph.vessel) == 144 and len(graph.ica) + len(graph.faz) == 81
    assert pixels(graph, "length").sum() == pytest.approx(16 * 4095)
    assert np.allclose(pixels(graph, "avgRadiusAvg"), 4.5, atol=1e-3)
    assert graph.edges["vessel", "touches", "faz"].shape == (2, 4 * len(graph.faz))


def test_a_field_that_is_not_square():
    mask = line(canvas(60, 120), (30, 10), (30, 110), 1)
    graph = build_graph(mask, mask[::2, ::2] * np.uint8(255), field_mm=6.0)
    assert graph.shape == (60, 120) and graph.pixel_mm == 0.05
    assert column(graph, "cl_mean")[0] == 1
    check(graph)


def test_a_region_at_the_border_can_be_the_faz():
    mask = ring(canvas(120, 120), (80, 60), 50)
    graph = build_graph(mask, min_faz_mm=0.5)
    check(graph)
    assert len(graph.faz) == 1 and graph.labels[80, 60] == len(graph.ica) + 1
    assert (graph.labels[117] == len(graph.ica) + 1).any()


def test_sixteen_bit_masks_and_images():
    mask = line(canvas(), (30, 10), (30, 50), 1).astype(np.uint16) * 65535
    graph = build_graph(mask, mask)
    assert column(graph, "cl_mean")[0] == 1


def test_views_and_read_only_arrays_need_no_new_kernels():
    from gftlib.octa import measuring, region_table, walls

    kernels = measuring._measure, measuring._greys, region_table._accumulate, walls._wall_distances
    mask = lattice(2)
    straight = build_graph(mask.T.copy(), mask.T * np.uint8(9))
    for other in (mask.T, np.asfortranarray(mask.T)):
        other.setflags(write=False)
        graph = build_graph(other, other / 255 * 9)
        assert np.allclose(graph.vessel, straight.vessel) and np.allclose(graph.ica, straight.ica)
    assert all(len(kernel.signatures) == 1 for kernel in kernels)


def test_neither_torch_nor_its_friends_are_imported():
    code = (
        "import sys, gftlib.octa.graph; sys.exit(any(m in sys.modules for m in ('torch', 'torch_geometric')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
