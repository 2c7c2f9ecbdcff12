from __future__ import annotations

import numpy as np

from gftlib.dialogue import figures, overview
from gftlib.dialogue.scoring import TrueLesion, corpus_statistics


def test_a_table_is_escaped_and_keeps_its_levels(make) -> None:
    table = make()
    shown = overview.scan_table_html(table)
    for words in ("Label PDR", "healthy 0.100", "nodes per mm²", "upper left", "Most important edges"):
        assert words in shown
    assert "<script" not in overview.scan_table_html(make(label=None))
    assert "Label not known" in overview.scan_table_html(make(label=None))


def test_corpora_stand_beside_the_papers() -> None:
    shown = overview.corpus_table({"this run": corpus_statistics([])})
    assert list(shown.columns) == ["paper", "this run"]
    assert shown.loc["stage 2 pairs"].tolist() == ["25 320", "0"]


def test_the_ceiling_shows_what_is_defined() -> None:
    shown = overview.ceiling_table(
        {"run": {"unseen/scans": 4, "unseen/any/f1": 0.5, "unseen/any/boxes": 3}}, "unseen"
    )
    row = shown.loc[("run, 4 scans", "any abnormality")]
    assert row["quadrants, table", "F1"] == "0.50"
    assert row["quadrants, table", "recall"] == ""
    assert row["boxes, table", "true boxes"] == "3"


def test_boxes_are_drawn_where_they_are(make) -> None:
    image = np.zeros((100, 100), np.uint8)
    true = [TrueLesion("microaneurysm", ("UL",), (0.1, 0.2, 0.3, 0.6))]
    figure = figures.claims_figure([figures.Claims("PDR", image, make().findings, true)])
    above, below = figure.axes
    assert len(above.patches) == len(make().findings)
    (drawn,) = below.patches
    assert drawn.get_bbox().bounds == (9.5, 19.5, 20.0, 40.0)
    alone = figures.claims_figure([figures.Claims("PDR", image, make().findings, None)])
    assert len(alone.axes) == 1
