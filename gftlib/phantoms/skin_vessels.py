"""The vascular structures of a dermoscopic lesion: one function for each kind named in Derm7pt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gftlib.phantoms.drawing import Polyline, blobs, scatter, smooth_noise, strokes, walk
from gftlib.phantoms.skin_structures import Lesion, border_point, patch


def vascular_structures(rng: np.random.Generator, lesion: Lesion, label: str, strength: float) -> None:
    """Draw the vessels named by ``label`` and thin the pigment above them, or nothing if it is absent."""
    if label == "absent":
        return
    ink, field = _KINDS[label](rng, lesion)
    lesion.melanin *= 1 - 0.45 * field
    lesion.blood += (0.8 + 0.9 * strength) * ink + 0.12 * field
    lesion.masks["vascular_structures"] = ink > 0.25


Drawn = tuple[np.ndarray, np.ndarray]  # the vessels, and the pale or pink field they lie in


def _pink(rng: np.random.Generator, lesion: Lesion, share: float = 0.7) -> np.ndarray:
    return patch(rng, lesion, share, rng.uniform(0.0, 0.3))


def _arborizing(rng: np.random.Generator, lesion: Lesion) -> Drawn:
    levels: list[list[Polyline]] = [[], [], []]

    def grow(start: np.ndarray, angle: float, length: float, level: int) -> None:
        line = walk(rng, start, angle, length, 0.14)
        levels[level].append(line)
        if level == 2:
            return
        for at in rng.choice(
            np.arange(2, len(line)), min(int(rng.integers(3, 6)), len(line) - 2), replace=False
        ):
            side = rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
            grow(line[at], angle + side, length * rng.uniform(0.4, 0.6), level + 1)

    for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(2, 4))):
        start = border_point(lesion, angle)
        grow(start, angle + np.pi + rng.normal(0, 0.35), lesion.radius * rng.uniform(0.9, 1.4), 0)
    pens = zip(levels, (1.05, 0.75, 0.55), (1.0, 0.75, 0.55), strict=True)
    ink = np.max([weight * strokes(lesion.size, lines, width) for lines, width, weight in pens], axis=0)
    return ink, lesion.inside(0.0)


def _arc(centre: np.ndarray, radius: float, start: float, sweep: float) -> Polyline:
    angles = start + np.linspace(0, sweep, 8)
    return centre + radius * np.column_stack([np.sin(angles), np.cos(angles)])


def _comma(rng: np.random.Generator, lesion: Lesion) -> Drawn:
    centres = scatter(rng, lesion.inside(5.0), int(rng.integers(7, 13)), apart=11.0)
    lines, heads = [], []
    for centre in centres:
        line = _arc(centre, rng.uniform(3.5, 5.0), rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 2.4))
        lines.append(line)
        heads.append(line[0])
    thick = blobs(lesion.size, np.array(heads).reshape(-1, 2), np.full(len(heads), 1.5), edge=0.5)
    return np.maximum(strokes(lesion.size, lines, 1.05), thick), lesion.inside(0.0)


def _hairpin(rng: np.random.Generator, lesion: Lesion) -> Drawn:
    field = _pink(rng, lesion, 0.85)
    centres = scatter(rng, field, int(rng.integers(8, 14)), apart=11.0)
    lines = []
    for centre in centres:
        turn, half, leg = rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 2.1), rng.uniform(6.0, 9.0)
        bow = _arc(np.zeros(2), half, np.pi, -np.pi)
        bow[:, 0] *= -1
        shape = np.concatenate([[[leg, -half]], bow, [[leg * rng.uniform(0.7, 1.1), half]]])
        c, s = np.cos(turn), np.sin(turn)
        lines.append(centre + shape @ np.array([[c, s], [-s, c]]))
    halo = blobs(lesion.size, centres, np.full(len(centres), 5.5), edge=1.2)
    lesion.white = np.maximum(lesion.white, 0.32 * halo)
    return strokes(lesion.size, lines, 0.65), field


def _within_regression(rng: np.random.Generator, lesion: Lesion) -> Drawn:
    scar = lesion.masks.get("regression_structures")
    region = patch(rng, lesion, 0.25, 0.5) if scar is None else scar.astype(np.float32)
    starts = scatter(rng, region, int(rng.integers(7, 12)), apart=5.0)
    lines = [walk(rng, s, rng.uniform(0, 2 * np.pi), rng.uniform(8, 16), 0.45) for s in starts]
    dots = scatter(rng, region, int(rng.integers(6, 14)), apart=4.0)
    fine = np.maximum(
        strokes(lesion.size, lines, 0.6), blobs(lesion.size, dots, np.full(len(dots), 0.9), 0.4)
    )
    return fine * region, 0.6 * region


def _wreath(rng: np.random.Generator, lesion: Lesion) -> Drawn:
    n = int(rng.integers(12, 19))
    angles = np.arange(n) * 2 * np.pi / n + rng.normal(0, 0.1, n)
    lines = []
    for angle in angles:
        start = border_point(lesion, angle)
        length = lesion.radius * rng.uniform(0.35, 0.55)
        lines.append(walk(rng, start, angle + np.pi + rng.normal(0, 0.2), length, 0.16))
    lumps = scatter(rng, lesion.depth > 0.5 * lesion.radius, 9, apart=7.0)
    pale = blobs(lesion.size, lumps, rng.uniform(3.0, 5.0, len(lumps)), edge=1.0)
    lesion.white = np.maximum(lesion.white, 0.45 * pale)
    return strokes(lesion.size, lines, 0.8), lesion.inside(0.0)


def _dotted(rng: np.random.Generator, lesion: Lesion) -> Drawn:
    field = _pink(rng, lesion)
    centres = scatter(rng, field, int(rng.integers(30, 60)), apart=3.6)
    return blobs(lesion.size, centres, rng.uniform(0.9, 1.3, len(centres)), edge=0.4), field


def _linear_irregular(rng: np.random.Generator, lesion: Lesion) -> Drawn:
    field = _pink(rng, lesion)
    starts = scatter(rng, field, int(rng.integers(6, 11)), apart=9.0)
    lines = [walk(rng, s, rng.uniform(0, 2 * np.pi), rng.uniform(14, 34), 0.5) for s in starts]
    cut = np.clip(0.75 + 0.35 * smooth_noise(rng, lesion.size, 14), 0.25, 1.0)
    thick = strokes(lesion.size, lines[::2], 1.15)
    return np.maximum(thick, strokes(lesion.size, lines[1::2], 0.7)) * cut * lesion.inside(-3.0), field


_KINDS: dict[str, Callable[[np.random.Generator, Lesion], Drawn]] = {
    "arborizing": _arborizing,
    "comma": _comma,
    "hairpin": _hairpin,
    "within regression": _within_regression,
    "wreath": _wreath,
    "dotted": _dotted,
    "linear irregular": _linear_irregular,
}
