import json
import shutil

import pytest

from gftlib import api_pages, book
from gftlib.errors import InputError, MissingError
from gftlib.parameters import GraphConstruction
from gftlib.provenance import Run


@pytest.fixture(autouse=True)
def short_reference(monkeypatch):
    """The reference has tests of its own."""
    monkeypatch.setattr(api_pages, "pages", lambda package: {"octa": "## octa.graph"})


def cell(source="1", outputs=(), count=1, tags=()):
    return {
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
        "metadata": {"tags": list(tags)} if tags else {},
    }


def write(folder, *cells):
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    (folder / "notebooks" / "01_x.ipynb").write_text(json.dumps({"cells": list(cells)}))
    (folder / "explorer").mkdir(exist_ok=True)
    for name in ("index.html", "about.html"):
        (folder / "explorer" / name).write_text(name)
    return folder


def test_pages_keep_the_paths_of_their_sources(tmp_path):
    runs = write(tmp_path / "runs", cell(), cell(tags=["injected-parameters"]))
    tree = book.stage(runs, tmp_path / "_stage")
    names = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert {"_config.yml", "_toc.yml", "book/index.md", "notebooks/01_x.ipynb"} <= names
    assert {"book/_static/explorer/index.html", "book/_explorer.html"} <= names
    assert "book/_static/explorer/about.html" not in names
    staged = json.loads((tree / "notebooks" / "01_x.ipynb").read_text())
    assert staged["cells"][1]["metadata"]["tags"] == ["injected-parameters", "remove-cell"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            cell(outputs=[{"output_type": "error", "ename": "KeyError", "evalue": "'x'"}]),
            "cell 2: KeyError: 'x'",
        ),
        (cell(outputs=[{"output_type": "stream", "name": "stderr", "text": ["hot"]}]), "cell 2 warned: hot"),
        (cell(count=None), "cell 2 was not run"),
    ],
)
def test_a_notebook_with_a_fault_is_not_published_and_the_old_tree_stays(tmp_path, bad, message):
    target = tmp_path / "_stage"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(InputError, match=message):
        book.stage(write(tmp_path / "runs", cell(), bad), target)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert not list(tmp_path.glob(".stage-*"))


def test_a_known_warning_of_another_library_may_be_declared(tmp_path):
    warned = cell(
        outputs=[{"output_type": "stream", "name": "stderr", "text": ["old"]}], tags=["remove-stderr"]
    )
    assert book.stage(write(tmp_path / "runs", warned), tmp_path / "_stage").is_dir()


def test_nothing_to_publish_says_what_to_do(tmp_path):
    with pytest.raises(MissingError, match="make runs"):
        book.stage(tmp_path, tmp_path / "_stage")


def test_a_book_without_its_explorer_says_what_to_do(tmp_path):
    runs = write(tmp_path / "smoke", cell())
    (runs / "explorer" / "about.html").unlink()
    with pytest.raises(MissingError, match="gftlib explorer --profile smoke"):
        book.stage(runs, tmp_path / "_stage")


def test_the_table_of_runs_groups_them_by_profile_and_adds_up_their_time(tmp_path):
    kept = {"notebook": "01_x", "parameters": {"profile": "smoke"}, "seed": 0, "profile_hash": "p"}
    kept |= {"code_hash": "c", "commit": "abc", "began": "2026-01-02T03:04:05+00:00", "seconds": 3661.0}
    kept |= {"peak_memory_mb": 512, "device": "CPU, 2 cores", "versions": {}, "inputs": {}, "results": "r"}
    for name in ("01_x", "02_y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps({**kept, "notebook": name}))
    table = book.runs_table(tmp_path)
    assert table.startswith("### Profile `smoke`\n\nOn CPU, 2 cores; 2 h 2 min in all.")
    assert "| 01_x | 2026-01-02 | 1 h 1 min | 0.5 GiB | `abc` |" in table


def test_a_run_that_is_published_too_counts_once(tmp_path, monkeypatch):
    runs, published = tmp_path / "runs" / "phantom", tmp_path / "book" / "results" / "phantom" / "01_x"
    out = str(runs / "01_x")
    record = Run(GraphConstruction(profile="phantom", image="", mask="", workers=1, out=out)).finish({})
    shutil.copytree(out, published)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    assert book.runs_table(runs).count(f"| {record.notebook} |") == 1


def test_readers_see_nothing_of_the_machine():
    page = {
        "metadata": {"papermill": {"output_path": "/home/me/out.ipynb"}, "kernelspec": {"name": "python3"}},
        "cells": [
            {
                "metadata": {"tags": ["remove-stderr"], "papermill": {"duration": 1.0}},
                "outputs": [
                    {"output_type": "stream", "name": "stderr", "text": ["/home/me/.venv/warning"]},
                    {"output_type": "stream", "name": "stdout", "text": ["kept"]},
                ],
            }
        ],
    }
    shown = book.for_readers(page)
    assert "/home/me" not in json.dumps(shown)
    assert "duration" not in json.dumps(shown)
    assert "kept" in json.dumps(shown)
    assert shown["metadata"] == {"kernelspec": {"name": "python3"}}
