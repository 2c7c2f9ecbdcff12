"""A use case from end to end at the smallest size, resumed, and what a page shows of it."""

from __future__ import annotations

import pandas as pd
import pytest

from gftlib import results
from gftlib.errors import InputError, MissingError
from gftlib.profiles import load_profile
from gftlib.scale import figures, measures, predictions, protocol, sensitivity, shown, study, tables

pytestmark = pytest.mark.slow

METHODS = ["zero_shot", "linear_probe", "linear_probe_weighted", "scale", "scale_without_text"]


def small(profile):
    scale = profile.scale.model_copy(update={"methods": METHODS, "epochs": 1, "draws": 1, "full_draws": 1})
    skin = profile.skin.model_copy(update={"samples": 60})
    chest = profile.chest.model_copy(update={"samples": 80})
    return profile.model_copy(update={"skin": skin, "chest": chest, "scale": scale})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, profile = tmp_path_factory.mktemp("study"), small(load_profile("smoke"))
    few = pytest.MonkeyPatch()
    first = sensitivity.changes
    few.setattr(sensitivity, "changes", lambda multi_label: [first(multi_label)[i] for i in (0, 10)])
    yield folder, profile, study.run_studies("both", profile, folder)
    few.undo()


def test_every_part_is_there(finished):
    _, _, studies = finished
    for name, one in studies.items():
        assert set(one.measured) == set(measures.MEASURES)
        assert {c.method for c in one.cells} == {*METHODS, "zero_shot_clip"}
        assert len(one.labels) and one.sheet
        assert [r["method"] for r in one.measured["retention"]] == ["zero_shot", "scale"]
        assert bool(one.measured["clusters"]) == (name == "medclip")
    assert studies["medclip"].measured["defaults"][-1]["change"] == "mirrored views"


def test_a_second_run_computes_nothing_and_says_the_same(finished, monkeypatch):
    folder, profile, studies = finished
    before = predictions.summarise(folder / "predictions.npz")
    monkeypatch.setattr(study, "MEASURES", dict.fromkeys(measures.MEASURES))  # calling None would fail
    again = study.run_studies("both", profile, folder)
    assert predictions.summarise(folder / "predictions.npz") == before
    assert again["monet"].measured == studies["monet"].measured


def test_a_run_finds_the_cells_that_jobs_computed(finished, tmp_path, monkeypatch):
    _, profile, studies = finished
    assert study.run_part("monet", None, profile, tmp_path) == 0
    for method in reversed(METHODS):  # jobs come in any order
        assert study.run_part("monet", method, profile, tmp_path) > 0
    monkeypatch.setattr(study, "MEASURES", {})
    monkeypatch.setattr(protocol, "choose", None)  # calling it would fail
    alone = study.run_study("monet", profile, tmp_path)
    mine = {(c.method, c.fraction, c.draw): c.report for c in alone.cells}
    assert mine == {(c.method, c.fraction, c.draw): c.report for c in studies["monet"].cells}


def test_a_method_that_the_profile_lacks_is_named(finished, tmp_path):
    _, profile, _ = finished
    with pytest.raises(InputError, match="'linear_prob'; did you mean 'linear_probe'"):
        study.run_part("monet", "linear_prob", profile, tmp_path)


def test_other_settings_are_other_results(finished):
    folder, profile, _ = finished
    use = study._open("monet", profile, folder / "monet" / "data")
    other = profile.model_copy(update={"scale": profile.scale.model_copy(update={"epochs": 2})})
    chest = profile.model_copy(update={"chest": profile.chest.model_copy(update={"views": 3})})
    assert study._key(use, profile) != study._key(use, other)
    assert study._key(use, profile) == study._key(use, chest)


def test_a_page_shows_every_figure_and_table(finished):
    folder, _, studies = finished
    summary = predictions.summarise(folder / "predictions.npz")
    found = shown.shown(studies, summary, "paper")
    assert all(one.source == "this run, profile paper" and not one.beside for one in found.values())
    assert len(figures.sheets_figure(studies).axes) == 8
    assert len(figures.protocol_figure(found["monet"]).axes) == 8
    assert len(figures.choices_figure(found).axes) == 6
    assert len(figures.clusters_figure(found["medclip"]).axes) == 2
    assert figures.protocol_figure(None) is figures.clusters_figure(None) is None
    for table in (tables.first(studies), tables.claims(found), tables.goals(found), tables.defaults(found)):
        assert isinstance(table, pd.DataFrame) and len(table)
    assert tables.general_knowledge(found).loc[("skin", "SCALE"), "retrieval by chance"] > 0
    assert tables.first(studies).loc["skin, pigmentation, accuracy: class", "paper"] == 0.59


def test_the_full_size_run_stands_in_front_where_there_is_one(finished, monkeypatch):
    folder, _, studies = finished
    summary = predictions.summarise(folder / "predictions.npz")

    class Full:
        results = shown.results(studies, summary)

    monkeypatch.setattr(results, "published", lambda notebook: Full)
    found = shown.shown(studies, summary, "smoke")
    assert found["monet"].source == "published full-size run on phantoms"
    assert found["monet"].beside == found["monet"].records
    assert figures.protocol_figure(found["monet"])
    assert not shown.shown(studies, summary, "phantom")["monet"].beside


def test_a_path_of_the_environment_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("MONET_WEIGHTS", raising=False)
    with pytest.raises(MissingError, match=r"'\$\{MONET_WEIGHTS\}' is not set"):
        study._expanded("${MONET_WEIGHTS}")
