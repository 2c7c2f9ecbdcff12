"""What students learn from, and how their answers are read and scored, on hand-made cases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gftlib import agent_study
from gftlib.boxes import QUADRANTS, format_boxes
from gftlib.dialogue import agent_figures
from gftlib.dialogue.examination import (
    ASKED,
    CELLS,
    MARKED,
    PRESENCE,
    findings_paper,
    mark_phrases,
    read_answers,
    replies,
    score_told,
    staging_paper,
)
from gftlib.dialogue.lessons import SIZE, balanced, examples, few, labels_alone, shuffled
from gftlib.dialogue.questions import QUESTIONS
from gftlib.dialogue.records import Dialogue, NamedBox, Pair
from gftlib.dialogue.scoring import FAZ, TrueLesion, ceiling
from gftlib.dialogue.staging_answers import headline, table, two_grades
from gftlib.errors import InputError, MissingError
from gftlib.vlm.backbones import FAMILIES, Student

LLAMA = Student("llama", FAMILIES["mllama"], None, None)
AREA = SimpleNamespace(size={"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28})
QWEN = Student("qwen", FAMILIES["qwen2_5_vl"], None, SimpleNamespace(image_processor=AREA))
BOX, OTHER = (0.5, 0.25, 0.75, 0.5), (0.0, 0.5, 0.25, 1.0)
LESIONS = (
    TrueLesion("capillary non-perfusion", ("UR",), BOX),
    TrueLesion("neovascular tuft", ("UL", "UR"), OTHER),
)
ZONE = TrueLesion(FAZ, ("UL", "UR"), (0.4, 0.4, 0.6, 0.6))


def answers(yes: set[tuple[str, str]], boxes: dict[str, tuple[tuple[float, ...], ...]]) -> list[str]:
    """Answer the paper: yes to these cells, no to the others, and these boxes."""
    told = ["Yes, it is there." if cell in yes else "No." for cell in CELLS]
    fmt = LLAMA.family.boxes
    return told + [
        f"Here. {format_boxes(boxes[what], fmt)}" if what in boxes else "There is none." for what in MARKED
    ]


def test_every_scan_gets_the_same_questions(tmp_path: Path) -> None:
    images = {"a": tmp_path / "a.png", "b": tmp_path / "b.png"}
    (one, other), (first, _) = findings_paper(images), staging_paper(images)
    assert one.questions == other.questions
    assert len(set(one.questions)) == len(CELLS) + len(MARKED) == 26
    assert (one.image, one.answers, len(first.questions)) == (images["a"], (), 1)
    for (_, quadrant), question in zip(CELLS, PRESENCE, strict=True):
        assert {"U": "upper", "L": "lower"}[quadrant[0]] in question


def test_answers_are_read_in_the_order_of_the_questions() -> None:
    yes = {("non-perfusion", "UR"), ("non-perfusion", "LL"), ("dense tangle", "UL")}
    told = read_answers(answers(yes, {FAZ: (ZONE.box,), "non-perfusion": (BOX, OTHER)}), LLAMA, SIZE)
    assert told.quadrants["non-perfusion"] == ("UR", "LL")
    assert told.quadrants["dense tangle"] == ("UL",)
    assert told.quadrants["FAZ enlargement"] == ()
    assert told.boxes[FAZ] == pytest.approx(np.array([ZONE.box]), abs=1e-3)
    assert told.boxes["non-perfusion"].shape == (2, 4)
    assert told.boxes["dense tangle"].shape == (0, 4)
    assert (told.silent, told.rejected) == (0, 0)


def test_what_cannot_be_read_is_counted() -> None:
    text = answers(set(), {})
    text[0] = text[5] = "Vessels are bright."
    text[-1] = "Here. " + format_boxes([BOX], LLAMA.family.boxes).replace("0.5", "9.5")
    told = read_answers(text, LLAMA, SIZE)
    assert (told.silent, told.rejected) == (2, 1)


def test_what_is_told_is_scored_beside_what_is_there() -> None:
    yes = {("non-perfusion", "UR"), ("non-perfusion", "LL")}
    told = read_answers(answers(yes, {FAZ: (ZONE.box,), "non-perfusion": (BOX,)}), LLAMA, SIZE)
    rows = {row["kind"]: row for row in score_told("s", "p", "PDR", told, LESIONS, ZONE)}
    assert len(rows) == 6
    dark = rows["non-perfusion"]
    assert (dark["named"], dark["true"]) == ("UR LL", "UR")
    assert (dark["boxes_stated"], dark["boxes_true"], dark["boxes_found"]) == (1, 1, 1)
    tangle = rows["dense tangle"]
    assert (tangle["named"], tangle["true"], tangle["boxes_true"], tangle["boxes_found"]) == (
        "", "UL UR", 1, 0,
    )  # fmt: skip
    assert (rows[FAZ]["true"], rows[FAZ]["boxes_found"]) == ("UL UR", 1)
    scores = ceiling(pd.DataFrame(rows.values()))
    # three true (kind, quadrant) pairs, two named, one of them right
    assert scores["p/kinds/f1"] == pytest.approx(2 / 5)
    assert scores["p/kinds/box_recall"] == 0.5
    assert scores["p/FAZ/box_recall"] == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Non-perfusion in the upper right.", ["true"]),
        ("Non-perfusion in the upper right and lower left.", ["partly"]),
        ("Non-perfusion in the lower left.", ["false"]),
        ("No tangle in the lower left, and drop-out.", ["true", "true"]),
        ("There is no tangle.", ["false"]),
        ("Tortuous vessels.", ["false"]),
        ("A tangle in the upper left; tortuous vessels in the upper left.", ["true", "false"]),
        ("The retina is bright.", []),
    ],
)
def test_phrases_are_judged_by_the_lesions(text: str, expected: list[str]) -> None:
    phrases = mark_phrases(text, LESIONS)
    assert [phrase.verdict for phrase in phrases] == expected
    assert all(text[p.start : p.end].strip() for p in phrases)


def dialogue(name: str) -> Dialogue:
    box = NamedBox(name="tangle", xyxy=BOX)
    pairs = (
        Pair(question=f"Who is {name}?", answer=f"It is {name}.", kind="diagnosis"),
        Pair(question=f"Where is {name}?", answer="Here.", kind="grounding", boxes=(box,)),
    )
    return Dialogue(id=name, image=f"{name}.png", stage=2, teacher="offline", pairs=pairs)


STAGES = {f"h{i}": "healthy" for i in range(4)} | {f"p{i}": "PDR" for i in range(5)} | {"n0": "NPDR"}


@pytest.mark.parametrize("seed", range(5))
def test_shuffling_is_a_derangement_within_each_stage(seed: int) -> None:
    mine = [dialogue(name) for name in STAGES]
    given = shuffled(mine, STAGES, np.random.default_rng(seed))
    assert [(one.id, one.image) for one in given] == [(one.id, one.image) for one in mine]
    owner = {one.pairs: one.id for one in mine}
    for taken in given:
        giver = owner[taken.pairs]
        assert STAGES[giver] == STAGES[taken.id]
        assert (giver == taken.id) is (taken.id == "n0")
    questions = [Counter(pair.question for one in part for pair in one.pairs) for part in (mine, given)]
    assert questions[0] == questions[1]
    # both stages of tuning are exchanged alike
    again = shuffled(
        [one.model_copy(update={"stage": 1}) for one in mine], STAGES, np.random.default_rng(seed)
    )
    assert [owner[one.pairs] for one in again] == [owner[one.pairs] for one in given]


def test_a_balanced_course_has_every_stage_equally_often_and_every_scan() -> None:
    mine = [dialogue(name) for name in STAGES]
    even = balanced(mine, STAGES)
    counts = Counter(STAGES[one.id] for one in even)
    assert set(counts.values()) == {max(Counter(STAGES.values()).values())}
    assert {one.id for one in even} == set(STAGES)
    assert balanced([one for one in mine if STAGES[one.id] == "healthy"], STAGES)


def test_labels_alone_hold_no_word_beside_the_label() -> None:
    images = {name: Path(f"{name}.png") for name in STAGES}
    told = labels_alone(list(STAGES.items()), images, np.random.default_rng(0))
    assert [one.answers for one in told] == [(f"{stage}.",) for stage in STAGES.values()]
    assert [one.image for one in told] == list(images.values())
    assert {question for one in told for question in one.questions} <= set(QUESTIONS["stage"])
    assert len({one.background for one in told}) == 1


@pytest.mark.parametrize("size", [(304, 304), (400, 300)])
def test_a_lesson_holds_boxes_in_the_student_s_grammar(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "a.png"
    Image.new("L", size[::-1]).save(file)
    (lesson,) = examples([dialogue("a")], {"a": file}, LLAMA)
    assert lesson.questions == ("Who is a?", "Where is a?")
    assert lesson.answers[1] == "Here. " + format_boxes([BOX], LLAMA.family.boxes, ["tangle"])
    # in the frame of this very image, not of the usual one
    (seen,) = examples([dialogue("a")], {"a": file}, QWEN)
    assert seen.answers[1] == "Here. " + format_boxes(
        [BOX], QWEN.family.boxes, ["tangle"], size, **QWEN.pixels
    )
    with pytest.raises(InputError, match="no image of scan a"):
        examples([dialogue("a")], {}, LLAMA)
    with pytest.raises(MissingError, match="no file"):
        examples([dialogue("a")], {"a": tmp_path / "none.png"}, LLAMA)
    file.write_text("no image")
    with pytest.raises(InputError, match="is not an image"):
        examples([dialogue("a")], {"a": file}, LLAMA)


def test_few_pairs_are_the_same_wherever_a_dialogue_is_repeated() -> None:
    long = dialogue("a").model_copy(update={"pairs": dialogue("a").pairs * 5})
    found = few([long, dialogue("b"), long], 3, np.random.default_rng(0))
    assert [one.id for one in found] == ["a", "b", "a"]
    assert found[0] == found[2]
    assert [len(one.pairs) for one in found] == [3, 2, 3]
    assert set(found[0].pairs) <= set(long.pairs)


def test_what_is_unread_does_not_pass_for_a_denial() -> None:
    said = ["Yes, it is there.", "No.", "Vessels are bright.", "No."]
    answers = pd.DataFrame(
        {"part": "asked/s/GFT/0", "scan": "a", "asked": [*ASKED[:3], "mark FAZ"], "answer": said}
    )
    third = pytest.approx(1 / 3, abs=1e-4)
    assert replies(answers) == {"asked/s/GFT/0": {"affirmed": third, "denied": third, "unread": third}}
    assert len(set(ASKED)) == len(CELLS) + len(MARKED)


def test_two_grades_count_both_stages_of_disease_as_one() -> None:
    told = [(0, "healthy"), (1, "PDR"), (1, "NPDR"), (0, "NPDR"), (1, "No idea.")]
    rows = pd.concat([staged(told).assign(fold=fold) for fold in (1, 2)])
    scores = two_grades(rows)["tiny/GFT"]
    assert scores["balanced accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-4)
    assert scores["F1 healthy"] == pytest.approx(2 / 3, abs=1e-4)
    assert scores["F1 DR"] == pytest.approx(2 / 3, abs=1e-4)
    assert two_grades(rows.iloc[:0]) == {}
    assert len(headline(rows.assign(stage=0))["tiny/GFT"]["balanced_accuracy"]) == 2


def staged(told: list[tuple[int, str]], arm: str = "GFT", seed: int = 0) -> pd.DataFrame:
    rows = [("tiny", arm, seed, f"s{i}", stage, text) for i, (stage, text) in enumerate(told)]
    return pd.DataFrame(rows, columns=["student", "arm", "seed", "scan", "stage", "answer"])


def test_stages_are_scored_by_what_is_stated() -> None:
    told = [(0, "healthy"), (0, "This is not PDR; it is healthy."), (1, "NPDR."), (2, "PDR"), (2, "No idea.")]
    scores = headline(pd.concat([staged(told), staged([(0, "PDR"), (1, "PDR"), (2, "PDR")], "BS")]))
    gft, base = scores["tiny/GFT"], scores["tiny/BS"]
    assert gft["balanced_accuracy"] == [pytest.approx((1 + 1 + 0.5) / 3, abs=1e-4)]
    # the first stage named is PDR in the second answer
    assert gft["first_rule"] == pytest.approx((0.5 + 1 + 0.5) / 3, abs=1e-4)
    assert gft["unparsable"] == 0.2
    assert gft["recall"] == {"healthy": 1.0, "NPDR": 1.0, "PDR": 0.5}
    assert base["mean"] == pytest.approx(1 / 3, abs=1e-4)
    assert base["scans"] == 3


def test_seeds_are_averaged_and_arms_in_order() -> None:
    right, wrong = [(0, "healthy"), (1, "NPDR"), (2, "PDR")], [(0, "PDR"), (1, "NPDR"), (2, "PDR")]
    rows = [staged(right, "GFT", 0), staged(wrong, "GFT", 1), staged(right, "BS")]
    scores = headline(pd.concat(rows))
    assert scores["tiny/GFT"]["balanced_accuracy"] == [1.0, 0.6667]
    shown = table(scores)
    assert list(shown.index) == [("BS", "tiny"), ("GFT", "tiny")]
    assert shown.loc[("GFT", "tiny"), "balanced accuracy"] == "0.833 ± 0.236"
    assert shown.loc[("BS", "tiny"), "balanced accuracy"] == "1.000"
    assert shown.loc[("GFT", "tiny"), "recall healthy"] == "0.500"


def test_stage_1_alone_is_a_row_before_its_arm_and_no_arm_in_the_findings() -> None:
    right, wrong = [(0, "healthy"), (1, "NPDR"), (2, "PDR")], [(0, "PDR"), (1, "NPDR"), (2, "PDR")]
    arms = {"GFT": right, "GFT, stage 1 alone": wrong, "FT": right, "GFT-shuffled": wrong, "BS": wrong}
    scores = headline(pd.concat([staged(told, arm) for arm, told in arms.items()]))
    assert [arm for arm, _ in table(scores).index] == [
        "BS",
        "FT",
        "GFT, stage 1 alone",
        "GFT",
        "GFT-shuffled",
    ]
    order, gain, change = agent_study.staging_findings(scores)
    assert "stage 1" not in order
    assert "GFT is level with FT and above the shuffled control" in gain
    assert change.endswith("tiny's GFT from 0.667 to 1.000.")
    agent_figures.staging_figure(scores, {}, "this run")


def test_what_was_not_asked_is_said_in_whole_sentences() -> None:
    assert table({}).empty
    _, gain, change = agent_study.staging_findings(headline(staged([(0, "healthy")], "BS")))
    assert gain == "Without GFT, FT and the shuffled control there is nothing to compare."
    assert change == "What stage 1 alone gives was not asked in the run that is shown."


def test_answers_come_back_from_their_file(tmp_path: Path) -> None:
    told = staged([(0, "NA"), (1, "NPDR, surely"), (2, "PDR")])
    told.to_csv(tmp_path / "told.csv", index=False)
    assert headline(tmp_path / "told.csv") == headline(told)
    with pytest.raises(InputError, match="column 'answer'"):
        headline(told.drop(columns="answer"))


def test_all_quadrants_are_asked_for_each_kind() -> None:
    assert Counter(quadrant for _, quadrant in CELLS) == dict.fromkeys(QUADRANTS, 5)
