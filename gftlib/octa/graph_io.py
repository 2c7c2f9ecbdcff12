"""The graph on disk: one self-contained JSON file, or a folder of CSV tables."""

from __future__ import annotations

import base64
import csv
import gzip
import json
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.errors import InputError, MissingError
from gftlib.octa.adjacency import EDGE_TYPES
from gftlib.octa.features import FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.paths import atomic_path

FORMAT, VERSION = "gftlib-octa-graph", 1

_TYPES = {
    "vessel": np.float32,
    "vessel_pos": np.float32,
    "paths": np.int32,
    "path_offsets": np.int64,
    "junctions": np.float32,
    "ends": np.int64,
    "ica": np.float32,
    "ica_pos": np.float32,
    "faz": np.float32,
    "faz_pos": np.float32,
}
_WIDTH = {"vessel": 18, "ica": 17, "faz": 17, "path_offsets": 0}


def to_json(graph: OctaGraph) -> dict[str, Any]:
    """Return the graph as lists and strings; region labels are packed (int32, row by row, zlib, base64)."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "shape": list(graph.shape),
        "field_mm": graph.field_mm,
        "features": {kind: [[info.name, info.unit] for info in infos] for kind, infos in FEATURES.items()},
        "edges": {"|".join(relation): pairs.tolist() for relation, pairs in graph.edges.items()},
        "labels": base64.b64encode(zlib.compress(graph.labels.astype("<i4").tobytes(), 6)).decode("ascii"),
    }
    return content | {name: getattr(graph, name).tolist() for name in _TYPES}


def from_json(content: Any) -> OctaGraph:
    """Return the graph of what ``to_json`` made.

    Raises:
        InputError: If the content is of another format or version, or damaged.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"this is no {FORMAT} file")
    if content.get("version") != VERSION:
        raise InputError(f"{FORMAT} version {content.get('version')!r}: this library reads version {VERSION}")
    try:
        shape = tuple(int(side) for side in content["shape"])
        packed = zlib.decompress(base64.b64decode(content["labels"]))
        labels = np.frombuffer(packed, "<i4").reshape(shape).astype(np.int32)
        arrays = {}
        for name, dtype in _TYPES.items():
            array, width = np.array(content[name], dtype=dtype), _WIDTH.get(name, 2)
            arrays[name] = array.reshape(-1, width) if width else array
        edges = {
            relation: np.array(content["edges"]["|".join(relation)], np.int64).reshape(2, -1)
            for relation in EDGE_TYPES
        }
        field_mm = float(content["field_mm"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise InputError(f"damaged {FORMAT} file: {type(error).__name__}: {error}") from error
    return OctaGraph(shape=shape, field_mm=field_mm, labels=labels, edges=edges, **arrays)


def write_graph(path: Path | str, graph: OctaGraph) -> Path:
    """Write a graph as JSON, compressed if the name ends in ``.gz``; the same graph gives the same bytes."""
    path = Path(path)
    text = json.dumps(to_json(graph), separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(text, 6, mtime=0) if path.suffix == ".gz" else text)
    return path


def read_graph(path: Path | str) -> OctaGraph:
    """Read a graph that ``write_graph`` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is no such graph; the message names the file.
    """
    try:
        return from_json(read_json_file(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_json_file(path: Path | str) -> Any:
    """Read JSON from a file, compressed or not.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is not valid JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    try:
        raw = path.read_bytes()
        return json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"not valid JSON: {error}") from error


def write_csv(folder: Path | str, graph: OctaGraph) -> list[Path]:
    """Write one table per node type, one per relation with edges, and the end nodes of vessels.

    Node tables have the columns ``id, row, col``, (vessels:) ``node1, node2``, then the features with units,
    such as ``length [mm]``. ``nodes.csv`` holds the end nodes. Edge tables have ``source, target``.

    Returns:
        The files.
    """
    folder = Path(folder)
    written = []
    for kind, infos in FEATURES.items():
        extra = (
            [("node1", "node2"), graph.ends.tolist()]
            if kind == "vessel"
            else [(), [[]] * len(getattr(graph, kind))]
        )
        head = ["id", "row", "col", *extra[0], *(f"{info.name} [{info.unit}]" for info in infos)]
        place, table = getattr(graph, f"{kind}_pos").tolist(), getattr(graph, kind).tolist()
        rows = [[k, *place[k], *extra[1][k], *table[k]] for k in range(len(table))]
        written.append(_table(folder / f"{kind}.csv", head, rows))
    nodes = [[k, *xy] for k, xy in enumerate(graph.junctions.tolist())]
    written.append(_table(folder / "nodes.csv", ["id", "row", "col"], nodes))
    for (source, relation, target), pairs in graph.edges.items():
        if not relation.startswith("rev_"):
            name = f"{source}_{relation}_{target}.csv"
            written.append(_table(folder / name, ["source", "target"], pairs.T.tolist()))
    return written


def read_csv(path: Path | str) -> tuple[list[str], np.ndarray]:
    """Return the column names and the numbers of one table that ``write_csv`` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If a row does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    with open(path, newline="", encoding="utf-8") as stream:
        head, *rows = list(csv.reader(stream))
    try:
        return head, np.array([[float(cell) for cell in row] for row in rows], float).reshape(
            len(rows), len(head)
        )
    except ValueError as error:
        raise InputError(f"{path} is no table of numbers: {error}") from error


def _table(path: Path, head: list[str], rows: list[list[float]]) -> Path:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
    return path


def same(one: OctaGraph, two: OctaGraph) -> bool:
    """Return whether two graphs are equal in every array."""
    plain = [field.name for field in fields(OctaGraph) if field.name != "edges"]
    alike = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in plain)
    return alike and all(np.array_equal(one.edges[relation], two.edges[relation]) for relation in EDGE_TYPES)
