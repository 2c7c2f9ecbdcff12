"""Answers of students are kept, and asked anew as soon as anything they depend on has changed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gftlib import agent
from gftlib.profiles import load_profile
from gftlib.vlm.conversations import Example


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def answer(student, examples, **options):
        calls.append(options)
        return [tuple("Yes." for _ in example.questions) for example in examples]

    monkeypatch.setattr(agent, "answer", answer)
    return calls


@pytest.fixture
def student():
    return SimpleNamespace(model=torch.nn.Linear(2, 2))


def test_answers_are_kept_until_weights_questions_image_or_decoding_change(asked, student, tmp_path):
    settings = load_profile("smoke").agent
    image, file = tmp_path / "scan.png", tmp_path / "answers.json"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(image)

    def ask(question="Is it so?", settings=settings):
        return agent.answers(student, {"scan": Example(image, (question,))}, settings, file)

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
