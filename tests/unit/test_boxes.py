"""The box grammar: exact texts, round trips, tolerant reading, counted rejections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.boxes import (
    BoxFormat,
    format_box,
    format_boxes,
    frame,
    mask_to_box,
    parse_boxes,
    quadrant,
    smart_resize,
)
from gftlib.errors import InputError

BOX = (0.1, 0.2, 0.5, 0.75)
SIZE = (304, 608)


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        ("qwen_vl", "<ref>a lesion</ref><box>(100,200),(500,750)</box>"),
        (
            "qwen2_vl",
            "<|object_ref_start|>a lesion<|object_ref_end|><|box_start|>(100,200),(500,750)<|box_end|>",
        ),
        ("qwen3_vl", '{"bbox_2d": [100, 200, 500, 750], "label": "a lesion"}'),
        # 304 x 608 resizes to 308 x 616
        ("qwen25_absolute", '{"bbox_2d": [62, 62, 308, 231], "label": "a lesion"}'),
        ("unit_xyxy", '{"bbox": [0.1, 0.2, 0.5, 0.75], "label": "a lesion"}'),
        ("pixel_xyxy", '{"bbox": [61, 61, 304, 228], "label": "a lesion"}'),
    ],
)
def test_each_family_writes_its_own_text_and_reads_it_back(fmt: str, text: str) -> None:
    assert format_box(BOX, fmt, "a lesion", size=SIZE) == text
    result = parse_boxes(f"Here it is: {text}.", fmt, size=SIZE)
    assert result.refs == ["a lesion"]
    assert not result.rejected
    np.testing.assert_allclose(result.boxes, [BOX], atol=0.5 / 304)


def test_without_a_name() -> None:
    assert format_box(BOX, "qwen_vl") == "<box>(100,200),(500,750)</box>"
    assert format_box(BOX, "unit_xyxy") == "[0.1, 0.2, 0.5, 0.75]"
    assert format_box(BOX, "qwen3_vl") == '{"bbox_2d": [100, 200, 500, 750]}'
    assert parse_boxes(format_box(BOX, "pixel_xyxy", size=SIZE), "pixel_xyxy", size=SIZE).refs == [None]


@st.composite
def boxes_of_a_format(draw: st.DrawFn) -> tuple[BoxFormat, tuple[int, int], list[list[float]]]:
    fmt = draw(st.sampled_from(list(BoxFormat)))
    size = (draw(st.integers(40, 3000)), draw(st.integers(40, 3000)))
    unit = 1e-4 if fmt is BoxFormat.UNIT_XYXY else 1.0
    least = 1.01 * unit / frame(fmt, size)[:2]
    boxes = []
    for _ in range(draw(st.integers(1, 3))):
        low = [draw(st.floats(0, 1 - side)) for side in least]
        high = [draw(st.floats(a + side, 1)) for a, side in zip(low, least, strict=True)]
        boxes.append([*low, *high])
    return fmt, size, boxes


@settings(deadline=None, max_examples=150)
@given(
    case=boxes_of_a_format(), name=st.none() | st.text(st.characters(exclude_characters="<>{}"), min_size=1)
)
def test_round_trip_within_half_a_unit(
    case: tuple[BoxFormat, tuple[int, int], list[list[float]]], name: str | None
) -> None:
    fmt, size, boxes = case
    text = format_boxes(boxes, fmt, [name] * len(boxes), size=size)
    result = parse_boxes(text, fmt, size=size)
    assert not result.rejected
    unit = 1e-4 if fmt is BoxFormat.UNIT_XYXY else 1.0
    error = np.abs(result.boxes - boxes) * frame(fmt, size) / unit
    assert result.boxes.shape == (len(boxes), 4)
    assert error.max() <= 0.5 + 1e-6
    tagged = fmt in (BoxFormat.QWEN_VL, BoxFormat.QWEN2_VL)
    assert result.refs == [name.strip() if tagged and name else name] * len(boxes)


@settings(deadline=None, max_examples=60)
@given(x=st.floats(0, 0.9999), y=st.floats(0, 0.9999), fmt=st.sampled_from(list(BoxFormat)))
def test_a_tiny_box_is_widened_to_one_unit_and_never_lost(x: float, y: float, fmt: BoxFormat) -> None:
    result = parse_boxes(format_box((x, y, x + 1e-4, y + 1e-4), fmt, size=SIZE), fmt, size=SIZE)
    assert len(result.boxes) == 1
    unit = 1e-4 if fmt is BoxFormat.UNIT_XYXY else 1.0
    assert np.abs(result.boxes[0] - (x, y, x, y)).max() <= (2 * unit / frame(fmt, SIZE)).max()


@pytest.mark.parametrize(
    "text",
    [
        "<box>(500,750),(100,200)</box>",
        "<box>(100.0, 200.0), (500.0, 750.0)</box>",
        "<box>100,200,500,750</box>",
        "<box>[100,200,500,750]</box>",
        "<box>[[100, 200], [500, 750]]</box>",
        "<box>(100,200),(500,750)",
        "<box>(100,200),(500,750",
        "<box>(100,200),(500,750) shows 3 lesions in 2 places.",
        "<box>x0: 100, y0: 200, x1: 500, y1: 750</box>",
        "(100,200),(500,750)",
        "The lesion is at [100, 200, 500, 750] (about 12 % of the image).",
        '```json\n[\n\t{"bbox_2d": [100, 200, 500, 750]}\n]\n```',
        '[{"bbox_2d": [100, 200, 500, 750',
        "{'bbox_2d': [100, 200, 500, 750], 'confidence': 0.9}",
        "{bbox_2d: (100 200 500 750), confidence: 0.9}",
        '<box>{"bbox_2d": [100, 200, 500, 750]}</box>',
        "<|box_start|>(100,200),(500,750)<|box_end|>",
        "<box>(95,200),(500,750)</box><box>".replace("95", "100").removesuffix("<box>"),
    ],
)
def test_what_models_really_write_is_read(text: str) -> None:
    result = parse_boxes(text, "qwen_vl")
    np.testing.assert_allclose(result.boxes, [BOX])
    assert not result.rejected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("<ref>a</ref><box>(1,2),(3,4)</box><ref>b</ref><box>(1,2),(3,4)</box>", ["a", "b"]),
        ("<ref>a</ref><box>(1,2),(3,4)</box> and <box>(5,6),(7,8)</box>", ["a", "a"]),
        ("<ref>a</ref><box>(1,2),(3,4),(5,6),(7,8)</box>", ["a", "a"]),
        ("<ref><ref>a</ref></ref><box>(1,2),(3,4)</box>", ["a"]),
        ("<ref>left <ref>kidney</ref></ref><box>(1,2),(3,4)</box>", ["kidney"]),
        ("<ref>a<box>(1,2),(3,4)</box>", ["a"]),
        ("<box>(1,2),(3,4)</box>", [None]),
        (
            '[{"label": "a", "bbox_2d": [1,2,3,4]}, {"bbox_2d": [1,2,3,4], "label": "b \\"c\\""}]',
            ["a", 'b "c"'],
        ),
        ("{'label': 'a', 'bbox_2d': [1,2,3,4]}", ["a"]),
    ],
)
def test_names_go_with_their_boxes(text: str, names: list[str | None]) -> None:
    assert parse_boxes(text, "qwen_vl").refs == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<box></box>", "not four numbers"),
        ("<box>(1,2),(3)</box>", "not four numbers"),
        ("<box>upper left</box>", "not four numbers"),
        ("<box> is where 1 to 2 and 3 to 4 meet", "not four numbers"),
        ('{"bbox_2d": [1, 2, 3]}', "not four numbers"),
        ("<box>(1,2),(3,4000)</box>", "out of range"),
        ("<box>(-50,2),(3,4)</box>", "out of range"),
        ("<box>(1,2),(3,1e999)</box>", "out of range"),
        ("<box>(5,2),(5,4)</box>", "empty"),
        ("<box>(1001,2),(1002,4)</box>", "empty"),
    ],
)
def test_each_rejection_is_counted_with_its_reason(text: str, reason: str) -> None:
    result = parse_boxes("<box>(100,200),(500,750)</box>" * ("<box>" in text) + text, "qwen_vl")
    assert result.rejected == {reason: 1}
    assert len(result.boxes) == ("<box>" in text)


def test_a_text_without_boxes_has_neither_boxes_nor_rejections() -> None:
    result = parse_boxes("Healthy (3 of 4 quadrants, see [12]); no box.", "qwen_vl")
    assert result.boxes.shape == (0, 4)
    assert result.refs == []
    assert not result.rejected


def test_a_slight_overshoot_is_clipped() -> None:
    np.testing.assert_allclose(parse_boxes("<box>(-5,0),(1003,1000)</box>", "qwen_vl").boxes, [[0, 0, 1, 1]])


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.sampled_from(
            ["<ref>", "</ref>", "<box>", "</box>", "<|box_start|>", "<|box_end|>", '{"bbox_2d":', '"label":"']
        )
        | st.sampled_from(["12", "3.5", "e9", "word", *'[](),}"- \n'])
    ).map("".join)
)
def test_no_text_breaks_the_parser_and_all_boxes_are_good(text: str) -> None:
    for fmt in BoxFormat:
        result = parse_boxes(text, fmt, size=SIZE)
        assert len(result.refs) == len(result.boxes)
        assert np.all((result.boxes >= 0) & (result.boxes <= 1))
        assert np.all(result.boxes[:, :2] < result.boxes[:, 2:])


@pytest.mark.parametrize("text", ["(", "[ ", "<box>(1,", '{"bbox_2d":[', "<ref>", "9", "(1,2),(3"])
def test_a_degenerate_text_of_any_length_is_read_in_linear_time(text: str) -> None:
    # quadratic patterns took minutes here, which a test run would show
    assert len(parse_boxes(text * 20_000, "qwen_vl").boxes) in (0, 20_000)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([(3136, 1003520), (3136, 12845056)]))
def test_smart_resize_is_the_processors(height: int, width: int, limits: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize as theirs

    low, high = limits
    if max(height, width) / min(height, width) > 200:
        with pytest.raises(InputError, match="1:200"):
            smart_resize(height, width, min_pixels=low, max_pixels=high)
    else:
        expected = theirs(height, width, min_pixels=low, max_pixels=high)
        assert smart_resize(height, width, min_pixels=low, max_pixels=high) == expected


def test_max_pixels_reaches_the_frame() -> None:
    assert frame("qwen25_absolute", (1216, 1216)).tolist() == [980] * 4
    assert frame("qwen25_absolute", (1216, 1216), max_pixels=12845056).tolist() == [1204] * 4


def test_quadrants_and_their_midlines() -> None:
    assert [quadrant(x, y) for y in (0.2, 0.8) for x in (0.2, 0.8)] == ["UL", "UR", "LL", "LR"]
    assert quadrant(0.5, 0.49) == "UR"
    assert quadrant(0.49, 0.5) == "LL"
    assert quadrant(0.5, 0.5) == "LR"
    assert quadrant(np.array([0.0, 1.0]), np.array([0.0, 1.0])).tolist() == ["UL", "LR"]


def test_mask_to_box_is_half_open() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:6] = True
    np.testing.assert_array_equal(mask_to_box(mask), [0.2, 0.2, 0.3, 0.5])
    with pytest.raises(InputError, match="0 true pixels"):
        mask_to_box(np.zeros((3, 3), bool))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: format_box((0.5, 0, 0.2, 1), "qwen_vl"), "x0 < x1"),
        (lambda: format_box((0, 0, 0.2, float("nan")), "qwen_vl"), "x0 < x1"),
        (lambda: format_box((0, 0, 1.2, 1), "qwen_vl"), "in \\[0, 1\\]"),
        (lambda: format_box(BOX, "qwen_vl", "a</ref>"), "free of"),
        (lambda: format_box(BOX, "pixel_xyxy"), "size="),
        (lambda: format_box(BOX, "qwen_v"), "did you mean 'qwen_vl'"),
        (lambda: format_boxes([BOX], "qwen_vl", ["a", "b"]), "1 boxes but 2 names"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
