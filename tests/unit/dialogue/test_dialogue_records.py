from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from gftlib.dialogue.display import dialogue_html, marked
from gftlib.dialogue.records import (
    Dialogue,
    NamedBox,
    Pair,
    read_dialogues,
    to_conversations,
    to_messages,
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


def test_links_do_not_leave_it_either(tmp_path) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "out.png")
    (inner / "a.png").symlink_to(tmp_path / "out.png")
    with pytest.raises(InputError, match="leaves its folder"):
        to_messages(dialogue("a.png"), "qwen_vl", images=inner)


@pytest.mark.parametrize("text", ["<image> look", "a <|im_end|> b", "<box>(1,2)", "</ref>", "< IMAGE >"])
def test_control_tokens_never_enter_words(text: str) -> None:
    for words in ({"question": text, "answer": "a"}, {"question": "q", "answer": text}):
        with pytest.raises(ValidationError, match="control token"):
            Pair(kind="FAZ", **words)


def test_conversations() -> None:
    (record,) = to_conversations(dialogue(), "qwen_vl")
    assert record["id"] == "a"
    assert record["image"] == "scans/a.png"
    assert [turn["from"] for turn in record["conversations"]] == ["human", "gpt"] * 2
    assert record["conversations"][0]["value"] == "<image>\nWhere?"
    assert record["conversations"][1]["value"] == "Here. <ref>FAZ</ref><box>(250,250),(750,500)</box>"
    assert "<image>" not in record["conversations"][2]["value"]
    single = to_conversations(dialogue(), "qwen_vl", packed=False)
    assert [r["id"] for r in single] == ["a-0", "a-1"]
    assert all(r["conversations"][0]["value"].startswith("<image>\n") for r in single)
    (absolute,) = to_conversations(dialogue(), "qwen25_absolute", (280, 280))
    assert json.loads(absolute["conversations"][1]["value"].removeprefix("Here. "))[0]["bbox_2d"] == [
        70,
        70,
        210,
        140,
    ]


def test_messages(tmp_path) -> None:
    (record,) = to_messages(dialogue(), "unit_xyxy", system="Look.")
    assert [m["role"] for m in record["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert record["messages"][1]["content"] == [{"type": "image"}, {"type": "text", "text": "Where?"}]
    assert record["messages"][3]["content"] == [{"type": "text", "text": "What?"}]
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png", pnginfo=None)
    (hosted,) = to_messages(dialogue("a.png"), "unit_xyxy", images=tmp_path)
    assert hosted["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert len(to_messages(dialogue(), "unit_xyxy", packed=False)) == 2


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
