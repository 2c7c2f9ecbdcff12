"""How exact integrated gradients are depends on the network: the paper's reading beside a smooth one.

Rectifiers and sums over thousands of nodes bend the path of the integral; a smooth activation with mean and
maximum pooling bends it less. Both networks learn the same fold by the same recipe, and the same scans are
explained with a fixed number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from gftlib.octa.attribution import IGConfig, integrated_gradients
from gftlib.octa.batches import GraphTensors, from_octa_graph
from gftlib.octa.folds import five_folds
from gftlib.octa.graph import OctaGraph
from gftlib.octa.graph_io import read_graph
from gftlib.octa.ranking import node_importance, select_top
from gftlib.octa.scans import Scan
from gftlib.octa.staging import preset
from gftlib.octa.staging_cohorts import stage_table
from gftlib.octa.training import FoldResult, train_fold
from gftlib.profiles import Profile

PAPER, SMOOTH = "rectifier, sum and maximum (GFT)", "smooth, mean and maximum"
STEPS = (10, 20, 50, 100)
"""The public code's HEAD takes 20, its scripts 50; the last ranking is what the others are held against."""


def smooth_network(
    profile: Profile, scans: Sequence[Scan], graphs: Mapping[str, Path], folder: Path, fold: int = 1
) -> FoldResult:
    """Train the other reading of chapter 2's network, one fold, one seed; what is finished is read.

    Args:
        profile: Its section ``staging``.
        scans: The cohort.
        graphs: Graph file of each scan.
        folder: Gets the network.
        fold: Named by the split that validates.
    """
    there = [scan for scan in scans if scan.name in graphs]
    rows = stage_table(there)
    cohort = [
        from_octa_graph(read_graph(graphs[scan.name]), stage)
        for scan, stage in zip(there, rows["stage"], strict=True)
    ]
    config = preset(profile.staging.presets[0])
    recipe = config.recipe.shortened(profile.staging.epochs)
    config = replace(config, activation="silu", pooling=("mean", "max"), recipe=recipe)
    (chosen,) = five_folds(rows, [fold])
    return train_fold(cohort, chosen, config, 0, folder, profile.staging.device)


def sensitivity_rows(
    networks: Mapping[str, FoldResult], graphs: Sequence[OctaGraph], config: IGConfig
) -> list[dict[str, str | int | float]]:
    """Explain scans by every network with every number of steps.

    Args:
        networks: By name.
        graphs: The scans; each is explained as what the network predicts.
        config: Walk, rule, output and length of the ranking.

    Returns:
        One row a network and number of steps: median and largest ``|total - change| / |change|``, and the
        mean share of the first ``config.top`` nodes that are the first ones at the most steps too.
    """
    rows = []
    for name, network in networks.items():
        normal = [network.normalizer(from_octa_graph(graph)) for graph in graphs]
        found = {steps: [_explain(network, graph, config, steps) for graph in normal] for steps in STEPS}
        last = [first for _, first in found[STEPS[-1]]]
        for steps, explained in found.items():
            errors = [error for error, _ in explained]
            shared = [len(a & b) / len(b) for (_, a), b in zip(explained, last, strict=True)]
            row = {"network": name, "steps": steps, "scans": len(graphs), "median": float(np.median(errors))}
            rows.append(row | {"largest": float(np.max(errors)), "shared": float(np.mean(shared))})
    return rows


def sensitivity_table(rows: Sequence[Mapping[str, str | int | float]]) -> pd.DataFrame:
    """Put what `sensitivity_rows` gives in words."""
    names = {
        "median": "completeness error, median",
        "largest": "completeness error, largest",
        "shared": f"first nodes shared with {STEPS[-1]} steps",
    }
    return pd.DataFrame(list(rows)).set_index(["network", "steps"]).rename(columns=names)


def _explain(
    network: FoldResult, graph: GraphTensors, config: IGConfig, steps: int
) -> tuple[float, set[tuple[str, int]]]:
    """Return the completeness error of one scan, and its first nodes."""
    fixed = replace(config, steps=steps, most_steps=steps, stable=0.0)
    found = integrated_gradients(network.model, graph, fixed)
    first = {(entry.kind, entry.index) for entry in select_top(node_importance(found), config.top)}
    return found.completeness_error, first
