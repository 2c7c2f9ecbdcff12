"""Claims read from free text: places in all their wordings, what is denied, and every word of the teacher."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import finding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.claims import affirms, claims, named
from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.dialogue.place_words import place_groups, quadrants_named
from gftlib.dialogue.questions import NAMES
from gftlib.dialogue.speaker import Speaker
from gftlib.octa.signs import FINDING_KINDS

TANGLE, DARK, FAZ = "dense tangle", "non-perfusion", "FAZ enlargement"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the upper left quadrant", "UL"),
        ("top left, bottom-right", "UL LR"),
        ("Upper-left", "UL"),
        ("the left lower quadrant", "LL"),
        ("superior right; inferior left", "UR LL"),
        ("UR and LL", "UR LL"),
        ("they'll turn", ""),
        ("the left half", "UL LL"),
        ("the upper half", "UL UR"),
        ("the lower quadrants", "LL LR"),
        ("the upper and lower left", "UL LL"),
        ("the upper left and right quadrants", "UL UR"),
        ("the upper left and lower right quadrants", "UL LR"),
        ("upper/lower right", "UR LR"),
        ("the left and right halves", "UL UR LL LR"),
        ("all four quadrants", "UL UR LL LR"),
        ("every quadrant", "UL UR LL LR"),
        ("throughout the scan", "UL UR LL LR"),
        ("throughout the upper left", "UL"),
        ("all quadrants but the upper left", "UR LL LR"),
        ("all quadrants except for the lower right", "UL UR LL"),
        ("three of the four quadrants", ""),
        ("the upper part of the lower left quadrant", "LL"),
        ("the left eye, on the right track", ""),
        ("the upper left, not in the upper right", "UL"),
    ],
)
def test_places_in_many_words(text: str, expected: str) -> None:
    assert " ".join(q for q in QUADRANTS if q in quadrants_named(text)) == expected


def test_a_list_is_one_group_and_a_new_subject_another() -> None:
    listed = place_groups("in the upper left, upper right and lower left quadrants")
    assert [one.quadrants for one in listed] == [("UL", "UR", "LL")]
    apart = place_groups("a tangle in the upper left, the lower right shows drop-out")
    assert [one.quadrants for one in apart] == [("UL",), ("LR",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The upper right quadrant shows it: abnormal winding of larger vessels.", "+tortuous vessels UR"),
        ("In the upper right quadrant: a tangle.", "+dense tangle UR"),
        ("The upper left is spared, the lower right shows a tangle.", "+dense tangle LR"),
        ("The lower right shows a tangle; the upper left is normal.", "+dense tangle LR"),
        ("The upper left shows a tangle, the lower right drop-out.", "+dense tangle UL, +non-perfusion LR"),
        ("A tangle in the upper left, drop-out in the lower right.", "+dense tangle UL, +non-perfusion LR"),
        ("A tangle and drop-out in the upper left.", "+dense tangle UL, +non-perfusion UL"),
        ("The left half shows drop-out and a tangle in the UR.", "+non-perfusion UL LL, +dense tangle UR"),
        ("A tangle in the LR, not in the UL.", "+dense tangle LR, -dense tangle UL"),
        ("Drop-out in all quadrants but the upper left.", "+non-perfusion UR LL LR, -non-perfusion UL"),
        ("Except for the upper left, all quadrants show drop-out.", "+non-perfusion UR LL LR"),
        ("No tangle is seen in the lower left quadrant.", "-dense tangle LL"),
        ("The upper left shows no tangle, but drop-out.", "-dense tangle UL, +non-perfusion"),
        ("The upper left is free of tangles.", "-dense tangle UL"),
        ("The FAZ is not enlarged.", "-FAZ enlargement"),
        ("No, the FAZ is not enlarged: its size is as usual.", "-FAZ enlargement"),
        ("The FAZ is of normal size.", "-FAZ enlargement"),
        ("The foveal avascular zone appears markedly enlarged.", "+FAZ enlargement"),
        ("The FAZ size is as usual.", "-FAZ enlargement"),
        ("The FAZ is normal in shape.", ""),
        ("The FAZ reaches into the upper left quadrant.", ""),
        ("Retinal ischaemia in the top left.", "+non-perfusion UL"),
        ("Capillary loss at the bottom right.", "+non-perfusion LR"),
        ("Flow voids and microaneurysms in the UR.", "+non-perfusion UR, +dilated vessels UR"),
        ("Neovascularization elsewhere.", "+dense tangle"),
        ("Non-perfusion is present, and a tangle lies in the UL.", "+non-perfusion, +dense tangle UL"),
        ("**Upper left quadrant:**\n- a tangle\n- drop-out\nA dilated vessel.",
         "+dense tangle UL, +non-perfusion UL, +dilated vessels"),
        ("**Drop-out**: upper left, lower right\n**Tangle**: none", "+non-perfusion UL LR, -dense tangle"),
        ("Non-perfusion would make this PDR.", "+non-perfusion"),
        ("If there were a tangle, it would be PDR.", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_claims_of_single_sentences(text: str, expected: str) -> None:
    found = [
        " ".join([("-", "+")[claim.stated] + claim.kind, *claim.quadrants])
        for claim in claims(text)
    ]  # fmt: skip
    assert ", ".join(found) == expected


def test_the_words_of_a_claim_are_where_it_says() -> None:
    text = "A dense tangle in the upper left; the FAZ is enlarged."
    one, other = claims(text)
    assert text[one.start : one.end] == "dense tangle in the upper left"
    assert text[other.start : other.end] == "FAZ is enlarged"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes.", True),
        ("Yes, a dense tangle in the upper left quadrant.", True),
        ("There is: a dense tangle of vessels in the left half.", True),
        ("No.", False),
        ("None can be seen.", False),
        ("The upper left quadrant shows no dense tangle.", False),
        ("Yes, but only in the lower right.", False),
        ("Yes, a dense tangle in the lower right.", None),
        ("A tangle in the LR, not in the UL.", False),
        ("A tangle in the lower right.", None),
        ("A tangle. It is in the upper left? A tangle in the upper left.", True),
        ("Vessels are bright.", None),
    ],
)
def test_presence_is_affirmed_denied_or_left_open(text: str, verdict: bool | None) -> None:
    assert affirms(text, TANGLE, "UL") is verdict


def test_yes_needs_no_place_where_none_is_asked_for() -> None:
    assert affirms("Yes, in the lower right.", DARK, "") is True


FOUND = st.dictionaries(
    st.sampled_from(FINDING_KINDS), st.sets(st.sampled_from(QUADRANTS), min_size=1), max_size=5
)


@given(found=FOUND, seed=st.integers(0, 10**6), stage=st.sampled_from(["healthy", "NPDR", "PDR"]))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_answer_of_the_teacher_says_what_its_table_holds(make, found, seed, stage) -> None:
    there = {kind: {q for q in QUADRANTS if q in found.get(kind, ())} for kind in FINDING_KINDS}
    rows = [(kind, tuple(q for q in QUADRANTS if q in places)) for kind, places in found.items()]
    table = make(
        label=stage,
        findings=tuple(finding(i, k, qs, (0.1, 0.1, 0.2, 0.2)) for i, (k, qs) in enumerate(rows, start=1)),
    )
    teacher = OfflineTeacher(seed=seed)
    for pair in (*teacher.first(table, "s.png").pairs, *teacher.second(table, "s.png").pairs):
        read, told = claims(pair.answer), pair.question + pair.answer
        assert all(claim.quadrants for claim in read if claim.stated and claim.kind != FAZ), told
        stated = {(c.kind, q) for c in read if c.stated for q in c.quadrants}
        denied = {(c.kind, q) for c in read if not c.stated for q in c.quadrants}
        assert all(q in there[kind] for kind, q in stated), told
        assert not any(q in there[kind] for kind, q in denied), told
        if pair.kind == "diagnosis" and " in " in pair.answer and "supported" in pair.answer:
            assert {kind: named(read, kind) for kind, _ in rows[:3]} == {
                kind: there[kind] for kind, _ in rows[:3]
            }, told
        elif pair.kind == "quadrant":
            assert stated == {(k, pair.quadrant) for k in there if pair.quadrant in there[k]}, told
        elif pair.kind == "presence":
            (kind,) = [k for k in FINDING_KINDS if NAMES[k] in pair.question]
            assert affirms(pair.answer, kind, pair.quadrant) is (pair.quadrant in there[kind]), told
        elif pair.kind == "FAZ":
            assert {c.stated for c in read} <= {bool(there[FAZ])}, told


@given(found=FOUND, seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_a_kind_is_read_from_every_wording(make, found, seed) -> None:
    rows = [(kind, tuple(q for q in QUADRANTS if q in places)) for kind, places in found.items()]
    table = make(
        findings=tuple(finding(i, k, qs, (0.1, 0.1, 0.2, 0.2)) for i, (k, qs) in enumerate(rows, start=1))
    )
    voice = Speaker(table, np.random.default_rng(seed))
    for kind in FINDING_KINDS:
        answer = voice.where(kind)
        read = claims(answer)
        assert named(read, kind) == set(found.get(kind, ())), answer
        assert [(c.kind, c.stated) for c in read] == [(kind, kind in found)], answer
