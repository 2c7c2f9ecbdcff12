"""The scan with its heatmap as one picture: what a teacher sees beside the raw scan (GFT, section 2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gftlib.datasets.images import read_scan
from gftlib.jobs import run_jobs
from gftlib.octa.attribution import Attribution
from gftlib.octa.explaining import read_attribution
from gftlib.octa.graph import OctaGraph
from gftlib.octa.graph_io import read_graph
from gftlib.octa.heatmaps import show_nodes
from gftlib.octa.ranking import node_importance
from gftlib.paths import atomic_path

INCHES, DPI = (3.2, 3.6), 120


def overlay(image: np.ndarray, graph: OctaGraph, attribution: Attribution) -> np.ndarray:
    """Return (432, 384, 3) uint8: node importance in colour on the scan, the colour bar below.

    Args:
        image: (h, w) scan, uint8 or floats in [0, 1].
        graph: Its graph.
        attribution: Of this graph.
    """
    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    show_nodes(figure.add_subplot(), image, graph, node_importance(attribution), label="")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_overlays(
    scans: Sequence[tuple[str, Path, Path, Path]], folder: Path | str, workers: int = 1
) -> Mapping[str, Path]:
    """Write the overlay of each scan that has none newer than its attribution.

    Args:
        scans: Name, image, graph and attribution of each.
        folder: Gets ``<name>.png``.
        workers: Processes.
    """
    files = {name: Path(folder) / f"{name}.png" for name, *_ in scans}
    waiting = [
        (*paths, files[name])
        for name, *paths in scans
        if not files[name].is_file() or files[name].stat().st_mtime_ns < paths[-1].stat().st_mtime_ns
    ]
    run_jobs(_write_one, None, waiting, workers)
    return files


def _write_one(_: None, image: Path, graph: Path, attribution: Path, target: Path) -> None:
    picture = overlay(read_scan(image), read_graph(graph), read_attribution(attribution))
    with atomic_path(target) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
