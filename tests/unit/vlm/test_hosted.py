from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tuning_server import TuningServer

from gftlib.endpoint.client import Endpoint, EndpointError, Settings
from gftlib.endpoint.ledger import BudgetError
from gftlib.errors import InputError, MissingError
from gftlib.vlm.hosted import HostedTuning, dialect
from gftlib.vlm.hosted_files import inspect, question, record, write_tuning_file
from gftlib.vlm.retrieval import Case

KEY = "sk-canary-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[TuningServer]:
    with TuningServer() as running:
        yield running


def endpoint(server: TuningServer, folder: Path, **settings: object) -> Endpoint:
    base = {"model": "gpt-4o", "base_url": server.url, "backoff_s": 0.01, "timeout_s": 10.0}
    return Endpoint(Settings(**(base | {"allow_images": True} | settings)), folder / "record.jsonl")


def scan(folder: Path, name: str = "a.png", value: int = 7) -> Path:
    about = PngInfo()
    about.add_text("Patient", "Jane Doe")
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(folder / name, pnginfo=about)
    return folder / name


def tuning_file(folder: Path, count: int = 10) -> Path:
    image = scan(folder)
    rows = (record(image, [f"Question {i}?", "NPDR."], "Be brief.") for i in range(count))
    return write_tuning_file(folder / "train.jsonl", rows).path


def tuning(**options: object) -> HostedTuning:
    return HostedTuning(**({"poll_s": 0.01} | options))


def test_records_hold_rgb_images_without_metadata_and_cases_first(tmp_path: Path) -> None:
    cases = [Case(f"patient{i}", "PDR", scan(tmp_path, f"c{i}.png", i), 1.0) for i in range(3)]
    made = record(scan(tmp_path), ["Stage?", "NPDR.", "Why?", "Drop-out."], "Be brief.", cases)
    roles = [turn["role"] for turn in made["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    kinds = [part["type"] for part in made["messages"][1]["content"]]
    assert kinds == ["text", *["text", "image_url"] * 3, "text", "image_url", "text"]
    assert "patient" not in json.dumps(made)
    levels = []
    for part in made["messages"][1]["content"]:
        if part["type"] == "image_url":
            data = base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,"))
            image = Image.open(io.BytesIO(data))
            assert image.mode == "RGB"
            assert not image.info
            levels.append(image.getpixel((0, 0))[0])
    assert levels == [0, 1, 2, 7]
    # the tuned model is asked in the words and images that it was taught with
    asked = question(scan(tmp_path), ["Stage?"], "Be brief.", cases).body()
    assert asked == made["messages"][:2]


def test_a_model_is_tuned_once(server: TuningServer, tmp_path: Path) -> None:
    file, client = tuning_file(tmp_path), endpoint(server, tmp_path)
    model = tuning(epochs=2, seed=5).tune(client, file, tmp_path / "job", send_images=True)
    assert model == "ft:gpt-4o:gft"
    assert server.contents == [file.read_bytes()]
    (job,) = server.tunings
    assert job["training_file"] == "file-0"
    assert job["method"]["supervised"]["hyperparameters"] == {
        "n_epochs": 2,
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
    }
    assert job["seed"] == 5
    # another run asks nothing
    before = len(server.calls)
    assert tuning(epochs=2, seed=5).tune(client, file, tmp_path / "job", send_images=True) == model
    assert len(server.calls) == before


def test_every_fault_is_survived_and_nothing_is_done_twice(server: TuningServer, tmp_path: Path) -> None:
    server.plan = {
        "GET files": ["429", "500"],
        "POST files": ["429", "lost", "500"],
        "POST jobs": ["500", "late"],
        "GET look": ["500", "slow", "lost", "429"],
    }
    client = endpoint(server, tmp_path, timeout_s=1.0)
    assert tuning().tune(client, tuning_file(tmp_path), tmp_path / "job", send_images=True)
    assert len(server.uploads) == len(server.tunings) == 1


@pytest.mark.parametrize("lost", [("upload", "job"), ("job",), ()])
def test_a_run_that_died_goes_on(server: TuningServer, tmp_path: Path, lost: tuple[str, ...]) -> None:
    file, client = tuning_file(tmp_path), endpoint(server, tmp_path)
    server.looks = 10**6
    with pytest.raises(EndpointError, match=r"is running after 0 s of waiting.*run again"):
        tuning(patience_s=0).tune(client, file, tmp_path / "job", send_images=True)
    state = tmp_path / "job" / "job.json"
    kept = {k: v for k, v in json.loads(state.read_text()).items() if k not in lost}
    state.write_text(json.dumps(kept))
    server.looks = 1
    # how long a run waits is no part of what the job is
    assert tuning(patience_s=60).tune(client, file, tmp_path / "job", send_images=True)
    assert len(server.uploads) == len(server.tunings) == 1


CHILD = """
import sys
from gftlib.endpoint.client import Endpoint, Settings
from gftlib.vlm.hosted import HostedTuning
url, folder, file = sys.argv[1:]
settings = Settings(model="gpt-4o", base_url=url, allow_images=True)
HostedTuning(poll_s=0.01).tune(Endpoint(settings, folder + "/record.jsonl"), file, folder + "/job", True)
"""


def test_a_killed_client_continues(tmp_path: Path) -> None:
    with TuningServer(latency=0.3, looks=10**6) as server:
        file = tuning_file(tmp_path)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, server.url, str(tmp_path), str(file)], env=os.environ
        )
        deadline = time.monotonic() + 240
        # the server has the job, the client has not heard of it yet
        while not server.calls.count("POST jobs") and time.monotonic() < deadline:
            time.sleep(0.005)
        child.kill()
        child.wait()
        assert "job" not in json.loads((tmp_path / "job" / "job.json").read_text())
        while not server.tunings and time.monotonic() < deadline:
            time.sleep(0.005)
        server.latency, server.looks = 0.0, 1
        assert tuning().tune(endpoint(server, tmp_path), file, tmp_path / "job", send_images=True)
        assert len(server.uploads) == len(server.tunings) == 1


