import json
import subprocess

import pytest

from gftlib import paths, provenance, sources
from gftlib.parameters import NOTEBOOKS, GraphConstruction
from gftlib.profiles import load_profile
from gftlib.provenance import Run


@pytest.fixture
def run(tmp_path):
    return Run(
        GraphConstruction(
            profile="smoke", image="/home/me/0007.png", mask="", workers=1, out=str(tmp_path / "out")
        )
    )


def test_a_record_names_code_settings_inputs_and_machine(run, tmp_path):
    scan = tmp_path / "scan.png"
    scan.write_bytes(b"abc")
    assert run.input(scan) == scan
    record = run.finish({"answer": 42})
    written = paths.read_json(run.folder / "record.json")
    assert written == record.model_dump()
    assert written["inputs"] == {"scan.png": paths.sha256(b"abc")}
    assert written["results"] == paths.sha256(run.folder / "results.json")
    assert written["seed"] == load_profile("smoke").seed
    assert written["versions"]["numpy"]
    assert paths.read_json(run.folder / "results.json") == {"answer": 42}


def test_a_record_keeps_no_folder_of_the_user_and_no_key(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    run.finish({})
    text = (run.folder / "record.json").read_text()
    assert "/home/me" not in text
    assert "0007.png" in text
    assert "canary" not in text


def test_a_record_is_shown_escaped(run, tmp_path):
    scan = tmp_path / "<script>.png"
    scan.write_bytes(b"")
    run.input(scan)
    shown = run.finish({})._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_results_that_are_no_json_leave_no_record(run):
    with pytest.raises(ValueError, match="JSON"):
        run.finish({"x": float("inf")})
    assert not list(run.folder.iterdir())


def test_a_run_is_of_the_code_it_began_with(run, monkeypatch):
    commit = run._commit.rstrip("+")
    unchanged = run.finish({})
    monkeypatch.setattr(provenance, "code_hash", lambda notebook: "edited meanwhile")
    monkeypatch.setattr(provenance, "git_commit", lambda: "a later commit")
    record = run.finish({})
    assert record.code_hash == unchanged.code_hash != "edited meanwhile"
    assert record.commit == commit + "+"


def test_weights_that_a_notebook_begins_from_are_inputs(tmp_path, monkeypatch):
    out = str(tmp_path)
    record = Run(NOTEBOOKS["02_staging"](profile="smoke", workers=1, out=out)).finish({})
    (name,) = record.inputs
    assert name == "gftlib/octa/weights/segmentation.safetensors"
    assert record.stale() == []
    other = record.model_copy(update={"inputs": {name: "0" * 64}})
    assert other.stale() == [f"the file {name} has changed since"]
    gone = record.model_copy(update={"inputs": {"gftlib/none.safetensors": "0" * 64}})
    assert gone.stale() == ["the file gftlib/none.safetensors has changed since"]


def test_what_is_written_about_results_does_not_change_their_commit(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for name in ("gftlib", "notebooks", "book"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("one")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "m"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))
    commit = provenance.git_commit()
    assert len(commit) == 12
    (tmp_path / "book" / "file").write_text("two")
    assert provenance.git_commit() == commit
    (tmp_path / "gftlib" / "file").write_text("two")
    assert provenance.git_commit() == commit + "+"


def test_a_record_says_when_it_is_stale(run):
    record = run.finish({})
    assert record.stale() == []
    assert record.model_copy(update={"code_hash": "0"}).stale() == ["the code has changed since"]
    assert record.model_copy(update={"profile_hash": "0"}).stale() == ["the profile has changed since"]


def test_imports_are_followed_inside_functions_too(tmp_path, monkeypatch):
    package = tmp_path / "gftlib"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    from gftlib import b\n")
    (package / "b.py").write_text("import gftlib.c\nimport os\n")
    (package / "c.py").write_text("")
    (package / "unused.py").write_text("")
    monkeypatch.setattr(sources, "__file__", str(package / "sources.py"))
    found = sources.source_files(["gftlib.a"])
    assert [path.name for path in found] == ["__init__.py", "a.py", "b.py", "c.py"]


def test_the_code_hash_sees_code_but_not_comments(tmp_path, monkeypatch):
    package = tmp_path / "gftlib"
    package.mkdir()
    module = package / "a.py"
    notebook = tmp_path / "n.ipynb"
    cell = {"cell_type": "code", "source": ["%matplotlib inline\n", "import gftlib.a"]}
    notebook.write_text(json.dumps({"cells": [cell]}))
    monkeypatch.setattr(sources, "__file__", str(package / "sources.py"))

    def digest(text):
        module.write_text(text)
        return sources.code_hash(notebook)

    first = digest('"""One."""\nx = 1\n\ndef f():\n    """Two."""\n    return x\n')
    assert first == digest("# why\nx = 1\n\n\ndef f():\n    return x\n")
    assert first != digest("x = 2\n\ndef f():\n    return x\n")


def test_the_settings_hash_sees_only_the_sections_a_notebook_reads():
    profile = load_profile("smoke")
    first = provenance.settings_hash(GraphConstruction, profile)
    other = profile.model_copy(update={"graph": profile.graph.model_copy(update={"field_mm": 6.0})})
    renamed = profile.model_copy(update={"name": "phantom"})
    assert provenance.settings_hash(GraphConstruction, renamed) == first
    assert provenance.settings_hash(GraphConstruction, other) != first
