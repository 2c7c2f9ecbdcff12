"""Import of Voreen's vessel graphs, the vessel part of the graph that GFT builds on (its JSON, one per scan).

Voreen's file holds bifurcation nodes and, per segment, skeleton voxels with distances to the vessel surface.
Its features are computed here by Voreen's own definitions, in three dimensions and in the unit of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.errors import InputError
from gftlib.octa.features import VESSEL_FEATURES
from gftlib.octa.graph_io import read_json_file


@dataclass(frozen=True)
class VoreenGraph:
    """A vessel graph as Voreen measured it.

    Attributes:
        nodes: (k, 3) positions of bifurcations and free ends.
        radius: (k,) their radii.
        ends: (n, 2) int64 end nodes of each segment.
        vessel: (n, 18) float64, the columns ``features.VESSEL_FEATURES``; the four intensity columns are 0.
        vessel_pos: (n, 3) mean of the two end nodes, as in the public code of the graph that GFT builds on.
        paths: (p, 3) skeleton points of all segments, one after another.
        path_offsets: (n + 1,) first point of each segment.
        skipped: Ids of segments without any usable skeleton voxel; they are not in the arrays.
    """

    nodes: np.ndarray
    radius: np.ndarray
    ends: np.ndarray
    vessel: np.ndarray
    vessel_pos: np.ndarray
    paths: np.ndarray
    path_offsets: np.ndarray
    skipped: tuple[int, ...]


def read_voreen(path: Path | str) -> VoreenGraph:
    """Read a vessel graph that Voreen wrote (``.json`` or ``.json.gz``).

    Raises:
        MissingError: If there is no such file.
        InputError: If it does not have Voreen's structure; the message says where.
    """
    try:
        return from_voreen(read_json_file(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_voreen(content: Any) -> VoreenGraph:
    """Return the vessel graph of Voreen's parsed JSON.

    Args:
        content: ``{"graph": {"nodes": [...], "edges": [...]}}``. A node has ``id``, ``pos`` and perhaps
            ``radius``; an edge has ``node1``, ``node2``, perhaps ``id`` and ``distance``, and
            ``skeletonVoxels`` with ``pos``, ``minDistToSurface``, ``maxDistToSurface``,
            ``avgDistToSurface``, ``volume`` and ``nearOtherEdge``.

    Raises:
        InputError: If something needed is missing or ill-typed.
    """
    graph = content.get("graph") if isinstance(content, dict) else None
    if not isinstance(graph, dict) or not all(isinstance(graph.get(key), list) for key in ("nodes", "edges")):
        raise InputError("no Voreen vessel graph: 'graph' with lists 'nodes' and 'edges' is missing")
    ids = {_get(node, "id", f"node {k}"): k for k, node in enumerate(graph["nodes"])}
    nodes = np.array([_point(node, f"node {k}") for k, node in enumerate(graph["nodes"])]).reshape(-1, 3)
    radius = np.array([_number(node.get("radius") or 0.0, "a node's radius") for node in graph["nodes"]])
    ends, rows, points, skipped = [], [], [], []
    for k, edge in enumerate(graph["edges"]):
        where = f"edge {edge.get('id', k) if isinstance(edge, dict) else k}"
        pair = [_get(edge, key, where) for key in ("node1", "node2")]
        unknown = [node for node in pair if node not in ids]
        if unknown:
            raise InputError(f"{where} ends at node {unknown[0]!r}, which is not in the file")
        pair = [ids[node] for node in pair]
        voxels = edge.get("skeletonVoxels") or []
        path = np.array([_point(voxel, where) for voxel in voxels]).reshape(-1, 3)
        row = _features(edge, voxels, np.concatenate([nodes[pair[:1]], path, nodes[pair[1:]]]), where)
        if row is None:
            skipped.append(int(edge.get("id", k)))
            continue
        ends.append(pair)
        rows.append(row)
        points.append(path)
    ends_array = np.array(ends, np.int64).reshape(-1, 2)
    return VoreenGraph(
        nodes=nodes,
        radius=radius,
        ends=ends_array,
        vessel=_with_degrees(np.array(rows).reshape(-1, len(VESSEL_FEATURES)), ends_array, len(nodes)),
        vessel_pos=nodes[ends_array].mean(axis=1),
        paths=np.concatenate([np.zeros((0, 3)), *points]),
        path_offsets=np.concatenate(([0], np.cumsum([len(path) for path in points]))).astype(np.int64),
        skipped=tuple(skipped),
    )


def _features(edge: dict[str, Any], voxels: list[Any], line: np.ndarray, where: str) -> np.ndarray | None:
    """Return the features but for degrees; voxels near another edge do not count for radii, as in Voreen."""
    inner = [voxel for voxel in voxels if not voxel.get("nearOtherEdge", False)]
    names = ("minDistToSurface", "maxDistToSurface", "avgDistToSurface")
    walls = np.array(
        [[_number(_get(voxel, name, where), f"{where}: {name!r}") for name in names] for voxel in inner]
    ).reshape(-1, 3)
    walls = walls[np.isfinite(walls).all(axis=1) & (walls >= 0).all(axis=1) & (walls[:, 1] > 0)]
    if not len(walls):
        return None
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    straight = float(np.linalg.norm(line[-1] - line[0]))
    distance = _number(edge.get("distance", straight), f"{where}: 'distance'")
    volume = sum(_number(voxel.get("volume") or 0.0, f"{where}: 'volume'") for voxel in voxels)
    low, middle, ratio = walls[:, 0], walls[:, 2], walls[:, 0] / walls[:, 1]
    row = np.zeros(len(VESSEL_FEATURES))
    row[:5] = (
        length,
        distance,
        length / distance if distance > 0 else 0,
        volume,
        volume / length if length > 0 else 0,
    )
    row[5:11] = low.mean(), low.std(), middle.mean(), middle.std(), ratio.mean(), ratio.std()
    return row


def _with_degrees(vessel: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
    from gftlib.octa.adjacency import vessel_pairs

    degree = np.bincount(ends.ravel(), minlength=count)
    vessel[:, 11:13] = np.sort(degree[ends], axis=1)
    vessel[:, 17] = np.bincount(vessel_pairs(ends)[0], minlength=len(ends))
    return vessel


def _get(item: Any, key: str, where: str) -> Any:
    if not isinstance(item, dict) or key not in item:
        raise InputError(f"{where} has no {key!r}")
    return item[key]


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} must be a number, found {value!r}")
    return float(value)


def _point(item: Any, where: str) -> list[float]:
    place = _get(item, "pos", where)
    if not isinstance(place, list) or len(place) != 3:
        raise InputError(f"{where}: 'pos' must be three numbers, found {place!r}")
    return [_number(value, f"{where}: 'pos'") for value in place]
