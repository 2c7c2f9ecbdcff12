"""Chapter 9: arms, what learns, answers in one file, scores that follow from it, what a page shows."""

from __future__ import annotations

import json
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from gftlib.bird import arms, dataset_study, grounding_figures, grounding_tables, pretraining, tuning_study
from gftlib.bird import student as students
from gftlib.bird.arm_names import FLOOR, FOUND, FULL, RIGHT, UNTUNED
from gftlib.bird.asking import balanced, kept
from gftlib.bird.grounding_examples import marked, phantom
from gftlib.bird.hallucination import POSITIVES, RATE
from gftlib.bird.questions import NEGATIVE, TASKS
from gftlib.bird.score_tables import OVER_ITEMS, OVER_MODALITIES
from gftlib.bird.tasks import RECALL_AT, ROC_RECALL, SLOT_F1
from gftlib.errors import InputError, MissingError
from gftlib.paths import read_json
from gftlib.phantoms.scans import ScanConfig, write_cohort
from gftlib.profiles import load_profile
from gftlib.vlm.recipes import CosineStage, Stage


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """Records of phantoms, a small BiRD in a folder, and a profile that tunes it for a step or two."""
    base = tmp_path_factory.mktemp("chapter")
    source = write_cohort(base / "scans", images=5, seed=2026, config=ScanConfig(side=64, slices=3))
    profile = load_profile("smoke")
    scans = profile.scans.model_copy(update={"source": "folder", "path": str(source)})
    bird = profile.bird.model_copy(update={"resamples": 20, "test_share": 0.3})
    profile = profile.model_copy(update={"scans": scans, "bird": bird})
    made = dataset_study.prepare(profile, base)
    words = [turn.answer for one in made.records(["train"]) for turn in one.turns]
    folder = students.save(students.build_tiny(words, image_size=56), base / "small-bird")
    chosen = {str(folder): ["80k", "240k", "negatives", "VG alone"]}
    grounding = profile.grounding.model_copy(
        update={"arms": chosen, "images": 4, "epochs": 0.3, "longest": 8, "general": 2}
    )
    profile = profile.model_copy(update={"grounding": grounding})
    found = tuning_study.tune_and_ask(made, profile, base / "run")
    path = tuning_study.write_predictions(
        base / "run" / tuning_study.PREDICTIONS,
        made,
        profile,
        {name: one["answers"] for name, one in found.items()},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning_study, "RESAMPLES", 20)
        scores = tuning_study.headline(path)
    return types.SimpleNamespace(
        base=base, made=made, profile=profile, folder=folder, found=found, path=path, scores=scores
    )


