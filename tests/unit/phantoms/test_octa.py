"""OCTA phantoms: the truth is what the label shows."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import skan
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from gftlib.errors import InputError
from gftlib.phantoms.capillaries import cell_walls, seed_cells
from gftlib.phantoms.laying import lay_trees
from gftlib.phantoms.lesion_masks import vessel_free
from gftlib.phantoms.lesions import plan_lesions
from gftlib.phantoms.octa import GENERATOR_VERSION, OctaConfig, OctaPhantom, ScanSpec, cohort, generate
from gftlib.phantoms.octa_config import SIZE
from gftlib.phantoms.vasculature import faz_outline, grow_trees

CONFIG_HASH = "04467dfd67ba7ee4af1f929215ee23563ef24eac0cb5f8dc0b7a830bca6e96ce"


def region_sizes(label: np.ndarray) -> np.ndarray:
    free = ~label
    free[:2] = free[-2:] = False
    free[:, :2] = free[:, -2:] = False
    return np.bincount(ndi.label(free)[0].ravel())[1:]


def pruned_skeleton(label: np.ndarray) -> tuple[skan.Skeleton, np.ndarray]:
    """Skeleton without thinning's spurs on thick strokes, and the distance to the background."""
    depth = ndi.distance_transform_edt(np.pad(label, 1))[1:-1, 1:-1]
    skeleton = skan.Skeleton(skeletonize(label))
    table = skan.summarize(skeleton, separator="_")
    spurs = []
    for k in np.flatnonzero((table.branch_type == 1).to_numpy()):
        path = skeleton.path_coordinates(int(k))
        if table.branch_distance[k] < max(depth[tuple(path[0])], depth[tuple(path[-1])]) + 2:
            spurs.append(int(k))
    return (skeleton.prune_paths(spurs) if spurs else skeleton), depth


def smooth_length(skeleton: skan.Skeleton) -> float:
    """Length of all paths after a moving average of five pixels, which takes the staircase out."""
    total = 0.0
    for k in range(skeleton.n_paths):
        path = skeleton.path_coordinates(k).astype(float)
        if len(path) > 4:
            padded = np.pad(path, ((2, 2), (0, 0)), mode="edge")
            smooth = np.mean([padded[i : i + len(path)] for i in range(5)], axis=0)
            smooth[[0, -1]] = path[[0, -1]]
            path = smooth
        total += np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    return total


def digest(phantom: OctaPhantom) -> str:
    parts = [
        phantom.image,
        phantom.label,
        phantom.faz,
        phantom.graph.points,
        phantom.graph.ends,
        phantom.graph.radius,
    ]
    parts += [lesion.crop for lesion in phantom.lesions]
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def make(stage: int, severity: float, seed: int) -> OctaPhantom:
    return generate(ScanSpec("t", 0, "OD", "a", stage, severity, seed, seed + 1000))


def test_shapes_and_types(phantoms: list[OctaPhantom]) -> None:
    for phantom in phantoms:
        assert phantom.image.shape == (304, 304)
        assert phantom.image.dtype == np.uint8
        assert phantom.label.shape == phantom.faz.shape == (1216, 1216)
        assert phantom.label.dtype == phantom.faz.dtype == bool
        assert not (phantom.faz & phantom.label).any()
        assert 0.22 < phantom.label.mean() < 0.40


@pytest.mark.parametrize("case", range(3))
def test_a_skeleton_of_the_label_finds_the_drawn_graph(phantoms: list[OctaPhantom], case: int) -> None:
    phantom = phantoms[case]
    skeleton, depth = pruned_skeleton(phantom.label)
    thin = skeleton.skeleton_image.astype(bool)
    crowd = ndi.convolve(thin.astype(int), np.ones((3, 3), int), mode="constant") - 1
    blobs, count = ndi.label(thin & (crowd >= 3), np.ones((3, 3)))
    found = np.array(ndi.center_of_mass(blobs > 0, blobs, range(1, count + 1)))
    true = phantom.graph.junctions()
    recall = np.mean(cKDTree(found).query(true)[0] <= 3)
    precision = np.mean(cKDTree(true).query(found)[0] <= 3)
    assert 2 * recall * precision / (recall + precision) >= 0.95

    assert smooth_length(skeleton) == pytest.approx(phantom.graph.lengths().sum(), rel=0.02)

    inner = np.all((phantom.graph.points > 8) & (phantom.graph.points < 1207), axis=1)
    at = np.rint(phantom.graph.points[inner]).astype(int)
    assert np.mean(np.abs(depth[tuple(at.T)] - 0.5 - phantom.graph.radius[inner])) <= 0.5


@pytest.mark.parametrize("seed", range(6))
def test_every_face_is_one_clear_region(seed: int) -> None:
    phantom = make(seed % 3, 0.3 * (seed % 3) + 0.05, 100 + seed)
    sizes = region_sizes(phantom.label)
    assert sizes.min() >= 60
    assert len(sizes) - 1 == phantom.ica_count
    assert phantom.faz.sum() in sizes


def test_truth_graph_is_well_formed(phantoms: list[OctaPhantom]) -> None:
    graph = phantoms[1].graph
    assert graph.offsets[-1] == len(graph.points) == len(graph.radius)
    np.testing.assert_array_equal(graph.points[graph.offsets[:-1]], graph.nodes[graph.ends[:, 0]])
    np.testing.assert_array_equal(graph.points[graph.offsets[1:] - 1], graph.nodes[graph.ends[:, 1]])
    assert set(np.unique(graph.degree()[~graph.border])) <= {1, 3, 4, 5, 6}
    assert np.all(graph.degree()[graph.border] == 1)
    at = np.clip(np.rint(graph.points).astype(int), 0, 1215)
    assert phantoms[1].label[tuple(at.T)].mean() > 0.999


