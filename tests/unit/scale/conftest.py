"""Fixtures of the tests of SCALE."""

from __future__ import annotations

import pytest
from scale_data import exclusive_task, make_features, multi_task

from gftlib.scale.features import Features


@pytest.fixture(scope="session", params=["exclusive", "multi"])
def features(request: pytest.FixtureRequest) -> Features:
    return make_features(exclusive_task() if request.param == "exclusive" else multi_task())
