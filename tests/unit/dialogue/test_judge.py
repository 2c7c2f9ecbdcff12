from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import chat_server
import numpy as np
import pytest
from pydantic import ValidationError

from gftlib.dialogue.judge import HostedJudge, comparison_schema
from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.dialogue.questions import QUESTIONS
from gftlib.dialogue.rubric import RUBRIC, Item, masked, score_table, shuffled
from gftlib.dialogue.rule_judge import RuleJudge, covers, read, reference_text
from gftlib.endpoint.client import Endpoint, Settings
from gftlib.errors import InputError

KEY = "sk-canary-0123456789"
QUESTION = "What is the diagnosis, and what supports it?"
ANSWERS = {
    "GFT-tiny": "PDR, supported by capillary non-perfusion in the upper right quadrant.",
    "BS-tiny": "I am BS-tiny, built on GPT-4o-mini. It is healthy.",
    "FT": "PDR.",
}


class Server(chat_server.ChatServer):
    """Writes a reference, or scores as many candidates as it is shown, or misbehaves as planned."""

    plan: tuple[str, ...] = ()

    def action(self, messages: list[dict]) -> str:
        with self.lock:
            turn = self.seen["all"]
            self.seen["all"] += 1
        return self.plan[turn] if turn < len(self.plan) else "ok"

    def chat(self, handler: object, body: dict) -> None:
        told = body["messages"][1]["content"]
        if told.startswith("Notes on the scan"):
            answer = {"answer": "PDR with capillary non-perfusion in the upper right quadrant."}
        else:
            rows = json.loads(told)["candidates"]
            answer = {
                "scores": [
                    {
                        "candidate": row["candidate"],
                        "reason": "r",
                        "accuracy": min(len(row["answer"]), 100),
                        "localisation": 50,
                        "helpfulness": 0,
                    }
                    for row in rows
                ]
            }
        self.content["ok"] = json.dumps(answer)
        super().chat(handler, body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server(retry_after="0.05") as running:
        yield running


def endpoint(server: Server, folder: Path, **settings: object) -> Endpoint:
    base = {"model": "judge", "base_url": server.url, "backoff_s": 0.01, "concurrency": 1, "max_tokens": 60}
    return Endpoint(Settings(**(base | settings)), folder / "record.jsonl")


def items(make, *names: str) -> list[Item]:
    return [
        Item(make(name, density=(9.0, 10.0, 11.0, 12.0 + i)), QUESTION, ANSWERS)
        for i, name in enumerate(names)
    ]


def test_references_are_written_first_and_candidates_scored_blindly(
    server: Server, make, tmp_path: Path
) -> None:
    (item,) = items(make, "patient-77")
    found = HostedJudge(seed=3).judge(endpoint(server, tmp_path), [item])
    assert found.missing == {}
    (_, _, first), (_, _, second) = server.arrivals
    assert "Stage: PDR" in first["messages"][1]["content"]
    told = json.loads(second["messages"][1]["content"])
    assert told["reference"].startswith("PDR with capillary non-perfusion")
    assert [c["candidate"] for c in told["candidates"]] == [1, 2, 3]
    sent = json.dumps([first, second])
    for name in ("GFT-tiny", "BS-tiny", "GPT-4o", "patient-77"):
        assert name not in sent
    assert all(text in second["messages"][0]["content"] for text in RUBRIC.values())
    # each score is given back to the model whose answer it was given for
    assert [j.model for j in found.judgements] == sorted(ANSWERS)
    for judgement in found.judgements:
        shown = masked(ANSWERS[judgement.model], ANSWERS)
        assert judgement.accuracy == min(len(shown), 100)
        assert judgement.score == pytest.approx((judgement.accuracy + 50) / 3)
    # another run asks nothing
    before = len(server.arrivals)
    assert HostedJudge(seed=3).judge(endpoint(server, tmp_path), [item]) == found
    assert len(server.arrivals) == before


def test_what_fails_is_told_and_asked_by_the_next_run(server: Server, make, tmp_path: Path) -> None:
    server.plan = ("ok", "refuse", "500", "429", "ok")
    client = endpoint(server, tmp_path, max_attempts=1)
    both = items(make, "a", "b", "c")
    found = HostedJudge().judge(client, both)
    assert found.missing[("b", QUESTION)].startswith("refused")
    assert found.missing[("c", QUESTION)].startswith("failed")
    assert found.missing[("a", QUESTION)].startswith("failed")
    found = HostedJudge().judge(client, both)
    assert {j.scan for j in found.judgements} == {"a", "c"}
    assert list(found.missing) == [("b", QUESTION)]


def test_dry_run_counts_both_steps(server: Server, make, tmp_path: Path) -> None:
    client = endpoint(server, tmp_path, usd_in=1.0, usd_out=4.0)
    first, second = HostedJudge().estimate(client, items(make, "a", "b"))
    assert (first.to_ask, second.to_ask) == (2, 2)
    assert min(first.usd, second.usd) > 0
    assert not server.arrivals


def test_the_key_is_written_nowhere(
    server: Server, make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="gftlib")
    server.plan = ("400", "echo", "echo", "echo")
    found = HostedJudge().judge(endpoint(server, tmp_path), items(make, "a", "b"))
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in written + caplog.text + str(found)


def test_the_order_is_drawn_and_differs_between_scans(make) -> None:
    names = {f"m{i}": "x" for i in range(6)}
    orders = [shuffled(Item(make(f"s{i}"), QUESTION, names), 0) for i in range(5)]
    assert len({tuple(order) for order in orders}) > 1
    assert orders[0] == shuffled(Item(make("s0"), QUESTION, dict(reversed(names.items()))), 0)
    assert all(sorted(order) == sorted(names) for order in orders)


def test_the_schema_wants_each_candidate_once() -> None:
    row = {"reason": "r", "accuracy": 1, "localisation": 2, "helpfulness": 3}
    schema = comparison_schema(2)
    good = {"scores": [row | {"candidate": 2}, row | {"candidate": 1}]}
    assert len(schema.model_validate(good).scores) == 2
    for rows in ([1], [1, 1], [1, 3], [1, 2, 2]):
        with pytest.raises(ValidationError):
            schema.model_validate({"scores": [row | {"candidate": i} for i in rows]})
    with pytest.raises(ValidationError):
        schema.model_validate({"scores": [row | {"candidate": 1, "accuracy": 101}, row | {"candidate": 2}]})


@pytest.mark.parametrize(
    ("answer", "accuracy", "localisation", "helpfulness"),
    [
        # all of it right
        (
            "This is PDR, supported by capillary non-perfusion in the upper right quadrant and vessel "
            "tortuosity in the upper right and lower right quadrants.",
            100,
            100,
            100,
        ),
        # right stage alone
        ("PDR.", 70, 0, 40),
        # one of two abnormalities, one of three places: F1 2/3 and 1/2
        ("This is PDR: capillary non-perfusion in the upper right quadrant.", 90, 50, 100),
        # a wrong quadrant
        ("This is PDR: capillary non-perfusion in the lower left quadrant.", 90, 0, 100),
        # a wrong stage, nothing named; it does say a stage, and has a fit length
        ("The eye is healthy, nothing is wrong.", 0, 0, 55),
        ("", 0, 0, 0),
    ],
)
def test_the_judge_by_rule_counts(
    make, answer: str, accuracy: int, localisation: int, helpfulness: int
) -> None:
    (found,) = RuleJudge().judge([Item(make(), QUESTION, {"m": answer})]).judgements
    assert (found.accuracy, found.localisation, found.helpfulness) == (accuracy, localisation, helpfulness)
    assert found.judge == "rules"
    assert found.reference == reference_text(make(), QUESTION)


def test_a_question_narrows_the_reference(make) -> None:
    where = "What do you see in the lower right quadrant?"
    assert "non-perfusion" not in reference_text(make(), where)
    answer = "The lower right quadrant shows vessel tortuosity."
    (found,) = RuleJudge().judge([Item(make(), where, {"m": answer})]).judgements
    assert (found.accuracy, found.localisation) == (100, 100)


def test_without_abnormalities_none_may_be_placed(make) -> None:
    table = make(label="healthy", findings=())
    answers = {"right": "The retina is healthy.", "wrong": "A dense tangle in the upper left quadrant: PDR."}
    right, wrong = RuleJudge().judge([Item(table, QUESTION, answers)]).judgements
    assert (right.accuracy, right.localisation) == (100, 100)
    assert (wrong.accuracy, wrong.localisation) == (0, 0)
    assert reference_text(table, QUESTION) == "healthy: no abnormality."


@pytest.mark.parametrize(
    ("question", "answer", "placed", "denied"),
    [
        (
            "Is there a dense tangle in the upper left quadrant?",
            "Yes.",
            {("dense tangle", "UL")},
            set(),
        ),
        ("Is there a dense tangle in the upper left quadrant?", "No.", set(), {"dense tangle"}),
        ("Which quadrants show drop-out?", "The upper right quadrant.", {("non-perfusion", "UR")}, set()),
        ("What is in the lower left quadrant?", "A dense tangle.", {("dense tangle", "LL")}, set()),
        ("Is there a dense tangle?", "I cannot say.", set(), set()),
    ],
)
def test_a_question_completes_its_answer(question: str, answer: str, placed: set, denied: set) -> None:
    found = read(answer, question)
    assert found.placed == placed
    assert found.denied == denied


def test_what_is_beyond_the_rules_is_not_judged(make) -> None:
    beyond = "Which quadrant has the densest vessel network?"
    found = RuleJudge().judge([Item(make(), beyond, ANSWERS), Item(make(), QUESTION, ANSWERS)])
    assert found.missing == {("s1", beyond): "beyond the rules"}
    assert {j.question for j in found.judgements} == {QUESTION}
    for what in ("faz_shape", "faz_place", "perfusion", "even", "ring", "densest", "versus", "halves"):
        assert not any(
            covers(q.format(place="upper left quadrant", other="lower half")) for q in QUESTIONS[what]
        )


def test_the_teacher_s_own_answers_are_right(make) -> None:
    points = []
    for seed in range(4):
        table, teacher = make(f"s{seed}"), OfflineTeacher(seed=seed)
        pairs = (*teacher.first(table, "a").pairs, *teacher.second(table, "a").pairs)
        named = [p for p in pairs if p.kind in ("quadrant", "presence", "vessels")]
        found = RuleJudge().judge([Item(table, p.question, {"m": p.answer}) for p in named])
        points += [(j.accuracy, j.localisation) for j in found.judgements]
    assert np.mean(points) > 95


def test_points_are_averaged_by_model(make) -> None:
    found = RuleJudge().judge(items(make, "a", "b")).judgements
    table = score_table(found)
    assert table.loc["FT", "answers"] == 2
    assert table["score"].idxmax() == "GFT-tiny"
    assert table.loc["FT", "score"] == pytest.approx(
        table.loc["FT", ["accuracy", "localisation", "helpfulness"]].mean()
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("I am GPT-4o.", "I am [model]."),
        ("As ChatGPT, by OpenAI", "As [model], by [model]"),
        ("Llama-3.2-11B-Vision and Qwen2.5-VL-7B", "[model] and [model]"),
        ("our-model says PDR", "[model] says PDR"),
        ("A quick pointer to the FAZ.", "A quick pointer to the FAZ."),
    ],
)
def test_names_are_masked(text: str, shown: str) -> None:
    assert masked(text, ["our-model"]) == shown


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda make: RuleJudge().judge(items(make, "a", "a")), "occurs twice"),
        (lambda make: RuleJudge().judge([Item(make(), QUESTION, {})]), "no answers to judge"),
        (lambda make: RuleJudge().judge([Item(make(label=None), QUESTION, ANSWERS)]), "has no label"),
        (lambda make: score_table([]), "no judgements"),
    ],
)
def test_bad_input_says_what_is_wrong(make, call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(make)
