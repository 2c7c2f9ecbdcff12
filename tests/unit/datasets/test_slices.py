from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gftlib.datasets.sa_med2d import CLASSES, PAIRS, SAMed2D
from gftlib.datasets.slices import Slice, novel, overlap, sample, shares


@given(st.dictionaries(st.text(min_size=1, max_size=2), st.integers(0, 50), max_size=6), st.integers(0, 120))
def test_shares_use_all_and_are_level(counts, total):
    quota = shares(counts, total)
    assert all(0 <= quota[key] <= counts[key] for key in counts)
    assert sum(quota.values()) == min(total, sum(counts.values()))
    unmet = [quota[key] for key in counts if quota[key] < counts[key]]
    if unmet:
        assert max(unmet) - min(unmet) <= 1
        assert all(quota[key] <= max(unmet) for key in counts)


@pytest.fixture
def listing(tmp_path):
    """A set of which only the names matter: sampling opens no image."""
    (tmp_path / "images").mkdir()
    stems = [f"ct_00--A--c{c}--z_{i:04d}" for c in range(4) for i in range(50)]
    stems += [f"ct_00--B--c0--z_{i:04d}" for i in range(5)]
    stems += [f"x_ray--C--c{c}--2d_none" for c in range(12)]
    pairs = {f"images/{s}.png": [f"masks/{s}--0000_000.png"] for s in stems}
    (tmp_path / PAIRS).write_text(json.dumps(pairs))
    (tmp_path / CLASSES).write_text(json.dumps({"a": 0}))
    return SAMed2D(tmp_path)


def test_the_sample_is_balanced_sorted_and_reproducible(listing):
    chosen = sample(listing, 30, seed=3)
    counts = Counter((e.name.modality, e.name.dataset) for e in chosen)
    assert counts == {("x_ray", "C"): 12, ("ct", "B"): 5, ("ct", "A"): 13}
    assert chosen == sample(listing, 30, seed=3) != sample(listing, 30, seed=4)
    keys = [(e.name.case_key, e.name.index or 0) for e in chosen]
    assert keys == sorted(keys)
    assert len(sample(listing, 10_000)) == 217


def test_slices_of_a_stack_keep_their_distance(listing):
    for entry, following in zip(kept := sample(listing, 10_000, gap=7), kept[1:], strict=False):
        if entry.name.volume == following.name.volume and entry.name.index is not None:
            assert following.name.index - entry.name.index >= 7
    assert Counter(e.name.modality for e in kept)["x_ray"] == 12
    assert 26 <= sum(e.name.dataset == "A" for e in kept) <= 32


def grid(*cells):
    found = np.zeros((4, 4), np.uint8)
    for r, c in cells:
        found[r, c] = 200
    return found


def test_overlap_is_the_mean_over_classes():
    one, other = grid((0, 0), (0, 1)), grid((0, 1), (0, 2))
    assert overlap({"a": one}, {"a": one}) == 1
    assert overlap({"a": one}, {"a": other}) == pytest.approx(1 / 3)
    assert overlap({"a": one}, {"b": one}) == 0 and overlap({}, {}) == 0
    assert overlap({"a": one, "b": one}, {"a": one}) == 0.5


def test_only_near_slices_of_one_stack_are_duplicates():
    same = {"a": grid((1, 1), (1, 2))}
    items = [
        Slice("v", 0, same),
        Slice("v", 3, same),  # like slice 0, near
        Slice("v", 9, same),  # like slice 0, near: the dropped slice 3 does not count
        Slice("v", 11, same),  # slice 0 is out of reach
        Slice("v", 12, {"a": grid((3, 3))}),  # near, but another picture
        Slice("w", 0, same),  # another stack
        Slice("2d", None, same),
        Slice("2d", None, same),  # 2-D images are never slices
    ]
    assert list(novel(items, reach=10)) == [True, False, False, True, True, True, True, True]
    assert all(novel(items, most=1.0))