def test_a_cosine_falls_from_the_highest_rate_to_nearly_nothing():
    stage = CosineStage(lr=1.0, warmup=3)
    rates = [stage.rate(step, 103) for step in range(103)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[53] == pytest.approx(0.5) and 0 < rates[-1] < 0.001
    assert Stage(lr=1.0, warmup=3).rate(53, 103) == pytest.approx(0.5)


def test_every_arm_teaches_what_its_name_says(chapter):
    course = tuning_study.open_course(chapter.made, chapter.profile)

    def taught(arm):
        return sum(len(lesson.questions) for lesson in course.lessons(arms.ARMS[arm]))

    counts = dict.fromkeys((*TASKS, NEGATIVE), 0)
    for record in course.train:
        for turn in record.turns:
            counts[turn.task] += 1
    assert taught(FULL) == sum(counts[task] for task in TASKS)
    assert taught("negatives") == taught(FULL) + counts[NEGATIVE]
    assert {task: taught(f"{task} alone") for task in TASKS} == {task: counts[task] for task in TASKS}
    assert 0 < taught("40k") <= taught("80k") < taught(FULL)
    assert not {one.case for one in course.train} & {one.case for one in course.test}
    assert all(lesson.image.is_file() for lesson in course.lessons(arms.ARMS["80k"]))


def test_test_images_are_balanced_and_do_not_depend_on_order(chapter):
    records = list(chapter.made.records(["train"]))
    chosen = balanced(records, 16, seed=1)
    assert chosen == balanced(records[::-1], 16, seed=1)
    names = [one.modality for one in chosen]
    assert {names.count(name) for name in names} == {2} and len(set(names)) == 8
    assert len(balanced(records, 5, seed=1)) == 5


def test_only_what_may_learn_does(chapter):
    course = tuning_study.open_course(chapter.made, chapter.profile)
    before = arms.load(str(chapter.folder)).model.state_dict()
    for arm, moves in (("VG alone", False), ("unfrozen", True)):
        learner = arms.Learner(str(chapter.folder), arm)
        settings = chapter.profile.grounding.model_copy(update={"epochs": 0.1})
        student, losses = arms.teach(course, learner, settings, chapter.base / "learns")
        assert losses
        after = student.model.state_dict()
        moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
        assert any(name.startswith("vision.") for name in moved) is moves
        assert any(name.startswith("resampler.") for name in moved)
        assert any(name.startswith("language_model.") for name in moved)


def test_a_second_call_reads_what_the_first_made(chapter, monkeypatch):
    monkeypatch.setattr(tuning_study, "ask", None)
    monkeypatch.setattr(tuning_study, "general", None)
    again = tuning_study.tune_and_ask(chapter.made, chapter.profile, chapter.base / "run")
    assert json.dumps(again, sort_keys=True) == json.dumps(chapter.found, sort_keys=True)
    file = chapter.base / "kept.json"
    assert [
        kept(file, {"a": 1}, lambda: 1),
        kept(file, {"a": 1}, lambda: 2),
        kept(file, {"a": 2}, lambda: 3),
    ] == [
        1,
        1,
        3,
    ]


def test_scores_follow_from_the_file_alone(chapter, monkeypatch):
    scores = chapter.scores
    name = chapter.folder.name
    assert set(scores) == {
        FLOOR,
        *(f"{name}/{arm}" for arm in (UNTUNED, "80k", FULL, "negatives", "VG alone")),
    }
    assert set(scores[f"{name}/VG alone"]) & {ROC_RECALL, SLOT_F1} == set()
    number = scores[FLOOR][RECALL_AT][OVER_ITEMS]
    assert number["n"] > 0 and number["low"] <= number["value"] <= number["high"]
    assert scores[f"{name}/{FULL}"][RECALL_AT][OVER_ITEMS]["n"] == number["n"]
    monkeypatch.setattr(tuning_study, "RESAMPLES", 0)
    again = tuning_study.headline(chapter.path)
    assert again.keys() == scores.keys()
    assert again[FLOOR][RECALL_AT][OVER_ITEMS] == {"value": number["value"], "n": number["n"]}
    assert tuning_study.with_java(chapter.path, chapter.made, [FLOOR]) == {}
    broken = chapter.base / "broken.jsonl"
    broken.write_text('{"id": 1}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 1: not a question"):
        tuning_study.headline(broken)
    with pytest.raises(MissingError, match="no file"):
        tuning_study.headline(chapter.base / "nothing.jsonl")


def test_the_protocol_leaves_its_files_and_scores_in_pixels(chapter):
    name = chapter.folder.name
    folder = chapter.base / "run" / name / UNTUNED / "llava_med"
    asked = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(asked) == len((folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()) > 0
    assert all("origin of the coordinate system" in json.loads(line)["text"] for line in asked)
    protocol = chapter.found[f"{name}/{UNTUNED}"]["llava_med"]
    assert protocol[RECALL_AT][OVER_ITEMS]["value"] == 0.0
    general = chapter.found[f"{name}/{FULL}"]["general"]
    assert 0 <= general[RIGHT] <= 1 and 0 <= general[FOUND] <= 1 and general["questions"] > 4


def test_what_a_page_shows(chapter):
    scores, name = chapter.scores, chapter.folder.name
    found = chapter.found
    table = grounding_tables.table_1(scores, {}, {name: found[f"{name}/{UNTUNED}"]["llava_med"]})
    assert table.loc[("paper", "BiRD-Med-GRIT-270k"), RECALL_AT] == "53.92"
    assert ("this run", f"{name}, {FULL}") in table.index and ("this run", FLOOR) in table.index
    assert len(grounding_tables.ablations(scores)) == 3
    assert len(grounding_tables.hallucination(scores)) == 4
    assert len(grounding_tables.general({n: one["general"] for n, one in found.items()})) == 5
    assert (
        grounding_tables.capabilities(scores).loc[f"{name}, {FULL}, this run's phantoms", "modalities"] == 8
    )
    assert "goals" in grounding_tables.findings(scores, {n: one["general"] for n, one in found.items()})[0]
    shown = marked(chapter.path, f"{name}/{FULL}", Path(chapter.made.source))
    assert len(shown) >= 6 and all(len(one.wanted) and one.wanted.max() <= 1 for one in shown)
    figure = grounding_figures.boxes_figure(shown, "a test")
    assert sum(len(ax.patches) for ax in figure.axes) == sum(len(s.wanted) + len(s.marked) for s in shown)
    assert grounding_figures.sizes_figure(scores, "a test").axes
    assert grounding_figures.hallucination_figure(scores, "a test").axes
    with pytest.raises(InputError, match="no answers of 'nobody'"):
        marked(chapter.path, "nobody")


def test_goals_by_hand():
    def cell(value):
        return {OVER_MODALITIES: {"value": value, "n": 9}, OVER_ITEMS: {"value": value, "n": 9}}

    scores = {
        "s/20k": {RECALL_AT: cell(0.2)},
        f"s/{FULL}": {RECALL_AT: cell(0.6), RATE: cell(0.8), POSITIVES: cell(0.9)},
        "s/negatives": {RATE: cell(0.4), POSITIVES: cell(0.88)},
    }
    met = dict(zip(*(grounding_tables.goals(scores)[c] for c in ("goal", "met")), strict=True))
    assert met == {
        f"{RECALL_AT} rises with the data": True,
        f"{RECALL_AT} at least 85": False,
        f"{RECALL_AT} 30 above the smallest size": True,
        "negatives halve hallucination": True,
        "at no loss on positives": False,
    }


def test_a_phantom_is_drawn_again_by_its_name(tmp_path):
    source = write_cohort(tmp_path, images=1, seed=7)
    for file in sorted((source / "images").glob("*.png"))[:3]:
        from PIL import Image

        np.testing.assert_array_equal(phantom(file.stem, 7), np.asarray(Image.open(file)))
    with pytest.raises(InputError, match="no phantom of seed 7"):
        phantom("ct_00--A--case_00000--z_0001", 7)


def test_students_that_cannot_be_tuned_so_are_named(chapter, monkeypatch):
    monkeypatch.delenv("BIRD_START", raising=False)
    with pytest.raises(MissingError, match="BIRD_START"):
        arms.learners(load_profile("paper").grounding)
    settings = chapter.profile.grounding.model_copy(update={"arms": {"tiny-mllama": ["unfrozen"]}})
    with pytest.raises(InputError, match="BiRD's own"):
        arms.learners(settings)
    names = [learner.name for learner in arms.learners(load_profile("smoke").grounding)]
    assert names[0] == f"tiny-qwen2.5-vl/{UNTUNED}" and len(names) == len(set(names))


def test_the_small_bird_gets_its_eyes_and_keeps_them_frozen(tmp_path):
    stage = Stage(epochs=0.1, pairs=20, images=2)
    losses = pretraining.pretrain(tmp_path, pretraining.Recipe(images=1, stage=stage))
    assert len(losses) == len(read_json(tmp_path / "history.json")["losses"]) > 0
    student = students.load(tmp_path)
    assert not student.model.config.train_vision
    assert not any(w.requires_grad for w in student.model.vision.parameters())
