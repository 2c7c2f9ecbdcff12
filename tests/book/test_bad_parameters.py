"""A bad parameter stops a notebook before it starts."""

import subprocess
import sys

import pytest

from gftlib import paths
from gftlib.parameters import NOTEBOOKS

MISSPELT = (("-p", "profil", "smoke"), "did you mean 'profile'")
NO_TEXT = (("-p", "out", "7"), "papermill's -r")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [*((name, *MISSPELT) for name in NOTEBOOKS), (next(iter(NOTEBOOKS)), *NO_TEXT)],
)
def test_a_bad_parameter_stops_the_run_and_says_why(tmp_path, name, arguments, message):
    notebook = paths.root() / "notebooks" / f"{name}.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), str(tmp_path / "out.ipynb"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]
