"""BiRD's scores by hand, on both readings, and the paper's tables as data."""

from __future__ import annotations

import numpy as np
import pytest

from gftlib.bird import hallucination as h
from gftlib.bird import paper_tables, tasks
from gftlib.bird.predictions import Prediction
from gftlib.bird.questions import TASKS
from gftlib.bird.score_tables import OVER_ITEMS, beside_paper, modality_table, summary
from gftlib.boxes import BoxFormat
from gftlib.datasets.sa_med2d_names import MODALITIES
from gftlib.errors import InputError, MissingError

CT, MR, PET = (
    "images/ct_00--A--c--z_0001.png",
    "images/mr_t1--B--c--z_0001.png",
    "images/pet_00--P--c--z_0001.png",
)
LIVER = "<ref>liver</ref><box>(100,100),(300,300)</box>"
FAST = tasks.Scoring(resamples=40, java=False)


def told(task, image, annotation, response, question="?"):
    return Prediction(
        f"{task}{image}{annotation}{response}{question}", image, question, annotation, response, task
    )


def test_grounding_by_hand():
    found = tasks.grounding(
        [
            told("VG", CT, LIVER, LIVER),
            # IoU of exactly one half is not enough.
            told("VG", CT, LIVER, "<box>(100,100),(300,200)</box>"),
            told("VG", CT, LIVER, "The liver is on the left."),
            told("VG", CT, "There is none.", LIVER),
            # One box for two targets: both by the script's rule, one if each box serves once.
            told(
                "VG", MR, "<box>(0,0),(400,400)</box><box>(0,0),(380,400)</box>", "<box>(0,0),(390,400)</box>"
            ),
        ],
        FAST,
    )
    assert found[tasks.RECALL_AT].cells["ct"].value == pytest.approx(1 / 3)
    assert found[tasks.RECALL_AT].cells["ct"].n == 3
    assert found[tasks.RECALL_AT].cells["mr"].value == 1
    assert found[tasks.ONE_TO_ONE].cells["mr"].value == 0.5
    assert found[tasks.RECALL_AT].over_groups.value == pytest.approx((1 / 3 + 1) / 2)
    assert found[tasks.RECALL_AT].over_items.value == pytest.approx(3 / 5)
    assert tasks.grounding([told("VG", CT, "none", LIVER)], FAST) == {}


FENCED = """```json
[
\t{"bbox_2d": [100, 100, 300, 300], "label": "liver"}
]
```<|im_end|>"""


def test_boxes_are_read_from_all_lines_of_an_answer():
    asked = [told("VG", CT, LIVER, FENCED), told("NEG", MR, "No polyp can be seen.", FENCED)]
    found = tasks.evaluate(asked, FAST)
    assert found[tasks.RECALL_AT].over_items.value == found[h.POSITIVES].over_items.value == 1
    assert found[h.RATE].over_items.value == 1


def test_intervals_know_that_questions_of_a_case_stand_together():
    """Four cases, ten questions each, right or wrong together: four coins, not forty."""
    stems = [f"images/ct_00--A--c{case}--z_{n:04d}.png" for case in range(4) for n in range(10)]
    answers = [told("ROC", s, "liver", "liver" if "c0" in s or "c1" in s else "no", s) for s in stems]
    scoring = tasks.Scoring(resamples=300, java=False)
    wide = tasks.classification(answers, scoring)[tasks.ROC_EXACT].cells["ct"]
    assert (wide.value, wide.n) == (0.5, 40) and wide.high - wide.low > 0.7
    images = {f"mr_t1--B--p_frame0{k}--z_0001" for k in (1, 2)} | {"mr_t2--B--p--z_0009"}
    assert {told("VG", f"images/{name}.png", "", "").case for name in images} == {"B--p"}
    assert told("VG", "1_F2.jpg", "", "").case == "1_F2.jpg"
    answers = [told("NEG", stem, "No.", "Yes." if "c0" in stem else "No.", stem) for stem in stems]
    rate = h.hallucination(answers, resamples=300)[h.RATE].cells["ct"]
    assert rate.low == 0 and rate.high >= 0.5


