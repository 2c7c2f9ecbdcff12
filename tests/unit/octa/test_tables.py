from __future__ import annotations

import json
import subprocess
import sys

import drawn
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from gftlib.errors import InputError, MissingError
from gftlib.octa.attribution import Attribution
from gftlib.octa.feature_words import WORDS, compared, describe
from gftlib.octa.features import FEATURES, ICA_FEATURES, VESSEL_FEATURES
from gftlib.octa.findings import find
from gftlib.octa.graph import OctaGraph, build_graph
from gftlib.octa.normal import ALARMS, HealthyReference
from gftlib.octa.places import in_words, named_quadrants, place
from gftlib.octa.ranking import edge_importance
from gftlib.octa.signs import quadrant_areas, signs, vessel_density
from gftlib.octa.table_text import TextOptions, table_text
from gftlib.octa.tables import ScanTable, make_table, read_tables, write_tables


def window(gap: tuple[int, int] | None = None) -> OctaGraph:
    """Draw a lattice of straight vessels on 160 pixels with a round hole, the FAZ, in the middle.

    Args:
        gap: Row and column of a crossing that is taken away, with the vessels that meet there.
    """
    mask = drawn.canvas(160, 160)
    for at in range(16, 160, 16):
        drawn.line(mask, (at, 1), (at, 158), 1)
        drawn.line(mask, (1, at), (158, at), 1)
    r, c = np.indices(mask.shape)
    mask[np.hypot(r - 80, c - 80) < 20] = 0
    drawn.ring(mask, (80, 80), 21, 3)
    if gap:
        hole = (abs(r - gap[0]) <= 14) & (abs(c - gap[1]) <= 14)
        mask[hole] = 0
    return build_graph(mask, field_mm=3.0, min_faz_mm=0.2)


def attributed(graph: OctaGraph, seed: int = 0, edges: bool = True) -> Attribution:
    rng = torch.Generator().manual_seed(seed)
    nodes = {
        kind: torch.randn(getattr(graph, kind).shape, generator=rng) for kind in ("vessel", "ica", "faz")
    }
    weights = {r: torch.randn(e.shape[1], generator=rng) for r, e in graph.edges.items()} if edges else {}
    return Attribution(nodes, weights, 1, torch.tensor([0.0, 2.0, 1.0]), 1.0, 8, 9)


@pytest.fixture(scope="module")
def healthy() -> OctaGraph:
    return window()


@pytest.fixture(scope="module")
def sick() -> OctaGraph:
    return window((48, 112))


@pytest.fixture(scope="module")
def reference(healthy: OctaGraph) -> HealthyReference:
    return HealthyReference.fit([healthy] * 3, dict.fromkeys(ALARMS, 0.0))


@pytest.fixture(scope="module")
def table(sick: OctaGraph, reference: HealthyReference) -> ScanTable:
    return make_table("s1", sick, attributed(sick), reference, label=2, top=5)


def test_the_gap_is_found_where_it_is(sick: OctaGraph, reference: HealthyReference) -> None:
    (found,) = [f for f in find(sick, reference) if f.kind == "non-perfusion"]
    assert found.quadrants == ("UR",)
    assert found.place.quadrant == "UR"
    assert found.place.clock in (1, 2)
    assert found.degree == "marked"
    # between the vessels at rows 32 and 64 and columns 96 and 128, each three pixels wide
    assert found.box == pytest.approx((98 / 160, 34 / 160, 127 / 160, 63 / 160), abs=1e-4)


def test_a_scan_like_the_healthy_ones_has_no_finding(healthy: OctaGraph, reference: HealthyReference) -> None:
    assert find(healthy, reference) == ()


def test_limits_let_the_declared_number_of_nodes_pass(healthy: OctaGraph) -> None:
    reference = HealthyReference.fit([healthy, healthy], dict.fromkeys(ALARMS, 2.0))
    scores = signs(healthy)
    for kind in ("dilated vessels", "dense tangle"):
        assert 2 * np.count_nonzero(scores[kind] > reference.limits[kind]) <= 4


