"""The small steps as Binder runs them: an environment from its own list, 2 GB of memory, no network.

Slow, and 7 GB on disk. Times are printed (``pytest -rP``), never asserted.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from gftlib import paths
from gftlib.parameters import NOTEBOOKS

pytestmark = pytest.mark.slow
ROOT = paths.root()
KEPT = (
    "book",
    "data",
    "gftlib",
    "notebooks",
    "profiles",
    "requirements.txt",
    "environment.yml",
    "pyproject.toml",
)
KEPT += ("README.md", "LICENSE", "postBuild")
LIMIT_MB = 2048
# A network of its own in which there is nothing but itself: Jupyter's parts talk to each other by it.
ALONE = ("unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


@pytest.fixture(scope="module")
def binder(tmp_path_factory):
    """A checkout, and an environment made from the list in environment.yml alone; returns both."""
    folder = tmp_path_factory.mktemp("binder")
    checkout, python = folder / "checkout", folder / "env" / "bin" / "python"
    checkout.mkdir()
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, checkout / name)
    listed = yaml.safe_load((checkout / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (checkout / "listed.txt").write_text("\n".join(listed[-1]["pip"]) + "\n", encoding="utf-8")
    uv = [str(Path(sys.executable).with_name("uv"))]
    steps = (
        [*uv, "venv", "--quiet", "--python", "3.11", str(folder / "env")],
        [*uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", "listed.txt"],
        ["bash", "postBuild"],
    )
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    for step in steps:
        subprocess.run(step, cwd=checkout, env=environment, check=True)
    return checkout, environment


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        return [pid, *(found for child in children.read_text().split() for found in descendants(int(child)))]
    return []


def memory_mb(pid: int) -> float:
    """Return what a process and its children hold, pages that they share counted once."""
    total = 0
    for each in descendants(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def watched(command, folder, environment) -> tuple[int, str, float]:
    """Run a command; return its code, what it said, and the most memory that it and its children held."""
    peak = 0.0
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(process.stdout.read()))
        reader.start()
        while process.poll() is None:
            peak = max(peak, memory_mb(process.pid))
            time.sleep(0.2)
        reader.join()
    return process.returncode, said[0], peak


def seconds_to_first_figure(notebook: Path, began: datetime) -> float | None:
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if any("image/png" in out.get("data", {}) for out in cell.get("outputs", [])):
            ended = datetime.fromisoformat(cell["metadata"]["papermill"]["end_time"])
            return (ended.replace(tzinfo=UTC) - began).total_seconds()
    return None


@pytest.mark.skipif(
    shutil.which("unshare") is None or shutil.which("ip") is None, reason="needs unshare and ip"
)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_in_two_gigabytes_without_a_network(binder, tmp_path, name):
    checkout, environment = binder
    out = tmp_path / "out.ipynb"
    asked = ["papermill", f"notebooks/{name}.ipynb", str(out), "--no-progress-bar"]
    began = datetime.now(UTC)
    code, said, peak = watched([*ALONE, *asked], checkout, environment)
    assert code == 0, said[-2000:]
    first = seconds_to_first_figure(out, began)
    shown = "no figure" if first is None else f"first figure after {first:.0f} s"
    seconds = (datetime.now(UTC) - began).total_seconds()
    sys.stdout.write(f"{name}: peak {peak:.0f} MB, {shown}, {seconds:.0f} s in all\n")
    assert peak <= LIMIT_MB
