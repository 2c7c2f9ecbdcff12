"""Answers of students are kept, and asked anew when anything they depend on has changed; a GPU is for one."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gftlib import agent, agent_examination
from gftlib.bird import tuning_study
from gftlib.dialogue.records import Dialogue, Pair
from gftlib.dialogue.taught import taught_splits
from gftlib.errors import InputError
from gftlib.octa import resnet, training
from gftlib.profiles import load_profile
from gftlib.vlm.backbones import FAMILIES
from gftlib.vlm.conversations import Example
from gftlib.vlm.recipes import Steps


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def answer(student, examples, **options):
        calls.append(options)
        return [tuple("Yes." for _ in example.questions) for example in examples]

    monkeypatch.setattr(agent_examination, "answer", answer)
    return calls


@pytest.fixture
def student():
    return SimpleNamespace(model=torch.nn.Linear(2, 2))


def test_answers_are_kept_until_weights_questions_image_or_decoding_change(asked, student, tmp_path):
    settings = load_profile("smoke").agent
    image, file = tmp_path / "scan.png", tmp_path / "answers.json"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(image)

    def ask(question="Is it so?", settings=settings):
        return agent_examination.answers(student, {"scan": Example(image, (question,))}, settings, file)

    assert ask() == ask() == {"scan": ("Yes.",)}
    assert len(asked) == 1
    ask("And here?")
    ask("And here?", settings.model_copy(update={"temperature": 0.5}))
    assert len(asked) == 3
    with torch.no_grad():
        student.model.weight += 0.1
    ask("And here?", settings.model_copy(update={"temperature": 0.5}))
    assert len(asked) == 4
    Image.fromarray(np.ones((4, 4), np.uint8)).save(image)
    ask("And here?", settings.model_copy(update={"temperature": 0.5}))
    assert len(asked) == 5


class StoppedError(Exception):
    pass


@pytest.fixture
def devices(monkeypatch):
    """Where the jobs of a chapter are to compute, noted in place of doing them."""
    noted = []

    def note(function, shared, jobs, workers=1, progress=None, device="cpu"):
        noted.append(device)
        raise StoppedError

    for module in (agent_examination, tuning_study, training, resnet):
        monkeypatch.setattr(module, "run_jobs", note)
    return noted


def on_the_card(section):
    profile = load_profile("smoke")
    settings = getattr(profile, section).model_copy(update={"device": "cuda"})
    return profile.model_copy(update={section: settings})


def test_every_chapter_says_where_its_networks_compute(devices, monkeypatch, tmp_path):
    rows = pd.DataFrame({"scan": list("abcdef"), "subject": list("abcdef"), "stage": 0, "split": range(6)})
    course = agent.Course((), (), {}, rows)
    with pytest.raises(StoppedError):
        agent_examination.teach_and_stage(course, on_the_card("tuning"), tmp_path)
    monkeypatch.setattr(agent_examination, "shifted", lambda *_: {})
    with pytest.raises(StoppedError):
        agent_examination.examine(course, on_the_card("tuning"), tmp_path, tmp_path)
    monkeypatch.setattr(tuning_study, "open_course", lambda *_: None)
    monkeypatch.setattr(tuning_study, "_length", lambda *_: 0)
    with pytest.raises(StoppedError):
        tuning_study.tune_and_ask(SimpleNamespace(scoring=None), on_the_card("grounding"), tmp_path)
    with pytest.raises(StoppedError):
        training.cross_validate([None] * 6, rows, [None], tmp_path, device="cuda")
    with pytest.raises(StoppedError):
        images = np.zeros((6, 32, 32), np.uint8)
        resnet.cross_validate_resnet(images, rows, resnet.ResNetConfig(size=32), tmp_path, device="cuda")
    assert devices == ["cuda"] * 5


@pytest.mark.parametrize("rehearsals", [0, 2])
@pytest.mark.parametrize(("labelled", "stages"), [("FT", ("stage1", "stage2")), ("GFT-labels", ("stage1",))])
def test_labels_alone_are_learnt_in_the_steps_of_gft(monkeypatch, tmp_path, labelled, stages, rehearsals):
    settings = load_profile("smoke").tuning.model_copy(update={"rehearsals": rehearsals})
    pair = Pair(question="Q?", answer="A.", kind="diagnosis")
    first, second = (
        tuple(
            Dialogue(id=name, image=f"{name}.png", stage=stage, teacher="offline", pairs=(pair,) * many)
            for name in "abc"
        )
        for stage, many in ((1, 1), (2, 30))
    )
    rows = pd.DataFrame({"scan": list("abc"), "subject": list("abc"), "stage": [0, 1, 2], "split": 0})
    scans = {name: SimpleNamespace(image=tmp_path / f"{name}.png") for name in "abc"}
    for scan in scans.values():
        Image.new("L", (8, 8)).save(scan.image)
    course = agent.Course(first, second, scans, rows)
    taught = {}

    def tune(student, lessons, stage, folder, progress):
        taught[folder.relative_to(tmp_path)] = (
            Steps(lessons, stage).total,
            {a for e in lessons for a in e.answers},
        )

    student = SimpleNamespace(family=FAMILIES["qwen2_5_vl"], pixels={})
    monkeypatch.setattr(agent, "tune", tune)
    monkeypatch.setattr(agent, "load_student", lambda *_, **__: student)
    monkeypatch.setattr(agent, "add_adapter", lambda student, *_: student)
    for arm in (labelled, "GFT"):
        agent.teach(course, agent.Pupil("tiny", arm, 0), settings, tmp_path)
    for stage in ("stage1", "stage2"):
        (steps, words), (as_many, told) = (
            taught[Path("tiny", arm, "seed0", stage)] for arm in (labelled, "GFT")
        )
        assert steps == as_many > 0
        labels = {"healthy.", "NPDR.", "PDR."}
        heard_again = labels if stage == "stage2" and rehearsals else set()
        assert words == (labels if stage in stages else told | heard_again)
    # 3 scans of 30 pairs, 10 a step: 9 groups, and 3 more each time that stage 1 comes again
    groups = 9 + 3 * rehearsals
    assert as_many == max(1, round(settings.second_epochs * -(-groups // settings.images)))


def test_what_stage_1_alone_answers_is_not_read_as_an_explanation(monkeypatch):
    course = SimpleNamespace(scans={"a": SimpleNamespace(spec=1)}, stages={"a": "PDR"})
    monkeypatch.setattr(agent_examination, "true_lesions", lambda _: [])
    monkeypatch.setattr(agent_examination, "true_faz", lambda _: None)
    monkeypatch.setattr(agent_examination, "score_told", lambda name, part, *_: [{"part": part}])
    staged = pd.DataFrame(
        [("s", arm, 0, "a", 2, "PDR.") for arm in ("GFT, stage 1 alone", "GFT")],
        columns=["student", "arm", "seed", "scan", "stage", "answer"],
    )
    assert agent_examination.volunteered(course, staged)["part"].tolist() == ["told/s/GFT/0"]


def test_each_fold_has_students_of_its_own_and_the_untuned_one_has_none():
    profile = load_profile("smoke")
    folds = profile.dialogue.model_copy(update={"folds": [1, 3]})
    tuning = profile.tuning.model_copy(update={"students": {"s": 2}, "arms": ["BS", "GFT"]})
    found = agent.pupils(profile.model_copy(update={"dialogue": folds, "tuning": tuning}))
    assert [(one.arm, one.fold, one.seed) for one in found] == [
        ("BS", 1, 0), ("GFT", 1, 0), ("GFT", 1, 1), ("GFT", 3, 0), ("GFT", 3, 1),
    ]  # fmt: skip
    assert len({one.folder for one in found}) == len({one.run for one in found if one.arm == "GFT"}) + 1 == 5
    mine, other, truth = ((name, name) for name in ("mine", "other", "truth"))
    course = agent.Course(*mine, {}, pd.DataFrame(), {3: other}, {3: truth})
    assert course.dialogues(found[1]) == mine
    assert course.dialogues(found[-1]) == other
    assert course.dialogues(agent.Pupil("s", "GFT-truth", 0, 3)) == truth


def test_an_experiment_has_one_seed_and_a_frozen_one_its_own_first_stage():
    profile = load_profile("smoke")
    changes = {"students": {"s": 2}, "arms": ["FT", "GFT-frozen"], "experiments": ["GFT-frozen"]}
    settings = profile.tuning.model_copy(update=changes | {"first_parts": "both"})
    found = agent.pupils(profile.model_copy(update={"tuning": settings}))
    assert [(one.arm, one.seed) for one in found] == [("FT", 0), ("FT", 1), ("GFT-frozen", 0)]
    learns = {one.arm: [stage.parts for stage in agent.stages(settings, one)] for one in found}
    assert learns == {"FT": ["both", "both"], "GFT-frozen": ["vision", "both"]}


def test_splits_that_are_taught_shift_with_the_fold():
    settings = load_profile("phantom").dialogue
    assert [sorted(taught_splits(settings, fold)) for fold in (1, 2, 5)] == [
        [2, 3, 4, 5], [1, 3, 4, 5], [1, 2, 3, 4],
    ]  # fmt: skip
    with pytest.raises(InputError, match="validates the network of fold 1"):
        taught_splits(settings.model_copy(update={"splits": [1, 2]}), 4)


def test_octa500_is_asked_about_where_its_folder_is_named(monkeypatch, tmp_path):
    settings = load_profile("paper").staging
    monkeypatch.delenv("OCTA500", raising=False)
    assert agent_examination.public(settings) == {}
    scans = [SimpleNamespace(scan="10301", path=tmp_path / "10301.bmp", label=1)]
    monkeypatch.setattr(agent_examination.octa500, "read", lambda place: scans if place == "here" else None)
    monkeypatch.setenv("OCTA500", "here")
    assert agent_examination.public(settings) == {"10301": (tmp_path / "10301.bmp", 1)}
