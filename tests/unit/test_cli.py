import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gftlib.cli import CHECKED


def gftlib(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gftlib.cli", *arguments], capture_output=True, text=True, check=False
    )


def test_check_profile_prints_the_settings():
    done = gftlib("check", "profile", "smoke", "--settings")
    assert done.returncode == 0
    assert '"name": "smoke"' in done.stdout


def test_check_profile_says_what_is_missing_and_fails():
    assert gftlib("check", "profile", "smoke").stdout.endswith("smoke: nothing is missing\n")
    done = gftlib("check", "profile", "paper")
    assert done.returncode == 1
    assert "are missing" in done.stdout and "Traceback" not in done.stderr


def test_a_chapter_without_students_is_said_so():
    done = gftlib("tune", "--chapter", "4")
    assert done.returncode == 1
    assert done.stderr.strip() == "gftlib: chapter 4 tunes no student; known: 5, 9"


def test_a_plan_names_every_notebook():
    done = gftlib("plan", "--profile", "paper")
    assert done.returncode == 0
    assert "10_results" in done.stdout and "USD" in done.stdout


def test_an_error_is_one_line_without_a_traceback():
    done = gftlib("check", "profile", "smok")
    assert done.returncode == 1
    assert done.stderr.strip() == "gftlib: unknown profile 'smok'; did you mean 'smoke'?"


def test_an_unknown_set_names_the_nearest():
    done = gftlib("check", "data", "derm7", "nowhere")
    assert done.returncode == 1
    assert done.stderr.strip() == "gftlib: unknown set 'derm7'; did you mean 'derm7pt'?"


@pytest.mark.parametrize(
    ("options", "message"),
    [((), "Give its folder"), (("--learned",), "octa_rosa")],
    ids=["classical", "learned"],
)
def test_a_set_that_cannot_be_measured_is_said_so(options, message):
    done = gftlib("measure", "octa_rosa", *options)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", CHECKED)
def test_a_set_that_is_not_there_is_said_so_in_one_line(name, tmp_path):
    done = gftlib("check", "data", name, str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("gftlib: ")
    assert "nowhere" in done.stderr


def test_scans_become_graphs_and_what_fails_is_listed(tmp_path):
    mask = np.zeros((96, 96), np.uint8)
    mask[40:44] = mask[:, 40:44] = 255
    for folder in ("scans", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(mask).save(tmp_path / folder / "good.png")
    (tmp_path / "scans" / "bad.png").write_text("no image")
    done = gftlib(
        "graph", str(tmp_path / "scans"), "--masks", str(tmp_path / "masks"), "--out", str(tmp_path / "out")
    )
    assert done.returncode == 1
    assert "1 of 2 graphs" in done.stdout
    assert "bad: " in done.stderr
    assert (tmp_path / "out" / "good.json.gz").is_file()
    assert (tmp_path / "out" / "errors.json").is_file()
