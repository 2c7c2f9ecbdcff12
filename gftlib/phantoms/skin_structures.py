"""The pigmented structures of a dermoscopic lesion, one function a criterion of the seven-point checklist."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gftlib.phantoms.drawing import blobs, grid, scatter, sigmoid, smooth_noise, strokes, walk


@dataclass
class Lesion:
    """The layers that the structures are painted on; every array is ``(size, size)`` float32.

    Args:
        size: Side in pixels.
        centre: (row, col) of the lesion in pixels.
        radius: Mean radius in pixels.
        depth: Distance below the border in pixels: positive inside, negative outside.
        theta: Polar angle around the centre in radians.
        melanin: Optical density of pigment.
        blood: Optical density of vessels.
        blue: Opacity of the blue-grey layer.
        white: Opacity of the scar-white layer.
        masks: The region each structure was drawn in, by criterion, boolean.
    """

    size: int
    centre: np.ndarray
    radius: float
    depth: np.ndarray
    theta: np.ndarray
    melanin: np.ndarray
    blood: np.ndarray
    blue: np.ndarray
    white: np.ndarray
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    def inside(self, margin: float = 0.0, soft: float = 1.5) -> np.ndarray:
        """Return the soft lesion mask, shrunk by ``margin`` pixels."""
        return sigmoid((self.depth - margin) / soft)


def patch(
    rng: np.random.Generator,
    lesion: Lesion,
    share: float,
    eccentric: float,
    cells: int = 4,
    soft: float = 0.05,
) -> np.ndarray:
    """Return a soft irregular region of the lesion.

    Args:
        rng: Source of randomness.
        lesion: The lesion.
        share: Share of the lesion's area.
        eccentric: Distance from its centre in radii.
        cells: Fineness of its outline.
        soft: Width of its edge in radii.
    """
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = grid(lesion.size)
    centre = lesion.centre + eccentric * lesion.radius * np.array([np.sin(angle), np.cos(angle)])
    closeness = -np.hypot(rows - centre[0], columns - centre[1]) / lesion.radius
    score = (
        closeness + 0.22 * smooth_noise(rng, lesion.size, cells) + 0.08 * smooth_noise(rng, lesion.size, 12)
    )
    limit = np.quantile(score[lesion.depth > 0], 1 - share)
    return sigmoid((score - limit) / soft) * lesion.inside(1.0)


def pigment_network(rng: np.random.Generator, lesion: Lesion, label: str, strength: float) -> None:
    """Draw an even honeycomb of thin lines (typical) or a patchy one of uneven thick lines (atypical)."""
    if label == "absent":
        return
    typical = label == "typical"
    rows, columns = grid(lesion.size)
    bends = ((1.0, 6), (0.7, 16)) if typical else ((3.2, 8), (1.3, 18))
    y = rows + sum(amount * smooth_noise(rng, lesion.size, cells) for amount, cells in bends)
    x = columns + sum(amount * smooth_noise(rng, lesion.size, cells) for amount, cells in bends)
    spacing, turn = rng.uniform(5.2, 6.6) if typical else rng.uniform(6.5, 9.5), rng.uniform(0, np.pi / 3)
    wave = 2 * np.pi / spacing
    holes = sum(
        np.cos(y * float(wave * np.sin(turn + a)) + x * float(wave * np.cos(turn + a)))
        for a in (0.0, np.pi / 3, 2 * np.pi / 3)
    )
    uneven = smooth_noise(rng, lesion.size, 7)
    if typical:
        region = lesion.inside(1.0, 3.0) * (1 - 0.7 * sigmoid((lesion.depth - 0.7 * lesion.radius) / 4))
        lines = sigmoid((-0.3 + 0.12 * uneven - holes) / 0.4)
        lesion.melanin += (0.25 + 0.5 * strength) * lines * region * (1 + 0.25 * uneven)
    else:
        region = patch(rng, lesion, rng.uniform(0.3, 0.65), 0.45)
        lines = sigmoid((0.1 + 0.6 * uneven - holes) / 0.4)
        lesion.melanin += (0.35 + 0.85 * strength) * lines * region
    lesion.masks["pigment_network"] = region > 0.5


def streaks(rng: np.random.Generator, lesion: Lesion, label: str, strength: float) -> None:
    """Draw radial projections at the border: even all around (regular) or in uneven clusters (irregular)."""
    if label == "absent":
        return
    if label == "regular":
        n = int(rng.integers(26, 40))
        angles = np.arange(n) * 2 * np.pi / n + rng.normal(0, 0.03, n) + rng.uniform(0, 1)
        lengths = rng.uniform(0.14, 0.22) * lesion.radius * rng.uniform(0.8, 1.2, n)
    else:
        arcs = rng.uniform(0, 2 * np.pi, int(rng.integers(1, 4)))
        n = int(rng.integers(7, 12)) * len(arcs)
        angles = np.resize(arcs, n) + rng.normal(0, 0.3, n)
        lengths = rng.uniform(0.08, 0.34, n) * lesion.radius
    stems, fingers = [], []
    for angle, length in zip(angles, lengths, strict=True):
        tilt = angle + rng.normal(0, 0.06 if label == "regular" else 0.3)
        way = np.array([np.sin(tilt), np.cos(tilt)])
        foot = border_point(lesion, angle) - 0.5 * length * way
        stems.append(foot + np.array([[0.0], [0.95 * length]]) * way)
        fingers.append(walk(rng, foot, np.arctan2(*way), 1.5 * length, 0.08))
    tips = np.array([finger[-1] for finger in fingers])
    knobs = blobs(lesion.size, tips, rng.uniform(0.5, 1.7 if label == "irregular" else 0.8, len(tips)), 0.6)
    ink = np.max(
        [strokes(lesion.size, stems, 1.5), 0.8 * strokes(lesion.size, fingers, 0.8), 0.7 * knobs], axis=0
    )
    lesion.melanin += (0.4 + 0.8 * strength) * ink
    lesion.masks["streaks"] = ink > 0.3


def border_point(lesion: Lesion, angle: float) -> np.ndarray:
    """Return the (row, col) at which the ray from the centre at ``angle`` leaves the lesion."""
    steps = np.arange(0, 1.6 * lesion.radius, 1.0)
    path = lesion.centre + steps[:, None] * np.array([np.sin(angle), np.cos(angle)])
    cells = np.clip(np.rint(path).astype(int), 0, lesion.size - 1)
    out = np.flatnonzero(lesion.depth[cells[:, 0], cells[:, 1]] < 0)
    return path[out[0] if out.size else -1]


def dots_and_globules(rng: np.random.Generator, lesion: Lesion, label: str, strength: float) -> None:
    """Draw even globules spread evenly (regular) or dark ones of all sizes in clusters (irregular)."""
    if label == "absent":
        return
    if label == "regular":
        rim = rng.random() < 0.35
        weight = lesion.inside(3.0) * (lesion.depth < 0.4 * lesion.radius if rim else 1.0)
        centres = scatter(rng, weight, int(rng.integers(22, 40)), apart=6.0)
        radii = rng.uniform(1.5, 1.9) * rng.uniform(0.9, 1.1, len(centres))
        dark = 0.6 + 0.6 * strength
    else:
        weight = patch(rng, lesion, rng.uniform(0.2, 0.45), 0.55) + 0.12 * lesion.inside(0.0)
        centres = scatter(rng, weight, int(rng.integers(12, 30)), apart=2.5)
        radii = rng.choice([0.9, 1.4, 2.2, 3.1], len(centres), p=[0.35, 0.3, 0.22, 0.13])
        dark = 0.9 + 1.0 * strength
    ink = blobs(lesion.size, centres, radii, edge=0.45)
    lesion.melanin += dark * ink
    lesion.masks["dots_and_globules"] = ink > 0.5


def pigmentation(rng: np.random.Generator, lesion: Lesion, label: str, strength: float) -> None:
    """Draw structureless dark blotches: diffuse or localised, symmetric (regular) or not (irregular)."""
    if label == "absent":
        return
    extent, order = label.split()
    if order == "regular":
        reach = rng.uniform(0.12, 0.25) if extent == "diffuse" else rng.uniform(0.58, 0.7)
        region = lesion.inside(reach * lesion.radius, 3.0 if extent == "diffuse" else 1.5)
    elif extent == "diffuse":
        region = np.maximum(
            patch(rng, lesion, rng.uniform(0.25, 0.4), 0.5), patch(rng, lesion, rng.uniform(0.1, 0.25), 0.6)
        )
    else:
        region = patch(rng, lesion, rng.uniform(0.08, 0.14), rng.uniform(0.5, 0.7), cells=6)
    # A blotch is structureless: it drowns what lies under it as well as darkening it.
    cover = (0.55 + 0.35 * strength) * region
    lesion.melanin = lesion.melanin * (1 - cover) + cover * (1.5 + 1.1 * strength)
    lesion.masks["pigmentation"] = region > 0.5


def blue_whitish_veil(rng: np.random.Generator, lesion: Lesion, label: str, strength: float) -> None:
    """Draw a confluent blue-grey area under a ground-glass film."""
    if label == "absent":
        return
    region = patch(rng, lesion, rng.uniform(0.18, 0.5), rng.uniform(0.1, 0.5))
    film = 0.85 + 0.15 * np.tanh(smooth_noise(rng, lesion.size, 5))
    lesion.blue = np.maximum(lesion.blue, (0.45 + 0.4 * strength) * region * film)
    lesion.masks["blue_whitish_veil"] = region > 0.5


def regression_structures(rng: np.random.Generator, lesion: Lesion, label: str, strength: float) -> None:
    """Draw scar-white areas, blue-grey peppering, or both beside each other."""
    if label == "absent":
        return
    drawn = np.zeros((lesion.size, lesion.size), bool)
    if label in ("white areas", "combinations"):
        region = patch(rng, lesion, rng.uniform(0.14, 0.32), rng.uniform(0.3, 0.65), soft=0.09)
        lesion.melanin *= 1 - 0.85 * region
        lesion.white = np.maximum(lesion.white, (0.35 + 0.4 * strength) * region)
        lesion.masks["scar"] = region > 0.5
        drawn |= region > 0.5
    if label in ("blue areas", "combinations"):
        region = patch(rng, lesion, rng.uniform(0.14, 0.32), rng.uniform(0.3, 0.65), soft=0.09)
        lesion.melanin *= 1 - 0.55 * region
        pepper = blobs(lesion.size, scatter(rng, region, 70, apart=2.0), np.full(70, 0.6), edge=0.35)
        lesion.blue = np.maximum(
            lesion.blue, (0.2 + 0.15 * strength) * region + (0.35 + 0.3 * strength) * pepper
        )
        drawn |= region > 0.5
    lesion.masks["regression_structures"] = drawn
