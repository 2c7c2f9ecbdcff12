"""Every notebook by plain papermill, one after the other, from a folder that is not the checkout."""

import os
import shutil
import subprocess
import sys

import pytest

from gftlib import paths
from gftlib.parameters import NOTEBOOKS

ROOT = paths.root()
KEPT = ("book", "gftlib", "notebooks", "profiles")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the sources, whose runs/ is its own."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in KEPT:
        # With the compiled kernels, which else take a minute.
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_papermill_alone_runs_a_notebook_from_any_folder(checkout, tmp_path, name):
    notebook = checkout / "notebooks" / f"{name}.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), "out.ipynb"]
    arguments = ["-r", "profile", "smoke", "-p", "workers", "2", "--no-progress-bar"]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "GFTLIB_ROOT": str(checkout)}
    done = subprocess.run(
        [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]
    record = paths.read_json(checkout / "runs" / "smoke" / name / "record.json")
    assert record["notebook"] == name and record["parameters"]["workers"] == 2
