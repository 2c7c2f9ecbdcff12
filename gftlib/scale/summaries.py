"""What the cells of a protocol say together: means over draws, and what the search chose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gftlib.scale.baselines import method
from gftlib.scale.outputs import LEVELS
from gftlib.scale.protocol import METRICS, Cell

CHOICE = ("candidate", "threshold", "candidates", "validation_scores", "validation_combinations")


def summarize(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over draws: one record per method, fraction and level.

    "The error bars represent one standard deviation" (SCALE, Figures 2 and 3). A single draw has none: None.
    """
    blocks: dict[tuple[str, float], list[Cell]] = {}
    for cell in cells:
        blocks.setdefault((cell.method, cell.fraction), []).append(cell)
    records = []
    for (name, fraction), members in blocks.items():
        for level in LEVELS:
            record: dict[str, Any] = {"method": name, "fraction": fraction, "level": level}
            for metric in (*METRICS, "macro_f1_tuned"):
                values = [c.report[level].get(metric) for c in members]
                there = [v for v in values if v is not None]
                record[metric] = float(np.mean(there)) if there else None
                record[f"{metric}_std"] = float(np.std(there, ddof=1)) if len(there) > 1 else None
            records.append({**record, "draws": len(members)})
    return records


def choices(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Return what the search chose: one record per trained method and fraction, with validation scores."""
    found = {}
    for cell in cells:
        if "candidates" in cell.details and method(cell.method).trained:
            facts = {name: cell.details[name] for name in CHOICE}
            found[cell.method, cell.fraction] = {"method": cell.method, "fraction": cell.fraction, **facts}
    return list(found.values())
