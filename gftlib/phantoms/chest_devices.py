"""Devices, wires and markers that lie on a phantom chest and say nothing about its findings."""

from __future__ import annotations

import numpy as np

from gftlib.phantoms.chest_anatomy import LEFT, RIGHT, Chest
from gftlib.phantoms.drawing import blobs, ellipse, sigmoid, strokes, walk


def devices(rng: np.random.Generator, chest: Chest, traits: dict[str, str]) -> np.ndarray:
    """Draw at least one of: monitoring wires, a pacemaker, a central line, a side marker.

    Args:
        rng: Source of randomness.
        chest: The chest they lie on.
        traits: Words for the caption; filled in.

    Returns:
        ``(size, size)`` float32 density to add.
    """
    kinds = ("wires", "pacemaker", "line", "marker")
    chosen = rng.permutation(kinds)[: int(rng.integers(1, 3))]
    draw = {"wires": _wires, "pacemaker": _pacemaker, "line": _line, "marker": _marker}
    return sum(draw[kind](rng, chest, traits) for kind in kinds if kind in chosen)


def _wires(rng: np.random.Generator, chest: Chest, traits: dict[str, str]) -> np.ndarray:
    size = chest.size
    lines, pads = [], []
    for _ in range(int(rng.integers(2, 5))):
        start = rng.uniform((0.1, 0.1), (0.9, 0.9)) * size
        line = walk(
            rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.7) * size, 0.12, step=0.02 * size
        )
        lines.append(line)
        pads.append(start)
    traits["wires"] = "monitoring wires"
    rings = blobs(size, np.array(pads), np.full(len(pads), 0.012 * size), 0.5)
    return 0.30 * strokes(size, lines, 0.0032 * size) + 0.3 * rings


def _pacemaker(rng: np.random.Generator, chest: Chest, traits: dict[str, str]) -> np.ndarray:
    build, size = chest.build, chest.size
    side = LEFT if rng.random() < 0.8 else RIGHT
    centre = np.array([build.top + rng.uniform(0.08, 0.14), build.mid + side * rng.uniform(0.24, 0.3)]) * size
    case = sigmoid((1 - ellipse(size, centre, (0.045 * size, 0.04 * size))) / 0.06)
    way = np.array(
        [
            [centre[0], centre[1]],
            [(build.top + 0.06) * size, (build.mid + side * 0.14) * size],
            [(build.top + 0.2) * size, (build.mid - 0.025) * size],
            [(build.dome - 0.12) * size, (build.mid - 0.02) * size],
            [(build.dome - 0.02) * size, (build.mid + rng.uniform(0.05, 0.1)) * size],
        ]
    )
    traits["pacemaker"] = f"a pacemaker on the {'left' if side == LEFT else 'right'}"
    return 0.9 * case + 0.32 * strokes(size, [way], 0.004 * size)


def _line(rng: np.random.Generator, chest: Chest, traits: dict[str, str]) -> np.ndarray:
    build, size = chest.build, chest.size
    way = np.array(
        [
            [build.top - 0.08, build.mid - rng.uniform(0.06, 0.12)],
            [build.top + 0.08, build.mid - 0.05],
            [build.top + rng.uniform(0.26, 0.36), build.mid - 0.028],
        ]
    )
    traits["line"] = "a central line"
    return 0.26 * strokes(size, [way * size], 0.0036 * size)


def _marker(rng: np.random.Generator, chest: Chest, traits: dict[str, str]) -> np.ndarray:
    """Draw the technician's letter R on the patient's right or L on the left, in image coordinates."""
    size = chest.size
    side = RIGHT if rng.random() < 0.7 else LEFT
    letter = "R" if side == RIGHT else "L"
    row, column = rng.uniform(0.04, 0.12), 0.5 + side * rng.uniform(0.38, 0.44)
    shapes = {
        "R": ([[1, 0], [0, 0], [0, 0.5], [0.25, 0.6], [0.5, 0.5], [0.5, 0]], [[0.5, 0.25], [1, 0.6]]),
        "L": ([[0, 0], [1, 0], [1, 0.6]],),
    }
    lines = [np.array([row, column]) * size + 0.055 * size * np.array(shape) for shape in shapes[letter]]
    traits["marker"] = f"a letter {letter} marker"
    return 0.9 * strokes(size, lines, 0.0045 * size)
