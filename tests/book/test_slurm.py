"""The small profile's first notebook on a real Slurm of one node, with jobs that are killed on the way."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import one_node_slurm
import pytest

from gftlib import paths

ROOT = paths.root()
KEPT = ("book", "gftlib", "notebooks", "profiles", "Snakefile", "_config.yml", "_toc.yml")
TARGET = "runs/smoke/notebooks/01_graph_construction.ipynb"
SCANS = 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(one_node_slurm.missing()),
        reason="no Slurm here: install slurmctld, slurmd, slurm-client and munge (Debian)",
    ),
]


@pytest.fixture(scope="module")
def slurm():
    pytest.importorskip("snakemake_executor_plugin_slurm", reason='install the extra ".[cluster]"')
    with one_node_slurm.running() as environment:
        yield environment


@pytest.fixture
def checkout(tmp_path):
    for name in KEPT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        # With the compiled kernels, which else take a minute.
        copy(ROOT / name, tmp_path / name)
    profile = tmp_path / "profiles" / "smoke.yaml"
    text = profile.read_text(encoding="utf-8")
    assert "\n  scans: 24\n" in text
    profile.write_text(text.replace("\n  scans: 24\n", f"\n  scans: {SCANS}\n"), encoding="utf-8")
    return tmp_path


def start(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", TARGET, "--profile", "profiles/snakemake/slurm"]
    # No accounting here, and one small node.
    here = ["--slurm-no-account", "--slurm-status-command", "squeue"]
    here += ["--slurm-init-seconds-before-status-checks", "1"]
    small = ["--seconds-between-status-checks", "2", "--cores", "1", "--latency-wait", "5"]
    resources = ["--default-resources", "mem_mb=4000", "runtime=30"]
    path = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
    own = {"PATH": path, "PYTHONPATH": str(folder), "GFTLIB_ROOT": str(folder)}
    return subprocess.Popen(
        [*command, *here, *small, *resources, *arguments],
        cwd=folder,
        env={**environment, **own, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cancel_when(ready, process: subprocess.Popen, environment: dict[str, str]) -> str:
    """Cancel the running job as soon as ``ready()``; return its number."""
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    queue = ["squeue", "--noheader", "--states=RUNNING", "--format=%i"]
    number = subprocess.check_output(queue, env=environment, text=True).strip()
    subprocess.run(["scancel", "--signal=KILL", "--full", number], env=environment, check=True)
    return number


def whole_scans(folder: Path) -> dict[str, int]:
    """Return when each finished scan was written; its truth is written last."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("s*.json")}


def test_a_killed_pipeline_goes_on_where_it_was(slurm, checkout):
    scans = checkout / "runs" / "smoke" / "cohorts" / "octa"
    graphs = checkout / "runs" / "smoke" / "01_graph_construction" / "graphs"

    first = start(checkout, slurm, "--retries", "0")
    killed = cancel_when(lambda: len(whole_scans(scans)) >= 2, first, slurm)
    said = first.communicate(timeout=900)[0]
    assert first.returncode != 0, said
    assert killed in said
    kept = whole_scans(scans)
    assert 2 <= len(kept) < SCANS
    assert not (scans / "cohort.json").exists()

    second = start(checkout, slurm)
    killed = cancel_when(lambda: len(list(graphs.glob("s*.json.gz"))) >= 2, second, slurm)
    said = second.communicate(timeout=3600)[0]
    assert second.returncode == 0, said
    assert killed in said and "Trying to restart" in said, "the notebook's job is sent again by Snakemake"
    assert (checkout / TARGET).is_file()
    assert kept.items() <= whole_scans(scans).items(), "scans are not drawn twice"
    assert len(list(graphs.glob("s*.json.gz"))) == SCANS
    record = paths.read_json(checkout / "runs" / "smoke" / "01_graph_construction" / "record.json")
    assert record["parameters"]["profile"] == "smoke"

    third = start(checkout, slurm)
    assert "Nothing to be done" in third.communicate(timeout=900)[0]
