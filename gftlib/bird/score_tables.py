"""Scores as tables: by modality as BiRD's Table 3, with n and interval in every cell, the paper's beside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import pandas as pd

from gftlib.bird.hallucination import POSITIVES, RATE, YES
from gftlib.bird.paper_tables import TABLE_3
from gftlib.bird.questions import TASKS
from gftlib.bird.tasks import HEADLINES, SLOT_F1
from gftlib.datasets.sa_med2d_names import MODALITIES
from gftlib.metrics.intervals import Cell, GroupTable

OVER_MODALITIES, OVER_ITEMS = "mean of modalities", "all items"
CAPABLE = 0.10
T = TypeVar("T")
Numbers = dict[str, dict[str, float]]  # modality or average -> value, low, high, n


def cells(table: GroupTable) -> dict[str, Cell]:
    """Return the cells of a score in the order of the paper's columns, both averages last."""
    known = {name: rank for rank, name in enumerate(MODALITIES)}
    ordered = sorted(table.cells, key=lambda name: (known.get(name, len(known)), name))
    found = {MODALITIES.get(name, name): table.cells[name] for name in ordered}
    return found | {OVER_MODALITIES: table.over_groups, OVER_ITEMS: table.over_items}


def shown(cell: Mapping[str, float]) -> str:
    """Return a cell of `summary` as per cent with interval and n: ``53.9 [50.1, 57.6] n=120``."""
    if "value" not in cell:
        return f"- n={cell['n']}"
    interval = f" [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]" if "low" in cell else ""
    return f"{100 * cell['value']:.1f}{interval} n={cell['n']}"


def modality_table(scores: Mapping[str, Numbers]) -> pd.DataFrame:
    """Return one row a modality and average, one column a score, in per cent.

    Args:
        scores: What `summary` returned, or a part of it.
    """
    known = {name for numbers in scores.values() for name in numbers}
    averages, printed = [OVER_MODALITIES, OVER_ITEMS], list(MODALITIES.values())
    others = sorted(known - {*averages, *printed})
    rows = [*(name for name in printed if name in known), *others, *averages]
    told = {name: {key: shown(cell) for key, cell in numbers.items()} for name, numbers in scores.items()}
    return pd.DataFrame(told).reindex(rows).fillna("")


def main_scores(scores: Mapping[str, T]) -> dict[str, T]:
    """Return one score a task, the paper's or what stands in for it, and those of hallucination."""
    stand_ins = {"RC": (SLOT_F1,), "MIA": ("MIA BLEU-4", "MIA ROUGE-L")}
    wanted: list[str] = []
    for task in TASKS:
        wanted += [HEADLINES[task]] if HEADLINES[task] in scores else stand_ins.get(task, ())
    return {name: scores[name] for name in (*wanted, RATE, YES, POSITIVES) if name in scores}


def beside_paper(scores: Mapping[str, Numbers]) -> pd.DataFrame:
    """Return the four scores of Table 3, the paper's first; what could not be computed here stays empty.

    Args:
        scores: What `summary` returned.
    """
    names = [*MODALITIES.values(), OVER_MODALITIES]
    columns: dict[tuple[str, str], pd.Series] = {}
    for task in TASKS:
        score = HEADLINES[task]
        printed = ["" if value is None else f"{value:.2f}" for value in TABLE_3[task]]
        columns[score, "paper"] = pd.Series(printed, index=names)
        ours = {name: shown(cell) for name, cell in scores.get(score, {}).items()}
        columns[score, "this run"] = pd.Series(ours, dtype=str)
    frame = pd.DataFrame(columns).reindex([*names, OVER_ITEMS])
    return frame.fillna("")


def summary(scores: Mapping[str, GroupTable]) -> dict[str, Numbers]:
    """Return scores as plain numbers: score -> modality or average -> value, low, high, n."""
    return {
        name: {key: _numbers(cell) for key, cell in cells(table).items()} for name, table in scores.items()
    }


def _numbers(cell: Cell) -> dict[str, float]:
    numbers = {"value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n}
    return {name: value for name, value in numbers.items() if not math.isnan(value)}
