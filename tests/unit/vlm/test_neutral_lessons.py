"""What is told of light and dark is so, in the image at hand."""

import numpy as np
import pytest

from gftlib.boxes import BoxFormat, parse_boxes
from gftlib.vlm.neutral_lessons import QUADRANT_WORDS, TONES, lessons, look
from gftlib.vlm.pretraining import examples, views
from gftlib.vlm.tiny import build


@pytest.fixture
def image():
    grey = np.full((200, 200), 100.0)
    grey[:100, 100:] = 140
    grey[85:115, 85:115] = 20
    grey[150:180, 20:50] = 10
    grey[20:45, 150:175] = 255
    return grey


def test_spots_and_quadrants_are_where_they_were_drawn(image):
    looks = look(image)
    assert int(np.argmax(looks.light)) == 1
    assert looks.centre is not None
    assert looks.centre.box == pytest.approx((0.425, 0.425, 0.575, 0.575), abs=0.05)
    assert [spot.quadrant for spot in looks.dark] == [2]
    assert [spot.quadrant for spot in looks.bright] == [1]
    assert looks.dark[0].box == pytest.approx((0.1, 0.75, 0.25, 0.9), abs=0.05)


def test_tones_are_quarters_of_the_cells(image):
    ramp = np.add.outer(np.arange(64.0) * 64, np.arange(64.0))
    assert look(ramp).tones == tuple((t,) * 4 for t in range(4))
    assert np.bincount(np.ravel(look(image).tones)).sum() == 16


def test_every_answer_follows_from_the_image(image):
    looks = look(image)
    for seed in range(6):
        pairs = dict(lessons(looks, np.random.default_rng(seed), "qwen_vl", (200, 200)))
        assert pairs["Which quadrant is the brightest?"] == "The upper right quadrant."
        assert set(pairs["Name the tones, row by row."].replace(";", "").split()) <= set(TONES)
        for question, answer in pairs.items():
            if question.startswith("Is there a dark patch"):
                assert answer.startswith("Yes") == ("lower left" in question)
            if question.startswith("Mark the dark patches"):
                assert parse_boxes(answer, BoxFormat.QWEN_VL).boxes[0] == pytest.approx(
                    looks.dark[0].box, abs=1e-3
                )


def test_a_blank_image_has_nothing_to_mark():
    looks = look(np.full((40, 40), 9.0))
    assert looks.centre is None
    assert not looks.dark
    assert not looks.bright
    told = [lessons(looks, np.random.default_rng(s), "qwen_vl", (40, 40))[-1][1] for s in range(4)]
    assert set(told) == {"There are none."}


def test_turned_views_have_lessons_of_their_own(image):
    rng = np.random.default_rng(0)
    turned = views([image.astype(np.uint8)], 8, rng)
    assert len(turned) == 8
    brightest = {int(np.argmax(look(view).light)) for view in turned}
    assert brightest == {0, 1, 2, 3}
    student = build("tiny-mllama", ["The"])
    for view, example in zip(turned, examples(student, turned), strict=True):
        told = dict(zip(example.questions, example.answers, strict=True))
        brightest = QUADRANT_WORDS[int(np.argmax(look(view).light))]
        assert told["Which quadrant is the brightest?"] == f"The {brightest} quadrant."
