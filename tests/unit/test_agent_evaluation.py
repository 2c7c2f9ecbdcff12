"""What chapter 6 shows of the scores."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gftlib import agent_evaluation
from gftlib.agent_evaluation import explained_table, finding, phrases_html

SCORES = {
    "asked/tiny/GFT/0/scans": 4,
    "asked/tiny/GFT/0/kinds/f1": 0.4,
    "asked/tiny/GFT/1/kinds/f1": 0.6,
    "asked/tiny/GFT/0/FAZ/box_recall": 1.0,
    "asked/owner/model/BS/0/kinds/f1": 0.1,
    "told/tiny/GFT/0/kinds/f1": 0.3,
    "told/tiny/GFT/0/FAZ/box_recall": 0.0,
}


def test_students_stand_below_the_table_that_taught_them():
    table = explained_table(SCORES, {"kinds/f1": 0.7, "scans": 9})
    assert table.iloc[0]["student"] == "the table itself"
    assert table.iloc[0]["kind and quadrant, F1"] == "0.70"
    rows = table.set_index(["answers", "student", "tuning"])
    assert rows.loc[("asked for each", "tiny", "GFT"), "kind and quadrant, F1"] == "0.50"
    assert rows.loc[("asked for each", "owner/model", "BS"), "kind and quadrant, F1"] == "0.10"
    assert rows.loc[("free explanation", "tiny", "GFT"), "FAZ boxes"] == "–"
    assert rows.loc[("asked for each", "tiny", "GFT"), "FAZ boxes"] == "1.00"


@pytest.mark.parametrize(("scores", "words"), [(SCORES, "GFT 0.50"), ({}, "Nothing was scored")])
def test_the_finding_is_made_of_the_scores(scores, words):
    assert words in finding(scores)


def test_claims_on_a_real_scan_are_not_called_false(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    scan = SimpleNamespace(image=tmp_path / "a.png", spec=None)
    course = SimpleNamespace(scans={"a": scan}, stages={"a": "PDR"})
    told = {"tiny/GFT": "There is capillary non-perfusion in the upper left quadrant."}
    shown = phrases_html(course, "a", told)
    assert told["tiny/GFT"] in shown
    assert "<b style" not in shown
    assert "not known of a real scan" in shown


@pytest.mark.parametrize("phantom", [True, False])
def test_what_students_say_is_shown_and_never_run(tmp_path, monkeypatch, phantom):
    canary = "<script>alert(1)</script><img src=x onerror=alert(1)> A microaneurysm in the upper left."
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(agent_evaluation, "true_lesions", lambda scan: [])
    scan = SimpleNamespace(image=tmp_path / "a.png", spec=object() if phantom else None)
    course = SimpleNamespace(scans={"a": scan}, stages={"a": "PDR"})
    shown = phrases_html(course, "a", {f"owner/{canary}": canary})
    assert "alert(1)" in shown
    assert "<script" not in shown and "<img src=x" not in shown
