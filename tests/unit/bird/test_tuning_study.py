"""Chapter 9: arms, what learns, answers in one file, scores that follow from it, what a page shows."""

from __future__ import annotations

import json
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gftlib.bird import (
    arms,
    asking,
    dataset_study,
    grounding_figures,
    grounding_tables,
    pretraining,
    tasks,
    tuning_study,
)
from gftlib.bird import student as students
from gftlib.bird.arm_names import FLOOR, FOUND, FULL, RIGHT, UNTUNED
from gftlib.bird.asking import as_records_write, ask, balanced, by_llava_med, kept
from gftlib.bird.grounding_examples import marked, phantom
from gftlib.bird.hallucination import POSITIVES, RATE
from gftlib.bird.predictions import asked
from gftlib.bird.questions import NEGATIVE, TASKS
from gftlib.bird.score_tables import OVER_ITEMS, OVER_MODALITIES
from gftlib.bird.tasks import RECALL_AT, ROC_RECALL, SLOT_F1
from gftlib.boxes import BoxFormat, format_boxes, parse_boxes
from gftlib.errors import InputError, MissingError
from gftlib.paths import read_json
from gftlib.phantoms.scans import ScanConfig, write_cohort
from gftlib.profiles import load_profile
from gftlib.vlm.backbones import FAMILIES
from gftlib.vlm.recipes import CosineStage, Stage, Steps


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
    twelve = [one.modality for one in balanced(records, 12, seed=1)]
    assert len(twelve) == 12 and {twelve.count(name) for name in names} == {1, 2}
    three = [one for one in records if one.modality in sorted(set(names))[:3]]
    assert len(balanced(three, 4, seed=1)) == 4


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
    monkeypatch.setattr(asking, "answer", None)
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


def test_answers_are_kept_for_the_same_questions_weights_and_decoding(chapter, monkeypatch, tmp_path):
    calls = []

    def told(student, examples, **how):
        calls.append(how)
        return [tuple("No." for _ in one.questions) for one in examples]

    monkeypatch.setattr(asking, "answer", told)
    course = tuning_study.open_course(chapter.made, chapter.profile)
    settings, student = chapter.profile.grounding, arms.load(str(chapter.folder))
    first = course.test[0]
    reworded = replace(first, turns=(replace(first.turns[0], question="Else?"), *first.turns[1:]))
    turned = replace(first, turns=first.turns[::-1])

    def asked_again(test=course.test, settings=settings):
        before = len(calls)
        ask(student, replace(course, test=test), TASKS, settings, tmp_path)
        return len(calls) > before

    assert [asked_again(), asked_again()] == [True, False]
    for test in ((reworded, *course.test[1:]), (turned, *course.test[1:]), course.test):
        assert asked_again(test)
    assert asked_again(settings=settings.model_copy(update={"longest": 9})) and asked_again()
    with torch.no_grad():
        next(student.model.parameters()).view(-1)[0] += 1
    assert asked_again() and not asked_again()


def test_the_protocol_is_scored_anew_but_not_asked_anew(chapter, monkeypatch):
    folder = chapter.base / "run" / chapter.folder.name / UNTUNED / "llava_med"
    course = tuning_study.open_course(chapter.made, chapter.profile)
    student, settings = arms.load(str(chapter.folder)), chapter.profile.grounding
    seen = []
    monkeypatch.setattr(asking, "answer", None)
    monkeypatch.setattr(tasks, "evaluate", lambda read, scoring: seen.append(scoring) or {})
    by_llava_med(student, course, settings, folder, replace(chapter.made.scoring, resamples=7))
    (scoring,) = seen
    assert scoring.resamples == 7
    found, headline = tuning_study.read_predictions(chapter.path)
    assert scoring.names == headline.names == tasks.class_names(found[FLOOR]) != ()


