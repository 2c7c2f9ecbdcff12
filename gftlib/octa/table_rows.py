"""The rows of an attribution table: strict, versioned records, and their files (GFT, section 2.4)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import Field, ValidationError

from gftlib.boxes import QUADRANTS
from gftlib.errors import InputError, MissingError
from gftlib.octa.feature_words import FeatureNote
from gftlib.octa.findings import Finding
from gftlib.octa.places import Box, Place, Quadrant, Record
from gftlib.paths import atomic_path

Stage = Literal["healthy", "NPDR", "PDR"]
STAGES: tuple[Stage, ...] = get_args(Stage)
VERSION: Literal["1"] = "1"


class QuadrantRow(Record):
    """Graph level: one quadrant; counts, counts per mm2, and mm of centreline per mm2 with its z-score."""

    nodes: int
    edges: int
    node_density: float
    edge_density: float
    vessel_density: float
    z: float
    words: str


class FazRow(Record):
    """The foveal avascular zone: area in mm2, its z-score, place; area, shape, outline in words."""

    area: float
    z: float
    box: Box
    quadrants: tuple[Quadrant, ...]
    words: tuple[str, ...]


class NodeRow(Record):
    """Node level; importance is in units of the logit."""

    id: str
    kind: Literal["vessel", "ica", "faz"]
    importance: float
    share: float
    place: Place
    features: tuple[FeatureNote, ...]


class EdgeRow(Record):
    """Edge level: both directions of an edge are one row."""

    id: str
    importance: float
    share: float
    pair: tuple[str, str]
    place: Place
    features: tuple[FeatureNote, ...]


class ScanTable(Record):
    """Everything a teacher may know of a scan; strict JSON, versioned."""

    version: Literal["1"] = VERSION
    scan: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    label: Stage | None
    predicted: Stage
    probabilities: dict[Stage, float]
    field_mm: float
    quadrants: dict[Quadrant, QuadrantRow]
    faz: FazRow | None
    nodes: tuple[NodeRow, ...]
    edges: tuple[EdgeRow, ...]
    findings: tuple[Finding, ...]

    def stage(self, source: Literal["true", "predicted"] = "true") -> Stage:
        """Return the stage that a teacher is told: the label (the paper), or the prediction (its code).

        Raises:
            InputError: If the label is asked for and not known.
        """
        if source == "predicted":
            return self.predicted
        if self.label is None:
            raise InputError(f"the table of {self.scan} has no label: use the predicted class")
        return self.label

    def vector(self) -> np.ndarray:
        """Return the (8,) counts of nodes, then edges, in the four quadrants (GFT, section 2.5)."""
        rows = [self.quadrants[name] for name in QUADRANTS]
        return np.array([row.nodes for row in rows] + [row.edges for row in rows], float)


def write_tables(path: Path | str, tables: Iterable[ScanTable]) -> Path:
    """Write tables as JSON lines, all or nothing."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for table in tables:
            stream.write(table.model_dump_json() + "\n")
    return Path(path)


def read_tables(path: Path | str) -> list[ScanTable]:
    """Read what `write_tables` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If a line is no table of this version; the message names it.
    """
    path, tables = Path(path), []
    if not path.is_file():
        raise MissingError(f"no tables {path}")
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                tables.append(ScanTable.model_validate_json(line))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                place_ = ".".join(map(str, first["loc"]))
                raise InputError(f"{path} line {number} is no table: {place_}: {first['msg']}") from None
    return tables
