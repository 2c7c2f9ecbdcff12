"""A graph on disk, whole and compact: one npz file without pickle, with the key of what it was made from."""

from __future__ import annotations

import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from gftlib.errors import InputError, MissingError
from gftlib.octa.graph import OctaGraph
from gftlib.paths import atomic_path

FORMAT = 1
"""Version of the layout; a file of another version is made anew."""


def write_graph(graph: OctaGraph, path: Path | str, key: str = "") -> Path:
    """Write a graph.

    Args:
        graph: The graph.
        path: File to write, ending in ``.npz``.
        key: Digest of the inputs and settings it was made from.

    Returns:
        The path.
    """
    arrays = {"format": np.array(FORMAT), "key": np.array(key)}
    for field in fields(graph):
        value = getattr(graph, field.name)
        if field.name == "edges":
            arrays |= {"edges " + " ".join(relation): pairs for relation, pairs in value.items()}
        else:
            arrays[field.name] = np.asarray(value)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return Path(path)


def read_graph(path: Path | str) -> OctaGraph:
    """Read a graph that :func:`write_graph` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If the file is damaged or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}: extract the graph first")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays["format"]) != FORMAT:
                raise InputError(
                    f"{path} has format {arrays['format']}, not {FORMAT}: extract the graph again"
                )
            edges = {
                tuple(name.split()[1:]): arrays[name] for name in arrays.files if name.startswith("edges ")
            }
            plain = {f.name: arrays[f.name] for f in fields(OctaGraph) if f.name != "edges"}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({error}): delete it and extract the graph again") from error
    plain["shape"] = tuple(int(side) for side in plain["shape"])
    plain["field_mm"] = float(plain["field_mm"])
    return OctaGraph(**plain, edges=edges)


def key_of(path: Path | str) -> str | None:
    """Return the key a graph was written with; None if there is no usable file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays["key"]) if int(arrays["format"]) == FORMAT else None
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile):
        return None
