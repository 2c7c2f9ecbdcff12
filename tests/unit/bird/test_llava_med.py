"""LLaVA-Med's files: as its scripts write and read them, with BiRD's sentence and boxes in pixels."""

from __future__ import annotations

import json

import pytest

from gftlib.bird import llava_med, tasks
from gftlib.bird.questions import Writer, turns_of
from gftlib.bird.records import Record
from gftlib.boxes import BoxFormat
from gftlib.errors import InputError, MissingError

SIZE = "The image size is [200, 100], and the origin of the coordinate system is located in the upper left"


@pytest.fixture
def record(make_meta):
    import numpy as np

    meta = make_meta([("liver", (0.1, 0.2, 0.5, 0.8)), ("spleen", (0.6, 0.2, 0.9, 0.4))])
    turns = tuple(turns_of(meta, 9, Writer(), np.random.default_rng(0)))
    return Record(meta.id, meta.image, "ct", "A", meta.case, "test", "", meta.size, turns)


def test_questions_in_pixels_with_the_sentence(record, tmp_path):
    asked = list(llava_med.questions([record]))
    assert len(asked) == len(record.turns) and {one.type for one in asked} == {"VG", "ROC", "RC", "MIA"}
    for one in asked:
        assert SIZE in one.text and "<" not in one.text + one.answer
    vg = next(one for one in asked if one.type == "VG" and "liver" in one.text)
    assert json.loads(vg.answer) == [{"bbox": [20, 20, 100, 80], "label": "liver"}]
    roc = next(one for one in asked if one.type == "ROC")
    assert {"liver": "[20, 20, 100, 80]", "spleen": "[120, 20, 180, 40]"}[roc.answer] in roc.text
    assert llava_med.write_questions(tmp_path / "q.jsonl", asked) == len(asked)
    line = json.loads((tmp_path / "q.jsonl").read_text().splitlines()[0])
    assert line["text"].endswith("\n<image>") and line["domain"]["ct_scan"] and not line["domain"]["mri"]
    assert llava_med.read_questions(tmp_path / "q.jsonl") == asked
    assert SIZE not in next(llava_med.questions([record], sentence=False)).text


def test_right_answers_score_one_and_wrong_boxes_none(record, tmp_path):
    asked = list(llava_med.questions([record]))
    right = {one.question_id: one.answer for one in asked}
    llava_med.write_answers(tmp_path / "a.jsonl", right, "parrot")
    assert llava_med.read_answers(tmp_path / "a.jsonl") == right
    scoring = tasks.Scoring(BoxFormat.PIXEL_XYXY, {record.image: record.shape}, resamples=0, java=False)
    found = tasks.evaluate(llava_med.predictions(asked, right), scoring)
    for name in (tasks.RECALL_AT, tasks.ROC_RECALL, tasks.SLOT_F1, "MIA ROUGE-L"):
        assert found[name].over_items.value == 1
    wrong = {one.question_id: "[150, 0, 200, 20]" for one in asked}
    found = tasks.evaluate(llava_med.predictions(asked, wrong), scoring)
    assert found[tasks.RECALL_AT].over_items.value == 0 == found[tasks.ROC_RECALL].over_items.value


def test_the_published_form_is_read(tmp_path):
    line = {
        "question_id": 0, "image": "1_F3.jpg", "pair_id": "1_F3", "text": "Which organ?\n<image>",
        "gpt4_answer": "The eye.", "fig_caption": "c", "domain": {"gross": True}, "type": "conversation",
    }  # fmt: skip
    (tmp_path / "q.jsonl").write_text(json.dumps(line) + "\n\n")
    (one,) = llava_med.read_questions(tmp_path / "q.jsonl")
    assert (one.question_id, one.text, one.answer) == (0, "Which organ?", "The eye.")
    assert one.extra == {"pair_id": "1_F3", "fig_caption": "c", "domain": {"gross": True}}
    (scored,) = llava_med.predictions([one], {0: "An eye."}, task="MIA")
    assert (scored.task, scored.id, scored.modality) == ("MIA", "0", "unknown")
    with pytest.raises(InputError, match="1 of 1 questions have no answer, first: 0"):
        llava_med.predictions([one], {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question_id": 1}\n', "line 1 lacks image, text, gpt4_answer"),
        ("[]\n", "line 1 is no JSON object"),
        ("{\n", "line 1 is not JSON"),
        (
            '{"question_id": 1, "image": "a", "text": "q", "gpt4_answer": "x"}\n' * 2,
            "question_id 1 occurs twice",
        ),
    ],
)
def test_broken_files(tmp_path, text, message):
    (tmp_path / "q.jsonl").write_text(text)
    with pytest.raises(InputError, match=message):
        llava_med.read_questions(tmp_path / "q.jsonl")
    with pytest.raises(MissingError):
        llava_med.read_answers(tmp_path / "none.jsonl")
