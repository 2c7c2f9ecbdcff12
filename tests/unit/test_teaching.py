"""From earlier chapters to tables and to their score: what is measured once, and who is scored on what."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gftlib import table_truth, teaching
from gftlib.dialogue.scoring import FAZ, TrueLesion, ceiling
from gftlib.errors import InputError
from gftlib.octa.features import FEATURES
from gftlib.octa.normal import HealthyReference
from gftlib.octa.signs import FINDING_KINDS
from gftlib.octa.tabling import Stated


def reference(value: float) -> HealthyReference:
    features = {kind: np.full(len(infos), value) for kind, infos in FEATURES.items()}
    return HealthyReference(
        features, features, dict.fromkeys(FINDING_KINDS, value), np.full((2, 4), value), 7
    )


def test_healthy_scans_are_measured_once_and_anew_where_a_graph_changed(tmp_path, monkeypatch):
    graphs = [tmp_path / f"{i}.json.gz" for i in range(3)]
    for number, path in enumerate(graphs):
        path.write_bytes(bytes([number]))
    calls = []
    monkeypatch.setattr(
        teaching, "healthy_reference", lambda *_: calls.append(1) or reference(float(len(calls)))
    )
    first = teaching._reference(graphs, tmp_path / "out", 1)
    again = teaching._reference(graphs, tmp_path / "out", 1)
    assert len(calls) == 1
    for one, other in ((first.mean, again.mean), (first.std, again.std)):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[kind], other[kind]) for kind in one)
    assert (first.limits, first.scans) == (again.limits, again.scans)
    assert np.array_equal(first.density, again.density)
    graphs[1].write_bytes(b"changed")
    assert teaching._reference(graphs, tmp_path / "out", 1).scans == 7
    assert len(calls) == 2


@pytest.fixture
def lesson(tmp_path):
    box = (0.1, 0.1, 0.3, 0.3)
    finding = SimpleNamespace(kind="non-perfusion", quadrants=("UL",), box=box)
    table = SimpleNamespace(findings=(finding,), faz=None, label="NPDR", predicted="NPDR")
    rows = pd.DataFrame({"scan": ["taught", "unseen", "real"], "stage": [1, 2, 0], "split": [2, 0, 0]})
    scans = {
        name: SimpleNamespace(spec=None if name == "real" else object(), name=name) for name in rows["scan"]
    }
    return teaching.Lesson(scans, dict.fromkeys(scans, tmp_path), rows, None, {"taught": table}, tmp_path)


def test_taught_and_unseen_phantoms_are_scored_apart_and_real_scans_are_not(lesson, monkeypatch):
    true = [TrueLesion("capillary non-perfusion", ("UL",), (0.1, 0.1, 0.3, 0.3))]
    monkeypatch.setattr(table_truth, "true_lesions", lambda scan: true)
    monkeypatch.setattr(table_truth, "true_faz", lambda scan: TrueLesion(FAZ, ("LR",), (0.4, 0.4, 0.6, 0.6)))
    asked = []

    def state(graphs, reference, workers):
        asked.extend(graphs)
        return {name: Stated((), None) for name in graphs}

    monkeypatch.setattr(table_truth, "state_many", state)
    rows = table_truth.score(lesson)
    assert asked == ["unseen"]
    assert set(zip(rows["part"], rows["scan"], rows["stage"], strict=True)) == {
        (table_truth.TAUGHT, "taught", "NPDR"),
        (table_truth.UNSEEN, "unseen", "PDR"),
    }
    scores = ceiling(rows)
    assert scores["taught/kinds/f1"] == 1
    assert scores["taught/non-perfusion/box_recall"] == 1
    assert scores["unseen/kinds/f1"] == 0
    assert scores["taught/FAZ/box_recall"] == 0


def test_an_example_is_a_taught_scan_with_findings(lesson):
    assert lesson.example(1).label == "NPDR"
    with pytest.raises(ValueError, match="no taught scan is PDR"):
        lesson.example(2)


def test_names_that_tables_cannot_hold_are_told_at_once():
    teaching._named(["a-1_b.2", "10301"])
    with pytest.raises(InputError, match=r"a scan is named 'left eye'.*rename the file"):
        teaching._named(["a", "left eye"])
