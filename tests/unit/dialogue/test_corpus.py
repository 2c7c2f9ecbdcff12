from __future__ import annotations

import json
from pathlib import Path

import pytest
from hosted import KEY, Server, settings

from gftlib.dialogue import corpus
from gftlib.dialogue.records import read_dialogues
from gftlib.dialogue.teacher import TeacherScan
from gftlib.endpoint.ledger import BudgetError
from gftlib.errors import InputError, MissingError


def test_the_offline_corpus_has_both_stages_and_is_written_once(
    pupils: list[TeacherScan], tmp_path: Path
) -> None:
    made = corpus.build(pupils, settings(), tmp_path, seed=1)
    assert [len(dialogue.pairs) for dialogue in made.first] == [1, 1]
    assert [len(dialogue.pairs) for dialogue in made.second] == [30, 30]
    assert tuple(read_dialogues(tmp_path / "stage2.jsonl")) == made.second
    before = (tmp_path / "stage2.jsonl").stat().st_mtime_ns
    assert corpus.build(pupils, settings(), tmp_path, seed=1) == made
    assert (tmp_path / "stage2.jsonl").stat().st_mtime_ns == before
    assert corpus.build(pupils, settings(), tmp_path, seed=2).second != made.second


def test_the_switches_reach_the_offline_teacher(pupils: list[TeacherScan], tmp_path: Path) -> None:
    told = settings(stage_source="predicted", explained=False, pairs=4)
    made = corpus.build(pupils, told, tmp_path, seed=1)
    # the table of `make` is labelled PDR and predicted NPDR
    assert {dialogue.pairs[0].answer for dialogue in made.first} == {"NPDR"}
    assert [len(dialogue.pairs) for dialogue in made.second] == [4, 4]
    options = corpus.text_options(settings(rows=False, findings=False))
    assert (options.stage, options.rows, options.findings) == ("true", False, False)


def test_the_hosted_teacher_is_asked_once(
    hosted_server: Server, pupils: list[TeacherScan], tmp_path: Path
) -> None:
    wanted = settings(teacher="hosted", pairs=3)
    first, second = corpus.estimate(pupils, wanted, tmp_path)
    assert (first.to_ask, second.to_ask, first.images) == (2, 2, 0)
    assert first.usd > 0
    assert not hosted_server.arrivals
    made = corpus.build(pupils, wanted, tmp_path, seed=0)
    assert [len(dialogue.pairs) for dialogue in (*made.first, *made.second)] == [1, 1, 3, 3]
    assert {dialogue.teacher for dialogue in made.second} == {"m"}
    assert len(hosted_server.arrivals) == 4
    # the finished corpus is read back; without it, the record still answers
    assert corpus.build(pupils, wanted, tmp_path, seed=0) == made
    (tmp_path / "corpus.json").unlink()
    assert corpus.build(pupils, wanted, tmp_path, seed=0) == made
    assert len(hosted_server.arrivals) == 4
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in written


def test_what_failed_is_asked_again_and_what_was_refused_is_not(
    hosted_server: Server, pupils: list[TeacherScan], tmp_path: Path
) -> None:
    hosted_server.plan = ("refuse",)
    wanted = settings(teacher="hosted", pairs=3)
    made = corpus.build(pupils, wanted, tmp_path, seed=0)
    assert list(made.missing) == ["a stage 1"]
    assert [dialogue.id for dialogue in made.first] == ["b"]
    asked = len(hosted_server.arrivals)
    assert corpus.build(pupils, wanted, tmp_path, seed=0) == made
    assert len(hosted_server.arrivals) == asked
    about = json.loads((tmp_path / "corpus.json").read_text())
    about["missing"] = {"a stage 1": "failed: TimeoutError"}
    (tmp_path / "corpus.json").write_text(json.dumps(about))
    assert list(corpus.build(pupils, wanted, tmp_path, seed=0).missing) == ["a stage 1"]


def test_images_leave_only_with_consent(
    hosted_server: Server, pupils: list[TeacherScan], tmp_path: Path
) -> None:
    wanted = settings(teacher="hosted", pairs=3, send_images=True)
    with pytest.raises(InputError, match="--yes-send-images"):
        corpus.build(pupils, wanted, tmp_path, seed=0)
    assert not hosted_server.arrivals
    made = corpus.build(pupils, wanted, tmp_path, seed=0, consent=True)
    assert json.dumps(hosted_server.arrivals[0][2]).count("image_url") == 4
    # a reader of the finished corpus needs neither images nor consent
    bare = [TeacherScan(pupil.table, pupil.image) for pupil in pupils]
    assert corpus.build(bare, wanted, tmp_path, seed=0) == made


def test_the_budget_holds(hosted_server: Server, pupils: list[TeacherScan], tmp_path: Path) -> None:
    wanted = settings(teacher="hosted", pairs=3, endpoint={"max_usd": 1e-6})
    with pytest.raises(BudgetError, match="max_usd"):
        corpus.build(pupils, wanted, tmp_path, seed=0)
    assert not hosted_server.arrivals
    with pytest.raises(InputError, match="prices"):
        corpus.estimate(pupils, settings(endpoint={"usd_in": 0.0, "usd_out": 0.0}), tmp_path)


def test_a_model_that_is_not_named_is_missed(
    monkeypatch: pytest.MonkeyPatch, pupils: list[TeacherScan], tmp_path: Path
) -> None:
    monkeypatch.delenv("TEACHER_MODEL", raising=False)
    with pytest.raises(MissingError, match="TEACHER_MODEL is not set"):
        corpus.build(pupils, settings(teacher="hosted"), tmp_path, seed=0)


def test_split_0_cannot_be_taught() -> None:
    with pytest.raises(InputError, match=r"dialogue\.splits"):
        settings(splits=[0, 1])
