"""The frontal chest of a phantom radiograph: lungs, heart, diaphragm, skeleton and vessels.

Everything is drawn in unit coordinates of a body that may be turned in the image: x from the image's left,
which is the patient's right, to its right; y downwards. A side is -1 for the patient's right lung and +1
for the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gftlib.phantoms.drawing import Polyline, grid, sigmoid, smooth_noise, strokes, walk

RIGHT, LEFT = -1, 1


@dataclass(frozen=True)
class Build:
    """The measures of one patient, in units of the image's side.

    Args:
        mid: x of the midline.
        half: Half width of the rib cage.
        top: y of the lung apices.
        dome: y of the top of the right diaphragm; the left lies ``step`` lower.
        step: Difference of the two domes.
        sulcus: How far the costophrenic angles reach below the domes.
        ratio: Cardiothoracic ratio: width of the heart over that of the rib cage.
        shift: Shift of the mediastinum against the cage: the patient's own rotation.
        tilt: Rotation of the body in the image in radians.
        girth: Soft tissue, about 0 (slim) to 1 (large).
    """

    mid: float
    half: float
    top: float
    dome: float
    step: float
    sulcus: float
    ratio: float
    shift: float
    tilt: float
    girth: float


@dataclass
class Chest:
    """The drawn layers; every array is ``(size, size)`` float32.

    Args:
        build: The patient's measures.
        x: Body x of every pixel.
        y: Body y of every pixel.
        domes: y of the diaphragm at each pixel's x, by side.
        lungs: Soft mask of each lung, by side.
        heart: Soft mask of the heart.
        density: Attenuation, 0 for air.
    """

    build: Build
    x: np.ndarray
    y: np.ndarray
    domes: dict[int, np.ndarray]
    lungs: dict[int, np.ndarray]
    heart: np.ndarray
    density: np.ndarray

    @property
    def size(self) -> int:
        """Side of the image in pixels."""
        return self.x.shape[0]

    def lateral(self, side: int) -> np.ndarray:
        """Return the distance from the midline towards ``side``."""
        return side * (self.x - self.build.mid)


def _dome(build: Build, u: np.ndarray, side: int) -> np.ndarray:
    crest = 0.5 * build.half
    height = build.dome + (build.step if side == LEFT else 0.0)
    outer = np.square(np.clip((u - crest) / (build.half - crest), 0, 1.3))
    inner = np.square(np.clip((crest - u) / crest, 0, 1))
    return height + build.sulcus * outer + 0.055 * inner


def _wall(build: Build, y: np.ndarray) -> np.ndarray:
    """Return the half width of the rib cage at height ``y``."""
    rest = np.clip((build.dome - y) / (build.dome - build.top), 0, 1)
    return build.half * np.sqrt(1 - np.square(rest) * np.sqrt(rest))


def anatomy(rng: np.random.Generator, build: Build, size: int) -> Chest:
    """Draw the chest of a patient without findings.

    Args:
        rng: Source of randomness for everything that ``build`` does not fix.
        build: The patient's measures.
        size: Side of the image in pixels.
    """
    x, y = _coordinates(build, size)
    # No thorax is as even as its formula.
    x, y = x + 0.006 * smooth_noise(rng, size, 3), y + 0.007 * smooth_noise(rng, size, 3)
    edge = np.float32(0.006)
    wall = _wall(build, y)
    domes = {side: _dome(build, side * (x - build.mid), side) for side in (RIGHT, LEFT)}
    lungs = {}
    for side in (RIGHT, LEFT):
        u = side * (x - build.mid)
        inner = u - side * build.shift - (0.045 + 0.03 * np.clip((y - build.top) / 0.5, 0, 1))
        inside = np.minimum(np.minimum(wall - u, inner), np.minimum(domes[side] - y, y - build.top))
        lungs[side] = sigmoid(inside / edge)
    share = sigmoid((x - build.mid) / 0.02)
    floor = (1 - share) * domes[RIGHT] + share * domes[LEFT]
    heart = _heart(rng, build, x, y, floor)
    density = _soft_tissue(rng, build, x, y, lungs, heart, floor)
    density += _bones(rng, build, x, y, wall, size)
    chest = Chest(build, x, y, domes, lungs, heart, density.astype(np.float32))
    chest.density += _vessels(rng, chest)
    return chest


def _coordinates(build: Build, size: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = grid(size)
    x, y = (columns + 0.5) / size - 0.5, (rows + 0.5) / size - 0.5
    c, s = np.float32(np.cos(build.tilt)), np.float32(np.sin(build.tilt))
    return c * x + s * y + np.float32(0.5), c * y - s * x + np.float32(0.5)


def _heart(
    rng: np.random.Generator, build: Build, x: np.ndarray, y: np.ndarray, floor: np.ndarray
) -> np.ndarray:
    """Return the cardiac shadow; a third of its width lies right of the midline, two thirds left."""
    width = 2 * build.half * build.ratio
    mid = build.mid + build.shift
    right, left = 0.34 * width, 0.66 * width
    base = build.dome + 0.035
    upper = base - rng.uniform(0.2, 0.26) - 0.25 * (build.ratio - 0.45)
    t = np.clip((y - upper) / (base - upper), 0, 1.4)
    belly_right = 0.035 + (right - 0.035) * np.sin(np.clip(0.25 + 0.75 * t, 0, 1.2) * np.pi / 2) ** 2
    belly_left = 0.05 + (left - 0.05) * np.sin(np.clip(t - 0.06, 0, 1.1) * np.pi / 2)
    round_off = 1 - 0.9 * np.square(np.clip((t - 0.72) / 0.6, 0, 1))
    d = x - mid
    inside = np.minimum(belly_left * round_off - d, belly_right * round_off + d)
    inside = np.minimum(inside, np.minimum(0.5 * (y - upper + 0.02), floor + 0.01 - y))
    return sigmoid(inside / 0.006)


def _soft_tissue(
    rng: np.random.Generator,
    build: Build,
    x: np.ndarray,
    y: np.ndarray,
    lungs: dict[int, np.ndarray],
    heart: np.ndarray,
    floor: np.ndarray,
) -> np.ndarray:
    size = x.shape[0]
    d = np.abs(x - build.mid)
    mid = build.mid + build.shift
    shoulder = 0.02 + 0.30 * np.square(np.clip((d - 0.06) / 0.42, 0, 1))
    trunk = build.half + 0.07 + 0.06 * build.girth
    flank = trunk + 0.2 * np.square(np.clip((0.66 - y) / 0.52, 0, 1))
    body = sigmoid((y - shoulder + 0.06) / 0.012) * sigmoid((flank - d) / 0.012)
    air = (lungs[RIGHT] + lungs[LEFT]) * (1 - 0.8 * heart)
    density = body * (0.60 + 0.10 * build.girth) + 0.16 * body * sigmoid((d - 0.93 * build.half) / 0.03)
    density = density - (0.44 - 0.06 * build.girth) * air
    column = np.exp(-(((x - mid) / 0.055) ** 2) / 2)
    density += 0.15 * column * body * (0.6 + 0.4 * sigmoid((y - 0.2) / 0.05))
    density += 0.05 * heart
    density += 0.16 * sigmoid((y - floor) / 0.008) * body
    # Superior vena cava, aortic knob and descending aorta, then the dark trachea.
    cava = (
        sigmoid((0.052 - np.abs(x - mid + 0.022)) / 0.006)
        * sigmoid((0.5 - y) / 0.03)
        * sigmoid((y - 0.1) / 0.03)
    )
    knob = sigmoid((0.042 - np.hypot(x - mid - 0.045, (y - build.top - 0.19) * 0.9)) / 0.006)
    aorta = sigmoid((0.026 - np.abs(x - mid - 0.045)) / 0.006) * sigmoid((y - build.top - 0.18) / 0.02)
    density += 0.14 * np.maximum(cava, knob) + 0.06 * aorta * sigmoid((build.dome - y) / 0.05)
    trachea = sigmoid((0.017 - np.abs(x - mid + 0.004)) / 0.005) * sigmoid((build.top + 0.22 - y) / 0.01)
    density -= 0.13 * trachea * body
    if rng.random() < 0.7:
        bubble = np.hypot(
            (x - build.mid - rng.uniform(0.14, 0.22)) / rng.uniform(0.05, 0.1),
            (y - build.dome - build.step - rng.uniform(0.06, 0.1)) / rng.uniform(0.025, 0.045),
        )
        density -= 0.16 * sigmoid((1 - bubble) / 0.12)
    if rng.random() < 0.45:
        for side in (RIGHT, LEFT):
            breast = np.hypot((side * (x - build.mid) - 0.23) / 0.17, (y - build.dome + 0.08) / 0.16)
            density += (0.03 + 0.05 * build.girth) * sigmoid((1 - breast) / 0.05)
    density += 0.012 * smooth_noise(rng, size, 6) * body
    return density


def _bones(
    rng: np.random.Generator, build: Build, x: np.ndarray, y: np.ndarray, wall: np.ndarray, size: int
) -> np.ndarray:
    d = np.abs(x - build.mid)
    u = np.clip(d / (build.half + 0.02), 0, 1.2)
    cage = (
        sigmoid((wall + 0.012 - d) / 0.006)
        * sigmoid((build.dome + 0.14 - y) / 0.03)
        * sigmoid((y - build.top + 0.045) / 0.01)
    )
    pitch = rng.uniform(0.068, 0.078)
    phase = rng.uniform(0, 1)
    sag = y - 0.30 * np.square(u) + 0.10 * u
    posterior = _rib(np.mod(sag / pitch + phase, 1.0), 0.24)
    rise = y - 0.17 * np.square(np.clip(1.05 - u, 0, 1))
    anterior = _rib(np.mod(rise / (1.18 * pitch) + phase, 1.0), 0.22)
    bones = cage * (0.075 * posterior + 0.04 * anterior * (d > 0.07))
    mid = build.mid + build.shift
    vertebra = 0.5 + 0.5 * np.cos(2 * np.pi * y / rng.uniform(0.052, 0.06))
    bones += 0.045 * vertebra * sigmoid((0.036 - np.abs(x - mid)) / 0.006)
    lines = []
    for side in (RIGHT, LEFT):
        tip = rng.normal(0, 0.006)
        along = np.linspace(0, 1, 9)
        px = build.mid + 0.6 * build.shift + side * (0.035 + 0.33 * along)
        py = build.top + 0.085 + tip - 0.055 * along - 0.022 * np.sin(2 * np.pi * along)
        lines.append(np.column_stack([py, px]) * size)
    bones += 0.10 * ndimage.gaussian_filter(strokes(size, lines, 0.0105 * size), 0.6)
    return bones.astype(np.float32)


def _rib(phase: np.ndarray, width: float) -> np.ndarray:
    """Return one period of a rib: a plateau with brighter cortical rims."""
    distance = np.abs(phase - 0.5)
    return 0.75 * sigmoid((width - distance) / 0.035) + 0.5 * np.exp(
        -(((distance - width + 0.03) / 0.035) ** 2)
    )


def _vessels(rng: np.random.Generator, chest: Chest) -> np.ndarray:
    build, size = chest.build, chest.size
    levels: list[list[Polyline]] = [[], [], []]
    for side in (RIGHT, LEFT):
        root = (
            np.array([0.5 * (build.top + build.dome) + 0.03, build.mid + build.shift + side * 0.075]) * size
        )
        for angle in np.linspace(-1.25, 1.3, 9) + rng.normal(0, 0.09, 9):
            heading = angle if side == LEFT else np.pi - angle
            main = walk(rng, root, heading, rng.uniform(0.16, 0.26) * size, 0.07, step=0.012 * size)
            levels[0].append(main[: len(main) // 3 + 2])
            levels[1].append(main[len(main) // 3 : 2 * len(main) // 3 + 2])
            levels[2].append(main[2 * len(main) // 3 :])
            for at in (len(main) // 3, len(main) // 2, 2 * len(main) // 3):
                twig = heading + rng.choice([-1, 1]) * rng.uniform(0.35, 0.8)
                levels[2].append(
                    walk(rng, main[at], twig, rng.uniform(0.07, 0.15) * size, 0.09, step=0.012 * size)
                )
    pens = zip(levels, (0.0085, 0.0055, 0.0035), (0.12, 0.085, 0.06), strict=True)
    tree = sum(weight * strokes(size, lines, width * size) for lines, width, weight in pens)
    haze = 0.0
    for side in (RIGHT, LEFT):
        hilum = np.hypot(
            (chest.lateral(side) - side * build.shift - 0.085) / 0.04,
            (chest.y - 0.5 * (build.top + build.dome)) / 0.07,
        )
        haze = haze + 0.09 * np.exp(-(hilum**2))
    air = chest.lungs[RIGHT] + chest.lungs[LEFT]
    mottle = 0.010 * smooth_noise(rng, size, 26) + 0.008 * smooth_noise(rng, size, 11)
    return ((tree + haze + mottle) * np.clip(air, 0, 1)).astype(np.float32)
