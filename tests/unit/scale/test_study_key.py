"""Kept results belong to the very data that they were computed from."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scale_data import make_features, multi_task

from gftlib.profiles import load_profile
from gftlib.scale import study

FEATURES = make_features(multi_task())


def key(features):
    return study._key(SimpleNamespace(name="medclip", features=features), load_profile("smoke"))


def exchanged(values):
    """Exchange the first two cases, which hold two samples each."""
    return values[np.r_[2, 3, 0, 1, 4 : len(values)]]


@pytest.mark.parametrize("part", ["test", "subjects", "pairs", "labels"])
def test_other_data_are_other_results(part, monkeypatch):
    monkeypatch.setattr(study, "source_files", lambda _: [])  # the code is the same, and slow to read
    other = replace(FEATURES, **{part: exchanged(getattr(FEATURES, part))})
    assert key(other) != key(FEATURES)
    assert key(replace(FEATURES)) == key(FEATURES)
