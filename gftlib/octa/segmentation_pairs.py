"""Scans with exact vessel labels to train the segmentation network on, drawn from phantoms alone.

What makes a network that has only seen phantoms useful on scans of real devices is that the training scans
vary far more than the phantoms do (domain randomisation): beds at several magnifications laid over each
other, calibre, brightness, missing vessels, and the whole range of looks round the generator's two devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gftlib.phantoms.kernels import draw_light, draw_mask
from gftlib.phantoms.octa import OctaPhantom
from gftlib.phantoms.octa_config import SCAN_SIZE, SIZE, Anatomy, Look
from gftlib.phantoms.octa_rendering import render
from gftlib.phantoms.planar import CAPILLARY, TUFT
from gftlib.phantoms.strokes import SOFT_WALL
from gftlib.phantoms.truth import VesselGraph

LOOKS = {
    "psf": (0.3, 1.0),
    "speckle": (0.10, 0.55),
    "grain": (0.30, 0.80),
    "haze": (0.02, 0.16),
    "texture": (0.02, 0.30),
    "projection": (0.0, 0.20),
    "floor": (0.01, 0.08),
    "contrast": (0.5, 1.6),
    "gamma": (0.7, 1.5),
    "vignette": (0.0, 0.5),
    "line_jitter": (0.0, 0.08),
    "motion_rate": (0.0, 3.0),
    "shadow_rate": (0.0, 1.0),
}
"""Range of each setting of :class:`gftlib.phantoms.octa_config.Look`; device "a" lies inside, device
"b" but for its contrast, which :data:`UNRESOLVED` reaches."""

UNRESOLVED = {"texture": (0.10, 0.35), "speckle": (0.25, 0.60), "grain": (0.30, 0.60), "contrast": (0.8, 2.0)}
"""What differs from :data:`LOOKS` where capillaries are too noisy to be traced, and not labelled."""

UNTRACED = 0.35
"""How often that is so: a fine bed shines through, but the label holds the other vessels only."""

LAYERS = (0.55, 0.35, 0.10)
"""How often a scan shows one, two or three beds over each other: deep slabs are projections of several."""

ZOOM = ((0.8, 1.3), (0.35, 1.0), (0.35, 0.6))
"""Range of the magnification of the first, second and third bed."""

FINE_ALONE = 0.25
"""How often the first bed is as fine as the second: then no vessel is as wide as a phantom's."""

MARGIN = 40
"""How far outside the field pieces are still drawn, mask pixels."""

CAPILLARY_RADIUS = Anatomy().capillary_radius
"""The radius that brightness is relative to, mask pixels."""


@dataclass(frozen=True)
class Layer:
    """One bed as it is drawn.

    Attributes:
        pieces: (p, 6) straight strokes as for :func:`gftlib.phantoms.kernels.draw_mask`.
        light: (p,) float32 brightness of each.
        large: (p,) whether it belongs to an arteriole, a venule or a shunt.
    """

    pieces: np.ndarray
    light: np.ndarray
    large: np.ndarray

    def part(self, chosen: np.ndarray) -> Layer:
        """Return the layer of the chosen (p,) pieces only."""
        return Layer(self.pieces[chosen], self.light[chosen], self.large[chosen])


@dataclass(frozen=True)
class Hole:
    """A disc without vessels, as the FAZ is: centre (row, column) and radius, mask pixels."""

    centre: np.ndarray
    radius: float

    def leaves(self, points: np.ndarray) -> np.ndarray:
        """Return which of the (k, 2) points lie outside."""
        return np.linalg.norm(points - self.centre, axis=1) > self.radius


class Canvas:
    """What layers are drawn on, each array (1216, 1216): label, mask of larger vessels, brightness."""

    def __init__(self) -> None:
        """Start with nothing drawn."""
        self.label, self.large = (np.zeros((SIZE, SIZE), np.uint8) for _ in range(2))
        self.light = np.zeros((SIZE, SIZE), np.float32)

    def draw(self, layer: Layer, light: np.ndarray) -> None:
        """Draw a layer with a brightness (p,) for each of its pieces."""
        axis = np.arange(float(SIZE))
        draw_mask(layer.pieces, axis, self.label)
        draw_mask(layer.pieces[layer.large], axis, self.large)
        draw_light(layer.pieces, axis, light, SOFT_WALL, self.light)


def random_look(rng: np.random.Generator, untraced: bool = False) -> Look:
    """Draw a device from :data:`LOOKS`, every setting on its own; with :data:`UNRESOLVED` if ``untraced``."""
    ranges = LOOKS | UNRESOLVED if untraced else LOOKS
    return Look(**{name: float(rng.uniform(*limits)) for name, limits in ranges.items()})


