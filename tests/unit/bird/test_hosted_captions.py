"""Captions by a hosted teacher: who is asked, what is kept, and that words alone are sent."""

from __future__ import annotations

import json
import types

import pytest

from gftlib.bird import layouts
from gftlib.bird.dataset import build
from gftlib.bird.hosted_captions import ask, captioned
from gftlib.bird.records import RecordConfig, plan, records
from gftlib.endpoint.client import Outcome
from gftlib.endpoint.profiled import profiled_endpoint
from gftlib.errors import InputError, MissingError
from gftlib.phantoms.scans import ScanConfig, write_cohort
from gftlib.profiles import load_profile

BOX = (0.1, 0.2, 0.5, 0.8)


class Teacher:
    """Stands in for an endpoint: answers in turn with what it was given."""

    def __init__(self, *answers):
        self.answers, self.asked = answers, []
        self.settings = types.SimpleNamespace(model="a model")

    def ask(self, requests):
        self.asked += requests
        return [self.answers[i % len(self.answers)] for i in range(len(requests))]


def ok(text):
    return Outcome("k", "ok", text)


def test_only_conversations_with_a_caption_are_asked_about(make_meta):
    metas = [make_meta([("liver", BOX)], f"ct_00--A--c{i}--z_0001") for i in range(40)]
    config = RecordConfig(turns={5: 1.0})
    settled = plan(metas, config)
    wanted = captioned(metas, settled, config)
    kinds = {r.id: {t.kind for t in r.turns} for r in records(metas, settled, config)}
    assert 0 < len(wanted) < len(metas)
    assert {meta.id for meta in wanted} == {name for name, found in kinds.items() if "CAPTION" in found}


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (Outcome("k", "failed", reason="timeout"), "failed: timeout"),
        (ok("A liver at <box>(1,2)</box>."), "coordinates or markup"),
        (ok("A liver from 0.1 to 0.5."), "coordinates or markup"),
        (ok("  "), "empty"),
    ],
)
def test_what_is_no_caption_is_written_by_rule(make_meta, outcome, why):
    meta = make_meta([("liver", BOX)])
    found = ask([meta], Teacher(outcome))
    assert why in found.missing[meta.id] and "axial CT image" in found(meta)


def test_a_caption_is_kept_and_no_image_is_sent(make_meta):
    meta, teacher = make_meta([("liver", BOX)]), Teacher(ok("An axial slice\nwith a large liver."))
    found = ask([meta], teacher)
    assert found(meta) == "An axial slice with a large liver." and not found.missing
    assert [request.image_count for request in teacher.asked] == [0]


def test_a_build_uses_the_teacher(tmp_path):
    source = write_cohort(tmp_path / "scans", images=3, seed=2, config=ScanConfig(side=64, slices=3))
    teacher = Teacher(ok("Words of the teacher."), Outcome("k", "refused", "no"))
    summary = build(source, tmp_path / "records", teacher=teacher)
    told = summary["captions"]
    assert told["by the teacher"] + len(told["by rule instead"]) == len(teacher.asked) > 1
    answers = [
        turn.answer
        for split in layouts.SPLITS
        for record in layouts.read(tmp_path / "records" / f"{split}.jsonl")
        for turn in record.turns
        if turn.kind == "CAPTION"
    ]
    assert answers.count("Words of the teacher.") == told["by the teacher"]
    assert json.loads((tmp_path / "records/summary.json").read_text())["captions"] == told


def test_the_endpoint_of_a_profile(tmp_path, monkeypatch):
    asked = load_profile("paper").dialogue.endpoint
    monkeypatch.delenv("TEACHER_MODEL", raising=False)
    with pytest.raises(MissingError, match="TEACHER_MODEL is not set"):
        profiled_endpoint(asked, tmp_path, images=False)
    monkeypatch.setenv("TEACHER_MODEL", "m")
    made = profiled_endpoint(asked, tmp_path, images=False)
    assert (made.settings.model, made.settings.allow_images) == ("m", False)
    assert made.record == tmp_path / "record.jsonl"
    free = asked.model_copy(update={"usd_in": 0.0, "usd_out": 0.0})
    with pytest.raises(InputError, match="max_usd needs the prices"):
        profiled_endpoint(free, tmp_path, images=False)
