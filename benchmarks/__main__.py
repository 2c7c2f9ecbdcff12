"""Run every benchmark, or those named: ``python -m benchmarks [graph grounding ...]``.

Each ``bench_<area>.py`` times ours and a well-kept peer in alternation in one process. Quote the ratios:
absolute times hold for one machine on one day.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from rich.console import Console
from rich.table import Table

HEADINGS = ("what", "ours, ms", "peer, ms", "times quicker", "goal", "note")


def main() -> None:
    """Print one table an area."""
    areas = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of: {', '.join(areas)}; default: all")
    asked = parser.parse_args().areas or areas
    if unknown := sorted(set(asked) - set(areas)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(areas)}")
    console = Console(width=140)
    for area in asked:
        table = Table(title=area, title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading in ("what", "note") else "right")
        for row in importlib.import_module(f"benchmarks.bench_{area}").rows():
            times = f"{row['ours_ms']:.3g}", f"{row['peer_ms']:.3g}", f"{row['ratio']:.1f}"
            table.add_row(row["name"], *times, str(row["target"] or ""), row.get("note", ""))
        console.print(table)


if __name__ == "__main__":
    main()
