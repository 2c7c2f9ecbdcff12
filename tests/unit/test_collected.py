"""Chapter 10: every cell keeps its run, what is missing is said to be, and counts follow from the file."""

from __future__ import annotations

import types

import pytest

from gftlib import collected, collected_tables
from gftlib.bird.arm_names import FULL
from gftlib.bird.score_tables import OVER_MODALITIES
from gftlib.bird.tasks import RECALL_AT
from gftlib.errors import InputError


def run(name, results, profile="phantom"):
    record = types.SimpleNamespace(
        notebook=name,
        parameters={"profile": profile},
        commit="abc",
        began="2026-01-02T03:04:05",
        seconds=90.0,
        peak_memory_mb=2048,
        device="a machine",
        stale=lambda: [],
    )
    return types.SimpleNamespace(record=record, results=results)


@pytest.fixture
def found():
    vg = {
        RECALL_AT: {OVER_MODALITIES: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}, "CT": {"value": 0.25}}
    }
    explained = {
        "asked/tiny-mllama/GFT/0/kinds/box_recall": 0.2,
        "asked/tiny-mllama/GFT/1/kinds/box_recall": 0.4,
        "told/tiny-mllama/GFT/0/kinds/box_recall": 0.9,
    }
    staged = {"mean": 0.7, "recall": {"healthy": 0.9}, "precision": {}}
    return {
        "05_lora_tuning": run("05_lora_tuning", {"staging": {"tiny-mllama/GFT": staged}}),
        "06_agent_evaluation": run("06_agent_evaluation", {"explained": explained}),
        "09_bird_grounding": run("09_bird_grounding", {"scores": {f"tiny-bird/{FULL}": vg}, "java": {}}),
    }


def test_each_number_keeps_paper_run_and_place(found):
    numbers = collected_tables.collect(found)
    by_place = {(n.table, n.row, n.column): n for n in numbers}
    assert len(by_place) == len(numbers)
    one = by_place[collected_tables.STAGING, "GFT Llama 3.2 11b", "recall healthy"]
    assert (one.paper, one.found, one.run) == (0.921, 0.9, "05_lora_tuning, phantom, abc")
    assert by_place[collected_tables.STAGING, "FT GPT-4o", "balanced accuracy"].found is None
    full = by_place[collected_tables.SIZE, "BiRD-Med-GRIT-270k, Med-GRIT-Test30k", RECALL_AT]
    assert (full.paper, full.found) == (53.92, 50.0)
    assert by_place[collected_tables.MODALITY, RECALL_AT, "CT"].found == 25.0
    joint = by_place[collected_tables.JOINT, "tiny-mllama, GFT, OCTA phantoms", "box recall"]
    assert joint.found == pytest.approx(0.3) and joint.paper is None
    assert all((n.found is None) == (n.run == "") for n in numbers)


def test_a_number_of_a_further_student_keeps_the_run_of_that_student(found):
    other = {"staging": {"tiny-qwen2.5-vl/GFT": {"mean": 0.6, "recall": {}, "precision": {}}}}
    boxes = {"asked/tiny-qwen2.5-vl/GFT/0/kinds/box_recall": 0.1}
    found["05_lora_tuning, x"] = run("05_lora_tuning", other, "x")
    found["06_agent_evaluation, x"] = run(
        "06_agent_evaluation", {"explained": boxes, "judge": {"score": {"tiny-mllama/GFT": 70.0}}}, "x"
    )
    by_place = {(n.table, n.row, n.column): n for n in collected_tables.collect(found)}
    one = by_place[collected_tables.STAGING, "GFT Qwen-2.5VL 7b", "balanced accuracy"]
    assert (one.found, one.run) == (0.6, "05_lora_tuning, x, abc")
    one = by_place[collected_tables.STAGING, "GFT Llama 3.2 11b", "balanced accuracy"]
    assert (one.found, one.run) == (0.7, "05_lora_tuning, phantom, abc")
    for student, recall, profile in (("tiny-mllama", 0.3, "phantom"), ("tiny-qwen2.5-vl", 0.1, "x")):
        one = by_place[collected_tables.JOINT, f"{student}, GFT, OCTA phantoms", "box recall"]
        assert (one.found, one.run) == (pytest.approx(recall), f"06_agent_evaluation, {profile}, abc")
    one = by_place[collected_tables.EXPLAINED, "GFT Llama 3.2", "teacher"]
    assert (one.found, one.run) == (70.0, "06_agent_evaluation, x, abc")
    assert collected.runs(found).loc["05_lora_tuning, x", "profile"] == "x"


def test_without_any_run_all_tables_are_there_and_empty():
    numbers = collected_tables.collect({})
    assert all(n.found is None and n.paper is not None for n in numbers)
    tables = {n.table for n in numbers}
    assert tables == set(collected_tables.TABLES) - {collected_tables.CLAIMS}
    assert "No run yet" in collected.sources(numbers, collected_tables.SIZE)
    assert (collected.runs({})["commit"] == collected.NOT_RUN).all()
    with pytest.raises(InputError, match="no table"):
        collected.table(numbers, "nothing")


def test_a_table_shows_both_sides_of_every_column(found):
    numbers = collected_tables.collect(found)
    table = collected.table(numbers, collected_tables.STAGING)
    assert table.loc["GFT Llama 3.2 11b", ("balanced accuracy", "paper")] == "0.678"
    assert table.loc["GFT Llama 3.2 11b", ("balanced accuracy", "this run")] == "0.7"
    assert table.loc["BS GPT-4o", ("balanced accuracy", "this run")] == collected.NOT_RUN
    runs = collected.runs(found)
    assert runs.loc["05_lora_tuning", "minutes"] == "1.5" and runs.loc["07_scale", "commit"] == "not run"
    assert collected.cost(found).startswith(
        "The last sittings of 3 full-size runs took 4 minutes on a machine;"
    )


def test_counts_follow_from_the_file(tmp_path, found):
    numbers = collected_tables.collect(found)
    counts = collected.headline(collected.write(tmp_path / "predictions.csv", numbers))
    for name, one in counts.items():
        own = [n for n in numbers if n.table == name]
        assert one["printed"] == sum(n.paper is not None for n in own)
        assert one["both"] == sum(n.paper is not None and n.found is not None for n in own)
    assert "GFT, Table 2" in collected.beside(counts)