def test_wound_vessels_turn_more_than_straight_ones() -> None:
    straight, wound = drawn.canvas(160, 160), drawn.canvas(160, 160)
    drawn.line(straight, (80, 10), (80, 150), 3)
    columns = np.arange(10, 150)
    rows = 80 + np.round(6 * np.sin(columns / 4)).astype(int)
    for mask in (straight, wound):
        for at in (30, 130):
            drawn.line(mask, (at, 10), (at, 150))
            drawn.line(mask, (at + 8, 10), (at + 8, 150))
    for r, c in zip(rows, columns, strict=True):
        wound[r - 3 : r + 4, c - 3 : c + 4] = 1
    scores = [signs(build_graph(mask))["tortuous vessels"].max() for mask in (straight, wound)]
    assert scores[0] < 0.01 < scores[1]


def test_densities_count_every_node_and_edge_once(sick: OctaGraph, table: ScanTable) -> None:
    nodes = len(sick.vessel) + len(sick.ica) + len(sick.faz)
    pairs = {
        frozenset([(source, a), (target, b)])
        for (source, _, target), edges in sick.edges.items()
        for a, b in edges.T.tolist()
        if (source, a) != (target, b)
    }
    rows = table.quadrants.values()
    assert sum(row.nodes for row in rows) == nodes
    assert sum(row.edges for row in rows) == len(pairs)
    assert table.vector().tolist() == [row.nodes for row in rows] + [row.edges for row in rows]
    area = quadrant_areas(sick)
    assert area.sum() == pytest.approx(9.0)
    length = sick.vessel[:, VESSEL_FEATURES.index("length")].sum()
    assert (vessel_density(sick) * area).sum() == pytest.approx(length, rel=1e-5)
    assert table.quadrants["UR"].node_density == pytest.approx(table.quadrants["UR"].nodes / 2.25, abs=0.01)
    assert table.quadrants["UR"].words == "much sparser than usual"


def test_edges_have_the_importance_of_both_directions(sick: OctaGraph, table: ScanTable) -> None:
    both = edge_importance(attributed(sick), sick.edges)
    wanted = {}
    for (source, name, target), values in both.items():
        for (a, b), value in zip(sick.edges[source, name, target].T.tolist(), values.tolist(), strict=True):
            if (source, a) != (target, b):
                wanted[frozenset([f"{source}-{a}", f"{target}-{b}"])] = value
    best = sorted(wanted.values(), reverse=True)[:5]
    assert [row.importance for row in table.edges] == pytest.approx(best, abs=1e-5)
    for row in table.edges:
        assert row.importance == pytest.approx(wanted[frozenset(row.pair)], abs=1e-5)


def test_nodes_name_the_features_that_count_most(sick: OctaGraph, table: ScanTable) -> None:
    attribution = attributed(sick)
    for row in table.nodes:
        kind, index = row.id.split("-")
        parts = attribution.nodes[kind][int(index)].abs()
        names = [FEATURES[kind][i].name for i in parts.argsort(descending=True)[:3].tolist()]
        assert [note.name for note in row.features] == names
        assert row.importance == pytest.approx(float(parts.sum()), rel=1e-4)