def test_same_seed_same_bytes(phantoms: list[OctaPhantom]) -> None:
    assert digest(generate(phantoms[2].spec)) == digest(phantoms[2])


def test_a_left_eye_mirrors_a_right_one(phantoms: list[OctaPhantom]) -> None:
    right = phantoms[2]
    left = generate(replace(right.spec, eye="OS"))
    np.testing.assert_array_equal(left.label, right.label[:, ::-1])
    np.testing.assert_array_equal(left.faz, right.faz[:, ::-1])
    np.testing.assert_allclose(left.graph.nodes[:, 1], 1215 - right.graph.nodes[:, 1], atol=1e-3)
    for one, other in zip(left.lesions, right.lesions, strict=True):
        np.testing.assert_array_equal(one.mask(), other.mask()[:, ::-1])


def test_a_look_changes_the_image_and_not_the_truth(phantoms: list[OctaPhantom]) -> None:
    one = phantoms[1]
    other = generate(replace(one.spec, look="b"))
    np.testing.assert_array_equal(one.label, other.label)
    np.testing.assert_array_equal(one.graph.points, other.graph.points)
    assert np.mean(np.abs(one.image.astype(int) - other.image)) > 10


def test_a_repeat_scan_shares_the_eye(phantoms: list[OctaPhantom]) -> None:
    one = phantoms[1]
    other = generate(replace(one.spec, scan_seed=77))
    assert [lesion.kind for lesion in other.lesions if lesion.crop.size > 20000][:1] == [
        lesion.kind for lesion in one.lesions if lesion.crop.size > 20000
    ][:1]
    assert other.faz.sum() == pytest.approx(one.faz.sum(), rel=0.1)
    assert not np.array_equal(one.label, other.label)


def test_difficulty_is_frozen_under_its_version() -> None:
    """A change of any setting needs a new GENERATOR_VERSION, and this hash with it."""
    assert (GENERATOR_VERSION, OctaConfig().config_hash()) == ("1.1.0", CONFIG_HASH)


@pytest.mark.parametrize(
    "change", [{"eye": "left"}, {"look": "c"}, {"stage": 3}, {"severity": 1.5}, {"anatomy_seed": -1}]
)
def test_bad_specs_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        generate(replace(ScanSpec("t", 0, "OD", "a", 0, 0.1, 1, 2), **change))


def test_no_single_biomarker_decides() -> None:
    """FAZ area and counts of drop-out, microaneurysms and tortuous vessels overlap between the stages."""
    config = OctaConfig()
    rows = []
    for who in cohort(500, 5):
        rng = np.random.default_rng([who.anatomy_seed, 0])
        healthy = faz_outline(config.anatomy, rng)
        plan = plan_lesions(config.lesions, who.severity, who.stage, healthy, rng)
        radius = (plan.faz or healthy).radius
        rows.append((who.stage, np.mean(radius**2), len(plan.dropouts), plan.microaneurysms, plan.tortuous))
    table = np.array(rows)
    for column in range(1, 5):
        for low, high in ((0, 1), (0, 2), (1, 2)):
            a, b = table[table[:, 0] == low, column], table[table[:, 0] == high, column]
            auc = np.mean(b[:, None] > a) + 0.5 * np.mean(b[:, None] == a)
            assert 0.52 < auc < 0.92
    assert config.lesions.tuft_probability < 0.9


def test_forks_follow_murray() -> None:
    """Where an arteriole or venule forks, the cubes of the daughters' radii sum to at most the parent's."""
    config = OctaConfig().anatomy
    rng = np.random.default_rng(4)
    faz = faz_outline(config, rng)
    trees = grow_trees(config, faz, rng)
    graph = cell_walls(config, faz, seed_cells(config, faz, trees, [], rng))
    lay_trees(graph, trees, config.model_copy(update={"uptake": 0.0, "largest_radius": 99.0}), rng)
    inside = graph.in_tree()
    forks = 0
    for node in np.flatnonzero(np.bincount(graph.edges[inside].ravel(), minlength=len(graph.points)) == 3):
        at = inside & (graph.edges == node).any(axis=1)
        if len(set(graph.tree[at])) == 1:
            small, middle, large = np.sort(graph.radius[at]) ** 3
            # A tip that ends at the fork itself adds its own share.
            assert large - small - middle >= -1e-6 * large
            forks += int(np.isclose(large, small + middle))
    assert forks > 20


def test_drop_outs_that_meet_are_one_region() -> None:
    """A grid of walls 10 pixels apart; two outlines in one gap, one in another, one around nothing."""
    label = np.zeros((SIZE, SIZE), bool)
    label[::10] = label[:, ::10] = True
    label[101:150, 101:150] = label[301:340, 301:340] = False
    outlines = [np.zeros_like(label) for _ in range(4)]
    for outline, (low, high) in zip(outlines, ((101, 125), (126, 150), (301, 340), (601, 604)), strict=True):
        outline[low:high, low:high] = True
    found = vessel_free(label, outlines, np.zeros_like(label))
    assert [int(mask.sum()) for mask in found] == [49**2, 39**2, 81]
    assert found[0][101:150, 101:150].all()
    assert not (found[0] & label).any()


def test_non_perfusion_is_free_of_vessels_and_of_the_faz(phantoms: list[OctaPhantom]) -> None:
    regions = [
        (phantom, lesion.mask())
        for phantom in phantoms
        for lesion in phantom.lesions
        if lesion.kind == "capillary non-perfusion"
    ]
    assert regions
    for phantom, mask in regions:
        assert not (mask & (phantom.label | phantom.faz)).any()
