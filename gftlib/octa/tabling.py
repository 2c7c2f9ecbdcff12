"""Healthy reference, tables and findings of many scans: from files, in several processes, resumable.

Everything here is made from graphs, attributions and labels (GFT, section 2.4); a scan's table is kept in a
file of its own, whose key names all that it depends on, so that a second call makes only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gftlib.errors import InputError
from gftlib.jobs import Progress, run_jobs
from gftlib.octa.explaining import read_attribution
from gftlib.octa.findings import Finding, find
from gftlib.octa.graph_io import read_graph
from gftlib.octa.normal import HealthyReference, HealthyScan, measure
from gftlib.octa.table_rows import ScanTable, write_tables
from gftlib.octa.tables import make_table
from gftlib.paths import read_json, sha256, write_json
from gftlib.sources import digest, source_files


class ScanFiles(NamedTuple):
    """Where the graph and the attribution of a scan are, and its stage, 0 to 2, if it is known."""

    name: str
    graph: Path
    attribution: Path
    label: int | None = None


def healthy_reference(graphs: Sequence[Path], workers: int = 1) -> HealthyReference:
    """Return the reference of healthy training scans.

    Args:
        graphs: Their graph files.
        workers: Processes.

    Raises:
        InputError: If there are fewer than two.
    """
    return HealthyReference.of(run_jobs(_measure, None, [(path,) for path in graphs], workers))


def find_many(
    graphs: Mapping[str, Path], reference: HealthyReference, workers: int = 1
) -> dict[str, tuple[Finding, ...]]:
    """Return the findings of each scan without weighing them by an attribution.

    Args:
        graphs: Scan -> graph file.
        reference: From healthy training scans.
        workers: Processes.
    """
    found = run_jobs(_find, reference, [(path,) for path in graphs.values()], workers)
    return dict(zip(graphs, found, strict=True))


def tabulate(
    scans: Sequence[ScanFiles],
    reference: HealthyReference,
    folder: Path | str,
    *,
    top: int = 10,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[ScanTable]:
    """Make the table of every scan that has none yet, or one of other inputs or code.

    Args:
        scans: What they are made from.
        reference: From healthy training scans.
        folder: Gets ``tables/<scan>.json`` and, all together, ``tables.jsonl``.
        top: Nodes, and edges, listed in each table.
        workers: Processes.
        progress: Called with (done, total) after each table made now.

    Returns:
        The tables, in order.

    Raises:
        InputError: If two scans share a name; otherwise as `gftlib.octa.tables.make_table`.
        MissingError: If a file is missing.
    """
    if len({scan.name for scan in scans}) < len(scans):
        raise InputError("two scans share a name: each table needs its own")
    folder = Path(folder)
    code = digest(source_files(["gftlib.octa.tables"]))
    common = json.dumps([code, top, reference.state()], sort_keys=True)
    files = [folder / "tables" / f"{scan.name}.json" for scan in scans]
    keys = [_key(scan, common) for scan in scans]
    waiting = [
        (scan, path, key)
        for scan, path, key in zip(scans, files, keys, strict=True)
        if not path.is_file() or read_json(path)["key"] != key
    ]
    run_jobs(_tabulate_one, (reference, top), waiting, workers, progress)
    tables = [ScanTable.model_validate_json(json.dumps(read_json(path)["table"])) for path in files]
    write_tables(folder / "tables.jsonl", tables)
    return tables


def _key(scan: ScanFiles, common: str) -> str:
    parts = [common, sha256(scan.graph), sha256(scan.attribution), scan.name, str(scan.label)]
    return sha256("\n".join(parts).encode())


def _tabulate_one(shared: tuple[HealthyReference, int], scan: ScanFiles, path: Path, key: str) -> None:
    reference, top = shared
    graph, attribution = read_graph(scan.graph), read_attribution(scan.attribution)
    table = make_table(scan.name, graph, attribution, reference, scan.label, top)
    write_json(path, {"key": key, "table": table.model_dump(mode="json")})


def _measure(shared: None, path: Path) -> HealthyScan:
    return measure(read_graph(path))


def _find(reference: HealthyReference, path: Path) -> tuple[Finding, ...]:
    return find(read_graph(path), reference)
