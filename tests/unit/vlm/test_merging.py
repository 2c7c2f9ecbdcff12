"""A merged student is the tuned one, and an existing server of OpenAI's protocol serves it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gftlib.dialogue.prompts import student_system
from gftlib.endpoint.client import Endpoint
from gftlib.endpoint.messages import Request
from gftlib.endpoint.sending import Settings
from gftlib.errors import InputError
from gftlib.vlm.backbones import EMBEDDED, load_student
from gftlib.vlm.chat import Conversation
from gftlib.vlm.merging import merge
from gftlib.vlm.recipes import Adapter
from gftlib.vlm.tuning import add_adapter

QUESTION = "Is there capillary non-perfusion in the upper left quadrant?"
LONGEST = 24


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("scan") / "scan.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(file)
    return file


def tuned(name: str):
    """A student whose adapter changes every weight that it covers."""
    student = add_adapter(load_student(name), Adapter(2, 2, 0.0), seed=1)
    for key, weight in student.model.named_parameters():
        if "lora_B" in key:
            weight.data.fill_(0.02)
    student.model.eval()
    return student


def say(student, scan: Path) -> str:
    return Conversation(student, scan, student_system(2), LONGEST).ask(QUESTION)


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_merged_student_is_the_tuned_one(scan: Path, tmp_path: Path, name: str) -> None:
    student = tuned(name)
    before = say(student, scan)
    folder = merge(student, tmp_path / "merged")
    plain = load_student(str(folder))
    assert not hasattr(plain.model, "peft_config")
    assert say(plain, scan) == before
    own = dict(load_student(name).model.named_parameters())
    assert any(not torch.equal(weight, own[key]) for key, weight in plain.model.named_parameters())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").touch()
    with pytest.raises(InputError, match="give a new folder"):
        merge(load_student(EMBEDDED[0]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve a merged student by transformers' own server."""
    folder = merge(tuned(EMBEDDED[0]), tmp_path / "merged")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "transformers", "serve", folder, "--device", "cpu"]
    server = subprocess.Popen(
        [*map(str, command), "--host", "127.0.0.1", "--port", str(port)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, "the server ended"
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def test_a_served_student_answers_our_client_as_it_answers_here(
    address: str, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    folder = tmp_path / "merged"
    settings = Settings(model=str(folder), base_url=f"{address}/v1", max_tokens=LONGEST, allow_images=True)
    request = Request.of(f"{student_system(2)}\n\n{QUESTION}", scan)
    (outcome,) = Endpoint(settings, tmp_path / "record.jsonl").ask([request])
    assert outcome.status == "ok", outcome.reason
    assert outcome.text.strip() == say(load_student(str(folder)), scan)
