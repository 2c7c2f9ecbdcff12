"""What chapter 6 shows of the scores."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gftlib import agent_phrases, agent_tables
from gftlib.agent_phrases import phrases_html
from gftlib.agent_tables import explained_table, finding
from gftlib.profiles import load_profile

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
    monkeypatch.setattr(agent_phrases, "true_lesions", lambda scan: [])
    scan = SimpleNamespace(image=tmp_path / "a.png", spec=object() if phantom else None)
    course = SimpleNamespace(scans={"a": scan}, stages={"a": "PDR"})
    shown = phrases_html(course, "a", {f"owner/{canary}": canary})
    assert "alert(1)" in shown
    assert "<script" not in shown and "<img src=x" not in shown


def test_naming_everything_stands_beside_the_students():
    scores = SCORES | {"asked/tiny/GFT/0/kinds/naive_f1": 0.31, "told/tiny/GFT/0/kinds/naive_f1": 0.9}
    rows = explained_table(scores, {"kinds/f1": 0.7}).set_index("student")
    assert rows.loc["every quadrant named", "kind and quadrant, F1"] == "0.31"


def test_table_2_holds_students_and_the_methods_of_chapter_2(monkeypatch):
    judged = {"other device": {"gnn": {"mean": 0.4}}, "OCTA-500": {"gnn": {"mean": 0.8}}}
    full = SimpleNamespace(results={"balanced_accuracy": judged})
    monkeypatch.setattr(agent_tables, "standing", lambda *_: full)
    moved = {"owner/model/GFT": {"mean": 0.5, "pooled": 0.6}}
    profile = SimpleNamespace(name="smoke")
    public = {"owner/model/GFT": {"balanced accuracy": 0.7, "F1 DR": 0.3}}
    table = agent_tables.table_2(moved, public, profile)
    assert table.loc[("GFT", "owner/model"), "OCTA-500, balanced accuracy"] == 0.7
    assert table.loc[("GFT", "owner/model"), "phantoms, healthy against DR"] == 0.6
    assert table.loc[("chapter 2", "graph network"), "OCTA-500, balanced accuracy"] == 0.8
    assert table.loc[("chapter 2", "graph network"), "phantoms, three stages"] == 0.4
    assert agent_tables.table_2({}, {}, profile).index.get_level_values(0).tolist() == ["chapter 2"]
    monkeypatch.setattr(agent_tables, "standing", lambda *_: None)
    assert agent_tables.table_2({}, {}, profile).empty


def test_replies_are_means_over_the_runs_of_an_arm():
    shares = {"affirmed": 0.2, "denied": 0.8, "unread": 0.0}
    table = agent_tables.replies_table(
        {"asked/owner/model/GFT/0": shares, "asked/owner/model/GFT/1": shares | {"affirmed": 0.4}}
    )
    assert table.to_dict("records") == [
        {
            "student": "owner/model",
            "tuning": "GFT",
            "affirmed": "30.0 %",
            "denied": "80.0 %",
            "unread": "0.0 %",
        }
    ]


def test_a_conversation_is_shown_in_turns_and_never_run(monkeypatch):
    asked = []

    class Talk:
        def __init__(self, student, image, background, longest):
            assert (student, image) == ("student", "a.png") and background

        def ask(self, question):
            asked.append(question)
            return "<script>alert(1)</script>"

    monkeypatch.setattr(agent_phrases, "Conversation", Talk)
    monkeypatch.setattr(agent_phrases, "tuned", lambda pupil, *_: "student" if pupil.arm == "GFT" else None)
    course = SimpleNamespace(images={"a": "a.png"}, stages={"a": "PDR"})
    shown = agent_phrases.conversation_html(course, load_profile("smoke"), None, "a")
    assert tuple(asked) == agent_phrases.TALK
    assert shown.count("alert(1)") == len(asked) and "<script" not in shown
