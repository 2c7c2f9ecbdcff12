from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hosted import KEY, Server, settings
from typer.testing import CliRunner

from gftlib import profiles, teaching
from gftlib.dialogue.teacher import TeacherScan
from gftlib.dialogue_cli import app
from gftlib.errors import InputError
from gftlib.octa.normal import HealthyReference


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, pupils: list[TeacherScan], tmp_path: Path):
    """Return ``call(settings, *arguments)``, which runs ``build`` on two hand-made tables."""

    class Lesson(teaching.Lesson):
        def pupils(self, images: bool = False, workers: int = 1) -> list[TeacherScan]:
            return pupils if images else [TeacherScan(pupil.table, pupil.image) for pupil in pupils]

    reference = HealthyReference({}, {}, {}, None, 2)
    lesson = Lesson({}, {}, pd.DataFrame(), reference, {}, tmp_path)
    monkeypatch.setattr(teaching, "prepare", lambda *arguments, **options: lesson)
    base = profiles.load_profile("smoke")

    def call(wanted, *arguments: str):
        changed = base.model_copy(update={"dialogue": wanted})
        monkeypatch.setattr(profiles, "load_profile", lambda name: changed)
        return CliRunner().invoke(app, ["build", "--out", str(tmp_path), *arguments])

    return call


def test_the_offline_corpus_is_built_and_counted(command, tmp_path: Path) -> None:
    done = command(settings(pairs=5))
    assert done.exit_code == 0, done.output
    assert "12 pairs about 2 scans" in done.output
    assert command(settings(pairs=5, folds=[1, 4])).output.count("12 pairs about 2 scans") == 2
    assert (tmp_path / "fold4" / "corpus.json").is_file()
    counted = CliRunner().invoke(
        app, ["stats", str(tmp_path / "stage1.jsonl"), str(tmp_path / "stage2.jsonl")]
    )
    assert json.loads(counted.output)["stages"] == {"1": 2, "2": 10}


def test_a_dry_run_counts_and_asks_nothing(hosted_server: Server, command, tmp_path: Path) -> None:
    done = command(settings(teacher="hosted", pairs=3, send_images=True), "--dry-run")
    assert done.exit_code == 0, done.output
    assert "2 scans, 2 + 6 pairs" in done.output
    assert "stage 2: 2 requests to send (0 are answered), 4 images" in done.output
    assert "USD" in done.output
    assert not hosted_server.arrivals
    assert not list(tmp_path.iterdir())


def test_a_hosted_corpus_needs_consent_and_is_paid_once(
    hosted_server: Server, command, tmp_path: Path
) -> None:
    wanted = settings(teacher="hosted", pairs=3, send_images=True)
    refused = command(wanted)
    assert isinstance(refused.exception, InputError)
    assert not hosted_server.arrivals
    for _ in range(2):
        done = command(wanted, "--yes-send-images")
        assert done.exit_code == 0, done.output
        assert "8 pairs about 2 scans" in done.output
    assert len(hosted_server.arrivals) == 4
    assert KEY not in done.output + "".join(path.read_text() for path in tmp_path.glob("*.json*"))


def test_what_is_missing_is_listed(hosted_server: Server, command) -> None:
    hosted_server.plan = ("refuse",)
    done = command(settings(teacher="hosted", pairs=3))
    assert done.exit_code == 1
    assert "a stage 1: refused" in done.output


def test_batches_give_the_same(hosted_server: Server, command) -> None:
    done = command(settings(teacher="hosted", pairs=1, endpoint={"batch": True}), "--poll-s", "0.01")
    assert done.exit_code == 0, done.output
    assert "4 pairs about 2 scans" in done.output
    assert hosted_server.polls
    assert not hosted_server.arrivals
