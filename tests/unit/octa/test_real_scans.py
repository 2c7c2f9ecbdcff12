"""Real scans, where the sample sets are at hand: whatever a device delivers must become a graph."""

import numpy as np
import pytest

from gftlib.errors import InputError, MissingError
from gftlib.octa import real_sets, scans
from gftlib.octa.graph import build_graph


def test_three_real_scans_and_a_human_mask_become_graphs(shared_data, tmp_path):
    folder = shared_data("octa_rossa")
    chosen = [scans.find_scans(folder / "image" / f"{name}.png")[0] for name in (203, 213, 221)]
    batch = scans.extract(chosen, tmp_path / "found")
    assert batch.errors == {}
    for scan, graph in scans.extracted(chosen, batch):
        assert len(graph.faz) == 1, scan.name
        assert len(graph.vessel) > 500
        assert all(np.isfinite(getattr(graph, kind)).all() for kind in ("vessel", "ica", "faz"))
    by_hand = scans.find_scans(folder / "image" / "203.png", folder / "label" / "203.png")
    ((_, drawn),) = scans.extracted(by_hand, scans.extract(by_hand, tmp_path / "drawn"))
    assert 20 < len(drawn.vessel) < len(graph.vessel)


def test_published_figures_are_those_of_the_files(shared_data):
    name = "octa_rossa"
    folder = shared_data(name)
    (scan,) = scans.find_scans(folder / "image" / "213.png", folder / "label" / "213.png")
    row = real_sets.measure_scan(scan, real_sets.SETS[name])
    published = real_sets.measured(name).loc["213"]
    for key in ("given_area", "found_area", "recall", "dice", "found_faz"):
        assert published[key] == pytest.approx(row[key], abs=1e-4)


def test_a_set_is_named_and_laid_out_as_published(tmp_path):
    with pytest.raises(InputError, match="did you mean 'octa_rossa'"):
        real_sets.measure_set("rossa", tmp_path)
    with pytest.raises(MissingError, match="does not hold the folders image/ and label/"):
        real_sets.measure_set("octa_rossa", tmp_path)


def test_every_published_figure_names_its_source_and_files():
    for name, about in real_sets.SETS.items():
        assert len(real_sets.measured(name)) > 0
        content = real_sets.paths.read_json(
            real_sets.paths.root() / "book" / "results" / "real" / f"{name}.json"
        )
        assert content["source"] == about.source
        assert len(content["files"]) == 2 * len(content["rows"])
        assert all(len(digest) == 64 for digest in content["files"].values())


def test_sets_are_compared_with_a_runs_graphs():
    mask = np.zeros((96, 96), bool)
    mask[40:44] = mask[:, 40:44] = True
    rows = real_sets.compare([(None, build_graph(mask))], "drawn")
    assert list(rows["set"].unique()) == ["drawn", real_sets.SETS["octa_synthetic_tum"].title]
    assert rows["segments"].iloc[0] == 4


def test_the_table_of_segmentations_has_a_row_a_set():
    table = real_sets.against_people()
    assert list(table["scans"]) == [12, 30]
