"""The picture of the order of work is the Snakefile's, and draws what depends on what."""

import subprocess
import sys

import pytest

from gftlib import paths
from gftlib.errors import InputError
from gftlib.workflow_figure import draw_workflow, read_jobs

DOT = r"""digraph {
    0[label = "book", color = "red"];
    1[label = "stage", color = "red"];
    2[label = "notebook\nname: 01_graph_construction"];
    3[label = "notebook\nname: 02_staging"];
    2 -> 3
    2 -> 1
    3 -> 1
    1 -> 0
}"""


def test_what_follows_from_other_arrows_is_left_out():
    graph = read_jobs(DOT)
    assert set(graph.edges) == {("2", "3"), ("3", "1")}
    assert graph.nodes["2"]["words"] == "1 graph construction"


def test_text_stays_text_and_one_arrow_stands_for_each_dependence():
    drawn = draw_workflow(DOT)
    assert drawn.count("marker-end") == 2
    assert ">2 staging</text>" in drawn


def test_nothing_to_draw_is_said():
    with pytest.raises(InputError, match="snakemake book --dag"):
        draw_workflow("")


def test_the_picture_in_the_book_is_up_to_date():
    root = paths.root()
    asked = ["book", "--dag", "--forceall", "--cores", "1", "--config", "profile=smoke", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *asked], cwd=root, capture_output=True, text=True, check=True
    )
    kept = (root / "book" / "_static" / "workflow.svg").read_text(encoding="utf-8")
    assert draw_workflow(done.stdout) == kept, "run `make graph`"
