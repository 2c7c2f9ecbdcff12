from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.claims import claims, topics
from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.dialogue.questions import NAMES, SEEN
from gftlib.octa.places import in_words

PERF, FAZ, DILATED, WINDING, TANGLE = (
    "non-perfusion",
    "FAZ enlargement",
    "dilated vessels",
    "tortuous vessels",
    "dense tangle",
)


@pytest.mark.parametrize(
    ("text", "stated", "denied"),
    [
        ("Capillary non-perfusion in the upper right quadrant.", {(PERF, "UR")}, set()),
        ("Drop-out in the upper left quadrant and a tangle in the lower left and lower right quadrants.",
         {(PERF, "UL"), (TANGLE, "LL"), (TANGLE, "LR")}, set()),
        ("The upper left quadrant shows tortuous and dilated vessels.",
         {(WINDING, "UL"), (DILATED, "UL")}, set()),
        ("Tangles in the UL, as well as in the UR, unlike the LL.", {(TANGLE, "UL"), (TANGLE, "UR")}, set()),
        ("The UL is spared, the LR shows a tangle.", {(TANGLE, "LR")}, set()),
        ("No tangle in the upper left quadrant, but vessel tortuosity there and in the lower right one.",
         {(WINDING, "LR")}, {(TANGLE, "UL")}),
        ("There is no capillary drop-out or tortuosity in the left half.", set(),
         {(PERF, "UL"), (PERF, "LL"), (WINDING, "UL"), (WINDING, "LL")}),
        ("Tangles are seen in all four quadrants.", {(TANGLE, q) for q in QUADRANTS}, set()),
        ("- **Top left**: ischaemia\n- Bottom-right: microaneurysms", {(PERF, "UL"), (DILATED, "LR")}, set()),
        ("Non-perfusion in the upper and lower left quadrants.", {(PERF, "UL"), (PERF, "LL")}, set()),
        ("Non-perfusion in the upper left and right.", {(PERF, "UL"), (PERF, "UR")}, set()),
        ("Vessels are tortuous in the upper right quadrant but not in the lower left quadrant.",
         {(WINDING, "UR")}, set()),
        ("If PDR develops, a tangle would appear in the upper left.", set(), set()),
        ("The upper left quadrant shows no focal abnormality. Its vessel network is sparser than usual.",
         set(), set()),
        ("all are fine, ur me", set(), set()),
        ("", set(), set()),
    ],
)  # fmt: skip
def test_places_go_with_what_is_seen_there(text: str, stated: set, denied: set) -> None:
    found = claims(text)
    assert found.stated == stated
    assert found.denied == denied


@pytest.mark.parametrize(
    ("question", "text", "stated", "denied"),
    [
        ("Is there a tangle in the upper left quadrant?", "Yes.", {(TANGLE, "UL")}, set()),
        ("Is there a tangle in the upper left quadrant?", "No.", set(), {(TANGLE, "UL")}),
        ("Which quadrants show capillary drop-out?", "The upper right quadrant.", {(PERF, "UR")}, set()),
        ("What do you see in the lower left quadrant?", "A dense tangle.", {(TANGLE, "LL")}, set()),
        ("Where is the tangle?", "There is drop-out in the UR.", {(PERF, "UR")}, set()),
        ("Is there a tangle in the upper left quadrant?", "I cannot say.", set(), set()),
    ],
)
def test_a_question_completes_its_answer(question: str, text: str, stated: set, denied: set) -> None:
    found = claims(text, question)
    assert found.stated == stated
    assert found.denied == denied


@pytest.mark.parametrize(
    ("text", "large"),
    [
        ("Yes, the FAZ is markedly enlarged.", True),
        ("It is larger than in a healthy eye: the FAZ is enlarged.", True),
        ("The foveal avascular zone appears wider than usual.", True),
        ("No, the FAZ is not enlarged; its size is as usual.", False),
        ("There is no enlargement of the FAZ.", False),
        ("Close to the FAZ and widening of a vessel.", None),
        ("The FAZ is round.", None),
    ],
)
def test_the_faz(text: str, large: bool | None) -> None:
    found = claims(text)
    assert (FAZ in found.kinds, FAZ in found.denied_kinds) == (large is True, large is False)


@pytest.mark.parametrize(("kind", "phrase"), [(k, w) for k in SEEN for w in (*SEEN[k], NAMES[k])])
def test_every_phrase_of_the_teacher_is_recognised(kind: str, phrase: str) -> None:
    assert claims(f"There is {phrase} in {in_words(('UR', 'LR'))}.").stated == {(kind, "UR"), (kind, "LR")}
    assert claims(f"There is no {phrase}.").kinds == frozenset()


def test_the_teacher_s_own_answers_are_read_as_the_table_says(make) -> None:
    table = make()
    true = {(f.kind, q) for f in table.findings for q in f.quadrants}
    for seed in range(6):
        teacher = OfflineTeacher(seed=seed)
        for pair in (*teacher.first(table, "a.png").pairs, *teacher.second(table, "a.png").pairs):
            found = claims(pair.answer, pair.question)
            assert found.stated <= true, pair
            assert not found.denied & true, pair
            if pair.kind == "quadrant":
                assert found.stated == {claim for claim in true if claim[1] == pair.quadrant}, pair
        assert claims(teacher.first(table, "a.png").pairs[0].answer).stated == true


@given(st.text(max_size=80))
@settings(deadline=None, max_examples=40)
def test_any_text_is_read(text: str) -> None:
    found = claims(text, text)
    assert not found.stated & found.denied


def test_topics_of_a_question() -> None:
    kinds, places = topics("Is there a tangle in the upper left quadrant?")
    assert (kinds, places) == ({TANGLE}, {"UL"})
    assert topics("What is the diagnosis?") == (frozenset(), frozenset())
