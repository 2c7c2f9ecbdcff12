"""From executed notebooks and prose to the tree that Jupyter Book builds."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gftlib import api_pages, paths
from gftlib.errors import InputError, MissingError
from gftlib.provenance import Record


def problems(notebook: dict[str, Any]) -> list[str]:
    """Say what makes an executed notebook unfit to be published; empty if nothing does.

    An error, a cell that was not run and a warning (anything on the error stream) all do; a cell whose
    warnings are known and not ours says so by the tag ``remove-stderr``.
    """
    found = []
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] != "code":
            continue
        known = "remove-stderr" in cell["metadata"].get("tags", [])
        for out in cell["outputs"]:
            if out["output_type"] == "error":
                found.append(f"cell {number}: {out['ename']}: {out['evalue']}")
            elif out.get("name") == "stderr" and not known:
                found.append(f"cell {number} warned: {''.join(out['text']).strip()[:200]}")
        if cell["execution_count"] is None and "".join(cell["source"]).strip():
            found.append(f"cell {number} was not run")
    return found


def for_readers(notebook: dict[str, Any]) -> dict[str, Any]:
    """Leave out what tells of the machine and not of the run.

    That is the cell that papermill injected (the parameters cell and the record tell the same), papermill's
    own notes, and known warnings, which name files of the machine.
    """
    notebook.get("metadata", {}).pop("papermill", None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        tags = cell["metadata"].setdefault("tags", [])
        if "injected-parameters" in tags and "remove-cell" not in tags:
            tags.append("remove-cell")
        if "remove-stderr" in tags:
            cell["outputs"] = [out for out in cell["outputs"] if out.get("name") != "stderr"]
    return notebook


def runs_table(runs: Path) -> str:
    """Return the records of a profile's runs, and of the published ones, as one Markdown table a profile."""
    published = paths.root() / "book" / "results"
    found = sorted(runs.glob("*/record.json")) + sorted(published.glob("*/*/record.json"))
    by_profile: dict[str, dict[str, Record]] = {}
    for path in found:
        record = Record.checked(paths.read_json(path), str(path))
        by_profile.setdefault(record.parameters["profile"], {}).setdefault(record.notebook, record)
    return "\n".join(_runs_of(profile, list(records.values())) for profile, records in by_profile.items())


def _runs_of(profile: str, records: Sequence[Record]) -> str:
    lines = ["| notebook | day | last sitting | peak memory | commit |", "|" + " --- |" * 5]
    lines += [
        f"| {record.notebook} | {record.began[:10]} | {_duration(record.seconds)} "
        f"| {record.peak_memory_mb / 1024:.1f} GiB | `{record.commit}` |"
        for record in records
    ]
    machines = ", ".join(sorted({record.device for record in records}))
    total = _duration(sum(record.seconds for record in records))
    return f"### Profile `{profile}`\n\nOn {machines}; {total} in all.\n\n" + "\n".join(lines) + "\n"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


MATHJAX = (
    "MathJax.js",
    "config/TeX-AMS-MML_HTMLorMML-full.js",
    "extensions/*.js",
    "extensions/HTML-CSS/*",
    "extensions/TeX/*",
    "jax/element/**/*.js",
    "jax/input/TeX/**/*.js",
    "jax/output/HTML-CSS/**/*.js",
    "fonts/HTML-CSS/STIX-Web/woff/*",
)
"""What the book needs of MathJax, so that formulas are readable without a network."""


def copy_mathjax(target: Path) -> None:
    """Copy MathJax out of the Python package that carries it.

    Raises:
        MissingError: If the package is not installed.
    """
    package = importlib.util.find_spec("jupyter_server_mathjax")
    if package is None or not package.submodule_search_locations:
        raise MissingError("the package jupyter-server-mathjax is not installed: run `make setup`")
    source = Path(package.submodule_search_locations[0]) / "static"
    for pattern in MATHJAX:
        for path in source.glob(pattern):
            if path.is_file():
                kept = target / path.relative_to(source)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, kept)


def copy_explorer(runs: Path, book: Path) -> None:
    """Copy the interactive page of a profile's runs, and the text about it, into the staged ``book/``.

    Raises:
        MissingError: If it has not been written.
    """
    source = runs / "explorer"
    if not (source / "about.html").is_file():
        raise MissingError(f"no explorer in {source}: run `gftlib explorer --profile {runs.name}` first")
    shutil.copytree(source, book / "_static" / "explorer", ignore=shutil.ignore_patterns("about.html"))
    shutil.copy(source / "about.html", book / "_explorer.html")


def stage(runs: Path, target: Path) -> Path:
    """Lay out the book: the prose, and each executed notebook at the path of its source.

    The same relative paths make launch and edit buttons point at the sources.

    Args:
        runs: Folder of one profile's run, with ``notebooks/``.
        target: Folder to (re)place.

    Returns:
        ``target``.

    Raises:
        MissingError: If no notebook has been run, or the explorer or MathJax is not there.
        InputError: If a notebook holds an error or a cell that was not run.
    """
    executed = sorted((runs / "notebooks").glob("*.ipynb"))
    if not executed:
        raise MissingError(f"no executed notebook in {runs / 'notebooks'}: run `make runs` first")
    source = paths.root()
    with tempfile.TemporaryDirectory(dir=target.resolve().parent, prefix=".stage-") as name:
        tree = Path(name) / "tree"
        shutil.copytree(source / "book", tree / "book")
        copy_mathjax(tree / "book" / "_static" / "mathjax")
        copy_explorer(runs, tree / "book")
        for file in ("_config.yml", "_toc.yml"):
            shutil.copy(source / file, tree / file)
        (tree / "book" / "_runs.md").write_text(runs_table(runs), encoding="utf-8")
        for area, text in api_pages.pages(source / "gftlib").items():
            (tree / "book" / "api" / f"_{area}.md").write_text(text, encoding="utf-8")
        (tree / "notebooks").mkdir()
        for path in executed:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            if found := problems(notebook):
                raise InputError(f"{path} cannot be published: {'; '.join(found)}")
            (tree / "notebooks" / path.name).write_text(json.dumps(for_readers(notebook)), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        tree.rename(target)
    return target
