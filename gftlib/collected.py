"""Every printed number of the three papers beside what our published runs found, each with its run."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from gftlib.errors import InputError
from gftlib.paths import atomic_path
from gftlib.results import FULL_SIZE, Published, published

CHAPTERS = (
    "01_graph_construction",
    "02_staging",
    "03_attribution",
    "04_dialogue",
    "05_lora_tuning",
    "06_agent_evaluation",
    "07_scale",
    "08_bird_dataset",
    "09_bird_grounding",
)
NOT_RUN = "not run"


@dataclass(frozen=True)
class Number:
    """One cell of a table.

    Attributes:
        table: Of which paper, and which.
        row: Its row there.
        column: Its column there.
        paper: As printed; None where the paper has none.
        found: By this project; None where it was not run.
        run: Which run found it; empty if none did.
    """

    table: str
    row: str
    column: str
    paper: float | None
    found: float | None = None
    run: str = ""


def committed() -> dict[str, Published]:
    """Return the published runs of each chapter by its name, those of further students with their profile."""
    found = {}
    for name in CHAPTERS:
        for profile in FULL_SIZE:
            if (one := published(name, profile)) is not None:
                found[name if profile == FULL_SIZE[0] else f"{name}, {profile}"] = one
    return found


def trace(one: Published) -> str:
    """Return how a run is named beside its numbers: notebook, profile and commit."""
    record = one.record
    return f"{record.notebook}, {record.parameters['profile']}, {record.commit}"


def runs(found: dict[str, Published]) -> pd.DataFrame:
    """Return time, memory and machine of each published run, and what has changed since."""
    rows: dict[str, dict[str, Any]] = {}
    for name in sorted({*CHAPTERS, *found}):
        if name not in found:
            rows[name] = {"commit": NOT_RUN}
            continue
        record = found[name].record
        rows[name] = {
            "commit": record.commit,
            "profile": record.parameters["profile"],
            "began": record.began[:16].replace("T", " "),
            "minutes": f"{record.seconds / 60:.1f}",
            "memory, GiB": f"{record.peak_memory_mb / 1024:.1f}",
            "machine": record.device,
            "since then": "; ".join(record.stale()) or "unchanged",
        }
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def cost(found: dict[str, Published]) -> str:
    """Return what the published runs took, as a sentence."""
    minutes = sum(one.record.seconds for one in found.values()) / 60
    machines = " and ".join(sorted({one.record.device for one in found.values()})) or "no machine"
    missing = [name for name in CHAPTERS if name not in found]
    lacks = f" Not run at full size so far: {', '.join(missing)}." if missing else ""
    sittings = f"The last sittings of {len(found)} full-size runs took {minutes:.0f} minutes on {machines}"
    return f"{sittings}; what earlier ones had finished is not counted.{lacks}"


def table(numbers: Iterable[Number], name: str) -> pd.DataFrame:
    """Return one table: for each cell the paper's number, this project's, and its run.

    Args:
        numbers: All numbers.
        name: Of the table.

    Raises:
        InputError: If there is no such table.
    """
    chosen = [one for one in numbers if one.table == name]
    if not chosen:
        raise InputError(f"no table {name!r}")
    rows = [
        {
            "row": one.row,
            "column": one.column,
            "paper": "–" if one.paper is None else f"{one.paper:g}",
            "this run": NOT_RUN if one.found is None else f"{one.found:.4g}",
        }
        for one in chosen
    ]
    frame = pd.DataFrame(rows)
    wide = frame.pivot_table(
        index="row", columns="column", values=["paper", "this run"], aggfunc="first", sort=False
    )
    order = [(column, side) for column in dict.fromkeys(frame["column"]) for side in ("paper", "this run")]
    return wide.swaplevel(axis=1)[order].fillna("").rename_axis(None).rename_axis([None, None], axis=1)


def sources(numbers: Iterable[Number], name: str) -> str:
    """Return which runs the numbers of a table are of."""
    told = dict.fromkeys(one.run for one in numbers if one.table == name and one.run)
    return f"{name}. " + (f"Runs: {'; '.join(told)}" if told else "No run yet")


def write(path: Path, numbers: Iterable[Number]) -> Path:
    """Write all numbers as CSV, one a line, atomically."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Number)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(one) for one in numbers)
    return path


def headline(path: Path) -> dict[str, dict[str, int]]:
    """Count, from the file of all numbers, how many of each table a run has found.

    Returns:
        Table -> ``printed``, ``found`` (with or without a printed one) and ``both``.
    """
    rows = pd.read_csv(path)
    counts = {}
    for name, part in rows.groupby("table", sort=False):
        printed, found = part["paper"].notna(), part["found"].notna()
        counts[str(name)] = {
            "printed": int(printed.sum()),
            "found": int(found.sum()),
            "both": int((printed & found).sum()),
        }
    return counts


def at(content: Any, *keys: str) -> Any:
    """Return what lies below keys, None where there is nothing."""
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return None
        content = content[key]
    return content


def cells(
    name: str, row: str, printed: dict[str, float | None], found: dict[str, float | None], run: str
) -> Iterator[Number]:
    """Yield a row of a table; a column without a printed number is kept if a run has one."""
    for column in dict.fromkeys([*printed, *found]):
        paper, ours = printed.get(column), found.get(column)
        if paper is not None and paper != paper:
            paper = None
        if paper is not None or ours is not None:
            yield Number(name, row, column, paper, ours, run if ours is not None else "")


def beside(counts: dict[str, dict[str, int]]) -> str:
    """Return how many printed numbers have one of ours beside them, as a sentence."""
    printed, both = (sum(one[key] for one in counts.values()) for key in ("printed", "both"))
    empty = [name.partition(":")[0] for name, one in counts.items() if not one["found"]]
    lacks = f" Nothing stands yet beside {', '.join(empty)}." if empty else ""
    return f"Of {printed} printed numbers {both} have one of ours beside them.{lacks}"
