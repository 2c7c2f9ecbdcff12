"""``gftlib ask`` and ``gftlib chat`` with a small student of random weights, kept in a folder."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import gftlib
from gftlib.cli import app
from gftlib.dialogue.prompts import student_system
from gftlib.errors import InputError, MissingError
from gftlib.vlm.backbones import TINY_BIRD, load_student
from gftlib.vlm.chat import Conversation
from gftlib.vlm.conversations import Example
from gftlib.vlm.recipes import Adapter, Stage
from gftlib.vlm.tiny import build
from gftlib.vlm.tuning import add_adapter, tune

QUESTIONS = ("Which stage does this scan show?", "And what supports it?")
LONGEST = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a student, an adapter in ``adapter/`` and a scan ``a.png``."""
    place = tmp_path_factory.mktemp("student")
    student = build("tiny-qwen2.5-vl", [student_system(2), *QUESTIONS])
    student.model.save_pretrained(place)
    student.processor.save_pretrained(place)
    tuned = add_adapter(student, Adapter(2, 2, 0.0), seed=1)
    for name, weight in tuned.model.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.5)
    tuned.model.save_pretrained(place / "adapter")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(pixels).save(place / "a.png")
    return place


def run(*arguments: object, said: str | None = None) -> Result:
    words = [str(argument) for argument in (*arguments, "--longest", LONGEST)]
    return CliRunner().invoke(app, words, input=said)


def conversation(folder: Path, adapter: Path | None = None) -> Conversation:
    return Conversation(load_student(str(folder), adapter), folder / "a.png", student_system(2), LONGEST)


def test_a_question_is_answered_as_by_the_library(folder: Path) -> None:
    done = run("ask", folder / "a.png", QUESTIONS[0], "--student", folder)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == conversation(folder).ask(QUESTIONS[0])


def test_an_adapter_speaks_differently(folder: Path) -> None:
    plain, tuned = (
        run("ask", folder / "a.png", QUESTIONS[0], "--student", folder, *more)
        for more in ((), ("--adapter", folder / "adapter"))
    )
    assert tuned.exit_code == 0, tuned.output
    assert tuned.stdout != plain.stdout
    assert tuned.stdout.strip() == conversation(folder, folder / "adapter").ask(QUESTIONS[0])


def test_a_conversation_keeps_its_turns_and_ends_with_an_empty_line(folder: Path) -> None:
    done = run("chat", folder / "a.png", "--student", folder, said="\n".join([*QUESTIONS, "", "unread"]))
    assert done.exit_code == 0, done.output
    talk = conversation(folder)
    answers = [talk.ask(question) for question in QUESTIONS]
    shown = done.stdout
    for answer in answers:
        assert answer in shown
        shown = shown[shown.index(answer) + len(answer) :]
    assert done.stdout.count(">") >= 3
    assert "unread" not in done.stdout
    # the second answer was written with the first turn in view
    assert talk.turns[0] == (QUESTIONS[0], answers[0])
    assert len(talk.turns) == 2


def test_a_scan_of_16_bits_is_seen_as_its_copy_of_8(folder: Path, tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(folder / "a.png")).astype(np.uint16)
    Image.fromarray(pixels * 257).save(tmp_path / "deep.png")
    told = [
        run("ask", image, QUESTIONS[0], "--student", folder).stdout
        for image in (folder / "a.png", tmp_path / "deep.png")
    ]
    assert told[0] == told[1]


def adapter_of_another_architecture(folder: Path) -> Path:
    place = folder / "other"
    if not place.is_dir():
        other = build("tiny-mllama", list(QUESTIONS))
        image = Image.open(folder / "a.png").convert("RGB")
        lesson = Example(image, QUESTIONS[:1], ("PDR.",))
        # as chapter 5 leaves it
        tune(add_adapter(other, Adapter(2, 2, 0.0), seed=1), [lesson], Stage(), place)
    return place


@pytest.mark.parametrize(
    ("image", "question", "more", "kind", "words"),
    [
        ("none.png", "Why?", (), MissingError, "none.png"),
        ("a.png", " ", (), InputError, "empty question"),
        ("a.png", "What is <|image_pad|>?", (), InputError, "image_pad"),
        ("a.png", "Why?", ("--adapter", "nowhere"), MissingError, "no adapter in nowhere"),
        ("a.png", "Why?", ("--student", "tiny-qwen"), InputError, "did you mean 'tiny-qwen2.5-vl'"),
        ("a.png", "Why?", ("--student", "EMPTY"), InputError, "cannot be loaded on cpu"),
        ("a.png", "Why?", ("--adapter", "OTHER"), InputError, "is of mllama, and"),
        ("a.png", "Why?", ("--device", "cuda:99"), InputError, "cannot be loaded on cuda:99"),
        ("bad.png", "Why?", (), InputError, "bad.png"),
    ],
)
def test_bad_input_says_what_is_wrong(
    folder: Path, image: str, question: str, more: tuple[str, ...], kind: type[Exception], words: str
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "bad.png").write_text("no image")
    named = {"EMPTY": str(folder / "empty"), "OTHER": str(adapter_of_another_architecture(folder))}
    more = tuple(named.get(word, word) for word in more)
    student = () if "--student" in more else ("--student", folder)
    done = run("ask", folder / image, question, *student, *more)
    assert isinstance(done.exception, kind)
    assert words in str(done.exception)


def test_the_small_bird_has_its_name_from_one_place() -> None:
    sources = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in Path(gftlib.__file__).parent.rglob("*.py")
    }
    named = [
        path.name
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value == TINY_BIRD
    ]
    assert named == ["backbones.py"]
