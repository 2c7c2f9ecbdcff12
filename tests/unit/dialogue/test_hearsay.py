"""Dialogues about random tables: all that the teacher says, beside a blank page."""

import numpy as np
import pytest

from gftlib.boxes import parse_boxes
from gftlib.dialogue.hearsay import random_table, talk
from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.dialogue.vocabulary import phrases
from gftlib.octa.signs import FINDING_KINDS
from gftlib.vlm.tiny import build


@pytest.fixture(scope="module")
def student():
    return build("tiny-qwen2.5-vl", phrases())


def test_random_tables_hold_every_stage_and_kind_independently():
    rng = np.random.default_rng(0)
    tables = [random_table(rng, n) for n in range(600)]
    assert {table.label for table in tables} == {"healthy", "NPDR", "PDR"}
    assert {f.kind for table in tables for f in table.findings} == set(FINDING_KINDS)
    counts = [
        np.mean([len(t.findings) for t in tables if t.label == stage]) for stage in ("healthy", "NPDR", "PDR")
    ]
    assert max(counts) - min(counts) < 0.5, "no stage has more findings than another"
    for table in tables:
        OfflineTeacher().second(table, "none")


def test_dialogues_stand_beside_a_blank_page(student):
    heard = talk(student, (60, 56), np.random.default_rng(5))
    assert [len(e.questions) for e in heard] == [1, 30, 1]
    for example in heard:
        assert example.image.size == (60, 56)
        assert all(low == high for low, high in example.image.getextrema())


def test_a_stage_is_also_named_in_a_word(student):
    rng = np.random.default_rng(6)
    words = {talk(student, (56, 56), rng)[-1].answers for _ in range(30)}
    assert words == {("healthy.",), ("NPDR.",), ("PDR.",)}


def test_boxes_are_written_as_the_student_writes_them(student):
    _, told, _ = talk(student, (304, 304), np.random.default_rng(1))
    boxes = [parse_boxes(a, student.family.boxes, (304, 304), **student.pixels).boxes for a in told.answers]
    assert sum(map(len, boxes)) > 0
    assert all(((one >= 0) & (one <= 1)).all() for one in boxes)