def test_boxes_in_pixels_need_the_size_of_the_image():
    pixels = tasks.Scoring(BoxFormat.PIXEL_XYXY, {CT: (200, 100)}, resamples=0, java=False)
    answer = '{"bbox": [10, 20, 50, 120], "label": "liver"}'
    assert (
        tasks.grounding([told("VG", CT, answer, "[10, 20, 50, 120]")], pixels)[
            tasks.RECALL_AT
        ].over_items.value
        == 1
    )
    with pytest.raises(InputError, match="pixels"):
        tasks.grounding([told("VG", MR, answer, answer)], pixels)


def test_classification_leaves_out_modalities_of_one_category():
    found = tasks.classification(
        [
            told("ROC", CT, "liver tumor", "A tumor of the LIVER"),
            told("ROC", CT, "liver", "liver tumor"),
            told("ROC", CT, "spleen", " Spleen. "),
            told("ROC", CT, "kidney", "spleen"),
            told("ROC", MR, "tumor", "tumor"),
            told("ROC", MR, "edema", "tumor"),
            told("ROC", PET, "tumor lesion", "tumor lesion"),
        ],
        FAST,
    )
    table = found[tasks.ROC_RECALL]
    assert {name: cell.value for name, cell in table.cells.items()} == {"ct": 0.75, "mr": 0.5, "pet": 1.0}
    assert table.over_groups.value == pytest.approx(0.625) and table.over_items.value == pytest.approx(4 / 6)
    assert found[tasks.ROC_EXACT].cells["ct"].value == 0.25
    alone = tasks.classification([told("ROC", PET, "lesion", "lesion")], FAST)
    assert alone[tasks.ROC_RECALL].over_groups.value == 1


def test_region_captions_by_slots():
    good = "A large liver in the left part of the image."
    swapped = "A large liver in the upper left part of the image."
    scoring = tasks.Scoring(names=("liver", "spleen"), resamples=0, java=False)
    score = tasks.region_captions([told("RC", CT, good, good), told("RC", CT, good, swapped)], scoring)
    assert list(score) == [tasks.SLOT_F1]
    # Three slots each; of the second pair, name and size agree and the place does not.
    assert score[tasks.SLOT_F1].over_items.value == pytest.approx((1 + 2 / 3) / 2)
    near = "A small liver in the left part of the image, nearest to the spleen."
    (one,) = tasks.region_captions([told("RC", CT, near, near.replace("spleen", "liver"))], scoring).values()
    # Liver, small and left agree; the neighbour does not, and is no name of the region.
    assert one.over_items.value == pytest.approx(3 / 4)


def test_names_come_from_what_is_asked():
    found = [told("VG", CT, LIVER, ""), told("ROC", CT, "left kidney", ""), told("MIA", CT, "x", "")]
    assert tasks.class_names(found) == ("left kidney", "liver")


def test_without_the_tools_their_scores_are_missing(monkeypatch):
    def none(*_, **__):
        raise MissingError("no Java")

    monkeypatch.setattr(tasks, "spice", none)
    monkeypatch.setattr(tasks, "mbmr", none)
    same = [
        told("RC", CT, "A large liver.", "A large liver."),
        told("MIA", CT, "This is a CT.", "This is a CT."),
    ]
    found = tasks.evaluate(same, tasks.Scoring(resamples=0))
    assert list(found) == [tasks.SLOT_F1, "MIA BLEU-4", "MIA ROUGE-L"]
    assert found["MIA ROUGE-L"].over_items.value == 1


def test_with_the_tools_they_stand_first(monkeypatch):
    from gftlib.metrics.intervals import Score, ratio_of_sums

    half = Score.of(ratio_of_sums([0.5]), np.array([0.5]))
    monkeypatch.setattr(tasks, "spice", lambda *_: half)
    found = tasks.region_captions([told("RC", CT, "a", "a")], tasks.Scoring(resamples=0))
    assert found[tasks.SPICE].over_items.value == 0.5 and tasks.SLOT_F1 in found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Yes, it does.", True),
        ("no", False),
        ("There is no spleen in this image.", False),
        ("The image shows a nodule.", True),
        ("It isn't there", False),
        ("Liver", None),
        ("", None),
        ("No. There is no polyp.<|im_end|>", False),
        ("Nodules are visible", True),
    ],
)
def test_yes_and_no(text, says):
    assert h.says_yes(text) is says


