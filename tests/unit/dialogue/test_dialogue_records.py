from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from gftlib.dialogue.display import dialogue_html, marked
from gftlib.dialogue.records import (
    Dialogue,
    NamedBox,
    Pair,
    read_dialogues,
    spoken,
    write_dialogues,
)
from gftlib.errors import InputError, MissingError

BOX = NamedBox(name="FAZ", xyxy=(0.25, 0.25, 0.75, 0.5))


def dialogue(image: str = "scans/a.png", **change: object) -> Dialogue:
    pairs = (
        Pair(question="Where?", answer="Here.", kind="grounding", boxes=(BOX,)),
        Pair(question="What?", answer="A scan.", kind="quadrant", quadrant="UL"),
    )
    return Dialogue(
        **({"id": "a", "image": image, "stage": 2, "teacher": "offline", "pairs": pairs} | change)
    )


def test_files_come_back_the_same(tmp_path) -> None:
    path = write_dialogues(tmp_path / "d.jsonl", [dialogue(), dialogue(id="b")])
    assert read_dialogues(path) == [dialogue(), dialogue(id="b")]
    path.write_text(dialogue().model_dump_json() + "\n" + '{"id": "x"}\n')
    with pytest.raises(InputError, match=r"d.jsonl line 2 is no dialogue: image"):
        read_dialogues(path)
    with pytest.raises(MissingError):
        read_dialogues(tmp_path / "none")


def test_a_file_is_whole_or_not_there(tmp_path) -> None:
    def broken():
        yield dialogue()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_dialogues(tmp_path / "d.jsonl", broken())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "image", ["/etc/passwd", "../a.png", "a/../../b.png", "C:\\a", "~/a.png", "", "file:a"]
)
def test_no_path_leaves_its_folder(image: str) -> None:
    with pytest.raises(ValidationError):
        dialogue(image=image)


@pytest.mark.parametrize("text", ["<image> look", "a <|im_end|> b", "<box>(1,2)", "</ref>", "< IMAGE >"])
def test_control_tokens_never_enter_words(text: str) -> None:
    for words in ({"question": text, "answer": "a"}, {"question": "q", "answer": text}):
        with pytest.raises(ValidationError, match="control token"):
            Pair(kind="FAZ", **words)


def test_a_model_is_to_write_the_boxes_in_its_grammar() -> None:
    where, what = dialogue().pairs
    assert spoken(what, "qwen_vl") == "A scan."
    assert spoken(where, "qwen_vl") == "Here. <ref>FAZ</ref><box>(250,250),(750,500)</box>"
    absolute = json.loads(spoken(where, "qwen25_absolute", (280, 280)).removeprefix("Here. "))
    assert absolute[0]["bbox_2d"] == [70, 70, 210, 140]


def test_script_in_words_is_inert_where_it_is_shown() -> None:
    evil = "<script>alert(1)</script>"
    pair = Pair(
        question=evil,
        answer=f"vessel tortuosity {evil}",
        kind="FAZ",
        boxes=(NamedBox(name='"x"', xyxy=BOX.xyxy),),
    )
    shown = dialogue_html(evil, [pair], [('"><img onerror=x>', np.zeros((2, 2), np.uint8))])
    assert "<script" not in shown
    assert "<img onerror" not in shown
    assert shown.count("&lt;script&gt;") == 3


def test_features_and_places_are_marked() -> None:
    text = marked("There is vessel tortuosity in the upper left and lower right quadrants, at 2 o'clock.")
    assert 'font-weight:600">vessel tortuosity</span>' in text
    assert 'font-weight:600">the upper left and lower right quadrants</span>' in text
    assert text.count("<span") == 3
