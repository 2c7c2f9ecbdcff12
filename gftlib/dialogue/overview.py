"""Tables for a reader: one scan's attribution table, what a corpus holds, what its statements are worth."""

from __future__ import annotations

import html
from collections.abc import Mapping
from itertools import product
from typing import Any

import pandas as pd

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.scoring import FAZ
from gftlib.octa.feature_words import FeatureNote
from gftlib.octa.places import QUADRANT_WORDS
from gftlib.octa.signs import FINDING_KINDS
from gftlib.octa.table_rows import EdgeRow, NodeRow, ScanTable

PAPER = {"scans": "844", "stage 1 pairs": "844", "stage 2 pairs": "25 320"}
"""GFT, section 3: 844 pairs in the first stage, 844 x 30 in the second."""
SCOPES = {
    "any": "any abnormality",
    "kinds": "abnormality of the right kind",
    **{kind: kind for kind in FINDING_KINDS},
    FAZ: "the FAZ itself (landmark)",
}


def scan_table_html(table: ScanTable, rows: int = 5) -> str:
    """Return the table of one scan as HTML: stage, graph level, node level, edge level.

    Args:
        table: The table.
        rows: Nodes, and edges, shown.
    """
    odds = ", ".join(f"{name} {share:.3f}" for name, share in table.probabilities.items())
    graph = pd.DataFrame(
        {
            QUADRANT_WORDS[q]: {
                "nodes per mm²": f"{row.node_density:.1f}",
                "edges per mm²": f"{row.edge_density:.1f}",
                "vessel length, mm per mm²": f"{row.vessel_density:.1f} ({row.words})",
            }
            for q, row in ((q, table.quadrants[q]) for q in QUADRANTS)
        }
    )
    parts = {
        f"Label {table.label or 'not known'}; class probabilities: {odds}": graph,
        "Most important nodes": pd.DataFrame([_node(row) for row in table.nodes[:rows]]),
        "Most important edges": pd.DataFrame([_edge(row) for row in table.edges[:rows]]),
    }
    return "".join(
        f"<p><b>{html.escape(title)}</b></p>{frame.to_html(index=frame is graph, escape=True, border=0)}"
        for title, frame in parts.items()
    )


def corpus_table(runs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Put the statistics of corpora side by side, the paper's first.

    Args:
        runs: Name -> what `gftlib.dialogue.scoring.corpus_statistics` returned.
    """
    columns = {"paper": PAPER} | {name: _counted(statistics) for name, statistics in runs.items()}
    order = list(dict.fromkeys(row for column in columns.values() for row in column))
    return pd.DataFrame(columns).reindex(order).fillna("")


def ceiling_table(runs: Mapping[str, Mapping[str, float]], part: str) -> pd.DataFrame:
    """Show one part of what `gftlib.dialogue.scoring.ceiling` returned, run after run.

    Args:
        runs: Name -> flat scores.
        part: Which part of the cohort.
    """
    rows = {}
    for (run, scores), (scope, words) in product(runs.items(), SCOPES.items()):
        prefix = f"{part}/{scope}/"
        rows[f"{run}, {scores.get(f'{part}/scans', 0):.0f} scans", words] = {
            ("quadrants, table", "precision"): _shown(scores, f"{prefix}precision"),
            ("quadrants, table", "recall"): _shown(scores, f"{prefix}recall"),
            ("quadrants, table", "F1"): _shown(scores, f"{prefix}f1"),
            ("F1 of naming all four", "in every scan"): _shown(scores, f"{prefix}naive_f1"),
            ("F1 of naming all four", "in diseased scans"): _shown(scores, f"{prefix}naive_staged_f1"),
            ("boxes, table", "recall@0.5"): _shown(scores, f"{prefix}box_recall"),
            ("boxes, table", "true boxes"): f"{scores.get(f'{prefix}boxes', 0):.0f}",
        }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index)
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    return frame


def _shown(scores: Mapping[str, float], name: str) -> str:
    return f"{scores[name]:.2f}" if name in scores else ""


def _node(row: NodeRow) -> dict[str, str]:
    return {"node": row.id} | _common(row)


def _edge(row: EdgeRow) -> dict[str, str]:
    return {"edge between": " and ".join(row.pair)} | _common(row)


def _common(row: NodeRow | EdgeRow) -> dict[str, str]:
    return {
        "importance": f"{row.importance:.3g}",
        "place": row.place.words,
        "leading features": "; ".join(_note(note) for note in row.features),
    }


def _note(note: FeatureNote) -> str:
    return f"{note.name} {note.value:.3g} {note.unit.replace('1', '')}".rstrip() + f" ({note.words})"


def _counted(statistics: Mapping[str, Any]) -> dict[str, str]:
    spaced = {name: f"{n:,}".replace(",", " ") for name, n in _numbers(statistics).items()}
    yes = statistics["presence_yes"]
    return spaced | {
        "words a question": str(statistics["words"]["question"]),
        "words an answer": str(statistics["words"]["answer"]),
        "“is there …?” answered yes": "" if yes is None else f"{100 * yes:.0f} %",
    }


def _numbers(statistics: Mapping[str, Any]) -> dict[str, int]:
    return {
        "scans": statistics["scans"],
        "stage 1 pairs": statistics["stages"].get("1", 0),
        "stage 2 pairs": statistics["stages"].get("2", 0),
        **{f"on {kind}": count for kind, count in statistics["kinds"].items()},
        "different questions": statistics["different_questions"],
        "different answers": statistics["different_answers"],
        "pairs with a box": statistics["pairs_with_boxes"],
    }
