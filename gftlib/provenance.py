"""The record of a run: which code, settings, inputs and machine made a result, and if that still holds."""

from __future__ import annotations

import html
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gftlib import paths
from gftlib.parameters import NOTEBOOKS, Parameters
from gftlib.profiles import Profile, load_profile
from gftlib.sections import Strict
from gftlib.sources import code_hash

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-image",
    "numba",
    "connected-components-3d",
    "edt",
    "pandas",
    "scikit-learn",
    "matplotlib",
    "torch",
    "torch-geometric",
    "captum",
    "transformers",
    "peft",
    "open_clip_torch",
    "timm",
    "openai",
)

MAKERS = ("gftlib", "notebooks", "profiles")
"""Folders of the checkout whose files make results; what is written about them does not."""
_RSS_PER_MB = 2**20 if sys.platform == "darwin" else 2**10


def settings_hash(parameters: type[Parameters], profile: Profile) -> str:
    """Return a digest of the seed and of those sections of a profile that a notebook reads."""
    used = profile.model_dump(include={"seed", *parameters.sections})
    return paths.sha256(json.dumps(used, sort_keys=True).encode())


def made_by(notebook: str, profile: Profile) -> dict[str, str]:
    """Return the digests of the code and of the settings that a notebook's results come from."""
    path = paths.root() / "notebooks" / f"{notebook}.ipynb"
    return {"code": code_hash(path), "profile": settings_hash(NOTEBOOKS[notebook], profile)}


def git_commit() -> str:
    """Return the commit of the checkout, with ``+`` if a file that makes results differs, or ``unknown``."""
    git = ["git", "-C", str(paths.root())]
    try:
        commit = _told([*git, "rev-parse", "--short=12", "HEAD"])
        changed = _told([*git, "status", "--porcelain", "--untracked-files=no", "--", *MAKERS])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + "+" * bool(changed)


def _told(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def versions() -> dict[str, str]:
    """Return the versions of Python and of those ``PACKAGES`` that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device() -> str:
    """Return the name of the accelerator that torch would use, if torch is loaded, else the processor."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {os.cpu_count()} cores ({platform.machine()})"


class Run:
    """One run of a notebook, from its start to its record."""

    def __init__(self, parameters: Parameters) -> None:
        """Start the clock and make the results' folder.

        Args:
            parameters: The checked parameters of the notebook.
        """
        self.parameters = parameters
        self.folder = parameters.folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._inputs: dict[str, str] = {}
        self._made_by = made_by(parameters.notebook, parameters.settings())
        self._commit = git_commit()
        for file in parameters.weights():
            self.input(file)
        self._began = datetime.now(UTC)
        self._clock = time.perf_counter()

    def input(self, path: Path | str) -> Path:
        """Note a file that the run reads, by its digest; return its path.

        Files of the checkout are noted by their place in it, others by their name.
        """
        path, root = Path(path), paths.root()
        whole = path.resolve()
        self._inputs[whole.relative_to(root).as_posix() if whole.is_relative_to(root) else path.name] = (
            paths.sha256(path)
        )
        return path

    def finish(self, results: dict[str, Any]) -> Record:
        """Write ``results.json`` and then ``record.json`` to the run's folder; return the record for display.

        Code, settings and commit are those of the start; a run during which they changed is marked as made
        with uncommitted changes.

        Args:
            results: What later chapters and the book quote: plain numbers, texts, lists and dicts.
        """
        profile, began = self.parameters.settings(), self._made_by
        changed = began != made_by(self.parameters.notebook, profile) and not self._commit.endswith("+")
        results_file = paths.write_json(self.folder / "results.json", results)
        # A user's own folders are nobody's business: of every path only the last part is kept.
        asked = {
            name: Path(value).name if name in ("image", "mask", "out") else value
            for name, value in self.parameters.model_dump().items()
        }
        record = Record(
            notebook=self.parameters.notebook,
            parameters=asked,
            seed=profile.seed,
            profile_hash=began["profile"],
            code_hash=began["code"],
            commit=self._commit + "+" * changed,
            began=self._began.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._clock, 1),
            peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_PER_MB),
            device=device(),
            versions=versions(),
            inputs=self._inputs,
            results=paths.sha256(results_file),
        )
        paths.write_json(self.folder / "record.json", record.model_dump())
        return record


class Record(Strict):
    """What is kept of a finished run; shown as a collapsed block at the end of its page."""

    notebook: str
    parameters: dict[str, Any]
    seed: int
    profile_hash: str
    code_hash: str
    commit: str
    began: str
    seconds: float
    peak_memory_mb: int
    device: str
    versions: dict[str, str]
    inputs: dict[str, str]
    results: str

    def stale(self) -> list[str]:
        """Say in what the checkout differs from the one that made this record; empty if in nothing."""
        now = made_by(self.notebook, load_profile(self.parameters["profile"]))
        then = {"code": self.code_hash, "profile": self.profile_hash}
        for name, digest in self.inputs.items():
            if "/" in name:
                file = paths.root() / name
                now[f"file {name}"] = paths.sha256(file) if file.is_file() else ""
                then[f"file {name}"] = digest
        return [f"the {what} has changed since" for what in now if now[what] != then[what]]

    def _repr_html_(self) -> str:
        asked = ", ".join(f"{name}={value}" for name, value in self.parameters.items() if value != "")
        rows = {
            "notebook": f"{self.notebook} ({asked})",
            "commit": self.commit,
            "began, lasted": f"{self.began}, {self.seconds:.1f} s",
            "machine": f"{self.device}, peak memory {self.peak_memory_mb} MB",
            "seed": str(self.seed),
            "code, profile": f"{self.code_hash[:12]}, {self.profile_hash[:12]}",
            "versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            "inputs": ", ".join(f"{name} {digest[:12]}" for name, digest in self.inputs.items()) or "none",
        }
        body = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items())
        summary = "<summary>How this page was made</summary>"
        return f'<details class="provenance">{summary}<table>{body}</table></details>'
