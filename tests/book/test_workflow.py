"""The workflow decides rightly what to run again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gftlib import paths

ROOT = paths.root()
OCTA = (
    "01_graph_construction",
    "02_staging",
    "03_attribution",
    "04_dialogue",
    "05_lora_tuning",
    "06_agent_evaluation",
)
KEPT = ("book", "gftlib", "notebooks", "profiles", "Snakefile", "_config.yml", "_toc.yml")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the sources in which every output exists and is up to date."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for file in snakemake(folder, "--summary").splitlines():
        name = file.split("\t")[0]
        if name.startswith(("runs/", "_stage", "_build")):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.mkdir() if name == "_stage" else target.touch()
    snakemake(folder, "--touch")
    return folder


def snakemake(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "book", "--cores", "1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def planned(folder: Path) -> set[str]:
    """Return the notebooks and rules that a dry run would execute."""
    output = snakemake(folder, "--dry-run", "--quiet", "progress")
    messages = {
        "running notebook ": "",
        "growing the OCTA cohort": "cohort",
        "staging": "stage",
        "building": "html",
    }
    found = set()
    for line in output.splitlines():
        for message, name in messages.items():
            if message in line:
                found.add(name or line.split(message)[1].strip())
    return found


def test_nothing_runs_when_nothing_changed(checkout):
    assert planned(checkout) == set()


@pytest.mark.parametrize(
    ("module", "again"),
    [
        ("gftlib/octa/graph.py", {*OCTA, "stage", "html"}),
        ("gftlib/octa/faithfulness.py", {*OCTA[2:], "stage", "html"}),
        ("gftlib/vlm/tuning.py", {*OCTA[4:], "09_bird_grounding", "stage", "html"}),
        ("gftlib/scale/losses.py", {"07_scale", "stage", "html"}),
        ("gftlib/bird/records.py", {"08_bird_dataset", "09_bird_grounding", "10_results", "stage", "html"}),
        ("book/data.md", {"stage", "html"}),
    ],
)
def test_a_change_runs_just_what_depends_on_it(checkout, module, again):
    file = checkout / module
    before = file.stat()
    text = file.read_text(encoding="utf-8")
    try:
        file.write_text(text + "\n# changed\n", encoding="utf-8")
        assert planned(checkout) == again
    finally:
        file.write_text(text, encoding="utf-8")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_no_phantoms_are_made_where_scans_are_ones_own(checkout):
    told = snakemake(checkout, "--config", "profile=paper", "--dry-run", "--quiet", "progress")
    assert "running notebook 01_graph_construction" in told
    assert "growing the OCTA cohort" not in told


def test_the_grid_of_chapter_7_can_be_jobs_of_their_own(checkout):
    told = snakemake(checkout, "--config", "grid=1", "--forceall", "--dry-run", "--quiet", "progress")
    assert "embedding the images and texts of medclip" in told
    assert "training coop on monet" in told
    assert "training" not in snakemake(checkout, "--forceall", "--dry-run", "--quiet", "progress")
