import json

import numpy as np
import pytest
from PIL import Image

from gftlib.errors import InputError, MissingError
from gftlib.octa import batch, graph_files
from gftlib.octa.graph import build_graph
from gftlib.octa.scans import find_scans


def ladder(rungs):
    """Two rails and some rungs: as many areas between them as rungs, less one."""
    mask = np.zeros((120, 160), bool)
    mask[:, 40:44] = mask[:, 100:104] = True
    for row in np.linspace(10, 105, rungs).astype(int):
        mask[row : row + 4, 40:104] = True
    return mask


@pytest.fixture
def folder(tmp_path):
    for name, rungs in (("a", 2), ("b", 4)):
        for kind, scale in (("scans", 200), ("masks", 255)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(ladder(rungs).astype(np.uint8) * scale).save(tmp_path / kind / f"{name}.png")
    return tmp_path


def scans(folder):
    return find_scans(folder / "scans", folder / "masks")


def test_a_graph_is_read_back_as_it_was(tmp_path):
    graph = build_graph(ladder(3), field_mm=2.0)
    read = graph_files.read_graph(graph_files.write_graph(graph, tmp_path / "g.npz", "key"))
    assert (read.shape, read.field_mm) == (graph.shape, graph.field_mm)
    for name in (
        "vessel",
        "vessel_pos",
        "paths",
        "path_offsets",
        "junctions",
        "ends",
        "ica",
        "faz",
        "labels",
    ):
        np.testing.assert_array_equal(getattr(read, name), getattr(graph, name))
    assert read.edges.keys() == graph.edges.keys()
    for relation, pairs in graph.edges.items():
        np.testing.assert_array_equal(read.edges[relation], pairs)


def test_a_damaged_or_missing_graph_says_what_to_do(tmp_path):
    path = graph_files.write_graph(build_graph(ladder(3)), tmp_path / "g.npz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"damaged.*extract the graph again"):
        graph_files.read_graph(path)
    assert graph_files.key_of(path) is None
    with pytest.raises(MissingError, match="extract the graph first"):
        graph_files.read_graph(tmp_path / "none.npz")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_of_scans_becomes_a_folder_of_graphs(folder, workers):
    seen = []
    errors = batch.extract(scans(folder), folder / "out", 3.0, workers, lambda *state: seen.append(state))
    assert errors == {}
    assert seen == [(1, 2), (2, 2)]
    more = [len(graph.ica) for _, graph in batch.extracted(scans(folder), folder / "out")]
    assert more[1] - more[0] == 2


def test_a_bad_scan_does_not_stop_the_others_and_is_reported(folder):
    (folder / "scans" / "a.png").write_text("no image")
    errors = batch.extract(scans(folder), folder / "out")
    assert list(errors) == ["a"]
    assert "cannot be read as an image" in errors["a"]
    assert json.loads((folder / "out" / "errors.json").read_text()) == errors
    assert [scan.name for scan, _ in batch.extracted(scans(folder), folder / "out")] == ["b"]


def test_only_what_changed_is_made_again(folder):
    batch.extract(scans(folder), folder / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "out").glob("*.npz")}
    Image.fromarray(ladder(5).astype(np.uint8) * 255).save(folder / "masks" / "b.png")
    batch.extract(scans(folder), folder / "out")
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "out").glob("*.npz")}
    assert after["a.npz"] == before["a.npz"]
    assert after["b.npz"] > before["b.npz"]


def test_a_graph_of_a_scan_that_became_unusable_is_gone(folder):
    batch.extract(scans(folder), folder / "out")
    (folder / "masks" / "a.png").write_text("no image")
    assert list(batch.extract(scans(folder), folder / "out")) == ["a"]
    assert not (folder / "out" / "a.npz").exists()


def test_a_scan_without_a_mask_is_segmented(folder):
    image, mask = batch.load(find_scans(folder / "scans" / "b.png")[0])
    assert image.shape == (120, 160)
    assert mask.shape == (912, 1216)
    assert 0.05 < mask.mean() < 0.6
