"""Chapter 8: counts from its one file, the floor by hand, and what a page shows."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from gftlib.bird import dataset_figures, dataset_study, display, layouts, score_tables, tasks
from gftlib.bird.question_only import QuestionOnly
from gftlib.bird.questions import NEGATIVE, Turn
from gftlib.bird.records import SIZES, Record, tally
from gftlib.boxes import parse_boxes
from gftlib.errors import InputError, MissingError
from gftlib.phantoms.scans import ScanConfig, write_cohort
from gftlib.profiles import load_profile


def turn(task, kind, name="", answer="", question="?", boxes=()):
    return Turn(task, kind, question, answer, name, boxes)


def record(*turns, case="c1", stem="ct_00--A--c1--z_0001"):
    return Record(stem, f"images/{stem}.png", "ct", "A", case, "train", "20k", (100, 100), turns)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("chapter")
    source = write_cohort(base / "scans", images=6, seed=3, config=ScanConfig(side=64, slices=3))
    profile = load_profile("smoke")
    profile = profile.model_copy(
        update={
            "scans": profile.scans.model_copy(update={"source": "folder", "path": str(source)}),
            "bird": profile.bird.model_copy(update={"resamples": 20, "test_share": 0.3}),
        }
    )
    found = dataset_study.prepare(profile, base)
    return types.SimpleNamespace(made=found, base=base, profile=profile)


def test_counts_follow_from_one_file(made):
    path = dataset_study.write_rows(made.made, made.base / "predictions.csv")
    counts = dataset_study.headline(path)
    told = tally(made.made.records())
    for split in layouts.SPLITS:
        assert counts[split]["images"] == told[split]["images"]
        assert counts[split]["cases"] == told[split]["cases"]
        assert {task: told[split].get(task, 0) for task in counts[split]["tasks"]} == counts[split]["tasks"]
        assert sum(counts[split]["turns"].values()) == counts[split]["images"]
    assert counts["cases in both sets"] == 0
    images = [counts["sizes"][size]["images"] for size in SIZES]
    assert images == sorted(images) and images[-1] == counts["train"]["images"]
    frame = pd.read_csv(path)
    frame.loc[frame.index[-1], "case"] = frame.loc[0, "case"]
    frame.loc[frame.index[-1], "split"] = {"train": "test", "test": "train"}[frame.loc[0, "split"]]
    frame.to_csv(made.base / "leak.csv", index=False)
    assert dataset_study.headline(made.base / "leak.csv")["cases in both sets"] == 1
    table = dataset_study.overview({"this run": counts})
    assert table.loc["images", "paper"] == "60k" and table.loc["modalities", "this run"] == "8"
    assert table.index[-1] == dataset_study.NOT_THERE and table.loc["VG questions", "paper"] == ""


def test_the_page_shows_images_with_boxes_and_escapes_words(made):
    shown = dataset_study.examples(made.made)
    assert len({one.modality for one in shown}) == len(shown) >= 6
    figure = dataset_figures.scans_figure(shown, made.made.source)
    assert sum(len(ax.patches) for ax in figure.axes) == sum(
        len(boxes) for one in shown for boxes in display.boxes_of(one).values()
    )
    page = display.conversation_html(shown[0], made.made.source)
    assert "data:image/png;base64," in page and "<ref>" not in page and "<box>" not in page
    counts = dataset_study.headline(dataset_study.write_rows(made.made, made.base / "p.csv"))
    for draw in (dataset_figures.turns_figure, dataset_figures.balance_figure):
        assert draw(counts, "a test").axes
    assert list(dataset_study.left_out(made.made).columns) == ["files", "left out because"]


def test_words_of_records_are_shown_and_never_run(made):
    canary = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    (one, *_) = dataset_study.examples(made.made)
    turns = tuple(
        dataclasses.replace(turn, question=canary, answer=canary, name=canary) for turn in one.turns
    )
    page = display.conversation_html(dataclasses.replace(one, id=canary, turns=turns), made.made.source)
    assert "alert(1)" in page
    assert "<script" not in page and "<img src=x" not in page


def test_the_floor_is_scored_on_the_test_questions_alone(made):
    floor = dataset_study.without_the_image(made.made)
    asked = dataset_study.headline(dataset_study.write_rows(made.made, made.base / "p.csv"))["test"]["tasks"]
    assert floor[tasks.ROC_EXACT][score_tables.OVER_ITEMS]["n"] == asked["ROC"]
    assert floor[tasks.RECALL_AT][score_tables.OVER_ITEMS]["n"] == asked["VG"]
    shown = score_tables.modality_table(score_tables.main_scores(floor))
    assert shown.columns[0] == tasks.RECALL_AT and len(shown.columns) <= 8


def test_answers_without_the_image_by_hand():
    left, right = (0.0, 0.0, 0.4, 0.4), (0.6, 0.6, 1.0, 1.0)
    train = [
        record(turn("VG", "VG", "liver", boxes=(left,)), turn("ROC", "ROC", "liver", "liver", boxes=(left,))),
        record(turn("VG", "VG", "liver", boxes=((0.02, 0, 0.4, 0.4), right))),
        record(turn("ROC", "ROC", "spleen", "spleen", boxes=(right,))),
        record(*(turn("MIA", "MODALITY", answer=a, question="Which?") for a in ("CT", "MR", "CT"))),
        record(turn(NEGATIVE, "PRESENT", "polyp", "No.", "A polyp?")),
        record(turn("MIA", "PRESENT", "liver", "Yes, the image shows liver.", "A liver?")),
    ]
    known = QuestionOnly.fit(train)
    where = known.answer(turn("VG", "VG", "liver", boxes=(right,)), (100, 100))
    np.testing.assert_allclose(parse_boxes(where, "qwen_vl").boxes, [left], atol=0.03)
    assert known.answer(turn(NEGATIVE, "VG", "liver"), (100, 100)) == where
    assert known.answer(turn("VG", "VG", "kidney"), (100, 100)) == ""
    assert known.answer(turn("ROC", "ROC", boxes=((0.5, 0.5, 0.9, 0.9),)), (100, 100)) == "spleen"
    assert known.answer(turn("MIA", "MODALITY", question="Which?"), (9, 9)) == "CT"
    assert known.answer(turn("MIA", "MODALITY", question="How?"), (9, 9)) == "CT"
    # What is not there is not learnt: whoever never looks says yes.
    polyp = turn(NEGATIVE, "PRESENT", question="A polyp?")
    assert known.answer(polyp, (9, 9)) == "Yes, the image shows liver."
    assert QuestionOnly.fit(train, negatives=True).answer(polyp, (9, 9)) == "No."
    assert known.answer(turn("MIA", "COUNT", question="How many?"), (9, 9)) == ""
    with pytest.raises(InputError, match="no training record"):
        QuestionOnly.fit([])
    with pytest.raises(InputError, match="no training record"):
        QuestionOnly.fit([record(turn(NEGATIVE, "PRESENT", "polyp", "No.", "A polyp?"))])


def test_records_of_other_settings_are_refused(made, monkeypatch):
    monkeypatch.setattr(dataset_study, "root", lambda: made.base)
    folder = made.base / "runs" / made.profile.name / dataset_study.NOTEBOOK
    with pytest.raises(MissingError, match="run notebook 08"):
        dataset_study.opened(made.profile)
    folder.mkdir(parents=True)
    (folder / "records").symlink_to(made.base / "records")
    assert dataset_study.opened(made.profile).summary["images"] == made.made.summary["images"]
    for change in ({"test_share": 0.2}, {"negatives": 0.5}, {"captions": "hosted"}):
        other = made.profile.model_copy(update={"bird": made.profile.bird.model_copy(update=change)})
        with pytest.raises(InputError, match="other settings: run notebook 08"):
            dataset_study.opened(other)


def test_a_folder_that_is_not_there_is_named(made, monkeypatch):
    monkeypatch.delenv("SA_MED2D_DATA", raising=False)
    scans = made.profile.scans.model_copy(update={"path": "${SA_MED2D_DATA}"})
    with pytest.raises(MissingError, match="no folder"):
        dataset_study.scans(made.profile.model_copy(update={"scans": scans}))
