"""Scores as tables: by modality as BiRD's Table 3, with n and interval in every cell, the paper's beside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from gftlib.bird.paper_tables import TABLE_3
from gftlib.bird.questions import TASKS
from gftlib.bird.tasks import HEADLINES
from gftlib.datasets.sa_med2d_names import MODALITIES
from gftlib.metrics.intervals import Cell, GroupTable

OVER_MODALITIES, OVER_ITEMS = "mean of modalities", "all items"
CAPABLE = 0.10


def cells(table: GroupTable) -> dict[str, Cell]:
    """Return the cells of a score in the order of the paper's columns, both averages last."""
    known = {name: rank for rank, name in enumerate(MODALITIES)}
    ordered = sorted(table.cells, key=lambda name: (known.get(name, len(known)), name))
    found = {MODALITIES.get(name, name): table.cells[name] for name in ordered}
    return found | {OVER_MODALITIES: table.over_groups, OVER_ITEMS: table.over_items}


def shown(cell: Cell) -> str:
    """Return a share as per cent with interval and number of items: ``53.9 [50.1, 57.6] n=120``."""
    if math.isnan(cell.value):
        return f"- n={cell.n}"
    interval = "" if math.isnan(cell.low) else f" [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
    return f"{100 * cell.value:.1f}{interval} n={cell.n}"


def modality_table(scores: Mapping[str, GroupTable]) -> pd.DataFrame:
    """Return one row a modality and average, one column a score, in per cent."""
    frame = pd.DataFrame({name: pd.Series(cells(table)).map(shown) for name, table in scores.items()})
    order = [*MODALITIES.values(), *sorted(set(frame.index) - set(MODALITIES.values()))]
    averages = [OVER_MODALITIES, OVER_ITEMS]
    rows = [name for name in order if name in frame.index and name not in averages]
    return frame.reindex([*rows, *averages]).fillna("")


def beside_paper(scores: Mapping[str, GroupTable]) -> pd.DataFrame:
    """Return the four scores of Table 3, the paper's first; what could not be computed here stays empty."""
    names = [*MODALITIES.values(), OVER_MODALITIES]
    columns: dict[tuple[str, str], pd.Series] = {}
    for task in TASKS:
        score = HEADLINES[task]
        printed = ["" if value is None else f"{value:.2f}" for value in TABLE_3[task]]
        columns[score, "paper"] = pd.Series(printed, index=names)
        ours = cells(scores[score]) if score in scores else {}
        columns[score, "this run"] = pd.Series({name: shown(cell) for name, cell in ours.items()}, dtype=str)
    frame = pd.DataFrame(columns).reindex([*names, OVER_ITEMS])
    return frame.fillna("")


def summary(scores: Mapping[str, GroupTable]) -> dict[str, dict[str, dict[str, float]]]:
    """Return scores as plain numbers: score -> modality or average -> value, low, high, n."""
    return {
        name: {key: _numbers(cell) for key, cell in cells(table).items()} for name, table in scores.items()
    }


def _numbers(cell: Cell) -> dict[str, float]:
    numbers = {"value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n}
    return {name: value for name, value in numbers.items() if not math.isnan(value)}


def capabilities(scores: Mapping[str, GroupTable]) -> dict[str, Any]:
    """Return the row of Table 2 that a run earns.

    The paper states no rule. A task counts if its mean over modalities is surely above `CAPABLE`, which
    agrees with all that Tables 1 and 2 print of the same model.

    Args:
        scores: What `gftlib.bird.tasks.evaluate` returned; a task may stand in by any score of its own.
    """
    row: dict[str, Any] = {}
    for task in ("MIA", "ROC", "RC", "VG"):
        own = [table for name, table in scores.items() if name.startswith(f"{task} ")]
        row[task] = any(table.over_groups.low > CAPABLE for table in own)
    groups = {name for table in scores.values() for name in table.cells if name in MODALITIES}
    return row | {"modalities": len(groups)}
