"""From many scans to many graphs: one file a scan, errors collected, resumed where it stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from gftlib import paths
from gftlib.datasets.images import read_mask, read_scan, to_grid
from gftlib.errors import GftError
from gftlib.octa.graph import OctaGraph, build_graph
from gftlib.octa.graph_files import key_of, read_graph, write_graph
from gftlib.octa.scans import Scan
from gftlib.octa.segmentation import segment_classical

log = logging.getLogger(__name__)


def load(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Read a scan and its vessel mask; without a mask, segment the scan.

    Args:
        scan: The scan.

    Returns:
        The scan, (h, w), and its mask on the working grid, (H, W) bool.
    """
    image = read_scan(scan.image)
    if scan.mask is not None:
        return image, to_grid(read_mask(scan.mask))
    return image, segment_classical(image / 255 if image.dtype == np.uint8 else image)


def extract(
    scans: Sequence[Scan],
    folder: Path | str,
    field_mm: float = 3.0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Write the graph of every scan that has none yet, as ``<name>.npz``.

    A scan that cannot be used does not stop the others: what is wrong with it is returned, and kept in
    ``errors.json`` beside the graphs. A graph is made anew if its scan, mask or field changed.

    Args:
        scans: The scans.
        folder: Where the graphs go.
        field_mm: Width of the scanned field, mm.
        workers: Processes at work at once; 1 stays in this process.
        progress: Called with (done, total) after each scan.

    Returns:
        The error message of each scan that failed, by name.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    errors: dict[str, str] = {}
    for done, (name, error) in enumerate(_results(scans, folder, field_mm, workers), start=1):
        if error:
            errors[name] = error
            log.warning("%s: %s", name, error)
        log.info("graph %d of %d", done, len(scans))
        if progress:
            progress(done, len(scans))
    paths.write_json(folder / "errors.json", errors)
    return errors


def extracted(scans: Sequence[Scan], folder: Path | str) -> Iterator[tuple[Scan, OctaGraph]]:
    """Read back the graphs of those scans that have one, in order."""
    for scan in scans:
        path = Path(folder) / f"{scan.name}.npz"
        if path.is_file():
            yield scan, read_graph(path)


def _results(
    scans: Sequence[Scan], folder: Path, field_mm: float, workers: int
) -> Iterator[tuple[str, str | None]]:
    """Yield the name of each scan with what went wrong, as they are done."""
    if workers == 1:
        for scan in scans:
            yield scan.name, _build(scan, folder, field_mm)
        return
    # Spawned, not forked: a fork beside running threads can hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_build, scan, folder, field_mm): scan.name for scan in scans}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def _build(scan: Scan, folder: Path, field_mm: float) -> str | None:
    """Make and write one graph unless it is there; return what went wrong, if anything did."""
    path = folder / f"{scan.name}.npz"
    try:
        mask_key = paths.sha256(scan.mask) if scan.mask is not None else "classical"
        key = paths.sha256(f"{paths.sha256(scan.image)} {mask_key} {field_mm}".encode())
        if key_of(path) != key:
            image, mask = load(scan)
            write_graph(build_graph(mask, image, field_mm=field_mm), path, key)
    except GftError as error:
        path.unlink(missing_ok=True)  # a graph of an earlier, usable version of the scan would be believed
        return str(error)
    return None
