"""Full-size results that the book carries: summary, predictions and record of a run, committed together.

A smoke run fits in minutes, a full-size one does not; so the latter lives in ``book/results/<profile>``, each
page shows it beside its own run, and a test recomputes every summary from its predictions.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gftlib import paths
from gftlib.errors import InputError, MissingError
from gftlib.provenance import Record

FULL_SIZE = ("phantom", "phantom-llama", "phantom-sizes")
"""Profiles of full-size runs; each after the first has other students."""
MADE = "runs/students/"
"""Where students of one's own making are kept; a page names such a student by its folder alone."""
MAX_BYTES = 6_000_000
"""Largest file that may be published: what is committed stays in the history for ever."""


@dataclass(frozen=True)
class Published:
    """A committed result.

    Attributes:
        folder: Where its files are.
        record: Who made it, with what.
        results: The summary: what chapters quote.
        others: Records of the runs whose students are told beside this one's.
    """

    folder: Path
    record: Record
    results: dict[str, Any]
    others: tuple[Record, ...] = ()

    @property
    def about(self) -> str:
        """Which run this is, and what has changed since."""
        changed = [change for record in (self.record, *self.others) for change in record.stale()]
        which = "published runs, phantoms" if self.others else "published run, phantoms"
        return "; ".join([which, *dict.fromkeys(changed)])

    def with_students_of(self, other: Published) -> Published:
        """Return this run with the entries of another's summary that it lacks."""
        return replace(
            self, results=_joined(self.results, other.results), others=(*self.others, other.record)
        )


def folder_of(notebook: str, profile: str) -> Path:
    """Return the folder of a notebook's published results."""
    return paths.root() / "book" / "results" / profile / notebook


def load(folder: Path) -> Published:
    """Read a result and make sure that summary and record belong together.

    Raises:
        MissingError: If a file is missing.
        InputError: If the summary is not the one that the record tells of.
    """
    record = Record.checked(paths.read_json(folder / "record.json"), f"{folder.name}/record.json")
    summary = folder / "results.json"
    results = paths.read_json(summary)
    if paths.sha256(summary) != record.results:
        raise InputError(f"{summary} has been changed since its run: its digest is not the record's")
    return Published(folder, record, results)


def published(notebook: str, profile: str = "phantom") -> Published | None:
    """Return the committed result of a notebook, or None if there is none yet."""
    folder = folder_of(notebook, profile)
    return load(folder) if folder.is_dir() else None


def beside(notebook: str, profile: str) -> Published | None:
    """Return the full-size run, of all students, that a page shows beside its own if that is a small one.

    Args:
        notebook: Of the page.
        profile: Of the page's own run.
    """
    if profile != "smoke" or (first := published(notebook)) is None:
        return None
    for name in FULL_SIZE[1:]:
        if (other := published(notebook, name)) is not None:
            first = first.with_students_of(other)
    return replace(first, results=_shown(first.results))


def standing(notebook: str, profile: str) -> Published | None:
    """Return the run of another chapter that a page holds its own against: of the size of what it shows.

    Args:
        notebook: Of the other chapter.
        profile: Of the page's own run; a small one shows the published run, held against published ones.
    """
    if profile == "smoke":
        return published(notebook)
    folder = paths.root() / "runs" / profile / notebook
    return load(folder) if (folder / "record.json").is_file() else None


def publish(run: Path, profile: str) -> Path:
    """Copy a finished run's record, summary and predictions into the book.

    Args:
        run: Folder of one notebook's run, ``runs/<profile>/<notebook>``.
        profile: Name of the profile.

    Returns:
        The folder in ``book/results/``.

    Raises:
        InputError: If the run was made from changed files or from no commit, of a scan of one's own or of a
            part of its chapter, belongs to another profile, or is too large.
        MissingError: If the run has not finished.
    """
    result = load(run)
    if result.record.parameters["profile"] != profile:
        raise InputError(
            f"{run} is a run of profile {result.record.parameters['profile']!r}, not {profile!r}"
        )
    if result.record.commit.endswith("+"):
        raise InputError(f"{run} was made with uncommitted changes: commit them and run again")
    if result.record.commit == "unknown":
        raise InputError(f"{run} was made outside a git checkout: nothing says from which code")
    if result.record.parameters.get("image") or result.record.parameters.get("use_case", "both") != "both":
        raise InputError(f"{run} is not of the whole chapter: run it without `image` and `use_case`")
    files = [run / "record.json", run / "results.json", *sorted(run.glob("predictions*"))]
    if large := [path.name for path in files if path.stat().st_size > MAX_BYTES]:
        raise InputError(
            f"{run}: larger than {MAX_BYTES / 1e6:.0f} MB, too large to publish: {', '.join(large)}"
        )
    if len(files) == 2:
        raise MissingError(f"{run} holds no predictions*: a summary alone cannot be checked")
    target = folder_of(result.record.notebook, profile)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as name:
        made, former = Path(name, "made"), Path(name, "former")
        made.mkdir()
        for path in files:
            shutil.copyfile(path, made / path.name)
        if target.exists():
            target.rename(former)
        made.rename(target)
    return target


def _shown(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {key.replace(MADE, ""): _shown(value) for key, value in content.items()}


def _joined(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of both, at any depth, the first's first; where both have a value, the first's."""
    found = {**first, **{key: value for key, value in other.items() if key not in first}}
    for key in first.keys() & other.keys():
        if isinstance(first[key], dict) and isinstance(other[key], dict):
            found[key] = _joined(first[key], other[key])
    return found
