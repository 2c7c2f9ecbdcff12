"""Bending straight vessels into curved centrelines by a smooth map of the plane.

The map is one-to-one, so what did not cross before does not cross after.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import map_coordinates

from gftlib.phantoms.octa_config import SIZE

LOW, HIGH = -240.0, SIZE + 240.0


@dataclass(frozen=True)
class Ripple:
    """A windowed sine shear: displacement across ``along``, phase along it (area-preserving, never folds).

    Attributes:
        centre: (2,) row, column.
        reach: Radius of the Gaussian window, pixels.
        along: (2,) unit vector.
        amplitude: Pixels.
        wavelength: Pixels.
    """

    centre: np.ndarray
    reach: float
    along: np.ndarray
    amplitude: float
    wavelength: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the displaced points."""
        offset = points - self.centre
        window = np.exp(-np.sum(offset**2, axis=1) / (0.5 * self.reach**2))
        across = np.array([-self.along[1], self.along[0]])
        wave = np.sin(2 * np.pi * (offset @ self.along) / self.wavelength)
        return points + (self.amplitude * window * wave)[:, None] * across


@dataclass
class Bend:
    """A sum of smooth random displacement fields, then ripples, then a rigid motion.

    Attributes:
        fields: (grid spacing, (2, k, k) displacements) of each random field.
        ripples: Local sine shears.
        angle: Rotation about the image centre, radians.
        shift: (2,) translation, pixels.
    """

    fields: list[tuple[float, np.ndarray]]
    ripples: list[Ripple] = field(default_factory=list)
    angle: float = 0.0
    shift: np.ndarray = field(default_factory=lambda: np.zeros(2))

    @classmethod
    def draw(cls, scales: tuple[tuple[float, float], ...], rng: np.random.Generator) -> Bend:
        """Draw random fields for (wavelength, amplitude) pairs, pixels."""
        fields = []
        for spacing, amplitude in scales:
            count = int(np.ceil((HIGH - LOW) / spacing)) + 2
            # Beyond 2.2 standard deviations neighbouring grid values could fold the plane.
            fields.append((spacing, amplitude * rng.normal(0, 1, (2, count, count)).clip(-1.6, 1.6)))
        return cls(fields)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return where (n, 2) points go."""
        moved = points
        for spacing, grid in self.fields:
            at = ((points - LOW) / spacing).T
            moved = moved + np.stack([map_coordinates(g, at, order=3, mode="nearest") for g in grid], axis=1)
        for ripple in self.ripples:
            moved = ripple(moved)
        centre = (SIZE - 1) / 2
        c, s = np.cos(self.angle), np.sin(self.angle)
        return (moved - centre) @ np.array([[c, s], [-s, c]]) + centre + self.shift
