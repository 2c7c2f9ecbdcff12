"""``gftlib bird``: from a folder of scans to records, and from answers to scores."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from gftlib.bird import layouts, predictions
from gftlib.cli import app
from gftlib.errors import InputError
from gftlib.phantoms.scans import write_cohort


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_cohort(folder / "scans", 3, seed=4)
    return CliRunner().invoke(app, ["bird", "build", str(folder / "scans"), str(folder / "records")]), folder


def test_records_of_a_folder(made):
    result, folder = made
    assert result.exit_code == 0
    assert f"images in {folder / 'records'}" in result.output
    assert list(layouts.read(folder / "records" / "train.jsonl"))


def test_a_model_that_is_always_right(made, tmp_path):
    records = list(layouts.read(made[1] / "records" / "train.jsonl"))
    right = [replace(one, response=one.annotation) for _, _, one in predictions.asked(records)]
    predictions.write(tmp_path / "answers.jsonl", right)
    result = CliRunner().invoke(app, ["bird", "score", str(tmp_path / "answers.jsonl"), "--no-java"])
    assert result.exit_code == 0
    told = result.output.split("VG Recall@0.5")[1]
    assert "mean of modalities" in told
    assert "100.0" in told.splitlines()[1]


def test_an_unknown_box_format(made, tmp_path):
    result = CliRunner().invoke(app, ["bird", "score", str(tmp_path / "none"), "--box-format", "qwen_v"])
    assert isinstance(result.exception, InputError)
    assert "qwen_vl" in str(result.exception)
