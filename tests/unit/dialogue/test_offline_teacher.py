from __future__ import annotations

import re
from collections import Counter

import pytest

from gftlib.boxes import BoxFormat, parse_boxes
from gftlib.dialogue.comparing import versus
from gftlib.dialogue.hosted_answers import leak
from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.dialogue.questions import NAMES, PLAN
from gftlib.dialogue.records import spoken
from gftlib.dialogue.scoring import corpus_statistics
from gftlib.dialogue.wording import without_article
from gftlib.errors import InputError
from gftlib.octa.places import QUADRANT_WORDS
from gftlib.octa.signs import FINDING_KINDS


@pytest.mark.parametrize("faz", [True, False])
@pytest.mark.parametrize("empty", [True, False])
def test_thirty_different_questions_of_the_declared_kinds(make, faz: bool, empty: bool) -> None:
    for seed in range(20):
        table = make(faz=faz, findings=()) if empty else make(faz=faz)
        pairs = OfflineTeacher(seed=seed).second(table, "s1.png").pairs
        assert Counter(pair.kind for pair in pairs) == PLAN
        assert len({pair.question for pair in pairs}) == 30


def test_same_seed_and_scan_same_words_whatever_else_there_is(make) -> None:
    teacher = OfflineTeacher(seed=4)
    alone = teacher.second(make("a"), "a.png")
    among = list(teacher.teach([(make("b"), "b.png"), (make("a"), "a.png")], 2))
    assert among[1] == alone
    assert among[0].pairs != alone.pairs
    assert OfflineTeacher(seed=5).second(make("a"), "a.png") != alone


def test_yes_and_no_are_right_and_both_are_asked(make) -> None:
    table = make()
    there = {(f.kind, q) for f in table.findings for q in f.quadrants}
    seen = set()
    for seed in range(30):
        answers = [p for p in OfflineTeacher(seed=seed).second(table, "s.png").pairs if p.kind == "presence"]
        yes = 0
        for pair in answers:
            (kind,) = [k for k in FINDING_KINDS if NAMES[k] in pair.question]
            assert QUADRANT_WORDS[pair.quadrant] in pair.question
            assert ((kind, pair.quadrant) in there) == (not pair.answer.startswith("No"))
            yes += not pair.answer.startswith("No")
            seen.add((kind, pair.quadrant))
        assert yes == 3
    assert len(seen) == 20


def test_quadrants_are_described_by_what_is_in_them(make) -> None:
    pairs = {p.quadrant: p for p in OfflineTeacher().second(make(), "s.png").pairs if p.kind == "quadrant"}
    assert re.search(r"perfusion|capillary", pairs["UR"].answer)
    assert "sparser than usual" in pairs["UL"].answer
    for name in ("UL", "LL"):
        assert re.search(r"[Nn]o |Nothing", pairs[name].answer)


def test_boxes_come_back_from_every_grammar(make) -> None:
    table = make()
    pairs = [p for p in OfflineTeacher().second(table, "s.png").pairs if p.kind == "grounding"]
    assert [len(p.boxes) for p in sorted(pairs, key=lambda p: -len(p.boxes))] == [1, 1, 1, 0]
    known = {"foveal avascular zone": table.faz.box} | {
        without_article(NAMES[f.kind]): f.box for f in table.findings
    }
    for fmt in BoxFormat:
        for pair in pairs:
            read = parse_boxes(spoken(pair, fmt, (304, 304)), fmt, (304, 304))
            assert len(read.boxes) == len(pair.boxes)
            for box, stored in zip(read.boxes, pair.boxes, strict=True):
                assert stored.xyxy == known[stored.name]
                assert box == pytest.approx(stored.xyxy, abs=0.5 / 304 + 1e-9)
    (none,) = [p for p in pairs if not p.boxes]
    assert re.search(r"no |None", none.answer)


def test_stage_one_in_both_readings(make) -> None:
    explained = OfflineTeacher().first(make(), "s.png").pairs
    assert len(explained) == 1
    assert "(PDR)" in explained[0].answer
    assert "upper right" in explained[0].answer
    (word,) = OfflineTeacher(explained=False).first(make(), "s.png").pairs
    assert word.answer == "PDR"
    (word,) = OfflineTeacher(explained=False, stage="predicted").first(make(label=None), "s.png").pairs
    assert word.answer == "NPDR"
    healthy = OfflineTeacher().first(make(label="healthy", findings=()), "s.png").pairs[0].answer
    assert not re.search(r"PDR|proliferative", healthy)
    with pytest.raises(InputError, match="no label"):
        OfflineTeacher().first(make(label=None), "s.png")


def test_comparisons_follow_the_densities(make) -> None:
    for seed in range(10):
        pairs = OfflineTeacher(seed=seed).second(make(), "s.png").pairs
        said = {p.question: p.answer for p in pairs if p.kind == "comparison"}
        assert any("dens" in q and "lower right" in a for q, a in said.items())
        assert any(re.search("sparsest|thinnest", q) and "upper left" in a for q, a in said.items())

    class Voice:
        table = make(density=(10.0, 10.2, 5.0, 12.0))
        pick = staticmethod(lambda wordings, **words: wordings[0].format(**words))

    assert versus(Voice, "A", "UL", "B", "UR") == "The A and the B are about alike."
    assert versus(Voice, "A", "UL", "B", "LL") == "The A is denser than the B."
    assert versus(Voice, "A", "UL LL", "B", "UR LR") == "The B is denser than the A."


def test_nothing_said_would_fail_the_filter_of_the_hosted_teacher(make) -> None:
    for table in (make(), make(findings=(), faz=False), make(label="healthy")):
        for stage in (1, 2):
            for dialogue in OfflineTeacher().teach([(table, "s.png")], stage):
                for pair in dialogue.pairs:
                    assert leak(pair.question + pair.answer) is None


def test_statistics_count_the_corpus(make) -> None:
    teacher = OfflineTeacher()
    scans = [(make(f"s{i}"), f"{i}.png") for i in range(5)]
    counted = corpus_statistics([*teacher.teach(scans, 1), *teacher.teach(scans, 2)])
    assert (counted["scans"], counted["pairs"]) == (5, 155)
    assert counted["stages"] == {"1": 5, "2": 150}
    assert counted["kinds"]["presence"] == 30
    assert counted["presence_yes"] == 0.5
    assert counted["boxes"] == counted["pairs_with_boxes"] == 15
    assert counted["different_answers"] > 40
    assert corpus_statistics([])["presence_yes"] is None


@pytest.mark.parametrize("count", [0, 31])
def test_counts_it_cannot_give(make, count: int) -> None:
    with pytest.raises(InputError, match="1 to 30"):
        OfflineTeacher(count=count).second(make(), "s.png")
    assert len(OfflineTeacher(count=7).second(make(), "s.png").pairs) == 7
