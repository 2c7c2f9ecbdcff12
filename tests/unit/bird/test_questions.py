from __future__ import annotations

import numpy as np
import pytest

from gftlib.bird.captions import (
    absent_answer,
    article,
    caption_prompt,
    nearest,
    place,
    region_caption,
    rule_caption,
    size_word,
)
from gftlib.bird.questions import NEGATIVE, TASKS, Writer, absent_names, turns_of
from gftlib.boxes import BoxFormat, parse_boxes

LIVER, KIDNEY = (0.0, 0.1, 0.5, 0.7), (0.6, 0.6, 0.7, 0.8)


@pytest.fixture
def meta(make_meta):
    return make_meta([("liver", LIVER), ("left_kidney", KIDNEY), ("left_kidney", (0.8, 0.6, 0.9, 0.8))])


@pytest.mark.parametrize(
    ("box", "where"),
    [
        ((0, 0, 0.2, 0.2), "upper left"),
        ((0.4, 0.4, 0.6, 0.6), "central"),
        ((0.3, 0.8, 0.7, 1), "lower"),
        ((0.9, 0.9, 1, 1), "lower right"),
        ((0, 0, 1, 1), "central"),
    ],
)
def test_place(box, where):
    assert place(box) == where


def test_size_words_change_at_their_limits():
    assert [size_word(a) for a in (0.0099, 0.01, 0.0599, 0.06)] == [
        "small",
        "medium-sized",
        "medium-sized",
        "large",
    ]


def test_articles():
    assert [article(w) for w in ("axial CT image", "MR image", "X-ray image", "polyp")] == [
        "an axial CT image", "an MR image", "an X-ray image", "a polyp",
    ]  # fmt: skip


def test_captions_say_what_the_meta_information_says(meta):
    assert rule_caption(meta) == (
        "This is an axial CT image of the abdomen. "
        "It shows the following: liver and left kidney (2 regions). "
        "The largest region is the liver in the left part of the image."
    )
    assert region_caption(meta.instances[0], meta) == (
        "A large liver in the left part of the image, nearest to the left kidney."
    )
    assert nearest(meta.instances[1], meta).name == "liver"
    assert "left kidney: box [0.600, 0.600, 0.700, 0.800]" in caption_prompt(meta)
    assert "200 x 100" in caption_prompt(meta)


def test_visual_grounding_answers_with_every_instance(meta):
    turn = Writer().vg(meta, "left kidney", np.random.default_rng(0))
    assert "<ref>left kidney</ref>" in turn.question
    assert turn.answer == "<ref>left kidney</ref><box>(600,600),(700,800)</box><box>(800,600),(900,800)</box>"
    assert turn.boxes == tuple(i.box for i in meta.named("left kidney"))


@pytest.mark.parametrize("fmt", list(BoxFormat))
def test_every_family_can_be_written_and_read(meta, fmt):
    turn = Writer(fmt).vg(meta, "left kidney", np.random.default_rng(0))
    read = parse_boxes(turn.answer, fmt, meta.size)
    assert np.allclose(read.boxes, turn.boxes, atol=0.02) and not read.rejected
    assert set(read.refs) <= {"left kidney", None} and read.refs[0] == "left kidney"


def test_region_questions_hold_their_box(meta):
    rng = np.random.default_rng(1)
    roc, rc = (Writer().region(task, meta, 1, rng) for task in ("ROC", "RC"))
    assert "<box>(600,600),(700,800)</box>" in roc.question and roc.answer == "left kidney"
    assert "<box>(600,600),(700,800)</box>" in rc.question and "left kidney" in rc.answer
    assert roc.boxes == rc.boxes == (KIDNEY,)


def test_the_teacher_writes_the_captions(meta):
    turn = Writer(caption=lambda m: f"Caption of {m.id}").mia("CAPTION", meta, np.random.default_rng(0))
    assert turn.answer == f"Caption of {meta.id}"


@pytest.mark.parametrize("seed", range(6))
def test_turns_are_different_and_go_round_the_tasks(meta, seed):
    turns = list(turns_of(meta, 6, Writer(), np.random.default_rng(seed)))
    assert len(turns) == 6 and {t.task for t in turns[:4]} == set(TASKS)
    assert len({(t.task, t.kind, t.name, t.boxes) for t in turns}) == 6
    assert turns == list(turns_of(meta, 6, Writer(), np.random.default_rng(seed)))


def test_no_object_classification_where_it_is_not_asked(meta):
    turns = list(turns_of(meta, 50, Writer(), np.random.default_rng(0), roc=False))
    assert {t.task for t in turns} == {"VG", "RC", "MIA"} and len(turns) == 2 + 3 + 5


def test_negatives_ask_for_what_the_data_set_annotates_and_the_image_lacks(make_meta):
    vocabulary = {"liver", "liver_tumor", "spleen", "left_kidney", "right_kidney"}
    modalities = {"ct": vocabulary, "endoscopy": {"polyp"}, "pet": {"tumor_lesion"}}
    meta = make_meta([("liver_tumor", LIVER)], present=["left_kidney"])
    hard, easy = absent_names(meta, vocabulary, modalities)
    # The liver holds the tumour, so it is there without a mask; the other kidney is a class of its own.
    assert hard == ["right kidney", "spleen"]
    # A tumour lesion in PET could well be seen in CT; a polyp in colonoscopy is another kind of picture.
    assert easy == ["polyp"]


def test_photographs_may_be_asked_for_anything_radiological(make_meta):
    meta = make_meta([("optic_disc", LIVER)], modality="fundus", dataset="F")
    hard, easy = absent_names(
        meta, {"optic_disc"}, {"fundus": {"optic_disc"}, "ct": {"liver"}, "mr": {"disc_prolapse"}}
    )
    assert hard == [] and easy == ["liver"]


def test_the_negative_answer_has_no_box():
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(20):
        turn = Writer().negative("spleen", rng)
        kinds.add(turn.kind)
        assert (
            turn.task == NEGATIVE
            and turn.boxes == ()
            and "<box>" not in turn.answer
            and "spleen" in turn.answer
        )
        assert turn.answer.startswith("No. ") == (turn.kind == "PRESENT")
    assert kinds == {"VG", "PRESENT"} and absent_answer("x", 0) != absent_answer("x", 1)
