"""A folder of scans: all are tried, what is done is kept, what fails is told."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import lattice
from PIL import Image

from gftlib.errors import InputError
from gftlib.octa.batch import extract_folder
from gftlib.octa.graph_io import read_graph, same
from gftlib.paths import read_json


def bright(image: np.ndarray) -> np.ndarray:
    if image.max() < 0.2:
        raise ValueError("too dark")
    return image > 0.5


@pytest.fixture
def scans(tmp_path):
    files = []
    for k in range(3):
        path = tmp_path / "in" / f"scan{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(lattice(k) * np.uint8(200)).save(path)
        files.append(path)
    return files


def run(scans, out, **options):
    return extract_folder(scans, out, bright, size=160, min_faz_mm=0.2, **options)


def test_every_scan_is_done_once(scans, tmp_path):
    seen = []
    result = run(scans, tmp_path / "out", progress=lambda *step: seen.append(step))
    assert seen == [(1, 3, "scan0"), (2, 3, "scan1"), (3, 3, "scan2")]
    assert list(result.graphs) == ["scan0", "scan1", "scan2"] and not result.errors and not result.skipped
    stamps = {path: path.stat().st_mtime_ns for path in result.graphs.values()}
    again = run(scans, tmp_path / "out")
    assert again.skipped == ("scan0", "scan1", "scan2") and again.graphs == result.graphs
    assert stamps == {path: path.stat().st_mtime_ns for path in again.graphs.values()}


def test_changed_input_or_settings_are_done_again(scans, tmp_path):
    out = tmp_path / "out"
    run(scans, out)
    Image.fromarray(lattice(9) * np.uint8(200)).save(scans[1])
    assert run(scans, out).skipped == ("scan0", "scan2")
    assert run(scans, out, field_mm=6.0).skipped == ()
    (out / "scan0.record.json").write_text("{")
    (out / "scan1.json.gz").unlink()
    assert run(scans, out, field_mm=6.0).skipped == ("scan2",)


def test_a_bad_scan_does_not_stop_the_rest(scans, tmp_path):
    scans[0].write_text("no image")
    Image.fromarray(np.zeros((160, 160), np.uint8)).save(scans[1])
    result = run([*scans, tmp_path / "missing.png"], tmp_path / "out")
    assert list(result.graphs) == ["scan2"]
    assert set(result.errors) == {"scan0", "scan1", "missing"} and "too dark" in result.errors["scan1"]
    assert read_json(tmp_path / "out" / "errors.json") == result.errors
    assert not list((tmp_path / "out").glob(".*"))


def test_masks_are_used_where_given(scans, tmp_path):
    mask = tmp_path / "mask.png"
    Image.fromarray(lattice(7) * np.uint8(255)).save(mask)
    result = run(scans, tmp_path / "out", masks={"scan0": mask})
    graphs = [read_graph(path) for path in result.graphs.values()]
    other = run([scans[0]], tmp_path / "other")
    assert not same(graphs[0], read_graph(other.graphs["scan0"]))
    Image.fromarray(lattice(8) * np.uint8(255)).save(mask)
    assert run(scans, tmp_path / "out", masks={"scan0": mask}).skipped == ("scan1", "scan2")


def test_two_scans_of_one_name_are_refused(scans, tmp_path):
    with pytest.raises(InputError, match="'scan0'"):
        run([scans[0], tmp_path / "b" / "scan0.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_processes_give_the_same_graphs(scans, tmp_path):
    one, two = run(scans, tmp_path / "one"), run(scans, tmp_path / "two", workers=2)
    assert not two.errors
    assert all(one.graphs[name].read_bytes() == two.graphs[name].read_bytes() for name in one.graphs)
