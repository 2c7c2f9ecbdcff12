"""How exact the graphs of phantoms are: one row a scan, and the summary that chapter 1 quotes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from gftlib.errors import InputError
from gftlib.metrics.vessels import score_graph
from gftlib.octa.features import FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.scans import Scan
from gftlib.results import published

GOALS = {
    "junction_f1": ("junctions found and placed within 3 px, F1", "at least 0.95"),
    "length_error": ("total vessel length, relative error", "at most 2 %"),
    "radius_error_px": ("vessel radius, mean error in px", "at most 0.5 px"),
    "faz_area_error": ("FAZ area, relative error", "at most 2 %"),
    "ica_count_exact": ("scans whose areas are counted exactly", "all"),
}
"""What is scored, in words, and what was set as the goal before anything was measured."""


def score_scan(scan: Scan, graph: OctaGraph) -> dict[str, object]:
    """Describe the graph of a scan and, if the scan is a phantom, score it against the drawn truth.

    Args:
        scan: The scan.
        graph: Its graph.

    Returns:
        One row: name, stage, counts of nodes and edges; for phantoms the errors of :data:`GOALS` too.
    """
    degree = graph.junction_degree()
    row: dict[str, object] = {
        "scan": scan.name,
        "segments": len(graph.vessel),
        "bifurcations": int((degree >= 3).sum()),
        "dead_ends": int((degree == 1).sum()),
        "areas": len(graph.ica),
        "faz": len(graph.faz),
        "edges": int(sum(pairs.shape[1] for pairs in graph.edges.values())),
    }
    if scan.spec is None:
        return row
    truth = scan.phantom()
    score = score_graph(graph, truth.graph, float(truth.faz.sum()), truth.ica_count)
    return row | {
        "stage": scan.spec.stage,
        "split": scan.spec.split,
        "junction_f1": round(score.junctions.f1, 5),
        "length_error": round(score.length, 6),
        "radius_error_px": round(score.radius, 4),
        "faz_area_error": round(score.faz_area, 6),
        "ica_count_error": score.ica_count,
    }


def summarise(predictions: Path | pd.DataFrame) -> dict[str, float]:
    """Summarise the rows of :func:`score_scan`.

    Args:
        predictions: The rows, or the CSV file that holds them.

    Returns:
        Number of scans; median segments, areas and edges a scan; for phantoms the median of each absolute
        error and the share of scans whose areas are counted exactly, with the worst scan of each.

    Raises:
        InputError: If there is no row.
    """
    rows = predictions if isinstance(predictions, pd.DataFrame) else pd.read_csv(predictions)
    if rows.empty:
        raise InputError("there is no scan to summarise")
    summary = {"scans": len(rows)} | {
        name: float(rows[name].median())
        for name in ("segments", "bifurcations", "dead_ends", "areas", "edges")
    }
    if "junction_f1" not in rows:
        return summary
    summary["junction_f1"] = float(rows.junction_f1.median())
    summary["junction_f1_worst"] = float(rows.junction_f1.min())
    for name in ("length_error", "radius_error_px", "faz_area_error"):
        summary[name] = float(rows[name].abs().median())
        summary[f"{name}_worst"] = float(rows[name].abs().max())
    summary["ica_count_exact"] = float((rows.ica_count_error == 0).mean())
    summary["ica_count_error_worst"] = float(rows.ica_count_error.abs().max())
    return summary


def beside(runs: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Put the summaries of several runs side by side.

    Args:
        runs: Name of the run and its summary from :func:`summarise`; a run without truth stays empty.

    Returns:
        A row for each of :data:`GOALS`, with the goal and, for each run, the median and the worst scan.
    """
    rows = {}
    for name, (words, goal) in GOALS.items():
        cells = {"goal": goal}
        for run, summary in runs.items():
            if name in summary:
                worst = summary.get(f"{name}_worst", summary.get("ica_count_error_worst"))
                cells[run] = f"{summary[name]:.3f}" + (f" (worst {worst:.3g})" if worst is not None else "")
        rows[words] = cells
    return pd.DataFrame.from_dict(rows, orient="index")


def score_cohort(graphs: Iterable[tuple[Scan, OctaGraph]]) -> pd.DataFrame:
    """Score the graphs of a cohort; one row a scan, in its order."""
    return pd.DataFrame([score_scan(scan, graph) for scan, graph in graphs])


def published_run() -> dict[str, dict[str, float]]:
    """Return the summary of the committed full-size run, if any, under a name that tells its staleness."""
    full = published("01_graph_construction")
    if full is None:
        return {}
    summary = full.results["exactness"]
    return {"; ".join([f"published run, {summary['scans']} phantoms", *full.record.stale()]): summary}


def example(scans: Sequence[Scan]) -> list[Scan]:
    """Choose what a figure shows: of phantoms the first of each stage, of real scans the first three."""
    staged = {scan.spec.stage: scan for scan in reversed(scans) if scan.spec is not None}
    return [staged[stage] for stage in sorted(staged)] or list(scans[:3])


def feature_table(graph: OctaGraph) -> Styler:
    """Tell what each feature is, in which unit, and its median over the nodes of a graph."""
    rows = [
        {
            "node": kind,
            "feature": info.name,
            "unit": "" if info.unit == "1" else info.unit,
            "median": float(np.median(getattr(graph, kind)[:, column]))
            if len(getattr(graph, kind))
            else np.nan,
            "what it is": info.definition,
        }
        for kind, infos in FEATURES.items()
        for column, info in enumerate(infos)
    ]
    return pd.DataFrame(rows).set_index(["node", "feature"]).style.format(precision=4, escape="html")
