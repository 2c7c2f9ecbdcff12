"""Every notebook by plain papermill, one after the other, from a folder that is not the checkout."""

import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from gftlib import paths
from gftlib.octa.table_rows import STAGES
from gftlib.parameters import NOTEBOOKS
from gftlib.phantoms.octa import generate
from gftlib.phantoms.octa_cohort import cohort

ROOT = paths.root()
KEPT = ("book", "gftlib", "notebooks", "profiles")


OCTA = [name for name in NOTEBOOKS if name < "07"]

pytestmark = pytest.mark.slow


def copied(folder):
    """Copy the sources, whose runs/ is its own."""
    for name in KEPT:
        # With the compiled kernels, which else take a minute.
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The same with a folder of scans whose truth no one knows, of two sizes, and a table of them."""
    folder = copied(tmp_path_factory.mktemp("own"))
    scans = folder / "scans"
    scans.mkdir()
    lines = ["scan,subject,stage,split"]
    for number, spec in enumerate(cohort(24, 2026)):
        image = Image.fromarray(generate(spec).image)
        size = 304 if number else 320
        image.resize((size, size)).save(scans / f"eye_{number:02}.png")
        lines.append(f"eye_{number:02},p{spec.subject},{STAGES[spec.stage]},{spec.split}")
    (scans / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    profile = folder / "profiles" / "smoke.yaml"
    text = profile.read_text(encoding="utf-8")
    phantoms = 'octa:\n  source: phantom\n  scans: 24\n  path: ""\n'
    assert phantoms in text
    ours = f"octa:\n  source: folder\n  scans: 24\n  path: {scans}\n"
    profile.write_text(text.replace(phantoms, ours), encoding="utf-8")
    return folder


def papermill(checkout, folder, name):
    notebook = checkout / "notebooks" / f"{name}.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), "out.ipynb"]
    arguments = ["-r", "profile", "smoke", "-p", "workers", "2", "--no-progress-bar"]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "GFTLIB_ROOT": str(checkout)}
    done = subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in folder.iterdir()] == ["out.ipynb"]
    return paths.read_json(checkout / "runs" / "smoke" / name / "record.json")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_papermill_alone_runs_a_notebook_from_any_folder(checkout, tmp_path, name):
    record = papermill(checkout, tmp_path, name)
    assert record["notebook"] == name and record["parameters"]["workers"] == 2


@pytest.mark.parametrize("name", OCTA)
def test_chapters_run_on_scans_whose_truth_no_one_knows(own, tmp_path, name):
    assert papermill(own, tmp_path, name)["notebook"] == name
