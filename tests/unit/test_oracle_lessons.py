"""What a perfect table would teach: the drawn lesions as findings, in the words of the same teacher."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gftlib import oracle_lessons
from gftlib.dialogue.hearsay import random_table
from gftlib.dialogue.scoring import TrueLesion
from gftlib.errors import InputError
from gftlib.octa.findings import MOST
from gftlib.oracle_lessons import true_dialogues, true_findings
from gftlib.profiles import load_profile
from gftlib.teaching import Lesson

GRAPH = SimpleNamespace(shape=(100, 200), faz_pos=np.array([[50.0, 100.0]]), pixel_mm=0.01)
SMALL = TrueLesion("microaneurysm", ("UL",), (0.1, 0.1, 0.12, 0.12))
LARGE = TrueLesion("capillary non-perfusion", ("LR",), (0.6, 0.6, 0.9, 0.9))


def test_lesions_become_findings_the_largest_first():
    first, second = true_findings(GRAPH, [SMALL, LARGE])
    assert (first.id, first.kind, first.quadrants, first.box) == ("F1", "non-perfusion", ("LR",), LARGE.box)
    assert (second.kind, second.quadrants) == ("dilated vessels", ("UL",))
    # the middle of the box, in the frame of the image
    assert (first.place.quadrant, first.place.x, first.place.y) == ("LR", 0.75, 0.75)
    assert second.place.clock in (10, 11)


def test_no_more_of_a_kind_than_a_table_states():
    found = true_findings(GRAPH, [SMALL] * (MOST + 3) + [LARGE])
    assert [one.kind for one in found].count("dilated vessels") == MOST
    assert len(found) == MOST + 1


def test_a_lesion_of_no_kind_is_refused():
    with pytest.raises(InputError, match="no finding claims"):
        true_findings(GRAPH, [TrueLesion("hole", ("UL",), (0, 0, 1, 1))])


def test_true_dialogues_are_made_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(oracle_lessons, "read_graph", lambda path: GRAPH)
    monkeypatch.setattr(oracle_lessons, "true_lesions", lambda scan: calls.append(scan) or [LARGE])
    table = random_table(np.random.default_rng(0))
    scan = SimpleNamespace(name=table.scan, image=tmp_path / "scan.png")
    lesson = Lesson({table.scan: scan}, {table.scan: tmp_path}, None, None, {table.scan: table}, tmp_path)
    profile = load_profile("smoke")
    made = true_dialogues(profile, lesson)
    assert made == true_dialogues(profile, lesson)
    assert len(calls) == 1
    asked = [pair for pair in made[1][0].pairs if pair.boxes and "perfusion" in pair.question]
    assert all(box.xyxy == LARGE.box for pair in asked for box in pair.boxes)
    other = profile.model_copy(update={"seed": profile.seed + 1})
    assert true_dialogues(other, lesson) != made
    assert len(calls) == 2
