"""``gftlib judge``, ``gftlib study`` and ``gftlib hosted`` on a hand-made course, against a local service."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1] / "vlm"))
from hosted import KEY
from test_judge import Server
from tuning_server import TuningServer

from gftlib import agent, agent_evaluation, agent_hosted, profiles, teaching
from gftlib.agent import Course, pupils
from gftlib.cli import app
from gftlib.dialogue.expert_study import read_sheet
from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.endpoint.ledger import BudgetError
from gftlib.errors import InputError, MissingError
from gftlib.octa.scans import Scan
from gftlib.octa.table_rows import STAGES, write_tables
from gftlib.paths import write_json

NAMES = [f"patient{i}" for i in range(12)]
HOSTED = Path("runs", "smoke", "06_agent_evaluation", "hosted")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tables(make) -> list:
    return [
        make(name, label=STAGES[i % 3], density=(9.0, 10.0, 11.0, 12.0 + i)) for i, name in enumerate(NAMES)
    ]


@pytest.fixture
def course(tables: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Course:
    """Twelve scans, taught; three more that no student learns from."""
    scans = {}
    for i, name in enumerate([*NAMES, "unseen0", "unseen1", "unseen2"]):
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(tmp_path / f"{name}.png")
        scans[name] = Scan(name, tmp_path / f"{name}.png", None)
    rows = pd.DataFrame(
        {
            "scan": list(scans),
            "subject": range(len(scans)),
            "stage": [i % 3 for i in range(len(scans))],
            "split": [2] * len(NAMES) + [0] * 3,
        }
    )
    teacher = OfflineTeacher(count=3)
    told = [(table, f"{table.scan}.png") for table in tables]
    made = Course(tuple(teacher.teach(told, 1)), tuple(teacher.teach(told, 2)), scans, rows)
    monkeypatch.setattr(agent, "open_course", lambda profile: made)
    write_tables(tmp_path / "runs" / "smoke" / "04_dialogue" / "tables.jsonl", tables)
    return made


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch):
    """Return ``change(section, name=value, ...)``, which edits the profile that the commands read."""
    monkeypatch.delenv("GFTLIB_ROOT")
    kept = [profiles.load_profile("smoke")]

    def change(section: str, **values: object) -> None:
        edited = getattr(kept[0], section).model_copy(update=values)
        kept[0] = kept[0].model_copy(update={section: edited})

    monkeypatch.setattr(profiles, "load_profile", lambda name: kept[0])
    return change


@pytest.fixture
def answered(course: Course, profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make) -> Path:
    """Answers of every student of the profile to the unseen scans; the judge's tables are made by hand."""
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    for pupil in pupils(profiles.load_profile("smoke")):
        told = {
            f"unseen{i}": [f"{STAGES[i]}: tortuosity in the upper right. By {pupil.arm}."] for i in range(3)
        }
        file = tmp_path / "runs" / "smoke" / "05_lora_tuning" / pupil.folder / "staging.json"
        write_json(file, {"key": [], "answers": told})

    def tables(profile: object, lesson: str, names: list[str], folder: Path, workers: int) -> dict:
        assert lesson == "chapter 4"
        return {name: make(name, label=course.stages[name]) for name in names}

    monkeypatch.setattr(teaching, "prepare", lambda profile, folder, workers: "chapter 4")
    monkeypatch.setattr(agent_evaluation, "explain_tables", tables)
    return tmp_path / "runs" / "smoke" / "06_agent_evaluation"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_explanations_are_judged_by_rule(answered: Path) -> None:
    dry = run("judge", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "3 scans, 12 answers" in dry.output
    assert not answered.exists()
    done = run("judge")
    assert done.exit_code == 0, done.output
    assert "tiny-qwen2.5-vl/GFT-shuffled" in done.output
    kept = json.loads((answered / "judge" / "judgements.json").read_text())
    assert len(kept) == 12
    assert {row["judge"] for row in kept} == {"rules"}
    assert all(row["accuracy"] >= 70 for row in kept)


def test_the_hosted_judge_is_counted_then_asked_without_images(
    answered: Path, profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(retry_after="0.05") as server:
        monkeypatch.setenv("TEACHER_MODEL", "judge")
        endpoint = profiles.load_profile("smoke").dialogue.endpoint
        profile("dialogue", endpoint=endpoint.model_copy(update={"base_url": server.url, "concurrency": 1}))
        profile("agent", judge="hosted")
        dry = run("judge", "--dry-run")
        assert "references: 3 requests to send (0 are answered)" in dry.output
        assert "USD" in dry.output
        assert not server.arrivals
        done = run("judge")
        assert done.exit_code == 0, done.output
        assert len(server.arrivals) == 6
        assert "image_url" not in json.dumps([body for _, _, body in server.arrivals])
    assert len(json.loads((answered / "judge" / "judgements.json").read_text())) == 12
    assert KEY not in "".join(path.read_text() for path in answered.rglob("*.json*")) + done.output


def test_a_study_is_written_filled_in_and_scored(answered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    done = run("study", "write", str(folder), "--rater", "a", "--rater", "b")
    assert done.exit_code == 0, done.output
    assert "3 scans, 12 answers, 2 raters" in done.output
    assert sorted(path.name for path in (folder / "sheets").iterdir()) == [
        "form-a.html", "form-b.html", "sheet.json",
    ]  # fmt: skip
    assert isinstance(run("study", "score", str(folder)).exception, MissingError)
    sheet = read_sheet(folder / "sheets" / "sheet.json")
    codes = [(a.code, rank) for s in sheet.samples for rank, a in enumerate(s.answers, start=1)]
    for rater, points in (("a", 60), ("b", 80)):
        given = [
            {"code": code, "rank": rank, "accuracy": points, "localisation": 5 * rank, "helpfulness": 50,
             "regions": ["UR"]}
            for code, rank in codes
        ]  # fmt: skip
        content = {"version": "1", "study": sheet.study, "rater": rater, "answers": given}
        write_json(folder / f"answers-{rater}.json", content)
    done = run("study", "score", str(folder), "--resamples", "20")
    assert done.exit_code == 0, done.output
    assert "weighted kappa, localisation: 1.00" in done.output
    # both raters gave 50 throughout
    assert "weighted kappa, helpfulness: not defined" in done.output
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["kappa"]["helpfulness"] is None
    assert scores["models"]["tiny-qwen2.5-vl/GFT"]["accuracy"] == 70
    assert scores["models"]["tiny-qwen2.5-vl/GFT"]["regions"] == 3
    assert isinstance(run("study", "score", str(folder), str(folder / "none.json")).exception, MissingError)


@pytest.fixture
def service(
    course: Course, profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[TuningServer]:
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    monkeypatch.setenv("HOSTED_MODEL", "large-1")
    with TuningServer() as server:
        profile("hosted", base_url=server.url, poll_s=0.01, timeout_s=10.0)
        yield server


def test_a_dry_run_writes_the_file_and_tells_the_cost(service: TuningServer, tmp_path: Path) -> None:
    done = run("hosted", "tune", "--dry-run")
    assert done.exit_code == 0, done.output
    # twelve scans, each with three similar ones
    assert "12 records, 48 images" in done.output
    assert "USD" in done.output
    assert not service.calls
    rows = (tmp_path / HOSTED / "GFT-3-cases" / "train.jsonl").read_text().splitlines()
    told = json.loads(rows[0])["messages"]
    assert [turn["role"] for turn in told] == ["system", *["user", "assistant"] * 4]
    assert "patient" not in "".join(rows)


def test_a_scan_shown_by_a_copy_is_sent_as_the_copy(service: TuningServer, course: Course) -> None:
    scan = course.scans[NAMES[0]]
    copy = scan.image.parent / "copies" / "renamed.png"
    copy.parent.mkdir()
    scan.image.rename(copy)
    course.scans[NAMES[0]] = Scan(scan.name, copy, None)
    done = run("hosted", "tune", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "12 records, 48 images" in done.output


def test_nothing_is_sent_without_leave_or_money(service: TuningServer, profile) -> None:
    assert isinstance(run("hosted", "tune").exception, InputError)
    assert isinstance(run("hosted", "status").exception, MissingError)
    profile("hosted", max_usd=0.01)
    assert isinstance(run("hosted", "tune", "--yes-send-images").exception, BudgetError)
    profile("hosted", epochs="auto")
    assert "cost not known" in run("hosted", "tune", "--dry-run").output
    assert isinstance(run("hosted", "tune", "--yes-send-images").exception, InputError)
    assert not service.calls


def test_a_model_is_tuned_once_and_asked_after(service: TuningServer, profile, tmp_path: Path) -> None:
    profile("hosted", max_usd=100.0)
    service.looks = 10**6
    waited = run("hosted", "tune", "--yes-send-images", "--wait-s", "0")
    assert "it goes on by itself" in str(waited.exception)
    status = run("hosted", "status")
    assert status.exit_code == 0, status.output
    assert "job: ftjob-0\nstatus: running" in status.output
    service.looks = 1
    done = run("hosted", "tune", "--yes-send-images")
    assert done.output.splitlines()[-1] == "ft:large-1:gft"
    assert len(service.uploads) == len(service.tunings) == 1
    assert service.tunings[0]["model"] == "large-1"
    before = len(service.calls)
    assert "model: ft:large-1:gft" in run("hosted", "status").output
    assert len(service.calls) == before


def test_without_cases_each_scan_stands_alone(service: TuningServer, profile) -> None:
    profile("hosted", cases=0)
    assert "12 records, 12 images" in run("hosted", "tune", "--dry-run").output


def test_the_arm_of_labels_learns_them_alone_and_is_kept_apart(
    service: TuningServer, profile, unseen: None, tmp_path: Path
) -> None:
    assert run("hosted", "tune", "--labels", "--yes-send-images").exit_code == 0
    rows = (tmp_path / HOSTED / "FT-0-cases" / "train.jsonl").read_text().splitlines()
    told = [json.loads(row)["messages"] for row in rows]
    assert [[turn["role"] for turn in one] for one in told] == [["system", "user", "assistant"]] * 12
    assert [one[-1]["content"] for one in told] == [f"{STAGES[i % 3]}." for i in range(12)]
    assert isinstance(run("hosted", "ask", "--yes-send-images").exception, MissingError)
    done = run("hosted", "ask", "--labels", "--yes-send-images")
    assert done.exit_code == 0, done.output
    assert "0 cases" in done.output and "FT" in done.output
    assert json.dumps(service.arrivals[-1][2]).count('image_url": {') == 1


def test_an_unseen_scan_never_becomes_a_case(
    service: TuningServer, tables: list, make, tmp_path: Path
) -> None:
    write_tables(tmp_path / "runs/smoke/04_dialogue/tables.jsonl", [*tables, make("unseen0")])
    refused = run("hosted", "tune", "--dry-run")
    assert isinstance(refused.exception, InputError)
    assert "not declared for training" in str(refused.exception)


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch, make) -> None:
    """Tables of scans that are not taught, made by hand."""

    def made(profile, names, folder, workers):
        return None, {name: make(name, density=(9.0, 10.0, 11.0, 20.0)) for name in names}

    monkeypatch.setattr(agent_hosted, "unseen_tables", made)


def test_the_tuned_model_is_asked_with_similar_cases_and_without(
    service: TuningServer, profile, unseen: None, tmp_path: Path
) -> None:
    profile("hosted", max_usd=100.0)
    assert isinstance(run("hosted", "ask", "--yes-send-images").exception, MissingError)
    assert run("hosted", "tune", "--yes-send-images").exit_code == 0
    assert isinstance(run("hosted", "ask").exception, InputError)
    dry = run("hosted", "ask", "--dry-run")
    assert "3 requests to send" in dry.output
    assert not service.arrivals
    done = run("hosted", "ask", "--yes-send-images")
    assert done.exit_code == 0, done.output
    bodies = [body for _, _, body in service.arrivals]
    assert {body["model"] for body in bodies} == {"ft:large-1:gft"}
    assert [json.dumps(body).count('image_url": {') for body in bodies] == [4, 4, 4]
    assert "unseen" not in json.dumps(bodies)
    folder = tmp_path / HOSTED / "GFT-3-cases"
    # asked in the very words that it was taught with
    taught = [json.loads(row)["messages"][0] for row in (folder / "train.jsonl").read_text().splitlines()]
    assert {turn["content"] for turn in taught} == {body["messages"][0]["content"] for body in bodies}
    kept = pd.read_csv(folder / "stages-ft_large-1_gft-3.csv")
    assert sorted(kept["scan"]) == ["unseen0", "unseen1", "unseen2"]
    assert "0 requests to send (3 are answered)" in run("hosted", "ask", "--dry-run").output
    alone = run("hosted", "ask", "--no-cases", "--yes-send-images")
    assert "0 cases" in alone.output
    assert json.dumps(service.arrivals[-1][2]).count('image_url": {') == 1


def test_another_model_is_asked_as_it_came_within_a_budget(service: TuningServer, unseen: None) -> None:
    asked = ("hosted", "ask", "--model", "qwen-vl-max", "--yes-send-images")
    assert isinstance(run(*asked, "--max-usd", "1").exception, InputError)
    poor = run(*asked, "--max-usd", "0.000001", "--usd-in", "5", "--usd-out", "5")
    assert isinstance(poor.exception, BudgetError)
    done = run(*asked, "--scans", "1")
    assert done.exit_code == 0, done.output
    assert "max_tokens" in service.arrivals[-1][2]
