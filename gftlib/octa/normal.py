"""What healthy training scans look like: the z-scores behind "wider than usual" and the limits of findings.

A sign (`gftlib.octa.signs`) is a finding where it exceeds a limit that few nodes of healthy training scans
exceed: how many is declared in `ALARMS`. At run time the only truth used is which training scans are healthy;
the numbers in `ALARMS` themselves were chosen on 54 phantoms of the training splits with their lesions at
hand, so agreement with the truth has to be measured on other scans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gftlib.errors import InputError
from gftlib.octa.features import FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.signs import FINDING_KINDS, FindingKind, signs, vessel_density

ALARMS: dict[FindingKind, float] = {
    "non-perfusion": 1.0,
    "FAZ enlargement": 0.1,
    "dilated vessels": 1.0,
    "tortuous vessels": 2.0,
    "dense tangle": 2.0,
}
"""Nodes of one healthy scan that exceed each limit, on average. A scan has one FAZ but thousands of vessel
segments, and the two scores that look at a neighbourhood raise several segments at once."""


class HealthyScan(NamedTuple):
    """What one healthy scan adds: (3, F) counts, sums and squares of features, scores, densities."""

    sums: dict[str, np.ndarray]
    scores: dict[FindingKind, np.ndarray]
    density: np.ndarray


def measure(graph: OctaGraph) -> HealthyScan:
    """Measure one healthy graph, so that many can be measured at once."""
    sums = {}
    for kind in FEATURES:
        values = getattr(graph, kind).astype(float)
        values = np.where(np.isfinite(values), values, np.nan)
        sums[kind] = np.array([np.isfinite(values).sum(0), np.nansum(values, 0), np.nansum(values**2, 0)])
    return HealthyScan(sums, signs(graph), vessel_density(graph))


@dataclass(frozen=True)
class HealthyReference:
    """What healthy training scans look like.

    Attributes:
        mean: Node type -> (F,) mean of each feature over all healthy nodes.
        std: Node type -> (F,) standard deviation; 1 where a feature does not vary.
        limits: Finding kind -> score beyond which it is a finding.
        density: (2, 4) mean and standard deviation of the vessel density (mm/mm2) of the four quadrants.
        scans: How many scans these come from.
    """

    mean: dict[str, np.ndarray]
    std: dict[str, np.ndarray]
    limits: dict[FindingKind, float]
    density: np.ndarray
    scans: int

    @classmethod
    def fit(
        cls, graphs: Iterable[OctaGraph], alarms: Mapping[FindingKind, float] = ALARMS
    ) -> HealthyReference:
        """Measure the healthy graphs of the training fold, in one pass.

        Args:
            graphs: Healthy scans only; they may come from a generator.
            alarms: Finding kind -> nodes of one healthy scan that exceed the limit, on average.

        Raises:
            InputError: If there are fewer than two graphs, or a number of alarms is missing or negative.
        """
        return cls.of(map(measure, graphs), alarms)

    @classmethod
    def of(
        cls, measured: Iterable[HealthyScan], alarms: Mapping[FindingKind, float] = ALARMS
    ) -> HealthyReference:
        """Put together what `measure` found in each healthy scan; other arguments and errors as `fit`."""
        if set(alarms) != set(FINDING_KINDS) or min(alarms.values()) < 0:
            raise InputError(f"give a number of alarms >= 0 for each of {FINDING_KINDS}, got {dict(alarms)}")
        sums = {kind: np.zeros((3, len(infos))) for kind, infos in FEATURES.items()}
        scores: dict[FindingKind, list[np.ndarray]] = {kind: [] for kind in FINDING_KINDS}
        densities = []
        for scan in measured:
            for kind, total in sums.items():
                total += scan.sums[kind]
            for kind, score in scan.scores.items():
                scores[kind].append(score)
            densities.append(scan.density)
        if len(densities) < 2:
            raise InputError("a healthy reference needs at least two healthy scans of the training fold")
        mean, std = {}, {}
        for kind, (count, total, squares) in sums.items():
            mean[kind] = total / np.maximum(count, 1)
            spread = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean[kind] ** 2, 0))
            std[kind] = np.where(spread > 1e-6 * np.maximum(np.abs(mean[kind]), 1e-6), spread, 1.0)
        limits = {
            kind: _limit(np.concatenate(values), alarms[kind] * len(densities))
            for kind, values in scores.items()
        }
        density = np.array([np.mean(densities, 0), np.maximum(np.std(densities, 0), 1e-9)])
        return cls(mean, std, limits, density, len(densities))

    def z(self, kind: str, features: np.ndarray) -> np.ndarray:
        """Return the z-scores of (n, F) features of a node type; 0 where a value is not finite."""
        return np.nan_to_num((features - self.mean[kind]) / self.std[kind], nan=0.0, posinf=0.0, neginf=0.0)

    def state(self) -> dict[str, Any]:
        """Return the reference as plain data, for JSON."""
        return {
            "mean": {kind: values.tolist() for kind, values in self.mean.items()},
            "std": {kind: values.tolist() for kind, values in self.std.items()},
            "limits": dict(self.limits),
            "density": self.density.tolist(),
            "scans": self.scans,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> HealthyReference:
        """Restore what `state` gave.

        Raises:
            InputError: If a part is missing or has another shape.
        """
        try:
            mean, std = (
                {kind: np.array(state[part][kind], float) for kind in FEATURES} for part in ("mean", "std")
            )
            limits = {kind: float(state["limits"][kind]) for kind in FINDING_KINDS}
            density, scans = np.array(state["density"], float).reshape(2, 4), int(state["scans"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no healthy reference: {type(error).__name__} {error}") from error
        if any(len(mean[k]) != len(FEATURES[k]) or len(std[k]) != len(FEATURES[k]) for k in FEATURES):
            raise InputError("this healthy reference was made with other features: make it again")
        return cls(mean, std, limits, density, scans)


def _limit(scores: np.ndarray, beyond: float) -> float:
    """Return the score that ``beyond`` of the scores exceed."""
    if len(scores) == 0:
        return 0.0
    rank = min(int(beyond), len(scores) - 1)
    return float(np.partition(scores, -rank - 1)[-rank - 1])