def draw_pair(graphs: Sequence[VesselGraph], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one training scan.

    Args:
        graphs: Vessel graphs of phantoms to choose beds from.
        rng: Random generator of this scan.

    Returns:
        (304, 304) uint8 scan and its (2, 1216, 1216) bool labels: vessels, and the larger ones among them.
    """
    canvas, untraced = Canvas(), rng.random() < UNTRACED
    count = 1 if untraced else 1 + int(rng.choice(len(LAYERS), p=LAYERS))
    first = 1 if not untraced and rng.random() < FINE_ALONE else 0
    hole = Hole(rng.uniform(0.2, 0.8, 2) * SIZE, rng.uniform(80, 220))
    for k in range(count):
        most = 0.3 if untraced else 0.8 if k else None
        bed = _layer(graphs, ZOOM[max(first, k)], most, hole if untraced or count > 1 else None, rng)
        gain = np.float32(1.4 if untraced else 1.0)
        canvas.draw(bed, np.minimum(gain * bed.light, np.float32(0.95)))
    truth = np.stack([canvas.label, canvas.large]) > 0
    if untraced:
        bed = _layer(graphs, ZOOM[-1], None, hole, rng)
        bed = bed.part(~bed.large)
        canvas.draw(bed, np.float32(rng.uniform(0.7, 1.4)) * bed.light)
    look = random_look(rng, untraced)
    return render(canvas.light, canvas.label, canvas.large, look, rng), truth


def larger_vessels(graph: VesselGraph) -> np.ndarray:
    """Return the (1216, 1216) bool mask of a phantom's arterioles, venules and shunts."""
    canvas, owner = Canvas(), np.repeat(np.arange(len(graph.ends)), np.diff(graph.offsets))
    large = ~np.isin(graph.kind, (CAPILLARY, TUFT))
    a = np.flatnonzero((owner[1:] == owner[:-1]) & large[owner[:-1]])
    layer = Layer(_pieces(graph.points, graph.radius, a), np.ones(len(a), np.float32), np.ones(len(a), bool))
    canvas.draw(layer, layer.light)
    return canvas.large > 0


def _pieces(points: np.ndarray, radius: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the (p, 6) strokes from the points of these numbers to the next ones."""
    step, change = points[first + 1] - points[first], radius[first + 1] - radius[first]
    return np.column_stack([points[first], step, radius[first], change])


def _layer(
    graphs: Sequence[VesselGraph],
    zoom: tuple[float, float],
    most: float | None,
    hole: Hole | None,
    rng: np.random.Generator,
) -> Layer:
    """Turn, magnify and thin out a bed.

    Args:
        graphs: To choose from.
        zoom: Range of its magnification.
        most: Largest share of its capillaries that are drawn; None leaves the choice wide.
        hole: Stays free of vessels.
        rng: Random generator of this scan.
    """
    graph = graphs[rng.integers(len(graphs))]
    owner = np.repeat(np.arange(len(graph.ends)), np.diff(graph.offsets))
    scale = rng.uniform(*zoom)
    tiles = _tiled(graph.points, scale, rng)
    radius = scale * rng.uniform(0.75, 1.2) * graph.radius
    drawn = (owner[1:] == owner[:-1]) & _kept(graph, most, rng)[owner[:-1]]
    light = _light(graph, rng).astype(np.float32)
    large = ~np.isin(graph.kind, (CAPILLARY, TUFT))
    parts = []
    for points in tiles:
        near = (np.abs(points - SIZE / 2) < SIZE / 2 + MARGIN).all(axis=1)
        if hole is not None:
            near &= hole.leaves(points)
        a = np.flatnonzero(drawn & near[1:] & near[:-1])
        parts.append((_pieces(points, radius, a), light[owner[a]], large[owner[a]]))
    return Layer(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _tiled(points: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Return copies of a bed, mirrored at its frame until they fill the field at any angle: (c, k, 2)."""
    far = int(np.ceil((SIZE * 0.72 / scale - SIZE / 2) / SIZE))
    tiles = [(i, j) for i in range(-far, far + 1) for j in range(-far, far + 1)]
    mirrored = {0: points, 1: SIZE - 1 - points}
    placed = np.stack(
        [np.stack([mirrored[i % 2][:, 0] + i * SIZE, mirrored[j % 2][:, 1] + j * SIZE], 1) for i, j in tiles]
    )
    angle, flip = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (placed - SIZE / 2) @ (turn * [1.0, flip]) + SIZE / 2


def _kept(graph: VesselGraph, most: float | None, rng: np.random.Generator) -> np.ndarray:
    """Return which (E,) segments are drawn: part of the capillaries, at most ``most`` of them if given."""
    share = rng.uniform(0.0, most) if most else 1.0 if rng.random() < 0.5 else rng.uniform(0.25, 1.0)
    return (graph.kind != CAPILLARY) | (rng.random(len(graph.ends)) < share)


def _light(graph: VesselGraph, rng: np.random.Generator) -> np.ndarray:
    """Return the (E,) brightness of each segment: it grows with calibre by a random power, and scatters."""
    radius = np.add.reduceat(graph.radius, graph.offsets[:-1]) / np.diff(graph.offsets)
    calibre = radius / CAPILLARY_RADIUS
    level = rng.uniform(0.18, 0.45) * calibre ** rng.uniform(0.4, 1.2)
    scatter = np.where(graph.kind == CAPILLARY, rng.uniform(0.1, 0.4), rng.uniform(0.03, 0.12))
    return np.clip(level * np.exp(rng.normal(0, scatter)), 0.08, 0.95)


def draw_pairs(phantoms: Sequence[OctaPhantom], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a set of training scans: the phantoms as they are, then scans drawn from their beds.

    Args:
        phantoms: To begin with.
        count: Number of scans drawn from their beds.
        seed: The same seed and phantoms give the same bytes.

    Returns:
        (n, 304, 304) uint8 scans and (n, 2, 1216, 152) uint8 labels (vessels, larger vessels), eight pixels
        of a row to a byte.
    """
    total, graphs = len(phantoms) + count, [phantom.graph for phantom in phantoms]
    scans = np.empty((total, SCAN_SIZE, SCAN_SIZE), np.uint8)
    labels = np.empty((total, 2, SIZE, SIZE // 8), np.uint8)
    for k in range(total):
        if k < len(phantoms):
            large = larger_vessels(graphs[k]) & phantoms[k].label
            scans[k], label = phantoms[k].image, np.stack([phantoms[k].label, large])
        else:
            scans[k], label = draw_pair(graphs, np.random.default_rng([seed, k - len(phantoms)]))
        labels[k] = np.packbits(label, axis=2)
    return scans, labels
