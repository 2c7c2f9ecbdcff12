import pytest

from gftlib import paths, results
from gftlib.errors import InputError, MissingError
from gftlib.parameters import GraphConstruction, TuningParameters
from gftlib.provenance import Run


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run of a clean checkout, and an empty book to publish it in."""
    monkeypatch.setattr("gftlib.provenance.git_commit", lambda: "abc")
    monkeypatch.setattr(
        results, "folder_of", lambda notebook, profile: tmp_path / "book" / profile / notebook
    )
    run = Run(GraphConstruction(profile="phantom", image="", mask="", workers=1, out=str(tmp_path / "run")))
    (run.folder / "predictions.csv").write_text("scan,score\na,1\n")
    run.finish({"score": 1.0})
    return run.folder


def test_a_published_run_is_read_back(finished):
    target = results.publish(finished, "phantom")
    assert {path.name for path in target.iterdir()} == {"record.json", "results.json", "predictions.csv"}
    found = results.published("01_graph_construction")
    assert found.results == {"score": 1.0}
    assert found.record.stale() == []


def test_a_page_shows_the_students_of_every_full_size_run(tmp_path, monkeypatch):
    monkeypatch.setattr("gftlib.provenance.git_commit", lambda: "abc")
    monkeypatch.setattr(results, "folder_of", lambda notebook, profile: tmp_path / profile / notebook)
    told = {
        "phantom": {"q/GFT": 0.5},
        "phantom-llama": {"m/GFT": 0.4, "q/GFT": 0.1},
        "phantom-sizes": {"runs/students/wide/GFT": 0.3},
    }
    for profile, scores in told.items():
        run = Run(TuningParameters(profile=profile, workers=1, out=str(tmp_path / "run")))
        (run.folder / "predictions.csv").write_text("student\nq\n")
        run.finish({"staging": scores, profile: 1})
        results.publish(run.folder, profile)
    found = results.beside("05_lora_tuning", "smoke")
    shown = [("q/GFT", 0.5), ("m/GFT", 0.4), ("wide/GFT", 0.3)]
    assert list(found.results["staging"].items()) == shown, "in the order of the profiles"
    assert found.results.keys() == {"staging", *told}
    assert found.about == "published runs, phantoms"
    assert results.beside("05_lora_tuning", "phantom") is None
    monkeypatch.setattr(type(found.record), "stale", lambda self: ["the code has changed since"])
    assert found.about == "published runs, phantoms; the code has changed since"


def test_nothing_published_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "folder_of", lambda notebook, profile: tmp_path / "none")
    assert results.published("01_graph_construction") is None


def test_a_summary_changed_by_hand_is_found(finished):
    paths.write_json(finished / "results.json", {"score": 2.0})
    with pytest.raises(InputError, match="has been changed since its run"):
        results.publish(finished, "phantom")


def test_the_profile_must_be_the_runs(finished):
    with pytest.raises(InputError, match="a run of profile 'phantom', not 'paper'"):
        results.publish(finished, "paper")


def test_predictions_are_owed(finished):
    (finished / "predictions.csv").unlink()
    with pytest.raises(MissingError, match="cannot be checked"):
        results.publish(finished, "phantom")


def test_large_files_stay_out_of_the_history(finished, monkeypatch):
    monkeypatch.setattr(results, "MAX_BYTES", 4)
    with pytest.raises(InputError, match="too large to publish"):
        results.publish(finished, "phantom")


def test_uncommitted_changes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("gftlib.provenance.git_commit", lambda: "abc+")
    run = Run(GraphConstruction(profile="phantom", image="", mask="", workers=1, out=str(tmp_path / "run")))
    run.finish({})
    with pytest.raises(InputError, match="uncommitted changes"):
        results.publish(run.folder, "phantom")


def test_an_unfinished_run_is_missing(tmp_path):
    with pytest.raises(MissingError, match=r"record\.json"):
        results.load(tmp_path)


def test_a_run_without_a_commit_is_refused(finished):
    record = paths.read_json(finished / "record.json")
    paths.write_json(finished / "record.json", record | {"commit": "unknown"})
    with pytest.raises(InputError, match="outside a git checkout"):
        results.publish(finished, "phantom")


@pytest.mark.parametrize("part", [{"image": "scan.png"}, {"use_case": "monet"}])
def test_a_run_of_less_than_its_chapter_is_refused(finished, part):
    record = paths.read_json(finished / "record.json")
    paths.write_json(finished / "record.json", record | {"parameters": record["parameters"] | part})
    with pytest.raises(InputError, match="not of the whole chapter"):
        results.publish(finished, "phantom")


def test_what_was_published_before_is_replaced_as_a_whole(finished):
    target = results.publish(finished, "phantom")
    (target / "predictions.jsonl").write_text("{}\n")
    results.publish(finished, "phantom")
    assert {path.name for path in target.iterdir()} == {"record.json", "results.json", "predictions.csv"}
    assert [path.name for path in target.parent.iterdir()] == [target.name]
