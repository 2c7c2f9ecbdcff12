"""Region properties are scikit-image's; labels, holes, frame and FAZ follow the declared rules."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import blobs, canvas, disc, ring
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, label
from skimage.measure import regionprops_table

from gftlib.octa.greys import grey_levels
from gftlib.octa.region_table import PROPERTIES, measure_regions
from gftlib.octa.regions import label_regions

FOUR = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def expected(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    names = {"equivalent_diameter": "equivalent_diameter_area"}
    plain = [name for name in PROPERTIES if name not in {"centroid-0", "centroid-1", "q25", "q75", "std"}]
    table = regionprops_table(
        labels, image, properties=["centroid", *(names.get(name, name) for name in plain)]
    )
    columns = {name: table[names.get(name, name)] for name in (*plain, "centroid-0", "centroid-1")}
    values = [image[labels == k] for k in range(1, labels.max() + 1)]
    columns |= {"q25": [np.percentile(v, 25) for v in values], "q75": [np.percentile(v, 75) for v in values]}
    columns["std"] = [v.std() for v in values]
    return np.stack([np.asarray(columns[name], float) for name in PROPERTIES], axis=1)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from(["blobs", "noise"]))
def test_properties_equal_scikit_image(seed, kind):
    rng = np.random.default_rng(seed)
    mask = blobs(seed) if kind == "blobs" else (rng.random((70, 90)) < 0.45).astype(np.uint8)
    image = rng.integers(0, 256, mask.shape).astype(np.uint8)
    labels, _, area, box, _ = label_regions(mask, 10, 1e9)
    got = measure_regions(labels, box, *grey_levels(image, mask.shape))
    want = expected(labels, image / 255)
    assert area.tolist() == np.bincount(labels.ravel())[1:].tolist()
    for k, name in enumerate(PROPERTIES):
        assert np.allclose(got[:, k], want[:, k], rtol=1e-4, atol=1e-6), name


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10_000))
def test_labels_equal_scipy_inside_the_frame(seed):
    mask = (np.random.default_rng(seed).random((60, 60)) < 0.4).astype(np.uint8)
    labels, filled, _, _, has_faz = label_regions(mask, 10, 1e9)
    free = np.zeros(mask.shape, bool)
    free[2:-2, 2:-2] = mask[2:-2, 2:-2] == 0
    reference, count = label(free, FOUR)
    small = np.isin(reference, np.flatnonzero(np.bincount(reference.ravel()) <= 10))
    kept = np.unique(reference[(reference > 0) & ~small])
    assert not has_faz and labels.max() == len(kept) <= count
    assert (labels > 0).tolist() == ((reference > 0) & ~small).tolist()
    pairs = np.unique(np.stack([labels[labels > 0], reference[labels > 0]]), axis=1)
    assert pairs.shape[1] == len(kept)
    assert (filled > 0).tolist() == ((mask > 0) | (small & free)).tolist()
    first = [np.flatnonzero(labels.ravel() == k)[0] for k in range(1, labels.max() + 1)]
    assert first == sorted(first)


def test_holes_up_to_the_limit_are_filled():
    mask = canvas()
    mask[20:30, 20:40] = 1
    mask[24, 22:32] = 0
    mask[27, 22:33] = 0
    labels, filled, area, _, _ = label_regions(mask, 10, 1e9)
    assert filled[24, 22:32].all() and not filled[27, 22:33].any()
    assert sorted(area.tolist())[0] == 11 and labels.max() == 2
    assert label_regions(mask, 9, 1e9)[0].max() == 3


def test_the_frame_counts_as_vessel():
    labels, *_ = label_regions(canvas(), 10, 1e9)
    assert labels[2:-2, 2:-2].min() == 1 and labels[:2].max() == labels[:, -2:].max() == 0


def test_faz_has_the_largest_inscribed_circle_not_the_largest_area():
    mask = np.ones((200, 200), np.uint8)
    disc_mask = disc(canvas(200, 200), (100, 90), 30)
    mask[disc_mask > 0] = 0
    mask[10:190, 130:150] = 0
    mask[170:190, 5:150] = 0
    labels, _, area, _, has_faz = label_regions(mask, 10, 5.0)
    assert has_faz and labels[100, 90] == labels.max() and area[-1] < area[0]
    radius = distance_transform_edt(mask == 0)[100, 90] - 0.5
    assert label_regions(mask, 10, radius - 0.01)[4] and not label_regions(mask, 10, radius + 0.01)[4]


def test_a_large_region_off_centre_is_no_faz():
    mask = np.ones((200, 200), np.uint8)
    mask[disc(canvas(200, 200), (30, 30), 20) > 0] = 0
    assert not label_regions(mask, 10, 5.0)[4]


@pytest.mark.parametrize("below", [0, 20])
def test_the_historical_rule_steps_down_from_the_centre(below):
    mask = ring(canvas(120, 120), (60, 60), 20)
    if below:
        mask[55 : 60 + below, :] = 1
    labels, _, _, _, has_faz = label_regions(mask, 10, 1e9, "centre")
    assert has_faz
    row = next(r for r in range(60, 120) if not mask[r, 60])
    assert labels[row, 60] == labels.max()
