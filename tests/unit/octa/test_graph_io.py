"""Graphs survive a round trip through JSON and CSV; Voreen's files are read; damage is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn import canvas, lattice

from gftlib.errors import InputError, MissingError
from gftlib.octa.features import ICA_FEATURES, VESSEL_FEATURES
from gftlib.octa.graph import build_graph
from gftlib.octa.graph_io import from_json, read_csv, read_graph, same, to_json, write_csv, write_graph
from gftlib.octa.voreen import from_voreen, read_voreen


@pytest.fixture(scope="module")
def graph():
    mask = lattice(1)
    return build_graph(mask, mask * np.uint8(200))


@pytest.mark.parametrize("suffix", ["json", "json.gz"])
def test_json_round_trip(tmp_path, graph, suffix):
    path = write_graph(tmp_path / f"scan.{suffix}", graph)
    assert same(read_graph(path), graph)
    first = path.read_bytes()
    assert write_graph(path, graph).read_bytes() == first


@pytest.mark.parametrize("mask", [canvas(), np.ones((60, 60))], ids=["no vessel", "no area"])
def test_empty_graphs_make_the_round_trip(tmp_path, mask):
    graph = build_graph(mask)
    assert same(read_graph(write_graph(tmp_path / "scan.json", graph)), graph)
    write_csv(tmp_path / "csv", graph)
    assert read_csv(tmp_path / "csv" / "vessel.csv")[1].shape == (0, 23)


def test_json_says_what_its_columns_are(graph):
    content = to_json(graph)
    assert [name for name, _ in content["features"]["vessel"]] == list(VESSEL_FEATURES)
    assert content["features"]["ica"][2] == ["area", "mm2"]
    json.dumps(content, allow_nan=False)


def test_damaged_files_are_named(tmp_path, graph):
    with pytest.raises(MissingError, match=r"none\.json"):
        read_graph(tmp_path / "none.json")
    path = tmp_path / "bad.json"
    content = to_json(graph)
    for change, message in (
        ({"format": "other"}, "no gftlib-octa-graph"),
        ({"version": 99}, "version 99"),
        ({"labels": "AAAA"}, "damaged"),
        ({"vessel": [[1, 2], [3]]}, "damaged"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(InputError, match=rf"bad\.json.*{message}"):
            read_graph(path)
    path.write_text("{")
    with pytest.raises(InputError, match=r"bad\.json.*JSON"):
        read_graph(path)
    with pytest.raises(InputError, match="damaged"):
        from_json({key: value for key, value in content.items() if key != "edges"})


def test_csv_tables_hold_the_graph(tmp_path, graph):
    names = {path.name for path in write_csv(tmp_path, graph)}
    assert {"vessel.csv", "ica.csv", "faz.csv", "nodes.csv", "vessel_touches_ica.csv"} <= names
    head, table = read_csv(tmp_path / "vessel.csv")
    assert head[:6] == ["id", "row", "col", "node1", "node2", "length [mm]"]
    assert np.array_equal(table[:, 5:].astype(np.float32), graph.vessel)
    assert np.array_equal(table[:, 3:5].astype(int), graph.ends)
    head, table = read_csv(tmp_path / "ica.csv")
    assert head[3:] == [f"{name} [{unit}]" for name, unit in to_json(graph)["features"]["ica"]]
    assert np.array_equal(table[:, 3:].astype(np.float32), graph.ica) and len(head) == 3 + len(ICA_FEATURES)
    edges = read_csv(tmp_path / "ica_touches_ica.csv")[1].T.astype(int)
    assert np.array_equal(edges, graph.edges["ica", "touches", "ica"])
    with pytest.raises(MissingError, match=r"no\.csv"):
        read_csv(tmp_path / "no.csv")
    (tmp_path / "words.csv").write_text("a\nword\n")
    with pytest.raises(InputError, match=r"words\.csv"):
        read_csv(tmp_path / "words.csv")


def voxel(x: float, low: float, high: float, near: bool = False) -> dict:
    return {
        "pos": [x, 0.0, 0.0],
        "minDistToSurface": low,
        "maxDistToSurface": high,
        "avgDistToSurface": (low + high) / 2,
        "numSurfaceVoxels": 4,
        "volume": 2.0,
        "nearOtherEdge": near,
    }


def voreen() -> dict:
    nodes = [
        {
            "id": 7,
            "pos": [0.0, 0.0, 0.0],
            "radius": 1.0,
            "edges": [0],
            "voxels_": [],
            "isAtSampleBorder": False,
        },
        {"id": 3, "pos": [4.0, 0.0, 0.0], "radius": 2.0},
        {"id": 9, "pos": [4.0, 3.0, 0.0]},
        {"id": 4, "pos": [8.0, 0.0, 0.0]},
    ]
    edges = [
        {
            "id": 0,
            "node1": 3,
            "node2": 7,
            "distance": 4.0,
            "skeletonVoxels": [voxel(3, 1, 1, near=True), voxel(2, 1, 2), voxel(1, 2, 2)],
        },
        {"id": 1, "node1": 3, "node2": 9, "distance": 3.0, "skeletonVoxels": [voxel(4, 1, 1)]},
        {"id": 2, "node1": 4, "node2": 3, "distance": 4.0, "skeletonVoxels": []},
    ]
    return {"graph": {"nodes": nodes, "edges": edges, "bounds": {}}}


def test_voreen_features_by_hand(tmp_path):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(voreen()))
    graph = read_voreen(path)
    assert graph.ends.tolist() == [[1, 0], [1, 2]] and graph.skipped == (2,)
    assert graph.vessel_pos.tolist() == [[2, 0, 0], [4, 1.5, 0]]
    row = dict(zip(VESSEL_FEATURES, graph.vessel[0].tolist(), strict=True))
    assert row["length"] == row["distance"] == 4 and row["curveness"] == 1
    assert row["volume"] == 6 and row["avgCrossSection"] == 1.5
    assert (row["minRadiusAvg"], row["minRadiusStd"], row["avgRadiusAvg"]) == (1.5, 0.5, 1.75)
    assert (row["roundnessAvg"], row["roundnessStd"]) == (0.75, 0.25)
    assert (row["node1_degree"], row["node2_degree"], row["degree"]) == (1, 2, 1)
    assert graph.path_offsets.tolist() == [0, 3, 4] and graph.radius.tolist() == [1, 2, 0, 0]
    assert np.isfinite(graph.vessel).all()


def test_bad_voreen_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no Voreen"):
        from_voreen([])
    for change, message in (
        (lambda g: g["edges"][0].update(node1=99), "edge 0 ends at node 99"),
        (lambda g: g["nodes"][1].pop("pos"), "node 1 has no 'pos'"),
        (lambda g: g["nodes"][1].update(pos=[1, 2]), "three numbers"),
        (lambda g: g["edges"][0]["skeletonVoxels"][1].pop("minDistToSurface"), "edge 0 has no"),
        (lambda g: g["edges"][0]["skeletonVoxels"][1].update(minDistToSurface="x"), "must be a number"),
    ):
        content = voreen()
        change(content["graph"])
        path = tmp_path / "graph.json"
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=rf"graph\.json: .*{message}"):
            read_voreen(path)


def test_an_empty_voreen_graph():
    graph = from_voreen({"graph": {"nodes": [], "edges": []}})
    assert graph.vessel.shape == (0, 18) and graph.paths.shape == (0, 3)
