from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gftlib.errors import InputError
from gftlib.octa.baselines import SETTINGS, cross_validate_baseline
from gftlib.octa.biomarkers import BIOMARKERS, biomarkers, fractal_dimension
from gftlib.octa.features import ICA_FEATURES, VESSEL_FEATURES
from gftlib.octa.predictions import summarise


@pytest.fixture
def scans() -> pd.DataFrame:
    number = np.arange(60)
    return pd.DataFrame(
        {
            "scan": number.astype(str),
            "subject": number.astype(str),
            "stage": number % 3,
            "split": number // 10,
        }
    )


@pytest.fixture
def features(scans) -> pd.DataFrame:
    """One column that tells the stage, one that does not."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({"area": scans["stage"] + 0.1 * rng.normal(size=60), "noise": rng.normal(size=60)})


def row(names: tuple[str, ...], **values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in names])


def test_biomarkers_of_a_hand_made_graph():
    mask = np.zeros((100, 100), bool)
    mask[:50, :20] = True
    vessel = [
        row(VESSEL_FEATURES, length=3.0, distance=2.0, avgRadiusAvg=0.01),
        row(VESSEL_FEATURES, length=1.0, distance=0.0, avgRadiusAvg=0.03),
    ]
    ica = [row(ICA_FEATURES, area=area, eccentricity=0.5) for area in (1.0, 3.0)]
    faz = [row(ICA_FEATURES, area=np.pi, perimeter=2 * np.pi, axis_major_length=4.0, axis_minor_length=1.0)]
    graph = SimpleNamespace(
        shape=(100, 100),
        pixel_mm=0.02,
        vessel=np.stack(vessel),
        ica=np.stack(ica),
        faz=np.stack(faz),
        paths=np.stack([np.arange(100), np.arange(100)], 1),
        ends=np.array([[0, 1], [1, 1]]),
        junctions=np.zeros((2, 2)),
    )
    found = biomarkers(graph, mask)
    assert list(found) == list(BIOMARKERS)
    expected = {
        "vessel_density": 0.1,
        "skeleton_density": 1.0,
        "calibre_mean": 2 * (3 * 0.01 + 0.03) / 4,
        "tortuosity": 1.5,
        "segment_density": 0.5,
        "junction_density": 0.25,
        "free_end_density": 0.25,
        "faz_circularity": 1.0,
        "faz_axis_ratio": 0.25,
        "faz_present": 1.0,
        "ica_area_mean": 2.0,
        "ica_area_std": 1.0,
        "quadrant_density_min": 0.0,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    assert found["quadrant_density_std"] == pytest.approx(np.std([0.4, 0, 0, 0]))


def test_biomarkers_of_an_empty_scan_are_finite():
    graph = SimpleNamespace(
        shape=(8, 8),
        pixel_mm=1.0,
        vessel=np.zeros((0, 18)),
        ica=np.zeros((0, 17)),
        faz=np.zeros((0, 17)),
        paths=np.zeros((0, 2), int),
        ends=np.zeros((0, 2), int),
        junctions=np.zeros((0, 2)),
    )
    found = biomarkers(graph, np.zeros((8, 8), bool))
    assert all(value == 0 for value in found.values())
    with pytest.raises(InputError, match="belong together"):
        biomarkers(graph, np.zeros((4, 4), bool))


def test_box_counting_of_a_line_and_of_a_plane():
    line = np.stack([np.zeros(1024, int), np.arange(1024)], 1)
    plane = np.stack(np.mgrid[:1024, :1024], -1).reshape(-1, 2)
    assert fractal_dimension(line, 1024) == pytest.approx(1.0)
    assert fractal_dimension(plane, 1024) == pytest.approx(2.0)


@pytest.mark.parametrize("method", ["random_forest", "svm", "logistic"])
def test_a_baseline_finds_what_tells_the_stage(method, features, scans, monkeypatch):
    few = ({"n_estimators": 10}, {"n_estimators": 10, "max_depth": 2})
    monkeypatch.setitem(SETTINGS, "random_forest", few)
    table = cross_validate_baseline(features, scans, method, budget=2, seeds=(0,), folds=(1, 2))
    summary = summarise(table, resamples=10)
    assert summary["test"][method]["balanced_accuracy"]["mean"] > 0.9
    assert summary["test"][method]["scans"] == 10
    assert set(table["candidate"]) <= {0, 1}
    again = cross_validate_baseline(features, scans, method, budget=2, seeds=(0,), folds=(1, 2))
    pd.testing.assert_frame_equal(table, again)


def test_majority_is_chance_and_foreign_cohorts_are_judged(features, scans):
    foreign = {"shifted": (features[["noise", "area"]].iloc[:6] + 1, scans.iloc[:6])}
    table = cross_validate_baseline(features, scans, "majority", seeds=(0,), folds=(1,), foreign=foreign)
    summary = summarise(table, resamples=10)
    assert summary["test"]["majority"]["balanced_accuracy"]["mean"] == pytest.approx(1 / 3)
    assert summary["shifted"]["majority"]["scans"] == 6


def test_a_stage_that_is_not_in_training_has_no_probability(features, scans):
    stage = np.where(scans["split"] == 0, scans["stage"], scans["stage"] % 2)
    for method in ("svm", "logistic"):
        table = cross_validate_baseline(features, scans.assign(stage=stage), method, seeds=(0,), folds=(1,))
        assert (table["PDR"] == 0).all()
        assert np.allclose(table[["healthy", "NPDR"]].sum(axis=1), 1)


def test_every_method_offers_as_many_settings():
    assert {len(options) for name, options in SETTINGS.items() if name != "majority"} == {4}


def test_bad_input_is_named(features, scans):
    with pytest.raises(InputError, match="did you mean 'logistic'"):
        cross_validate_baseline(features, scans, "logistics")
    with pytest.raises(InputError, match="59 rows of features"):
        cross_validate_baseline(features[1:], scans, "svm")
    features.loc[3, "noise"] = np.nan
    with pytest.raises(InputError, match="'noise' of row 3"):
        cross_validate_baseline(features, scans, "svm")
