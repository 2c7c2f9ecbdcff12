"""The client against a real local server that answers late, wrongly, partly or not at all."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from annotated_types import Len
from chat_server import ChatServer
from PIL import Image
from pydantic import BaseModel, ValidationError

from gftlib.endpoint.batch_jobs import run_batches
from gftlib.endpoint.client import Endpoint, EndpointError, Settings
from gftlib.endpoint.ledger import BudgetError, Ledger
from gftlib.endpoint.messages import Message, Request
from gftlib.endpoint.sending import Pace
from gftlib.errors import InputError, MissingError

KEY = "sk-canary-0123456789"


class Pairs(BaseModel):
    pairs: Annotated[list[str], Len(2, 2)]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


def endpoint(server: ChatServer, folder: Path, **settings: object) -> Endpoint:
    base = {"model": "m", "base_url": server.url, "backoff_s": 0.01, "timeout_s": 30.0, "max_tokens": 50}
    return Endpoint(Settings(**(base | settings)), folder / "record.jsonl")


def questions(*plans: str) -> list[Request]:
    return [Request.of(f"question {i} [{plan}]", schema=Pairs) for i, plan in enumerate(plans)]


def events(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]


def test_every_fault_is_survived_and_every_answer_recorded_once(server: ChatServer, tmp_path: Path) -> None:
    server.retry_after = "0.05"
    plans = [
        "ok",
        "429",
        "500 500",
        "slow",
        "cut",
        "garbage",
        "html",
        "nochoices",
        "short",
        "prose short",
        "empty",
    ]
    plans += ["fenced", "429 cut slow short 500", "nousage"]
    client = endpoint(server, tmp_path, timeout_s=1.2)
    outcomes = client.ask(questions(*plans))
    assert [o.status for o in outcomes] == ["ok"] * len(plans)
    assert all(o.parsed == Pairs(pairs=["a", "b"]) for o in outcomes)
    answers = Counter(e["key"] for e in events(tmp_path) if e["event"] == "answer")
    assert answers == {o.key: 1 for o in outcomes}
    # answered once per question and once more per answer that did not fit
    assert server.paid == len(plans) + 5
    # nothing is asked again
    before = len(server.arrivals)
    assert client.ask(questions(*plans)) == outcomes
    assert len(server.arrivals) == before


@pytest.mark.parametrize(
    ("plan", "status", "words"),
    [
        ("refuse", "refused", "refused"),
        ("filter", "refused", "refused"),
        ("long", "cut_off", "max_tokens"),
        ("short short short", "invalid", "at least 2 items"),
        ("prose prose prose", "invalid", "Invalid JSON"),
        ("400", "rejected", "BadRequestError"),
    ],
)
def test_final_outcomes_are_recorded_and_not_asked_again(
    server: ChatServer, tmp_path: Path, plan: str, status: str, words: str
) -> None:
    client = endpoint(server, tmp_path)
    for _ in range(2):
        (outcome,) = client.ask(questions(plan))
        assert outcome.status == status
        assert words in outcome.reason
        assert outcome.parsed is None
    assert len(server.arrivals) == len(plan.split())
    if status == "invalid":
        assert "a" not in outcome.text


def test_a_question_asked_again_says_what_was_wrong(server: ChatServer, tmp_path: Path) -> None:
    endpoint(server, tmp_path).ask(questions("short"))
    first, second = (body["messages"] for _, _, body in server.arrivals)
    assert second[: len(first)] == first
    assert second[-2] == {"role": "assistant", "content": '{"pairs": ["a"]}'}
    assert "pairs: List should have at least 2 items" in second[-1]["content"]


def test_failed_requests_leave_the_rest_alone_and_are_asked_by_the_next_run(
    server: ChatServer, tmp_path: Path
) -> None:
    client = endpoint(server, tmp_path, max_attempts=2)
    outcomes = client.ask(questions("500 500", "ok", "wait"))
    assert [o.status for o in outcomes] == ["failed", "ok", "failed"]
    assert "InternalServerError" in outcomes[0].reason
    # an hour's wait is longer than max_wait_s: not waited for
    assert len(server.arrivals) == 4
    assert [o.status for o in client.ask(questions("500 500", "ok", "wait"))] == ["ok"] * 3


@pytest.mark.parametrize("plan", ["401", "quota"])
def test_a_refusal_of_everything_stops_the_run(server: ChatServer, tmp_path: Path, plan: str) -> None:
    client = endpoint(server, tmp_path, concurrency=1)
    with pytest.raises(EndpointError, match="refuses every request"):
        client.ask(questions("ok", plan, "ok", "ok"))
    assert len(server.arrivals) == 2
    assert len(Ledger(client.record).answers) == 1


def test_retry_after_is_honoured_for_all(server: ChatServer, tmp_path: Path) -> None:
    server.retry_after = "0.4"
    endpoint(server, tmp_path, concurrency=1).ask(questions("429", "ok"))
    first, second, *_ = (at for at, _, _ in server.arrivals)
    assert second - first >= 0.39


def test_rate_limit() -> None:
    async def turns(pace: Pace) -> list[float]:
        async def turn() -> float:
            await pace.turn()
            return asyncio.get_running_loop().time()

        return sorted(await asyncio.gather(*(turn() for _ in range(8))))

    times = asyncio.run(turns(Pace(1200)))
    assert times[-1] - times[0] >= 7 * 0.05 - 0.01


def test_same_content_is_asked_once_unless_tagged(server: ChatServer, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path)
    outcomes = client.ask([Request.of("same"), Request.of("same"), Request.of("same", tag="2")])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].key != outcomes[2].key
    assert server.paid == 2
    assert endpoint(server, tmp_path, temperature=0.5).dry_run([Request.of("same")]).to_ask == 1


def test_inside_a_running_loop_as_in_a_notebook(server: ChatServer, tmp_path: Path) -> None:
    async def cell() -> str:
        return endpoint(server, tmp_path).ask(questions("ok"))[0].status

    assert asyncio.run(cell()) == "ok"


CHILD = """
import sys
from gftlib.endpoint.client import Endpoint, Settings
from gftlib.endpoint.messages import Request
settings = Settings(model="m", base_url=sys.argv[1], concurrency=4, backoff_s=0.01, timeout_s=5)
plans = ["ok", "500", "cut", "429"]
Endpoint(settings, sys.argv[2]).ask([Request.of(f"q{i} [{plans[i % 4]}]") for i in range(60)])
"""


def test_a_killed_run_continues_and_pays_nothing_twice(tmp_path: Path) -> None:
    with ChatServer(latency=0.03, retry_after="0.01") as server:
        record = tmp_path / "record.jsonl"
        child = subprocess.Popen([sys.executable, "-c", CHILD, server.url, str(record)], env=os.environ)
        deadline = time.monotonic() + 60
        while server.paid < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        child.kill()
        child.wait()
        done = len(Ledger(record).answers)
        assert 0 < done < 60
        with open(record, "a") as stream:
            stream.write('{"event": "answer", "key": "torn off in mid')
        plans = ["ok", "500", "cut", "429"]
        requests = [Request.of(f"q{i} [{plans[i % 4]}]") for i in range(60)]
        client = endpoint(server, tmp_path, max_tokens=1024, timeout_s=5.0, concurrency=4)
        assert client.dry_run(requests).answered == done
        outcomes = client.ask(requests)
        assert [o.status for o in outcomes] == ["ok"] * 60
        assert Counter(e["key"] for e in events(tmp_path) if e["event"] == "answer") == {
            o.key: 1 for o in outcomes
        }
        assert server.paid == 60
        # without idempotency, at most what was in flight at the kill would have been paid for again
        assert server.answered.total() <= 64


@pytest.mark.parametrize(
    ("prices", "concurrency"),
    [
        # one dollar an answer, as estimated; and one dollar where a tenth was estimated
        ({"usd_in": 0.0, "usd_out": 1e6 / 50}, 4),
        ({"usd_in": 1e6 / 100, "usd_out": 0.0}, 1),
    ],
)
def test_budget_stops_before_it_is_passed_and_the_run_continues_with_more(
    tmp_path: Path, prices: dict[str, float], concurrency: int
) -> None:
    with ChatServer(tokens=(100, 50), latency=0.01) as server:
        requests = [Request.of(f"question {i}") for i in range(12)]
        client = endpoint(server, tmp_path, **prices, max_usd=5.0, concurrency=concurrency)
        with pytest.raises(BudgetError, match="max_usd=5"):
            client.ask(requests)
        ledger = Ledger(client.record)
        assert server.paid == len(ledger.answers)
        assert ledger.spent == pytest.approx(server.paid)
        assert server.paid == 5
        assert (ledger.input_tokens, ledger.output_tokens) == (500, 250)
        more = endpoint(server, tmp_path, **prices, max_usd=100.0)
        assert {o.status for o in more.ask(requests)} == {"ok"}
        assert server.paid == 12


def test_what_was_never_heard_of_counts_as_spent(server: ChatServer, tmp_path: Path) -> None:
    prices = {"usd_in": 0.0, "usd_out": 1e6 / 50, "max_usd": 100.0}  # at most one dollar an answer
    client = endpoint(server, tmp_path, **prices, timeout_s=1.2)
    client.ask(questions("cut slow", "500 429"))
    assert Ledger(client.record).spent == pytest.approx(2 + 2 * 10 / 50)


def test_dry_run_sends_and_writes_nothing(server: ChatServer, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path, usd_in=2.0, usd_out=8.0, allow_images=True, image_tokens=700)
    requests = [Request.of("x" * 300, np.zeros((4, 4), np.uint8)), Request.of("y")]
    estimate = client.dry_run(requests)
    assert (estimate.requests, estimate.answered, estimate.to_ask, estimate.images) == (2, 0, 2, 1)
    assert estimate.input_tokens == 100 + 8 + 700 + 1 + 8
    assert estimate.output_tokens == 100
    assert estimate.usd == pytest.approx((817 * 2 + 100 * 8) / 1e6)
    assert client.dry_run(requests, batch=True).usd == pytest.approx(estimate.usd / 2)
    assert not server.arrivals
    assert not client.record.exists()


def test_images_need_leave_and_lose_their_metadata(server: ChatServer, tmp_path: Path) -> None:
    path = tmp_path / "scan.jpg"
    exif = Image.Exif()
    exif[0x010E] = "PATIENT-NAME"
    exif[0x0112] = 6  # stored on its side
    Image.new("RGB", (8, 4), "red").save(path, exif=exif, comment=b"PATIENT-NAME")
    assert b"PATIENT-NAME" in path.read_bytes()
    with pytest.raises(InputError, match="allow_images"):
        endpoint(server, tmp_path).ask([Request.of("what?", path)])
    assert not server.arrivals
    client = endpoint(server, tmp_path, allow_images=True)
    client.ask([Request.of("what?", path, system="Be brief.")])
    system, user = server.arrivals[0][2]["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    data = base64.b64decode(user["content"][0]["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert b"PATIENT-NAME" not in data
    sent = Image.open(io.BytesIO(data))
    assert sent.size == (4, 8)
    assert not sent.getexif()
    # the same pixels under another name are the same question
    sent.save(tmp_path / "other.png")
    assert client.dry_run([Request.of("what?", tmp_path / "other.png", system="Be brief.")]).answered == 1


def test_the_key_is_nowhere(
    server: ChatServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = endpoint(server, tmp_path, concurrency=1)
    outcomes = client.ask([Request.of("[echo]"), Request.of("b [400]"), Request.of("c [500 cut ok]")])
    shown = [repr(client), repr(client.settings), client.settings.model_dump_json(), repr(outcomes)]
    with pytest.raises(EndpointError) as caught:
        client.ask([Request.of("d [401]")])
    error = caught.value
    shown += [repr(error), "".join(traceback.format_exception(error))]
    assert error.__cause__ is None
    assert error.__context__ is None
    with client.ledger() as ledger:
        shown.append(repr(ledger))
    printed = capsys.readouterr()
    shown += [caplog.text, printed.out, printed.err, client.record.read_text()]
    # the server did get it, and did send it back
    assert {authorization for _, authorization, _ in server.arrivals} == {f"Bearer {KEY}"}
    assert outcomes[0].text == "you said Bearer [key]"
    assert "Bearer [key]" in outcomes[1].reason
    assert not [text for text in shown if KEY in text]


def batch(client: Endpoint, requests: list[Request], folder: Path, **options: object) -> list:
    return asyncio.run(run_batches(client, requests, folder, poll_s=0.01, **options))


def test_batch_jobs_ask_everything_once(server: ChatServer, tmp_path: Path) -> None:
    prices = {"usd_in": 1e6 / 100, "usd_out": 0.0, "max_usd": 1000.0}
    client = endpoint(server, tmp_path, **prices)
    requests = questions("ok", "ok", "400", "short", "lost", "refuse", "ok")
    outcomes = batch(client, requests, tmp_path / "jobs", max_requests=3)
    assert [o.status for o in outcomes] == ["ok"] * 5 + ["refused", "ok"]
    assert len(server.jobs) == 3
    # what the jobs left open was asked directly: rejected, not fitting, lost
    assert len(server.arrivals) == 3
    # half price for five answers in jobs, full price for three
    assert Ledger(client.record).spent == pytest.approx(5 * 0.5 + 3)
    assert not list((tmp_path / "jobs").iterdir())
    batch(client, requests, tmp_path / "jobs")
    assert (len(server.jobs), len(server.arrivals)) == (3, 3)


@pytest.mark.parametrize("noted", [True, False])
def test_a_batch_run_that_died_finds_its_job_again(server: ChatServer, tmp_path: Path, noted: bool) -> None:
    client, requests, jobs = endpoint(server, tmp_path), questions("ok", "ok"), tmp_path / "jobs"

    class Killed(BaseException):
        pass

    write = Ledger.write

    def dies(self: Ledger, **event: object) -> None:
        if event["event"] == "batch" and not noted:
            raise Killed
        write(self, **event)
        if event["event"] == "batch":
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "write", dies)
        with pytest.raises(Killed):
            batch(client, requests, jobs)
    assert len(list(jobs.glob("*.jsonl"))) == 1
    with pytest.raises(InputError, match="not among these"):
        batch(client, questions("ok", "ok", "ok")[2:], jobs)
    assert [o.status for o in batch(client, requests, jobs)] == ["ok", "ok"]
    assert len(server.jobs) == 1
    assert server.paid == 2


@pytest.mark.parametrize("noted", [True, False])
def test_a_batch_run_that_died_at_its_end_uploads_nothing_again(
    server: ChatServer, tmp_path: Path, noted: bool
) -> None:
    client, requests, jobs = endpoint(server, tmp_path), questions("ok", "ok"), tmp_path / "jobs"

    class Killed(BaseException):
        pass

    write = Ledger.write

    def dies(self: Ledger, **event: object) -> None:
        if noted or not event.get("ended"):
            write(self, **event)
        if event.get("ended"):
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "write", dies)
        with pytest.raises(Killed):
            batch(client, requests, jobs)
    assert [o.status for o in batch(client, requests, jobs)] == ["ok", "ok"]
    assert (len(server.files), len(server.jobs), server.paid) == (3, 1, 2)  # one upload, two outputs
    assert not list(jobs.iterdir())


def test_a_failed_job_is_told_and_started_anew(server: ChatServer, tmp_path: Path) -> None:
    client, requests, jobs = endpoint(server, tmp_path), questions("ok"), tmp_path / "jobs"
    start = server.start

    def failing(order: dict) -> dict:
        job = start(order)
        errors = {"object": "list", "data": [{"message": "the file is bad"}]}
        job |= {"then": "failed", "output_file_id": None, "errors": errors}
        return job

    server.start = failing
    with pytest.raises(EndpointError, match="failed: the file is bad"):
        batch(client, requests, jobs)
    server.start = start
    assert Ledger(client.record).spent == 0
    assert batch(client, requests, jobs)[0].status == "ok"
    assert len(server.jobs) == 2


def test_no_key_is_needed_where_everything_is_answered(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, requests = endpoint(server, tmp_path), questions("ok", "refuse")
    first = client.ask(requests)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert client.ask(requests) == first
    assert batch(client, requests, tmp_path / "jobs") == first
    with pytest.raises(MissingError, match="OPENAI_API_KEY is not set"):
        batch(client, questions("ok", "refuse", "ok"), tmp_path / "jobs")
    assert not (tmp_path / "jobs").exists()


def test_a_batch_that_cannot_be_paid_for_is_not_sent(server: ChatServer, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path, usd_in=0.0, usd_out=1e6 / 50, max_usd=0.9)
    with pytest.raises(BudgetError):
        batch(client, questions("ok", "ok"), tmp_path / "jobs")
    assert not server.files
    assert Ledger(client.record).spent == 0


def test_a_record_is_held_by_one_run_at_a_time(server: ChatServer, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path)
    with client.ledger(), pytest.raises(InputError, match="another run is writing"):
        client.ask(questions("ok"))
    assert client.ask(questions("ok"))[0].status == "ok"


def test_a_last_line_without_its_end_is_kept_if_it_is_whole(server: ChatServer, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path)
    client.ask(questions("ok"))
    client.record.write_text(client.record.read_text().rstrip("\n"))
    client.ask(questions("ok", "ok"))
    assert server.paid == 2
    assert [e["event"] for e in events(tmp_path)] == ["sent", "answer", "sent", "answer"]


def test_a_damaged_record_is_refused_with_its_line(server: ChatServer, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path)
    client.record.write_text('{"event": "sent", "key": "k", "usd": 0}\nnonsense\n')
    with pytest.raises(InputError, match="line 2"):
        client.ask(questions("ok"))


def test_bad_settings_and_images_say_what_is_wrong(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match="max_usd needs the prices"):
        Settings(model="m", max_usd=1.0)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Settings(model="m", maxtokens=3)
    client = endpoint(server, tmp_path, allow_images=True)
    with pytest.raises(MissingError, match="no image"):
        client.dry_run([Request.of("what?", tmp_path / "none.png")])
    (tmp_path / "bad.png").write_bytes(b"GIF")
    with pytest.raises(InputError, match="not a readable image"):
        client.dry_run([Request.of("what?", tmp_path / "bad.png")])
    with pytest.raises(InputError, match="must be uint8"):
        client.dry_run([Request((Message("user", (np.zeros((3, 3)),)),))])
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(MissingError, match="OPENAI_API_KEY is not set"):
        client.ask(questions("ok"))
