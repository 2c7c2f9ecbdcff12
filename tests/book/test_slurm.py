"""The whole small profile on a real Slurm of one node, with jobs that are killed on the way."""

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import one_node_slurm
import pytest

from gftlib import paths
from gftlib.parameters import NOTEBOOKS
from gftlib.profiles import load_profile

ROOT = paths.root()
KEPT = ("book", "gftlib", "notebooks", "profiles", "Snakefile", "_config.yml", "_toc.yml")
SCANS = load_profile("smoke").octa.scans

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
    return tmp_path


def start(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "runs", "--profile", "profiles/snakemake/slurm"]
    # No accounting here, and one small node.
    here = ["--slurm-no-account", "--slurm-status-command", "squeue"]
    here += ["--slurm-init-seconds-before-status-checks", "1"]
    small = ["--seconds-between-status-checks", "2", "--cores", "1", "--latency-wait", "5"]
    resources = ["--default-resources", "mem_mb=4000", "runtime=60"]
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


def cancel_when(ready, name: str, process: subprocess.Popen, environment: dict[str, str]) -> str:
    """Cancel the running job of a rule or notebook as soon as ``ready()``; return its number."""
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    queue = ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"]
    jobs = subprocess.check_output(queue, env=environment, text=True).splitlines()
    (number,) = (job.split()[0] for job in jobs if name in job)
    subprocess.run(["scancel", "--signal=KILL", "--full", number], env=environment, check=True)
    return number


def finished(folder: Path, pattern: str, files: int) -> bool:
    return len(list(folder.glob(pattern))) >= files


def whole_scans(folder: Path) -> dict[str, int]:
    """Return when each finished scan was written; its truth is written last."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("s*.json")}


def test_a_killed_pipeline_goes_on_where_it_was(slurm, checkout):
    scans = checkout / "runs" / "smoke" / "cohorts" / "octa"
    graphs = checkout / "runs" / "smoke" / "01_graph_construction" / "graphs"

    first = start(checkout, slurm, "--retries", "0")
    killed = cancel_when(partial(finished, scans, "s*.json", 2), "octa_cohort", first, slurm)
    said = first.communicate(timeout=900)[0]
    assert first.returncode != 0, said
    assert killed in said
    kept = whole_scans(scans)
    assert 2 <= len(kept) < SCANS
    assert not (scans / "cohort.json").exists()

    second = start(checkout, slurm)
    drawn = partial(finished, graphs, "s*.json.gz", 2)
    killed = cancel_when(drawn, "01_graph_construction", second, slurm)
    said = second.communicate(timeout=7200)[0]
    assert second.returncode == 0, said
    assert killed in said and "Trying to restart" in said, "the notebook's job is sent again by Snakemake"
    assert kept.items() <= whole_scans(scans).items(), "scans are not drawn twice"
    assert len(list(graphs.glob("s*.json.gz"))) == SCANS
    for name in NOTEBOOKS:
        assert (checkout / "runs" / "smoke" / "notebooks" / f"{name}.ipynb").is_file()
        record = paths.read_json(checkout / "runs" / "smoke" / name / "record.json")
        assert record["parameters"]["profile"] == "smoke"

    third = start(checkout, slurm)
    assert "Nothing to be done" in third.communicate(timeout=900)[0]
