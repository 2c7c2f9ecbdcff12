"""What is told of light and dark is so, in the image at hand."""

import numpy as np
import pytest

from gftlib.boxes import BoxFormat, parse_boxes
from gftlib.vlm.neutral_lessons import add_patches, lessons, look
from gftlib.vlm.pretraining import examples, views
from gftlib.vlm.tiny import build


@pytest.fixture
def image():
    grey = np.full((200, 200), 100.0)
    grey[85:115, 85:115] = 20
    grey[150:180, 20:50] = 10
    grey[20:45, 150:175] = 255
    return grey


def test_spots_are_where_they_were_drawn_and_the_middle_is_in_no_quadrant(image):
    looks = look(image)
    assert [spot.quadrant for spot in looks.dark] == [2]
    assert [spot.quadrant for spot in looks.bright] == [1]
    assert looks.dark[0].box == pytest.approx((0.1, 0.75, 0.25, 0.9), abs=0.05)
    assert looks.bright[0].box == pytest.approx((0.75, 0.1, 0.875, 0.225), abs=0.05)


def test_every_answer_follows_from_the_image(image):
    looks, marked = look(image), set()
    for seed in range(20):
        pairs = dict(lessons(looks, np.random.default_rng(seed), "qwen_vl", (200, 200)))
        assert pairs["Which quadrants hold dark patches?"] == "lower left."
        assert pairs["Which quadrants hold bright patches?"] == "upper right."
        for question, answer in pairs.items():
            if question.startswith("Is there"):
                there = "lower left" in question if "dark" in question else "upper right" in question
                assert answer == ("Yes." if there else "No.")
            for kind, spots in (("dark", looks.dark), ("bright", looks.bright)):
                if question == f"Mark the {kind} patches with boxes.":
                    marked.add(kind)
                    boxes = parse_boxes(answer, BoxFormat.QWEN_VL).boxes
                    assert boxes[0] == pytest.approx(spots[0].box, abs=1e-3)
    assert marked == {"dark", "bright"}


def test_a_blank_image_has_nothing_to_mark():
    looks = look(np.full((40, 40), 9.0))
    assert not looks.dark
    assert not looks.bright
    told = dict(lessons(looks, np.random.default_rng(0), "qwen_vl", (40, 40)))
    assert set(told.values()) == {"None.", "No.", "There are none."}


def test_a_patch_changes_what_is_seen_there_and_nothing_far_from_it():
    grey = np.full((120, 120), 100, dtype=np.uint8)
    same = [np.array_equal(add_patches(grey, np.random.default_rng(s), 1), grey) for s in range(12)]
    assert any(same)
    assert not all(same)
    for seed in np.flatnonzero(~np.array(same)):
        changed = add_patches(grey, np.random.default_rng(seed), 1)
        assert (changed == 100).mean() > 0.6
        far = changed.astype(int).max() - 100, 100 - changed.astype(int).min()
        assert max(far) >= 50
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(
        add_patches(colour, np.random.default_rng(3))[..., 1], add_patches(grey, np.random.default_rng(3))
    )


def test_turned_views_have_lessons_of_their_own(image):
    turned = views([image.astype(np.uint8)], 8, np.random.default_rng(0))
    assert len(turned) == 8
    assert len({view.tobytes() for view in turned}) == 8
    student = build("tiny-mllama", ["The"])
    for view, example in zip(turned, examples(student, turned), strict=True):
        assert np.array_equal(np.asarray(example.image), view)
        told = dict(zip(example.questions, example.answers, strict=True))
        there = told["Which quadrants hold dark patches?"] != "None."
        assert there == bool(look(view).dark)
