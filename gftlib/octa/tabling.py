"""Healthy reference, tables and findings of many scans: from files, in several processes, resumable.

Everything here is made from graphs, a trained network and labels (GFT, section 2.4). A scan's graph is read
once, explained and tabulated; its table is kept in a file of its own, whose key names all that it depends on,
so that a second call makes only what is missing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gftlib.errors import InputError
from gftlib.jobs import Progress, run_jobs
from gftlib.octa.attribution import IGConfig
from gftlib.octa.explaining import explain, read_attribution
from gftlib.octa.findings import Finding, find
from gftlib.octa.graph_io import read_graph
from gftlib.octa.ig_baselines import Baseline
from gftlib.octa.normal import HealthyReference, HealthyScan, measure
from gftlib.octa.table_rows import FazRow, ScanTable, write_tables
from gftlib.octa.tables import faz_row, make_table
from gftlib.octa.training import FoldResult, read_fold
from gftlib.paths import atomic_path, read_json, sha256
from gftlib.sources import digest, source_files

READ_A_PROCESS, EXPLAINED_A_PROCESS = 32, 16
"""Scans that a process reads, or explains, in about the time that it takes to start."""


class Labelled(NamedTuple):
    """A scan, the file of its graph, and its stage, 0 to 2, if it is known."""

    name: str
    graph: Path
    label: int | None = None


class Explainer(NamedTuple):
    """The file of the network that explains, and how integrated gradients walk."""

    network: Path
    config: IGConfig
    baseline: Baseline | None = None


def healthy_reference(graphs: Sequence[Path], workers: int = 1) -> HealthyReference:
    """Return the reference of healthy training scans.

    Args:
        graphs: Their graph files.
        workers: Processes.

    Raises:
        InputError: If there are fewer than two.
    """
    jobs = [(path,) for path in graphs]
    return HealthyReference.of(run_jobs(_measure, None, jobs, _worth(workers, jobs)))


class Stated(NamedTuple):
    """What a table states about places: its findings and its FAZ, without the weights of an attribution."""

    findings: tuple[Finding, ...]
    faz: FazRow | None


def state_many(
    graphs: Mapping[str, Path], reference: HealthyReference, workers: int = 1
) -> dict[str, Stated]:
    """Return what the table of each scan states about places; no attribution is needed for it.

    Args:
        graphs: Scan -> graph file.
        reference: From healthy training scans.
        workers: Processes.
    """
    jobs = [(path,) for path in graphs.values()]
    stated = run_jobs(_state, reference, jobs, _worth(workers, jobs))
    return dict(zip(graphs, stated, strict=True))


def tabulate(
    scans: Sequence[Labelled],
    reference: HealthyReference,
    explainer: Explainer,
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
        explainer: What attributes the predicted class of each scan to its nodes and edges.
        folder: Gets ``attributions/<scan>.safetensors``, ``tables/<scan>.json`` and, all tables together,
            ``tables.jsonl``.
        top: Nodes, and edges, listed in each table.
        workers: Processes.
        progress: Called with (done, total) after each table made now.

    Returns:
        The tables, in order.

    Raises:
        InputError: If two scans share a name; otherwise as `gftlib.octa.tables.make_table`.
        MissingError: If a graph or the network is missing.
    """
    if len({scan.name for scan in scans}) < len(scans):
        raise InputError("two scans share a name: each table needs its own")
    folder, network = Path(folder), read_fold(explainer.network)
    common = _common(explainer, reference, top)
    files = [folder / "tables" / f"{scan.name}.json" for scan in scans]
    keys = [sha256(f"{common} {sha256(scan.graph)} {scan.name} {scan.label}".encode()) for scan in scans]
    waiting = [
        (scan, folder, key)
        for scan, path, key in zip(scans, files, keys, strict=True)
        if not path.is_file() or read_json(path)["key"] != key
    ]
    shared = (network, explainer, reference, top)
    run_jobs(_tabulate_one, shared, waiting, _worth(workers, waiting, EXPLAINED_A_PROCESS), progress)
    tables = [ScanTable.model_validate_json(json.dumps(read_json(path)["table"])) for path in files]
    write_tables(folder / "tables.jsonl", tables)
    return tables


def attribution_file(folder: Path | str, name: str) -> Path:
    """Return where `tabulate` keeps the attribution of a scan."""
    return Path(folder) / "attributions" / f"{name}.safetensors"


def _common(explainer: Explainer, reference: HealthyReference, top: int) -> str:
    """Digest what all tables of a folder depend on."""
    walk = dataclasses.asdict(explainer.config)
    # How many replicas share a batch changes the time, not the result.
    walk.pop("chunk")
    start = explainer.baseline
    about = {
        "code": digest(source_files(["gftlib.octa.tables"])),
        "network": sha256(explainer.network),
        "walk": walk,
        "start": None if start is None else [start.kind, start.k, sha256(_bytes(start.values))],
        "reference": reference.state(),
        "top": top,
    }
    return sha256(json.dumps(about, sort_keys=True).encode())


def _bytes(values: Mapping[str, np.ndarray]) -> bytes:
    return b"".join(np.ascontiguousarray(values[kind]).tobytes() for kind in sorted(values))


def _tabulate_one(
    shared: tuple[FoldResult, Explainer, HealthyReference, int], scan: Labelled, folder: Path, key: str
) -> None:
    network, explainer, reference, top = shared
    graph, home = read_graph(scan.graph), attribution_file(folder, scan.name)
    explain({scan.name: graph}, network, explainer.config, home.parent, baseline=explainer.baseline)
    table = make_table(scan.name, graph, read_attribution(home), reference, scan.label, top)
    # In the table's own order, which its text keeps to.
    content = json.dumps({"key": key, "table": table.model_dump(mode="json")})
    with atomic_path(folder / "tables" / f"{scan.name}.json") as temporary:
        temporary.write_text(content, encoding="utf-8")


def _measure(shared: None, path: Path) -> HealthyScan:
    return measure(read_graph(path))


def _state(reference: HealthyReference, path: Path) -> Stated:
    graph = read_graph(path)
    return Stated(find(graph, reference), faz_row(graph, reference))


def _worth(workers: int, jobs: Sequence[object], each: int = READ_A_PROCESS) -> int:
    """Return how many processes are worth their start, which takes as long as ``each`` jobs."""
    return min(workers, 1 + len(jobs) // each)