def test_hallucination_by_hand():
    absent, no = "No polyp can be seen in this image.", "No. There is no polyp in this image."
    found = h.hallucination(
        [
            told("NEG", CT, absent, LIVER),
            told("NEG", CT, absent, absent),
            told("NEG", CT, no, "Yes, the image shows polyp."),
            told("NEG", MR, no, "No."),
            told("MIA", CT, "Yes, the image shows liver.", "Yes."),
            told("MIA", CT, "Yes, the image shows liver.", "no"),
            told("VG", CT, LIVER, LIVER),
            told("VG", CT, LIVER, "I cannot see it."),
            told("MIA", CT, "This is a CT image.", "Yes."),
            told("ROC", CT, "liver", LIVER),
        ],
        resamples=20,
    )
    assert {name: table.over_items.value for name, table in found.items()} == {
        h.RATE: 0.5, h.RATE_WHERE: 0.5, h.RATE_THERE: 0.5, h.YES: 0.5, h.POSITIVES: 0.5,
    }  # fmt: skip
    assert {name: table.over_items.n for name, table in found.items()} == {
        h.RATE: 4, h.RATE_WHERE: 2, h.RATE_THERE: 2, h.YES: 4, h.POSITIVES: 4,
    }  # fmt: skip
    assert found[h.RATE].cells["ct"].value == pytest.approx(2 / 3) and found[h.RATE].cells["mr"].value == 0


def test_tables_hold_n_and_interval_in_every_cell():
    scores = tasks.evaluate(
        [told("VG", CT, LIVER, LIVER, str(i)) for i in range(5)]
        + [told("VG", MR, LIVER, LIVER if i else "", str(i)) for i in range(4)],
        FAST,
    )
    frame = modality_table(summary(scores))
    assert frame.loc["CT", tasks.RECALL_AT] == "100.0 [100.0, 100.0] n=5"
    assert frame.loc["MR", tasks.RECALL_AT].startswith("75.0 [") and frame.loc[
        "MR", tasks.RECALL_AT
    ].endswith("n=4")
    assert list(frame.index) == ["CT", "MR", "mean of modalities", OVER_ITEMS]
    paper = beside_paper(summary(scores))
    assert paper.loc["CT", (tasks.RECALL_AT, "paper")] == "44.47"
    assert paper.loc["PET", (tasks.ROC_RECALL, "paper")] == "" == paper.loc["CT", (tasks.MBMR, "this run")]
    numbers = summary(scores)[tasks.RECALL_AT]
    assert numbers["CT"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 5}


def test_the_printed_averages_follow_from_the_cells_save_the_one_misprint():
    frame = paper_tables.table_3()
    rows = frame.drop(index="average")
    np.testing.assert_allclose(rows.drop(columns="average").mean(axis=1), rows["average"], atol=0.0051)
    means = rows.drop(columns="average").mean()
    wrong = [name for name in means.index if abs(means[name] - frame.loc["average", name]) > 0.006]
    assert [("average", name) for name in wrong] == list(paper_tables.MISPRINTS)
    printed, right = paper_tables.MISPRINTS["average", "CT"]
    assert frame.loc["average", "CT"] == printed and means["CT"] == pytest.approx(right, abs=0.006)
    assert paper_tables.marked_table_3().loc["average", "CT"] == "43.03 (cells: 42.03)"


def test_tables_1_and_2_agree_with_each_other_and_with_table_3():
    one = paper_tables.table_1()
    ours = one.drop(columns="average").loc[(slice(None), paper_tables.TEST), :]
    np.testing.assert_allclose(
        ours.mean(axis=1), one.loc[(slice(None), paper_tables.TEST), "average"], atol=0.0051
    )
    largest = one.loc[("BiRD-Med-GRIT-270k", paper_tables.TEST)].iloc[:4]
    assert list(largest) == [paper_tables.TABLE_3[task][-1] for task in TASKS]
    # The rule of the capability table gives what the paper marks.
    two = paper_tables.table_2()
    for model, printed in (("LLaVa-Med", "LLaVa-Med"), ("BiRD", "BiRD-Med-GRIT-270k")):
        scores = dict(zip(TASKS, one.loc[(printed, paper_tables.TEST)].iloc[:4], strict=True))
        for task, score in scores.items():
            assert (score > 10) == two.loc[model, task]
    assert len(MODALITIES) == two.loc["BiRD", "modalities"] == 8
