"""What images tell students: which are exchanged, what is counted, and how it is summed up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gftlib import agent_reliance
from gftlib.agent import Course, Pupil
from gftlib.agent_reliance import COLUMNS, EVERY, exchanged, summarise, table
from gftlib.agent_samples import evenly
from gftlib.dialogue.records import Dialogue, Pair

STAGES = {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2, "f": 0}


@pytest.fixture
def course(tmp_path):
    rows = pd.DataFrame({"scan": list(STAGES), "stage": STAGES.values(), "subject": "s", "split": 0})
    return Course((), (), {name: SimpleNamespace(image=tmp_path / f"{name}.png") for name in STAGES}, rows)


def test_scans_are_taken_in_turns_of_the_stages(course):
    assert evenly(course, list(STAGES), 4) == ["a", "c", "e", "b"]
    assert evenly(course, list(STAGES), 99) == ["a", "c", "e", "b", "d", "f"]
    assert evenly(course, [], 3) == []


def test_images_are_exchanged_within_a_stage_and_between_stages(course):
    shown = exchanged(course, list(STAGES))
    for name, images in shown.items():
        assert images["own"] == name
        assert course.stages[images["other_stage"]] != course.stages[name]
    assert "same_stage" not in shown["e"]
    alike = {name: images["same_stage"] for name, images in shown.items() if name != "e"}
    assert all(other != name and STAGES[other] == STAGES[name] for name, other in alike.items())


def test_each_scan_is_asked_about_beside_three_images(course, monkeypatch):
    pairs = tuple(
        Pair(question="Q?", answer="A.", kind=kind) for kind in ("presence", "diagnosis", "presence")
    )
    told = [Dialogue(id=n, image=f"{n}.png", stage=2, teacher="offline", pairs=pairs) for n in "ce"]
    lessons = [SimpleNamespace(image=course.images[d.id]) for d in told]
    monkeypatch.setattr(agent_reliance, "tuned", lambda *_: "student")
    monkeypatch.setattr(agent_reliance, "examples", lambda *_: lessons)
    monkeypatch.setattr(agent_reliance, "replace", lambda lesson, image: image)
    cost = {"c": 1.0, "d": 2.0, "a": 4.0, "e": 8.0}
    monkeypatch.setattr(agent_reliance, "surprisal", lambda _, image: cost[image.stem] * np.array([1, 2, 3]))
    shared = (course, SimpleNamespace(tuning=None), None, told, exchanged(course, list("acde")))
    found = pd.DataFrame(agent_reliance._cost(shared, Pupil("o/s", "GFT", 1)), columns=list(COLUMNS))
    assert found["kind"].tolist() == ["presence", "diagnosis"] * 2
    assert found["pairs"].tolist() == [2, 1] * 2
    first = found.iloc[0]
    assert (first["student"], first["arm"], first["run"], first["scan"]) == ("o/s", "GFT", "1", "c")
    assert (first["own"], first["same_stage"]) == (2.0, 4.0)
    assert found["same_stage"].isna().tolist() == [False, False, True, True]


def costs(*rows):
    return pd.DataFrame([("o/s", *row) for row in rows], columns=list(COLUMNS))


def test_gains_are_means_over_scans_with_their_error():
    nan = float("nan")
    found = summarise(
        costs(
            ("GFT", "0", "a", "presence", 2, 1.0, 2.0, 2.5),
            ("GFT", "0", "a", "diagnosis", 1, 1.0, 5.0, 6.0),
            ("GFT", "0", "b", "presence", 2, 1.0, 1.0, 1.0),
            ("GFT", "0", "b", "diagnosis", 1, 1.0, 1.0, 1.0),
            ("GFT", "0", "c", "presence", 2, 1.0, nan, 1.0),
        )
    )
    assert found["o/s/GFT/presence"] == {"stage": [0.25, 0.25], "scan": [0.5, 0.5]}
    # scan a: two pairs gain one bit and one gains four; scan b: none
    assert found[f"o/s/GFT/{EVERY}"]["scan"] == [1.0, 1.0]
    assert found["o/s/GFT/diagnosis"]["scan"] == [2.0, 2.0]


def test_the_table_has_a_row_an_arm_and_leaves_open_what_was_not_measured():
    found = {
        f"o/s/GFT/{EVERY}": {"stage": [0.1, 0.01], "scan": [0.02, 0.01]},
        "o/s/GFT/presence": {"stage": [0.5, 0.1], "scan": [-0.3, 0.1]},
        f"o/s/FT/{EVERY}": {},
    }
    shown = table(found).set_index("tuning")
    assert shown.index.tolist() == ["FT", "GFT"]
    assert shown.loc["GFT", "scan: presence"] == "-0.30 ± 0.10"
    assert shown.loc["GFT", f"stage: {EVERY}"] == "+0.10 ± 0.01"
    assert shown.loc["FT", f"stage: {EVERY}"] == "–"
    assert "stage: presence" not in shown
