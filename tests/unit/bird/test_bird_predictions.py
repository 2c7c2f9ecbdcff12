"""The file of predictions: what is read, what is refused, and with which words."""

from __future__ import annotations

import json

import pytest

from gftlib.bird.predictions import UNKNOWN, Prediction, asked, cleaned, read, write
from gftlib.bird.questions import Turn
from gftlib.bird.records import Record
from gftlib.errors import InputError, MissingError

CT = "images/ct_00--A--c--z_0001.png"
GOOD = {"id": "a", "image": CT, "question": "q", "annotation": "x", "response": "y"}


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_round_trip(tmp_path):
    kept = [Prediction("a", CT, "q", "x", "yé", "VG"), Prediction("a", CT, "q", "x", "", "MIA")]
    assert write(tmp_path / "p.jsonl", kept) == 2 and read(tmp_path / "p.jsonl") == kept


@pytest.mark.parametrize(
    ("name", "task"),
    [("pred_RO_v1.jsonl", "ROC"), ("GC.jsonl", "RC"), ("test-MII.jsonl", "MIA"), ("VG.jsonl", "VG")],
)
def test_the_files_of_the_published_scripts_tell_their_task(tmp_path, name, task):
    (one,) = read(lines(tmp_path / name, GOOD | {"id": 7}))
    assert (one.task, one.id, one.modality) == (task, "7", "ct")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no predictions"),
        ([{"id": "a"}], "line 1 is not a prediction .*it lacks image, question, annotation, response"),
        ([3], "it is no object"),
        ([GOOD | {"response": None}], "response must be text, not NoneType"),
        ([GOOD | {"task": "VGG"}], "unknown task 'VGG'; did you mean 'VG'"),
        ([GOOD, GOOD], "2 predictions of VG share the id 'a'"),
    ],
)
def test_bad_files_are_refused_with_their_place(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read(lines(tmp_path / "VG.jsonl", *rows))


def test_a_missing_file_task_or_brace(tmp_path):
    with pytest.raises(MissingError):
        read(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="names no task"):
        read(lines(tmp_path / "p.jsonl", GOOD))
    assert read(tmp_path / "p.jsonl", "RC")[0].task == "RC"
    (tmp_path / "VG.jsonl").write_text("{\n")
    with pytest.raises(InputError, match="line 1 is not JSON"):
        read(tmp_path / "VG.jsonl")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("liver<|im_end|><|endoftext|>", "liver"),
        ("\nliver\nand more", "liver"),
        ("  liver ", "liver"),
        ("<|im_end|>", ""),
    ],
)
def test_cleaning(text, kept):
    assert cleaned(text) == kept


def test_questions_of_records_and_other_names():
    turn = Turn("VG", "VG", "Where?", "There", "liver", ((0.0, 0.0, 0.5, 0.5),))
    record = Record("s", CT, "ct", "A", "A--c", "test", "", (10, 10), (turn, turn))
    found = list(asked([record]))
    assert [(r.id, n, p.id, p.response) for r, n, p in found] == [("s", 0, "s#0", ""), ("s", 1, "s#1", "")]
    assert Prediction("a", "34630837_F2.jpg", "q", "x", "y", "MIA").modality == UNKNOWN
