"""Graphs of a whole folder of scans: in parallel, resumable, one bad scan not stopping the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.datasets.images import read_mask, read_scan, to_grid
from gftlib.errors import GftError, InputError
from gftlib.octa.graph import build_graph
from gftlib.octa.graph_io import FORMAT, VERSION, write_graph
from gftlib.paths import read_json, sha256, write_json
from gftlib.processes import process_pool

log = logging.getLogger(__name__)

Segment = Callable[[np.ndarray], np.ndarray]
"""Turns a scan (H, W) float32 in [0, 1] into a vessel mask of the same field, of any size."""


@dataclass(frozen=True)
class BatchResult:
    """What a batch did.

    Attributes:
        graphs: Graph file of each scan that has one now, by scan name.
        skipped: Names of scans whose graph was there already, of the same input and settings.
        errors: Message by scan name; also written to ``errors.json``.
    """

    graphs: dict[str, Path] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)


def extract_folder(
    scans: Sequence[Path],
    out: Path,
    segment: Segment,
    *,
    masks: Mapping[str, Path] | None = None,
    size: int = 1216,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
    label: str = "",
    **settings: Any,
) -> BatchResult:
    """Build the graph of every scan and write it to ``out`` as ``<scan name>.json.gz``.

    A scan is skipped if its graph is there and was made from the same bytes with the same settings, which
    ``<scan name>.record.json`` tells; it is written last. What fails is listed in ``errors.json``.

    Args:
        scans: Image files; their names without ending must differ.
        out: Target folder, made if missing.
        segment: Segmentation, used where there is no mask; picklable if ``workers`` is above 1.
        masks: Vessel mask file by scan name.
        size: Longer side of the working grid in pixels.
        workers: Processes; each computes on one thread.
        progress: Called with the number done, the number of scans, and the scan's name, after each scan.
        label: What the segmentation is, part of the settings that decide whether a graph is up to date.
        **settings: Passed to ``build_graph``.

    Returns:
        Files, skipped scans and errors.

    Raises:
        InputError: If two scans have the same name.
    """
    masks = masks or {}
    names = [Path(scan).stem for scan in scans]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"more than one scan is called {twice[0]!r}: rename them, names tell results apart")
    out.mkdir(parents=True, exist_ok=True)
    name_of = (
        label
        or f"{getattr(segment, '__module__', '')}.{getattr(segment, '__qualname__', repr(type(segment)))}"
    )
    common = {"format": FORMAT, "version": VERSION, "segment": name_of, "size": size, "settings": settings}
    result, skipped, waiting = BatchResult(), [], []
    for name, scan in zip(names, map(Path, scans), strict=True):
        job = (name, scan, masks.get(name), out, segment, size, settings, common)
        if _is_done(job):
            skipped.append(name)
            result.graphs[name] = out / f"{name}.json.gz"
        else:
            waiting.append(job)
    done = len(skipped)
    for name, error in _results(waiting, workers):
        done += 1
        if error:
            log.warning("%s: %s", name, error)
            result.errors[name] = error
        else:
            result.graphs[name] = out / f"{name}.json.gz"
        if progress:
            progress(done, len(names), name)
    write_json(out / "errors.json", result.errors)
    return BatchResult(dict(sorted(result.graphs.items())), tuple(skipped), result.errors)


Job = tuple[str, Path, Path | None, Path, Segment, int, dict[str, Any], dict[str, Any]]


def _record(job: Job) -> dict[str, Any]:
    _, scan, mask, _, _, _, _, common = job
    return common | {"scan": sha256(scan), "mask": sha256(mask) if mask else None}


def _is_done(job: Job) -> bool:
    name, scan, mask, out, *_ = job
    record = out / f"{name}.record.json"
    if not (record.is_file() and (out / f"{name}.json.gz").is_file()):
        return False
    if not scan.is_file() or (mask and not mask.is_file()):
        return False
    try:
        return read_json(record) == _record(job)
    except InputError:
        return False


def _extract(job: Job) -> tuple[str, str]:
    """Build and write one graph; return the scan's name and an error message, empty if there is none."""
    name, scan, mask, out, segment, size, settings, _ = job
    try:
        image = read_scan(scan)
        found = read_mask(mask) if mask else segment(image)
        write_graph(out / f"{name}.json.gz", build_graph(to_grid(found, size), image, **settings))
        write_json(out / f"{name}.record.json", _record(job))
    except (GftError, ValueError, OSError, ArithmeticError, MemoryError) as error:
        return name, f"{type(error).__name__}: {error}"
    return name, ""


def _results(jobs: Sequence[Job], workers: int) -> Iterator[tuple[str, str]]:
    if workers <= 1 or len(jobs) <= 1:
        yield from map(_extract, jobs)
        return
    with process_pool(workers) as pool:
        futures = {pool.submit(_extract, job): job[0] for job in jobs}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenExecutor as error:
                yield futures[future], f"its process died (out of memory?): {error}"
