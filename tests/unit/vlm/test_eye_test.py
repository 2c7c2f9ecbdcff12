"""The eye test of students: what counts as right."""

from dataclasses import replace

import pytest
from PIL import Image

from gftlib.boxes import format_boxes
from gftlib.errors import MissingError
from gftlib.vlm import eye_test as module
from gftlib.vlm.backbones import EMBEDDED
from gftlib.vlm.conversations import Example
from gftlib.vlm.eye_test import BOXES, KINDS, eye_test, of_embedded, table
from gftlib.vlm.tiny import build

BOX = (0.25, 0.25, 0.5, 0.5)


@pytest.fixture
def examples():
    image, size = Image.new("L", (100, 100)), (100, 100)
    student = build("tiny-mllama", [])
    marked = format_boxes([BOX, (0.6, 0.6, 0.9, 0.9)], student.family.boxes, ["dark patch"] * 2, size)
    asked = (
        "Which quadrants hold dark patches?",
        "Which quadrants hold bright patches?",
        "Is there a dark patch in the upper left quadrant?",
        "Mark the dark patches with boxes.",
    )
    first = Example(image, asked, ("upper left, lower right.", "None.", "Yes.", marked))
    second = Example(image, asked, ("None.", "None.", "No.", "There are none."))
    return student, [first, second]


def scores(examples, told, monkeypatch):
    monkeypatch.setattr(module, "answer", lambda *_, **__: told)
    return eye_test(*examples)


def test_who_sees_everything_is_right_and_the_commonest_answer_is_not(examples, monkeypatch):
    found = scores(examples, [one.answers for one in examples[1]], monkeypatch)
    assert {kind: score["right"] for kind, score in found.items()} == dict.fromkeys(
        [*KINDS.values(), BOXES], 1.0
    )
    dark, bright, there = (found[kind]["commonest"] for kind in KINDS.values())
    assert (dark, bright, there) == (0.5, 1.0, 0.5)
    assert found[BOXES]["n"] == 2


def test_one_box_of_two_and_quadrants_that_are_not_all(examples, monkeypatch):
    student, (first, second) = examples
    one = format_boxes([BOX], student.family.boxes, ["dark patch"], (100, 100))
    told = [("upper left.", "None.", "No.", one), second.answers]
    found = scores((student, [first, second]), told, monkeypatch)
    assert found[KINDS["Which quadrants hold dark patches"]]["right"] == 0.5
    assert found[KINDS["Is there a"]]["right"] == 0.5
    assert found[BOXES]["right"] == 0.5


def test_a_real_student_is_asked(examples):
    student, found = examples[0], eye_test(*examples)
    assert set(found) == {*KINDS.values(), BOXES}
    assert all(0 <= score["right"] <= 1 for score in found.values())
    assert eye_test(student, [replace(e, answers=e.answers) for e in examples[1]]) == found


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_shipped_student_sees_more_than_the_commonest_answer_would_tell(name):
    shipped = of_embedded(name)
    bright = shipped[KINDS["Which quadrants hold bright patches"]]
    assert bright["n"] >= 50
    assert bright["right"] > bright["commonest"] + 0.1


def test_the_shipped_bird_draws_boxes_and_others_have_no_row():
    found = table(["tiny-bird", "qwen2.5-vl-7b"])
    assert set(found["student"]) == {"tiny-bird"}
    boxes = found.set_index("asked for").loc[BOXES]
    assert boxes["questions"] >= 100
    assert boxes["right"] > 0.3
    assert table(["a/model"]).empty


def test_no_weights_no_test(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "WEIGHTS", tmp_path)
    with pytest.raises(MissingError, match="train-student"):
        of_embedded("tiny-mllama")
