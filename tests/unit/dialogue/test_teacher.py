from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import chat_server
import numpy as np
import pytest
from pydantic import ValidationError

from gftlib.dialogue.hosted_answers import answer_schema, leak
from gftlib.dialogue.prompts import BACKGROUND, student_system, teacher_task
from gftlib.dialogue.records import write_dialogues
from gftlib.dialogue.teacher import HostedTeacher, TeacherScan
from gftlib.endpoint.client import Endpoint, Settings
from gftlib.errors import InputError

KEY = "sk-canary-0123456789"


def answer(count: int, text: str = "The FAZ is round.", findings: tuple[str, ...] = ()) -> str:
    pairs = [
        {
            "question": f"Question {'x' * i}?",
            "answer": text,
            "kind": "FAZ",
            "quadrant": None,
            "findings": findings,
        }
        for i in range(count)
    ]
    return json.dumps({"pairs": pairs})


class Server(chat_server.ChatServer):
    """Answers arrivals as planned, whatever they ask."""

    plan: tuple[str, ...] = ()

    def action(self, messages: list[dict]) -> str:
        with self.lock:
            turn = self.seen["all"]
            self.seen["all"] += 1
        return self.plan[turn] if turn < len(self.plan) else "ok"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    contents = {
        "ok": answer(3),
        "two": answer(2),
        "four": answer(4),
        "leaky": answer(3, "The overlay shows it."),
        "point": answer(3, "Here.", ("F1", "FAZ")),
        "unknown": answer(3, "Here.", ("F9",)),
    }
    with Server(retry_after="0.05") as running:
        running.content |= contents
        yield running


def endpoint(server: Server, folder: Path, **settings: object) -> Endpoint:
    base = {"model": "m", "base_url": server.url, "backoff_s": 0.01, "concurrency": 1, "max_tokens": 50}
    return Endpoint(Settings(**(base | settings)), folder / "record.jsonl")


TEACHER = HostedTeacher(count=3, send_images=False)


def scans(make, *names: str) -> list[TeacherScan]:
    return [
        TeacherScan(make(name, density=(9.0, 10.0, 11.0, 12.0 + i)), f"{name}.png")
        for i, name in enumerate(names)
    ]


def test_what_breaks_a_rule_is_asked_again(server: Server, make, tmp_path: Path) -> None:
    server.plan = ("two", "four", "ok", "leaky", "unknown", "point", "429", "500", "cut", "two", "ok")
    taught = TEACHER.teach(endpoint(server, tmp_path), scans(make, "a", "b", "c"))
    assert taught.missing == {}
    assert [len(d.pairs) for d in taught.dialogues] == [3, 3, 3]
    boxes = taught.dialogues[1].pairs[0].boxes
    assert [(b.name, b.xyxy) for b in boxes] == [
        ("capillary non-perfusion", (0.6, 0.1, 0.9, 0.4)),
        ("foveal avascular zone", (0.4, 0.4, 0.6, 0.6)),
    ]
    assert taught.dialogues[0].teacher == "m"
    # another run asks nothing and gives the same
    before = len(server.arrivals)
    assert TEACHER.teach(endpoint(server, tmp_path), scans(make, "a", "b", "c")) == taught
    assert len(server.arrivals) == before


def test_what_never_fits_is_never_written(server: Server, make, tmp_path: Path) -> None:
    server.plan = ("two", "two", "two", "refuse")
    taught = TEACHER.teach(endpoint(server, tmp_path), scans(make, "a", "b", "c"))
    assert [d.id for d in taught.dialogues] == ["c"]
    assert taught.missing["a"].startswith("invalid")
    assert taught.missing["b"].startswith("refused")


