"""Cases with similar graphs as context for large hosted models (GFT, section 2.5).

A scan's vector holds the numbers of nodes and of edges in its four quadrants; the three training cases
nearest to it in the Euclidean sense come into the prompt with their images and labels. Declared here, because
it is published nowhere: counts are taken as they are (the paper only says Euclidean), so that the larger
numbers weigh more; the same rule holds for training records and at inference; and a case is never of the
subject that is asked about, which no test scan could have either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from gftlib.boxes import QUADRANTS
from gftlib.endpoint.messages import Part
from gftlib.errors import InputError
from gftlib.octa.table_rows import STAGES, ScanTable, Stage

Scaling = Literal["raw", "zscore"]
Measure = Literal["count", "density"]
CASES = 3
"""Cases for one scan (GFT, section 2.5)."""


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan that cases are looked for, or that may become a case.

    Attributes:
        table: Its table.
        subject: Whose it is.
        image: The raw scan.
    """

    table: ScanTable
    subject: str
    image: Path


@dataclass(frozen=True)
class Case:
    """A training case, as it goes into a prompt.

    Attributes:
        scan: Its name.
        stage: Its label.
        image: The raw scan.
        distance: To the scan that is asked about.
    """

    scan: str
    stage: Stage
    image: Path
    distance: float


class CasePool:
    """The training cases that may be retrieved."""

    def __init__(
        self,
        scans: Sequence[Scan],
        training: Collection[str],
        scaling: Scaling = "raw",
        measure: Measure = "count",
    ) -> None:
        """Take the cases.

        Args:
            scans: Training scans with labels.
            training: The subjects who are declared for training; no scan may be of another one.
            scaling: ``raw``, or each of the eight numbers as a z-score over the pool.
            measure: ``count``, or counts per mm2, which scans of several field sizes need.

        Raises:
            InputError: If a scan's subject is not declared for training, two scans share a name, a label is
                missing, there is no scan, or ``scaling`` or ``measure`` is unknown.
        """
        if scaling not in ("raw", "zscore") or measure not in ("count", "density"):
            raise InputError(
                f"scaling {scaling!r} must be raw or zscore, measure {measure!r} count or density"
            )
        if not scans:
            raise InputError("a pool of cases needs at least one training scan")
        for scan in scans:
            if scan.subject not in training:
                raise InputError(
                    f"scan {scan.table.scan} cannot be a case: subject {scan.subject} is not declared for "
                    "training, and test scans must never be retrieved"
                )
        self._scans = sorted(scans, key=lambda scan: scan.table.scan)
        self._names = np.array([scan.table.scan for scan in self._scans])
        if len(np.unique(self._names)) < len(self._names):
            raise InputError("two scans of the pool share a name")
        self._stages = [scan.table.stage("true") for scan in self._scans]
        self._subjects = np.array([scan.subject for scan in self._scans])
        self._images = np.array([str(scan.image.resolve()) for scan in self._scans])
        self._measure = measure
        vectors = self._vectors(self._scans)
        self._shift, self._scale = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
        if scaling == "zscore":
            spread = vectors.std(0)
            self._shift, self._scale = vectors.mean(0), np.where(spread > 0, spread, 1.0)
        self._known = (vectors - self._shift) / self._scale

    def nearest(self, scans: Sequence[Scan], count: int = CASES) -> list[tuple[Case, ...]]:
        """Return the nearest cases of each scan, of other subjects; among equals the first by name.

        Args:
            scans: Training or test scans; labels are not looked at.
            count: Cases for each.

        Raises:
            InputError: If ``count`` is not positive or fewer cases are left for a scan.
        """
        if count < 1:
            raise InputError(f"count is {count}: at least one case must be asked for")
        if not scans:
            return []
        away = cdist((self._vectors(scans) - self._shift) / self._scale, self._known)
        away[self._barred(scans)] = np.inf
        order = np.argsort(away, axis=1, kind="stable")[:, :count]
        found = np.take_along_axis(away, order, axis=1)
        if order.shape[1] < count or np.isinf(found).any():
            short = 0 if order.shape[1] < count else int(np.isinf(found).any(1).argmax())
            raise InputError(f"fewer than {count} training cases are left for scan {scans[short].table.scan}")
        return [
            tuple(self._case(int(i), float(d)) for i, d in zip(*row, strict=True))
            for row in zip(order, found, strict=True)
        ]

    def _barred(self, scans: Sequence[Scan]) -> NDArray[np.bool_]:
        """Return (n, pool) whether a case must not be shown with a scan."""
        names = np.array([scan.table.scan for scan in scans])[:, None] == self._names
        images = np.array([str(scan.image.resolve()) for scan in scans])[:, None] == self._images
        subjects = np.array([scan.subject for scan in scans])[:, None] == self._subjects
        return names | images | subjects

    def _vectors(self, scans: Sequence[Scan]) -> NDArray[np.float64]:
        if self._measure == "count":
            return np.array([scan.table.vector() for scan in scans])
        rows = [[scan.table.quadrants[name] for name in QUADRANTS] for scan in scans]
        return np.array([[r.node_density for r in row] + [r.edge_density for r in row] for row in rows])

    def _case(self, index: int, distance: float) -> Case:
        return Case(str(self._names[index]), self._stages[index], self._scans[index].image, distance)


def case_parts(cases: Sequence[Case]) -> tuple[Part, ...]:
    """Return what stands before a scan in a prompt: each case with its stage and image, then what follows.

    Names of cases stay out: they may tell whose scans they are.
    """
    if not cases:
        return ()
    parts: list[Part] = [
        f"Known cases with a similar vascular network, each with its stage ({', '.join(STAGES)}):"
    ]
    for number, case in enumerate(cases, start=1):
        parts += [f"Case {number}, stage {case.stage}:", case.image]
    return (*parts, "The scan to assess:")
