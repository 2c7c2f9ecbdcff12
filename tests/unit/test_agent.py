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


@pytest.mark.parametrize(("labelled", "stages"), [("FT", ("stage1", "stage2")), ("GFT-labels", ("stage1",))])
def test_labels_alone_are_learnt_in_the_steps_of_gft(monkeypatch, tmp_path, labelled, stages):
    settings = load_profile("smoke").tuning
    pair = Pair(question="Q?", answer="A.", kind="diagnosis")
    first, second = (
        tuple(
            Dialogue(id=name, image=f"{name}.png", stage=stage, teacher="offline", pairs=(pair,) * many)
            for name in "abc"
        )
        for stage, many in ((1, 1), (2, 30))
    )
    rows = pd.DataFrame({"scan": list("abc"), "subject": list("abc"), "stage": [0, 1, 2], "split": 0})
    scans = {name: SimpleNamespace(image=Path(f"{name}.png")) for name in "abc"}
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
        assert words == ({"healthy.", "NPDR.", "PDR."} if stage in stages else told)


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