def test_a_student_as_it_came_is_read_in_its_own_grammar(chapter):
    course = tuning_study.open_course(chapter.made, chapter.profile)
    pixels = {"min_pixels": 28 * 28 * 4, "max_pixels": 28 * 28 * 4}
    student = types.SimpleNamespace(family=FAMILIES["qwen2_5_vl"], pixels=pixels)
    every = {(one.id, record.turns[n]): record for record, n, one in asked(course.test)}
    own, box = {}, (0.25, 0.25, 0.75, 0.5)
    for (name, turn), record in every.items():
        text = format_boxes([box], student.family.boxes, [turn.name or "x"], record.shape, **pixels)
        own[name] = f"```json\n{text}\n```"
    first = next(name for name, turn in every if turn.kind == "VG")
    own[first] = "I see\nnothing."
    found = as_records_write(student, course, own, BoxFormat.QWEN_VL)
    assert found.keys() == own.keys() and found[first] == own[first]
    for name, turn in every:
        if turn.kind != "VG":
            assert found[name] == own[name]
        elif name != first:
            assert found[name].startswith(f"<ref>{turn.name}</ref>")
            np.testing.assert_allclose(parse_boxes(found[name], BoxFormat.QWEN_VL).boxes, [box], atol=1e-3)
    assert as_records_write(student, course, {}, BoxFormat.QWEN_VL) == {}


def test_a_single_task_is_taught_in_as_many_steps_as_all(chapter, monkeypatch):
    steps, images = {}, {}

    def tune(student, lessons, stage, folder, progress):
        steps[folder.name], images[folder.name] = Steps(lessons, stage).total, len(lessons)
        return []

    monkeypatch.setattr(arms, "tune", tune)
    course = tuning_study.open_course(chapter.made, chapter.profile)
    settings = chapter.profile.grounding.model_copy(update={"epochs": 1.5, "images": 1})
    for arm in (FULL, "20k", *(f"{task} alone" for task in TASKS)):
        arms.teach(course, arms.Learner(str(chapter.folder), arm), settings, chapter.base)
    assert images["ROC_alone"] < images[FULL] and steps["20k"] < steps[FULL]
    assert {steps[f"{task}_alone"] for task in TASKS} == {steps[FULL]}


def test_whole_models_learn_in_full_precision_and_nothing_else_does(chapter, monkeypatch):
    loaded = []

    def load(name, device, dtype):
        loaded.append(dtype)
        return types.SimpleNamespace(model=types.SimpleNamespace(config=types.SimpleNamespace()))

    monkeypatch.setattr(arms, "load", load)
    monkeypatch.setattr(arms, "add_adapter", lambda student, *_: student)
    monkeypatch.setattr(arms, "tune", lambda *_: [])
    course = tuning_study.open_course(chapter.made, chapter.profile)
    settings = chapter.profile.grounding.model_copy(update={"dtype": "bfloat16", "precision": "bf16"})
    for student, arm in ((str(chapter.folder), UNTUNED), (str(chapter.folder), "80k"), ("other", "80k")):
        arms.teach(course, arms.Learner(student, arm), settings, chapter.base / "nowhere")
    assert loaded == ["bfloat16", "float32", "bfloat16"]


def test_all_intervals_of_a_table_have_the_same_resamples(chapter, monkeypatch):
    seen = []
    monkeypatch.setattr(tasks, "evaluate", lambda told, scoring: seen.append(scoring) or {})
    made = replace(chapter.made, scoring=replace(chapter.made.scoring, java=True, resamples=7))
    tuning_study.headline(chapter.path)
    tuning_study.with_java(chapter.path, made, [FLOOR])
    assert {one.resamples for one in seen} == {tuning_study.RESAMPLES}
    assert {one.names for one in seen} == {seen[0].names} and [one.java for one in seen][-1]


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
    twice = chapter.profile.grounding.model_copy(
        update={"arms": {str(chapter.folder): ["80k"], f"elsewhere/{chapter.folder.name}": ["80k"]}}
    )
    with pytest.raises(InputError, match="would both be kept as 'small-bird'"):
        arms.learners(twice)
    names = [learner.name for learner in arms.learners(load_profile("smoke").grounding)]
    assert names[0] == f"tiny-qwen2.5-vl/{UNTUNED}" and len(names) == len(set(names))


def test_the_small_bird_gets_its_eyes_and_keeps_them_frozen(tmp_path):
    stage = Stage(epochs=0.1, pairs=20, images=2)
    losses = pretraining.pretrain(tmp_path, pretraining.Recipe(images=1, stage=stage))
    assert len(losses) == len(read_json(tmp_path / "history.json")["losses"]) > 0
    student = students.load(tmp_path)
    assert not student.model.config.train_vision
    assert not any(w.requires_grad for w in student.model.vision.parameters())
