"""The interactive page of one scan: what its hover tells, what it weighs, that names stay text."""

from __future__ import annotations

import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("bokeh", reason="bokeh is not installed: it comes with the extra `book`")

from gftlib.errors import InputError
from gftlib.octa import explorer, explorer_figures, explorer_sources
from gftlib.octa.features import FEATURES
from gftlib.octa.ranking import node_importance
from gftlib.octa.scans import Scan
from gftlib.phantoms.lesion_masks import Lesion

MAX_BYTES = 2_000_000
IMAGE = np.full((60, 60), 200, np.uint8)
BAD = '<script>alert("1")</script>'


def page(graph, attribution, **changed):
    lesions = [Lesion("microaneurysm", (100, 20), np.ones((9, 9), bool))]
    texts = {"title": "t", "stage": "NPDR", "fallback": "scan.jpg", "alt": "a scan"} | changed
    return explorer_figures.explorer_page(IMAGE, graph, attribution, lesions, **texts)


def data(text):
    """Everything in the page that is not the library's code."""
    return re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)[1]


def test_hover_columns_are_the_features_of_the_graph(graph, attribution):
    sources = explorer_sources.node_sources(graph, attribution)
    for kind, infos in FEATURES.items():
        columns, (_, total, count, about) = sources[kind].data, sources[kind].tags
        table = np.stack([columns[info.name] for info in infos], axis=1)
        assert np.array_equal(table, getattr(graph, kind))
        assert [row[0] for row in about] == [info.name for info in infos]
        assert np.array_equal(columns["importance"], node_importance(attribution)[kind])
        assert total == 6 and count == sum(len(getattr(graph, one)) for one in FEATURES)
        assert len(columns["xs"]) == len(columns["ys"]) == len(table)
    assert [row[1] for row in sources["ica"].tags[3]][:4] == ["mm", "mm", "mm²", "mm"]


def test_rank_and_parts_of_the_most_important_nodes(graph, attribution):
    sources = explorer_sources.node_sources(graph, attribution)
    vessel, area = sources["vessel"].data, sources["ica"].data
    assert (vessel["rank"][2], area["rank"][1]) == (1, 2)
    assert (vessel["lead0"][2], vessel["part0"][2]) == (4, -75)
    assert (vessel["lead1"][2], vessel["part1"][2]) == (0, 25)
    assert (area["lead0"][1], area["part0"][1]) == (2, 100)
    assert area["part0"][0] == 0  # no importance, no part
    assert vessel["scale"][2] == 255 and vessel["scale"][0] == 0


def test_outlines_lie_on_their_nodes_with_y_upwards(graph, attribution):
    columns = explorer_sources.node_sources(graph, attribution)["ica"].data
    um = 1000 * graph.pixel_mm
    for x, y, (row, column) in zip(columns["xs"], columns["ys"], graph.ica_pos, strict=True):
        middle = [(min(v) + max(v)) / 2 for v in (x, y)]
        # Cells are rectangles: the centre of the outline is the centroid.
        assert middle == pytest.approx([um * (column + 0.5), um * (240 - row - 0.5)], abs=um)


def test_an_attribution_of_another_graph_is_refused(graph, attribution):
    nodes = attribution.nodes | {"vessel": attribution.nodes["vessel"][1:]}
    with pytest.raises(InputError, match="another graph"):
        explorer_sources.node_sources(graph, dataclasses.replace(attribution, nodes=nodes))


def test_the_page_holds_every_layer_and_asks_for_nothing_outside(graph, attribution):
    text = page(graph, attribution)
    assert len(text.encode()) < MAX_BYTES
    boxes = re.findall(r'<input type="checkbox" name="(\w+)"( checked)?', text)
    assert dict(boxes) == {
        name: " checked" if on else "" for name, (_, on) in explorer_figures.LAYERS.items()
    }
    assert not re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?!scan\.jpg)', text)
    assert '<img class="fallback" src="scan.jpg" alt="a scan">' in text
    names = [r["attributes"]["name"] for r in renderers(text)]
    assert sorted(names) == sorted(explorer_figures.LAYERS)


def renderers(text):
    (document,) = json.loads(data(text)).values()
    (root,) = document["roots"]
    return root["attributes"]["renderers"]


def test_a_real_scan_has_no_layer_of_lesions(graph, attribution):
    about = {"title": "t", "stage": "PDR", "fallback": "f", "alt": "a"}
    text = explorer_figures.explorer_page(IMAGE / 255, graph, attribution, **about)
    assert 'name="lesions"' not in text and 'name="edges"' in text


def test_names_from_data_stay_text(graph, attribution):
    text = page(graph, attribution, title=BAD, stage=BAD, fallback=BAD, alt=BAD)
    assert BAD not in text
    assert text.count("&lt;script&gt;alert(") == 4

    one = explorer.Explored(Scan(BAD, IMAGE), "PDR", graph, attribution)
    record = SimpleNamespace(_repr_html_=lambda: "<details></details>")
    told = explorer.about(one, record)
    assert "<script" not in told and "&lt;script&gt;" in told


def test_the_book_names_scan_stages_nodes_and_record(graph, attribution):
    one = explorer.Explored(Scan("eye_7", IMAGE), "PDR", graph, attribution)
    told = explorer.about(one, SimpleNamespace(_repr_html_=lambda: "<details>run</details>"))
    assert "The scan eye_7, labelled PDR; the network&#x27;s answer is NPDR" in told
    assert "healthy 0.33, NPDR 0.33, PDR 0.33" in told
    assert "<td>1</td><td>vessel segment 2</td>" in told and "avgCrossSection -3; length +1" in told
    assert 'src="../_static/explorer/index.html"' in told and "<details>run</details>" in told