def test_a_failed_job_is_told_and_not_started_anew_by_itself(server: TuningServer, tmp_path: Path) -> None:
    server.end = "failed"
    file, client = tuning_file(tmp_path), endpoint(server, tmp_path)
    for _ in range(2):
        with pytest.raises(EndpointError, match=r"ftjob-0 failed: bad file.*remove .*job\.json"):
            tuning().tune(client, file, tmp_path / "job", send_images=True)
    assert len(server.tunings) == 1
    (tmp_path / "job" / "job.json").unlink()
    server.end = "succeeded"
    assert tuning().tune(client, file, tmp_path / "job", send_images=True)
    assert (len(server.uploads), len(server.tunings)) == (1, 2)


def test_a_refusal_ends_it(server: TuningServer, tmp_path: Path) -> None:
    server.plan = {"POST files": ["401"]}
    with pytest.raises(EndpointError, match="AuthenticationError"):
        tuning().tune(endpoint(server, tmp_path), tuning_file(tmp_path), tmp_path / "job", send_images=True)
    assert server.calls == ["GET files", "POST files"]


@pytest.mark.parametrize(("leave", "send"), [(False, True), (True, False)])
def test_images_need_both_leaves(server: TuningServer, tmp_path: Path, leave: bool, send: bool) -> None:
    client = endpoint(server, tmp_path, allow_images=leave)
    with pytest.raises(InputError, match="10 images, and images leave"):
        tuning().tune(client, tuning_file(tmp_path), tmp_path / "job", send_images=send)
    assert not server.calls


def test_what_costs_too_much_is_not_sent(server: TuningServer, tmp_path: Path) -> None:
    file = tuning_file(tmp_path)
    tokens = inspect(file).tokens
    assert tokens > 10 * 1445
    priced = tuning(epochs=3, usd_per_million=25.0, max_usd=0.1)
    assert priced.usd(inspect(file)) == pytest.approx(3 * 25 * tokens / 1e6)
    with pytest.raises(BudgetError, match="more than max_usd"):
        priced.tune(endpoint(server, tmp_path), file, tmp_path / "job", send_images=True)
    with pytest.raises(InputError, match="needs a number of epochs"):
        tuning(max_usd=1).tune(endpoint(server, tmp_path), file, tmp_path / "job", send_images=True)
    assert not server.calls


def test_the_key_is_written_nowhere(
    server: TuningServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="gftlib")
    server.end = "failed"
    file = tuning_file(tmp_path)
    words = ""
    for plan in ({"GET files": ["401"]}, {}):
        server.plan = plan
        try:
            tuning().tune(endpoint(server, tmp_path), file, tmp_path / "job", send_images=True)
        except EndpointError as error:
            words += "".join(traceback.format_exception(error)) + repr(error.__context__)
    assert "401" in words
    assert "[key]" in words
    assert server.keys == {f"Bearer {KEY}"}
    written = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    assert "[key]" in written
    assert KEY not in written + caplog.text + words


def test_a_folder_is_for_one_file_and_one_setting(server: TuningServer, tmp_path: Path) -> None:
    file, client = tuning_file(tmp_path), endpoint(server, tmp_path)
    tuning().tune(client, file, tmp_path / "job", send_images=True)
    with pytest.raises(InputError, match="belongs to another tuning file"):
        tuning(epochs=4).tune(client, file, tmp_path / "job", send_images=True)


def test_files_that_the_service_would_refuse_are_refused_here(tmp_path: Path) -> None:
    image = scan(tmp_path)
    one = record(image, ["q", "a"])
    with pytest.raises(InputError, match=r"train\.jsonl has 9 records"):
        write_tuning_file(tmp_path / "train.jsonl", [one] * 9)
    crowd = [Case(f"c{i}", "PDR", image, 0.0) for i in range(10)]
    with pytest.raises(InputError, match="line 1 has 11 images"):
        write_tuning_file(tmp_path / "train.jsonl", [record(image, ["q", "a"], cases=crowd)])
    assert not (tmp_path / "train.jsonl").exists()
    (tmp_path / "bad.jsonl").write_text('{"messages": [{"role": "user"}]}\n')
    with pytest.raises(InputError, match="line 1 is no tuning record"):
        inspect(tmp_path / "bad.jsonl")
    with pytest.raises(MissingError, match="no tuning file"):
        inspect(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda image: record(image, ["q"]), "must be an answer"),
        (lambda image: question(image, ["q", "a"]), "must be a question"),
        (lambda image: question(image, []), "must be a question"),
        (lambda image: record(image, []), "at least one question"),
    ],
)
def test_turns_alternate(tmp_path: Path, call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(scan(tmp_path))


def test_qwen_is_asked_in_its_dialect(server: TuningServer, tmp_path: Path) -> None:
    model = {"model": "qwen-vl-max", **dialect("qwen-vl-max")}
    settings = Settings(base_url=server.url, max_tokens=50, allow_images=True, **model)
    (outcome,) = Endpoint(settings, tmp_path / "r.jsonl").ask([question(scan(tmp_path), ["Stage?"])])
    assert outcome.status == "ok"
    body = server.arrivals[-1][2]
    assert (body["model"], body["max_tokens"]) == ("qwen-vl-max", 50)
    assert "max_completion_tokens" not in body
