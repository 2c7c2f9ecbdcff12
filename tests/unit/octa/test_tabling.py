"""Tables of many scans: the same as one by one, and made again only where something changed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import drawn
import numpy as np
import pytest
from PIL import Image

from gftlib.errors import InputError, MissingError
from gftlib.octa import tabling
from gftlib.octa.attribution import IGConfig
from gftlib.octa.batches import Normalizer, from_octa_graph
from gftlib.octa.explaining import read_attribution
from gftlib.octa.findings import find
from gftlib.octa.fitting import seeded
from gftlib.octa.graph import build_graph
from gftlib.octa.graph_io import read_graph, write_graph
from gftlib.octa.normal import HealthyReference
from gftlib.octa.overlays import write_overlays
from gftlib.octa.staging import StagingConfig, StagingGNN
from gftlib.octa.table_rows import read_tables
from gftlib.octa.tables import make_table
from gftlib.octa.tabling import Explainer, Labelled, attribution_file, healthy_reference, state_many, tabulate
from gftlib.octa.training import FoldResult, _write_fold


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, found = tmp_path_factory.mktemp("graphs"), {}
    for name, gap in (("a", 12), ("b", 17), ("c", 14)):
        mask = drawn.canvas(96, 96)
        mask[8::gap] = True
        mask[:, 8::gap] = True
        found[name] = write_graph(folder / f"{name}.json.gz", build_graph(mask))
    return found


@pytest.fixture(scope="module")
def explainer(graphs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    with seeded(3):
        model = StagingGNN(StagingConfig(hidden=4)).eval()
    normal = Normalizer.fit([from_octa_graph(read_graph(graph)) for graph in graphs.values()])
    history = ({"valid_balanced_accuracy": 0.5},)
    _write_fold(path, FoldResult(model, normal, history, 0), "fingerprint")
    return Explainer(path, IGConfig(steps=4, most_steps=8, top=3))


@pytest.fixture(scope="module")
def reference(graphs: dict[str, Path]) -> HealthyReference:
    return healthy_reference(list(graphs.values()))


def labelled(graphs: dict[str, Path], *stages: int | None) -> list[Labelled]:
    return [Labelled(name, path, stage) for (name, path), stage in zip(graphs.items(), stages, strict=True)]


def test_the_reference_is_that_of_one_pass(graphs: dict[str, Path], reference: HealthyReference) -> None:
    whole = HealthyReference.fit(read_graph(path) for path in graphs.values())
    assert whole.state() == reference.state()


def test_tables_are_those_made_one_by_one(
    graphs: dict[str, Path], explainer: Explainer, reference: HealthyReference, tmp_path: Path
) -> None:
    tables = tabulate(labelled(graphs, 0, 1, None), reference, explainer, tmp_path, top=4)
    for table, label in zip(tables, (0, 1, None), strict=True):
        graph = read_graph(graphs[table.scan])
        attribution = read_attribution(attribution_file(tmp_path, table.scan))
        alone = make_table(table.scan, graph, attribution, reference, label, 4)
        # as text too: a dict compares equal in any order
        assert table.model_dump_json() == alone.model_dump_json()
    assert read_tables(tmp_path / "tables.jsonl") == tables


def test_only_what_changed_is_made_again(
    graphs: dict[str, Path],
    explainer: Explainer,
    reference: HealthyReference,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    real = tabling.make_table
    monkeypatch.setattr(tabling, "make_table", lambda *given: made.append(given[0]) or real(*given))
    tabulate(labelled(graphs, 0, 1, 2), reference, explainer, tmp_path)
    tabulate(labelled(graphs, 0, 1, 2), reference, explainer, tmp_path)
    assert made == ["a", "b", "c"]
    tabulate(labelled(graphs, 0, 2, 2), reference, explainer, tmp_path)
    assert made[3:] == ["b"]
    other = explainer._replace(config=dataclasses.replace(explainer.config, output="log_odds"))
    tabulate(labelled(graphs, 0, 2, 2), reference, other, tmp_path)
    assert made[4:] == ["a", "b", "c"]
    # how many replicas share a batch changes nothing
    same = other._replace(config=dataclasses.replace(other.config, chunk=1))
    tabulate(labelled(graphs, 0, 2, 2), reference, same, tmp_path)
    assert len(made) == 7


def test_what_is_stated_needs_no_attribution(graphs: dict[str, Path], reference: HealthyReference) -> None:
    stated = state_many(graphs, reference)
    assert list(stated) == ["a", "b", "c"]
    for name, path in graphs.items():
        assert stated[name].findings == find(read_graph(path), reference)


def test_bad_input(
    graphs: dict[str, Path], explainer: Explainer, reference: HealthyReference, tmp_path: Path
) -> None:
    twice = labelled(graphs, 0, 1, 2)
    with pytest.raises(InputError, match="share a name"):
        tabulate([*twice, twice[0]], reference, explainer, tmp_path)
    with pytest.raises(MissingError, match="no trained network"):
        tabulate(twice, reference, explainer._replace(network=tmp_path / "none.safetensors"), tmp_path)
    with pytest.raises(InputError, match="at least two healthy scans"):
        healthy_reference([graphs["a"]])


def test_overlays_are_pictures_made_again_only_after_their_attribution(
    graphs: dict[str, Path], explainer: Explainer, reference: HealthyReference, tmp_path: Path
) -> None:
    tabulate(labelled({"a": graphs["a"]}, 0), reference, explainer, tmp_path)
    scan, home = tmp_path / "a_scan.png", attribution_file(tmp_path, "a")
    Image.fromarray(np.arange(96 * 96, dtype=np.uint32).reshape(96, 96).astype(np.uint8)).save(scan)
    (file,) = write_overlays([("a", scan, graphs["a"], home)], tmp_path / "overlays").values()
    picture = np.asarray(Image.open(file))
    assert picture.shape == (432, 384, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    before = file.stat().st_mtime_ns
    write_overlays([("a", scan, graphs["a"], home)], tmp_path / "overlays")
    assert file.stat().st_mtime_ns == before
    os.utime(home, ns=(before + 10**9, before + 10**9))
    write_overlays([("a", scan, graphs["a"], home)], tmp_path / "overlays")
    assert file.stat().st_mtime_ns != before
