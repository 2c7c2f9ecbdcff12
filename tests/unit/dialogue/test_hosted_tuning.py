from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gftlib.dialogue.hosted_tuning import hosted_records
from gftlib.dialogue.records import Dialogue, NamedBox, Pair
from gftlib.errors import InputError
from gftlib.vlm.retrieval import Case


@pytest.fixture
def dialogue(tmp_path: Path) -> Dialogue:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "s1.png")
    box = NamedBox(name="tangle", xyxy=(0.25, 0.5, 0.75, 1.0))
    pairs = (
        Pair(question="Stage?", answer="PDR.", kind="diagnosis"),
        Pair(question="Where?", answer="Here.", kind="grounding", boxes=(box,)),
    )
    return Dialogue(id="s1", image="s1.png", stage=2, teacher="offline", pairs=pairs)


def texts(record: dict) -> list[str]:
    said = []
    for turn in record["messages"]:
        content = turn["content"]
        said += [content] if isinstance(content, str) else [p["text"] for p in content if p["type"] == "text"]
    return said


def test_a_dialogue_is_one_record_or_one_a_pair(dialogue: Dialogue, tmp_path: Path) -> None:
    (packed,) = hosted_records([dialogue], tmp_path)
    assert [turn["role"] for turn in packed["messages"]] == ["system", *["user", "assistant"] * 2]
    system, *rest = texts(packed)
    assert "OCTA shows blood flow" in system
    assert rest[:3] == ["Stage?", "PDR.", "Where?"]
    assert rest[3].startswith("Here. ")
    assert "0.25" in rest[3]
    apart = list(hosted_records([dialogue], tmp_path, packed=False, background=False))
    assert [texts(record)[1] for record in apart] == ["Stage?", "Where?"]
    assert "OCTA shows" not in texts(apart[0])[0]


def test_cases_are_shown_and_never_the_scan_itself(dialogue: Dialogue, tmp_path: Path) -> None:
    case = Case("s2", "healthy", tmp_path / "s1.png", 1.0)
    (record,) = hosted_records([dialogue], tmp_path, {"s1": [case]})
    assert "Case 1, stage healthy:" in texts(record)
    with pytest.raises(InputError, match="among its own cases"):
        list(hosted_records([dialogue], tmp_path, {"s1": [Case("s1", "PDR", tmp_path / "s1.png", 0.0)]}))
    with pytest.raises(InputError, match="s1 has no similar cases"):
        list(hosted_records([dialogue], tmp_path, {}))