def test_a_run_that_died_goes_on(server: Server, make, tmp_path: Path) -> None:
    TEACHER.teach(endpoint(server, tmp_path), scans(make, "a", "b"))
    record = tmp_path / "record.jsonl"
    lines = record.read_text().splitlines(keepends=True)
    # killed while the last answer was being written
    record.write_text("".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    before = len(server.arrivals)
    taught = TEACHER.teach(endpoint(server, tmp_path), scans(make, "a", "b", "c"))
    assert len(taught.dialogues) == 3
    assert len(server.arrivals) - before == 2


def test_batches_give_the_same(server: Server, make, tmp_path: Path) -> None:
    taught = TEACHER.teach(
        endpoint(server, tmp_path), scans(make, "a", "b"), batches=tmp_path / "jobs", poll_s=0.01
    )
    assert [len(d.pairs) for d in taught.dialogues] == [3, 3]
    assert server.polls
    assert not server.arrivals


def test_images_need_the_flag_and_the_name_stays_here(server: Server, make, tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    with_images = HostedTeacher(count=3)
    scan = TeacherScan(make("patient-77"), "p.png", image, image)
    with pytest.raises(InputError, match="allow_images"):
        with_images.teach(endpoint(server, tmp_path), [scan])
    assert not server.arrivals
    with_images.teach(endpoint(server, tmp_path, allow_images=True), [scan])
    ((_, _, body),) = server.arrivals
    content = body["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    assert "patient-77" not in json.dumps(body)
    with pytest.raises(InputError, match="send_images=False"):
        with_images.requests([TeacherScan(make(), "p.png")])


def test_dry_run_counts_and_sends_nothing(server: Server, make, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path, usd_in=1.0, usd_out=4.0)
    direct = TEACHER.estimate(client, scans(make, "a", "b"))
    batch = TEACHER.estimate(client, scans(make, "a", "b"), batch=True)
    assert (direct.requests, direct.to_ask, direct.images) == (2, 2, 0)
    assert batch.usd == pytest.approx(direct.usd / 2)
    assert direct.usd > 0
    assert not server.arrivals


def test_the_key_is_written_nowhere(
    server: Server, make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="gftlib")
    server.plan = ("400", "echo", "echo", "echo", "ok")
    taught = TEACHER.teach(endpoint(server, tmp_path), scans(make, "a", "b", "c"))
    write_dialogues(tmp_path / "d.jsonl", taught.dialogues)
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in written + caplog.text + str(taught)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("The heat map is bright there.", "the overlay"),
        ("As overlaid in red", "the overlay"),
        ("According to the table, yes.", "the notes"),
        ("The ground truth is PDR.", "the notes"),
        ("Node 4 is wide.", "the network"),
        ("The probability is high.", "the network"),
        ("See F2.", "an identifier"),
        ("ica-12 is dark.", "an identifier"),
        ("It covers 0.3 of it.", "a raw number"),
        ("It covers 30 % of it.", "a raw number"),
        ("A radius of 5 mm.", "a raw number"),
    ],
)
def test_the_filter_names_what_leaks(text: str, what: str) -> None:
    assert leak(text) == what


@pytest.mark.parametrize(
    "text",
    [
        "Notable, stable and comfortable vessels at the edge of the FAZ.",
        "At 2 o'clock, in 2 of 4 quadrants.",
        "A paragraph on photographs.",
    ],
)
def test_the_filter_lets_clinical_words_pass(text: str) -> None:
    assert leak(text) is None


def test_the_schema_wants_the_exact_count_of_different_pairs() -> None:
    schema = answer_schema(3, ["F1"])
    shape = schema.model_json_schema()["properties"]["pairs"]
    assert (shape["minItems"], shape["maxItems"]) == (3, 3)
    assert len(schema.model_validate_json(answer(3)).pairs) == 3
    alike = json.dumps({"pairs": [json.loads(answer(1))["pairs"][0]] * 3})
    for wrong, words in ((answer(2), "at least 3"), (answer(4), "at most 3"), (alike, "alike")):
        with pytest.raises(ValidationError, match=words):
            schema.model_validate_json(wrong)


def test_both_readings_reach_the_prompt(make) -> None:
    def prompt(**options: object) -> str:
        teacher = HostedTeacher.model_validate({"send_images": False, "count": 4, **options})
        return json.dumps(teacher.requests([TeacherScan(make(), "a.png")])[0].body())

    assert "Stage: PDR" in prompt()
    assert "Stage: NPDR" in prompt(text={"stage": "predicted", "rows": True, "findings": True})
    assert "curveness" in prompt()
    assert "curveness" not in prompt(text={"stage": "true", "rows": False, "findings": True})
    assert "one word" in teacher_task(1, 1, explained=False)
    assert BACKGROUND[0] in student_system(2)
    assert BACKGROUND[0] not in student_system(2, background=False)
    with pytest.raises(InputError, match="share a name"):
        HostedTeacher(send_images=False).requests([TeacherScan(make(), "a.png")] * 2)
