from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from gftlib.errors import InputError
from gftlib.octa.table_rows import QuadrantRow, ScanTable
from gftlib.vlm.retrieval import CasePool, Scan, case_parts


def scan(
    name: str,
    nodes: tuple[int, ...] = (1, 2, 3, 4),
    edges: tuple[int, ...] = (5, 6, 7, 8),
    label: str | None = "PDR",
    subject: str | None = None,
    area: float = 1.0,
) -> Scan:
    rows = {
        q: QuadrantRow(
            nodes=n,
            edges=e,
            node_density=n / area,
            edge_density=e / area,
            vessel_density=1.0,
            z=0.0,
            words="as usual",
        )
        for q, n, e in zip(("UL", "UR", "LL", "LR"), nodes, edges, strict=True)
    }
    table = ScanTable(
        scan=name,
        label=label,
        predicted="healthy",
        probabilities={},
        field_mm=3.0,
        quadrants=rows,
        faz=None,
        nodes=(),
        edges=(),
        findings=(),
    )
    return Scan(table, subject or f"s-{name}", Path(f"{name}.png"))


def pool(*scans: Scan, **options: object) -> CasePool:
    return CasePool(scans, {s.subject for s in scans}, **options)


def shifted(name: str, by: int, **options: object) -> Scan:
    return scan(name, nodes=(1 + by, 2, 3, 4), **options)


def test_the_nearest_cases_come_with_label_image_and_distance() -> None:
    known = pool(
        shifted("a", 9, label="healthy"), shifted("b", 1, label="NPDR"), shifted("c", -2), shifted("d", 4)
    )
    (cases,) = known.nearest([scan("query", label=None)])
    assert [(c.scan, c.stage, c.distance) for c in cases] == [
        ("b", "NPDR", 1.0),
        ("c", "PDR", 2.0),
        ("d", "PDR", 4.0),
    ]
    assert cases[0].image == Path("b.png")


def test_neither_the_scan_nor_its_subject_nor_its_file_is_a_case() -> None:
    query = scan("a", subject="s1")
    same_file = Scan(scan("z").table, "s9", query.image)
    known = pool(query, scan("b", subject="s1"), same_file, shifted("c", 3))
    assert [c.scan for c in known.nearest([query], 1)[0]] == ["c"]
    with pytest.raises(InputError, match="fewer than 2 training cases are left for scan a"):
        known.nearest([query], 2)


def test_a_test_scan_cannot_enter_the_pool() -> None:
    with pytest.raises(InputError, match="subject s-b is not declared for training"):
        CasePool([scan("a"), scan("b")], {"s-a"})


def test_z_scores_let_small_numbers_count() -> None:
    a = scan("a", nodes=(1000, 0, 0, 0), edges=(1, 0, 0, 0))
    b = scan("b", nodes=(1100, 0, 0, 0), edges=(9, 0, 0, 0))
    c = scan("c", nodes=(1200, 0, 0, 0), edges=(1, 0, 0, 0))
    query = scan("q", nodes=(1060, 0, 0, 0), edges=(1, 0, 0, 0))
    assert pool(a, b, c).nearest([query], 1)[0][0].scan == "b"
    assert pool(a, b, c, scaling="zscore").nearest([query], 1)[0][0].scan == "a"


def test_densities_compare_fields_of_different_sizes() -> None:
    near = scan("near", (4, 8, 12, 16), (20, 24, 28, 32), area=4.0)
    far = scan("far", (2, 2, 3, 4), area=1.0)
    assert pool(near, far).nearest([scan("q")], 1)[0][0].scan == "far"
    assert pool(near, far, measure="density").nearest([scan("q")], 1)[0][0].scan == "near"


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 8), min_size=4, max_size=12), st.data())
@settings(deadline=None, max_examples=15)
def test_distances_are_the_library_s(vectors: list[tuple[int, ...]], data: st.DataObject) -> None:
    known = [scan(f"{i:02d}", v[:4], v[4:]) for i, v in enumerate(vectors)]
    asked = data.draw(st.tuples(*[st.integers(0, 30)] * 8))
    (cases,) = pool(*known).nearest([scan("q", asked[:4], asked[4:])])
    expected, _ = NearestNeighbors(n_neighbors=3).fit(np.array(vectors)).kneighbors([asked])
    np.testing.assert_allclose([c.distance for c in cases], expected[0])
    assert [c.scan for c in cases] == [c.scan for c in sorted(cases, key=lambda c: (c.distance, c.scan))]


def test_a_prompt_shows_image_and_stage_but_no_name() -> None:
    (cases,) = pool(*(shifted(f"patient{i}", i) for i in range(3))).nearest([scan("q")])
    parts = case_parts(cases)
    texts = [part for part in parts if isinstance(part, str)]
    assert [part.name for part in parts if isinstance(part, Path)] == [f"patient{i}.png" for i in range(3)]
    assert texts[1] == "Case 1, stage PDR:"
    assert texts[-1] == "The scan to assess:"
    assert "patient" not in " ".join(texts)
    assert case_parts(()) == ()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pool(), "at least one training scan"),
        (lambda: pool(scan("a"), scan("a")), "share a name"),
        (lambda: pool(scan("a", label=None)), "has no label"),
        (lambda: pool(scan("a"), scaling="log"), "scaling 'log'"),
        (lambda: pool(scan("a")).nearest([scan("b")], 0), "at least one case"),
        (lambda: pool(scan("a")).nearest([scan("b")]), "fewer than 3"),
    ],
)
def test_bad_input_says_what_is_wrong(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
    assert pool(scan("a")).nearest([]) == []
