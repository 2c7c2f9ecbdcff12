"""How like real scans the phantoms are: one row of plain figures a label, and median [quartiles] a set.

The same extraction (``gftlib.octa.graph``) is run on every label, drawn or real, so that the figures compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from gftlib.errors import InputError, MissingError
from gftlib.octa.features import FAZ_FEATURES, ICA_FEATURES, VESSEL_FEATURES
from gftlib.octa.graph import OctaGraph, build_graph
from gftlib.octa.pruning import MIN_SPUR_PX

QUANTITIES = {
    "vessel_density": "share of the image covered by vessels",
    "segments": "vessel segments a scan",
    "bifurcations": "nodes where three or more segments meet",
    "dead_ends": "nodes where one segment ends",
    "length_mm": "total centreline length, mm",
    "segment_length_um": "median segment length, micrometres",
    "calibre_um": "median vessel diameter along the centrelines, micrometres",
    "calibre_95_um": "its 95th percentile",
    "areas": "intercapillary areas a scan",
    "area_um2": "median intercapillary area, square micrometres",
    "faz_mm2": "area of the foveal avascular zone, square millimetres",
}
"""What is compared, in words."""


def describe_label(
    mask: np.ndarray, field_mm: float = 3.0, min_spur_px: float = MIN_SPUR_PX
) -> dict[str, float]:
    """Return the figures of :data:`QUANTITIES` for one vessel label.

    Args:
        mask: (H, W) vessel mask.
        field_mm: Width of the image in mm.
        min_spur_px: Margin of the spur rule.

    Returns:
        One row; NaN where there is nothing to measure.
    """
    graph = build_graph(mask, field_mm=field_mm, min_spur_px=min_spur_px)
    return describe_graph(graph, float(np.mean(np.asarray(mask) > 0)))


def describe_graph(graph: OctaGraph, vessel_density: float) -> dict[str, float]:
    """Return the figures of :data:`QUANTITIES` for a graph that is already there.

    Args:
        graph: The graph.
        vessel_density: Share of the image covered by vessels.

    Returns:
        One row; NaN where there is nothing to measure.
    """
    vessel = pd.DataFrame(graph.vessel, columns=list(VESSEL_FEATURES))
    ica = pd.DataFrame(graph.ica, columns=list(ICA_FEATURES))
    faz = pd.DataFrame(graph.faz, columns=list(FAZ_FEATURES))
    degree = graph.junction_degree()
    calibre = weighted_quantiles(2e3 * vessel["avgRadiusAvg"], vessel["length"], (0.5, 0.95))
    return {
        "vessel_density": vessel_density,
        "segments": float(len(vessel)),
        "bifurcations": float(np.sum(degree >= 3)),
        "dead_ends": float(np.sum(degree == 1)),
        "length_mm": float(vessel["length"].sum()),
        "segment_length_um": float(1e3 * vessel["length"].median()),
        "calibre_um": float(calibre[0]),
        "calibre_95_um": float(calibre[1]),
        "areas": float(len(ica)),
        "area_um2": float(1e6 * ica["area"].median()),
        "faz_mm2": float(faz["area"].iloc[0]) if len(faz) else float("nan"),
    }


def weighted_quantiles(
    values: Iterable[float], weights: Iterable[float], at: tuple[float, ...]
) -> np.ndarray:
    """Return quantiles of values that count by weight; NaN if there are none."""
    values, weights = np.asarray(values, dtype=float), np.asarray(weights, dtype=float)
    if not len(values) or weights.sum() <= 0:
        return np.full(len(at), np.nan)
    order = np.argsort(values)
    share = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    return np.interp(at, share, values[order])


def quartiles(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarise rows of several sets.

    Args:
        rows: A column ``set`` and the columns of :data:`QUANTITIES`; one row a scan.

    Returns:
        A row for each quantity, a column for each set: ``median [first, third quartile]``.

    Raises:
        InputError: If there is no row.
    """
    if rows.empty:
        raise InputError("there is no scan to compare; give at least one")
    table = {}
    for name, group in rows.groupby("set", sort=False):
        cells = group[list(QUANTITIES)].quantile([0.25, 0.5, 0.75]).T
        table[f"{name} (n = {len(group)})"] = [
            f"{q2:.3g} [{q1:.3g}, {q3:.3g}]" for q1, q2, q3 in cells.to_numpy()
        ]
    return pd.DataFrame(table, index=list(QUANTITIES.values()))


def _median(q1: float, q2: float, q3: float) -> str:
    q1, q2, q3 = (f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in (q1, q2, q3))
    return f"{q2} [{q1}, {q3}]"


def describe_vessel_csv(path: Path | str, field_mm: float = 3.0) -> dict[str, float]:
    """Return length and calibre of an exact vessel graph (columns node1, node2, radius; unit cube).

    Args:
        path: CSV file; a node is written ``[x y z]``.
        field_mm: Side of the unit cube in mm.

    Returns:
        length_mm, calibre_um, calibre_95_um, bifurcations, dead_ends, in the sense of :data:`QUANTITIES`.

    Raises:
        MissingError: If there is no such file.
        InputError: If its columns are others.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    table = pd.read_csv(path)
    if list(table.columns) != ["node1", "node2", "radius"]:
        raise InputError(f"{path} has columns {list(table.columns)}, not node1, node2, radius")
    a, b = (
        np.array([text.strip("[]").split() for text in table[c]], dtype=float) for c in ("node1", "node2")
    )
    length = np.linalg.norm((b - a)[:, :2], axis=1)
    calibre = weighted_quantiles(2e3 * field_mm * table["radius"], length, (0.5, 0.95))
    degree = pd.concat([table["node1"], table["node2"]]).value_counts()
    return {
        "length_mm": float(field_mm * length.sum()),
        "calibre_um": float(calibre[0]),
        "calibre_95_um": float(calibre[1]),
        "bifurcations": float(np.sum(degree >= 3)),
        "dead_ends": float(np.sum(degree == 1)),
    }