def test_stage_and_odds(table: ScanTable) -> None:
    assert (table.label, table.predicted) == ("PDR", "NPDR")
    assert sum(table.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert (table.stage(), table.stage("predicted")) == ("PDR", "NPDR")


def test_attribution_of_nodes_alone_gives_no_edge_rows(sick: OctaGraph, reference: HealthyReference) -> None:
    assert make_table("s", sick, attributed(sick, edges=False), reference).edges == ()


@pytest.mark.parametrize(("point", "quadrant"), [((80, 80), "LR"), ((79.9, 80), "UR"), ((80, 79.9), "LL")])
def test_a_midline_is_right_or_lower(healthy: OctaGraph, point: tuple[float, float], quadrant: str) -> None:
    assert place(healthy, np.array(point)).quadrant == quadrant
    assert named_quadrants(healthy, np.array([point])) == (quadrant,)


@pytest.mark.parametrize(
    ("offset", "clock", "ring"),
    [((-10, 0), 12, "central"), ((0, 40), 3, "middle"), ((40, 0), 6, "middle"), ((0, -60), 9, "outer")],
)
def test_clock_and_ring(healthy: OctaGraph, offset: tuple[int, int], clock: int, ring: str) -> None:
    found = place(healthy, healthy.faz_pos[0] + offset)
    assert (found.clock, found.ring) == (clock, ring)


def test_words_follow_the_declared_z_scores() -> None:
    said = [compared(z, "narrower", "wider") for z in (-3.1, -2, -1.5, 0.99, 1, 2.5, 3)]
    assert said == [
        "much narrower than usual",
        "narrower than usual",
        "somewhat narrower than usual",
        "as usual",
        "somewhat wider than usual",
        "wider than usual",
        "much wider than usual",
    ]
    assert describe("vessel", "avgRadiusAvg", 2.0) == "wider than usual"
    for kind, infos in FEATURES.items():
        assert set(WORDS[kind]) == {info.name for info in infos}
    assert in_words(("UL", "LR")) == "the upper left and lower right quadrants"


def test_the_faz_is_measured(healthy: OctaGraph, sick: OctaGraph, reference: HealthyReference) -> None:
    row = make_table("s", sick, attributed(sick), reference).faz
    assert row is not None
    assert row.area == pytest.approx(float(healthy.faz[0, ICA_FEATURES.index("area")]), rel=1e-4)
    assert row.box == pytest.approx((60 / 160, 60 / 160, 101 / 160, 101 / 160), abs=2 / 160)
    assert row.quadrants == ("UL", "UR", "LL", "LR")


def test_files_come_back_the_same_and_are_strict(table: ScanTable, tmp_path) -> None:
    path = write_tables(tmp_path / "t.jsonl", [table, table])
    assert read_tables(path) == [table, table]
    content = json.loads(table.model_dump_json())
    for change in ({"version": "2"}, {"extra": 1}, {"scan": "../x"}, {"probabilities": {"mild": 1.0}}):
        with pytest.raises(ValidationError):
            ScanTable.model_validate_json(json.dumps(content | change))
    path.write_text(table.model_dump_json() + "\n{}\n")
    with pytest.raises(InputError, match="line 2 is no table: scan"):
        read_tables(path)
    with pytest.raises(MissingError):
        read_tables(tmp_path / "none")


def test_text_has_both_readings_and_no_name(table: ScanTable) -> None:
    told = table_text(table)
    assert told.startswith("Stage: PDR\n")
    assert table.nodes[0].id in told
    assert table.edges[0].id in told
    other = table_text(table, TextOptions(stage="predicted", rows=False, findings=False))
    assert other.startswith("Stage: NPDR\n")
    assert "nodes:" not in other
    assert "Findings" not in other
    assert table.scan not in other + told


def test_bad_input_is_named(healthy: OctaGraph, sick: OctaGraph, reference: HealthyReference) -> None:
    with pytest.raises(InputError, match="another graph"):
        make_table("s", sick, attributed(healthy), reference)
    with pytest.raises(InputError, match="0, 1 or 2"):
        make_table("s", sick, attributed(sick), reference, label=3)
    with pytest.raises(InputError, match="has no label"):
        make_table("s", sick, attributed(sick), reference).stage()
    with pytest.raises(InputError, match="at least two"):
        HealthyReference.fit([healthy])
    with pytest.raises(InputError, match="alarms"):
        HealthyReference.fit([healthy] * 2, {"non-perfusion": 1.0})
    with pytest.raises(InputError, match="no healthy reference"):
        HealthyReference.from_state({"mean": {}})


def test_the_reference_survives_json(reference: HealthyReference, sick: OctaGraph) -> None:
    back = HealthyReference.from_state(json.loads(json.dumps(reference.state())))
    assert find(sick, back) == find(sick, reference)


def test_a_scan_without_vessels_has_a_table(reference: HealthyReference) -> None:
    graph = build_graph(drawn.canvas(64, 64))
    table = make_table("s", graph, attributed(graph), reference)
    assert {row.vessel_density for row in table.quadrants.values()} == {0.0}


def test_nothing_of_the_truth_can_be_reached() -> None:
    """No module that a student learns from may import the phantoms, itself or through another."""
    code = (
        "import sys, pkgutil, importlib, gftlib.dialogue, gftlib.octa.tables, gftlib.octa.table_text\n"
        "for module in pkgutil.iter_modules(gftlib.dialogue.__path__, 'gftlib.dialogue.'):\n"
        "    importlib.import_module(module.name)\n"
        "assert 'gftlib.octa.tables' in sys.modules and 'gftlib.dialogue.teacher' in sys.modules\n"
        "print([name for name in sys.modules if name.startswith('gftlib.phantoms')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
