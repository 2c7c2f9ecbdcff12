"""The tables of chapter 7: Table 1, each criterion by itself, the goals, and the paper beside this run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gftlib.scale.features import Features
from gftlib.scale.outputs import LEVELS, evaluate, zero_shot
from gftlib.scale.protocol import Cell

TABLE_1_PAPER = {"class": 0.59, "combination": 0.29}  # zero-shot MONET on pigmentation (SCALE, Table 1)


def table_1(features: Features, group: str = "pigmentation") -> pd.DataFrame:
    """Return Table 1: zero-shot accuracy of one criterion at both levels, the paper's beside this run's."""
    test = features.test.nonzero()[0]
    report = evaluate(features.task, features.labels[test], zero_shot(features, test))
    rows = {
        level: {
            "paper": TABLE_1_PAPER[level] if group == "pigmentation" else None,
            "this run": report[level]["groups"][group]["accuracy"],
            "chance": 1 / _options(features, group, level),
        }
        for level in LEVELS
    }
    return pd.DataFrame(rows).T.rename(index={"combination": "class-concept"})


def per_group(cells: Sequence[Cell], metric: str = "macro_f1", level: str = "combination") -> pd.DataFrame:
    """Return a metric of every criterion and method with the whole training pool, averaged over draws.

    Empty for a task of several labels, which has no criteria.
    """
    rows: dict[tuple[str, str], list[float]] = {}
    for cell in cells:
        if cell.fraction not in (0.0, 1.0):
            continue
        for group, values in cell.report[level].get("groups", {}).items():
            if values[metric] is not None:
                rows.setdefault((group, cell.method), []).append(values[metric])
    table = pd.Series({key: sum(v) / len(v) for key, v in rows.items()}, dtype=float)
    return table.unstack() if len(table) else pd.DataFrame()


def goals(records: Sequence[dict[str, Any]], level: str = "combination") -> pd.DataFrame:
    """Return macro F1 of SCALE less that of its peers at every fraction, with whether each goal was met.

    The goals were set before anything was run: above the weighted probe and CoOp at every fraction, above
    zero-shot prediction from 5 %.
    """
    table = pd.DataFrame(records)
    table = table[table["level"] == level].set_index(["method", "fraction"])["macro_f1"]
    rows = []
    for fraction in sorted({f for m, f in table.index if m == "scale"}):
        own = table["scale", fraction]
        for peer in ("linear_probe_weighted", "coop", "zero_shot"):
            key = (peer, 0.0 if peer == "zero_shot" else fraction)
            if key in table.index:
                ahead = float(own - table[key])
                rows.append({"fraction": fraction, "peer": peer, "ahead": ahead, "met": ahead > 0})
    return pd.DataFrame(rows)


def _options(features: Features, group: str, level: str) -> int:
    if level == "combination":
        return len(features.task.groups()[group])
    return sum(g == group for g, _ in features.task.group_classes)
