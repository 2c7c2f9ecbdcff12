"""Where the centreline of a branch meets the centreline of its vessel.

Inside the lumen of a thick vessel a branch cannot be seen, so its centreline there is a convention. The one
kept here is that of the medial axis: from where the branch leaves the wall, straight to the nearest point of
the vessel's centreline. Graph and drawn label then agree about the junction.
"""

from __future__ import annotations

import math

import numpy as np

NARROW = math.radians(80)


def seat_branches(
    lines: list[np.ndarray], radii: list[np.ndarray], ends: list[tuple[int, int]], least: float = 3.9
) -> None:
    """Move the nodes of three-way junctions to the foot of the branch, and the branch with it (in place).

    Args:
        lines: (k, 2) centreline points of each vessel.
        radii: (k,) radius at each point.
        ends: Node of the first and the last point of each vessel.
        least: Thinner vessels are left alone unless two meet at less than 80 degrees, pixels.
    """
    meeting: dict[int, list[tuple[int, int]]] = {}
    for line, pair in enumerate(ends):
        for side, node in enumerate(pair):
            meeting.setdefault(int(node), []).append((line, side))
    for members in meeting.values():
        if len(members) != 3 or len({line for line, _ in members}) != 3:
            continue
        members = sorted(members, key=lambda m: -radii[m[0]][-m[1]])
        if radii[members[1][0]][-members[1][1]] >= least or _narrowest(lines, members) < NARROW:
            _seat(lines, radii, members)


def _narrowest(lines: list[np.ndarray], members: list[tuple[int, int]]) -> float:
    """Return the least angle between two of the vessels at a node, radians."""
    angles = []
    for line, side in members:
        points = lines[line]
        a, b = (
            (points[-1], points[max(-4, -len(points))])
            if side
            else (points[0], points[min(3, len(points) - 1)])
        )
        angles.append(math.atan2(b[1] - a[1], b[0] - a[0]))
    a, b, c = sorted(angles)
    return min(b - a, c - b, 2 * math.pi - (c - a))


def _outward(array: np.ndarray, side: int) -> np.ndarray:
    """Return an array of points ordered away from the node at its given side."""
    return array[::-1] if side else array


def _seat(lines: list[np.ndarray], radii: list[np.ndarray], members: list[tuple[int, int]]) -> None:
    (a, b, c), (sa, sb, sc) = ([m[0] for m in members], [m[1] for m in members])
    first, second, branch = _outward(lines[a], sa), _outward(lines[b], sb), _outward(lines[c], sc)
    reach = 14
    near = slice(max(0, len(first) - 1 - reach), len(first) - 1 + reach)
    trunk = np.vstack([first[::-1], second[1:]])
    width = np.concatenate([_outward(radii[a], sa)[::-1], _outward(radii[b], sb)[1:]])
    local, wall = trunk[near], width[near]
    gap = np.linalg.norm(branch[:, None] - local[None], axis=2)
    closest = gap.argmin(axis=1)
    outside = np.flatnonzero(gap.min(axis=1) > wall[closest])
    if not len(outside) or outside[0] >= len(branch) - 1:
        return
    exit_point = branch[outside[0]]
    start, step = local[:-1], np.diff(local, axis=0)
    t = np.clip(
        np.sum((exit_point - start) * step, axis=1) / np.maximum(np.sum(step**2, axis=1), 1e-9), 0.05, 0.95
    )
    feet = start + t[:, None] * step
    piece = int(np.linalg.norm(feet - exit_point, axis=1).argmin())
    split = near.start + piece
    if split < 2 or split > len(trunk) - 4:
        return
    foot, radius = feet[piece], (1 - t[piece]) * width[split] + t[piece] * width[split + 1]
    count = max(2, int(np.ceil(np.linalg.norm(exit_point - foot) / 4)) + 1)
    way = foot + np.linspace(0, 1, count)[:-1, None] * (exit_point - foot)
    own = _outward(radii[c], sc)[outside[0] :]
    for line, side, points, values in (
        (a, sa, np.vstack([foot, trunk[split::-1]]), np.r_[radius, width[split::-1]]),
        (b, sb, np.vstack([foot, trunk[split + 1 :]]), np.r_[radius, width[split + 1 :]]),
        (c, sc, np.vstack([way, branch[outside[0] :]]), np.r_[np.full(len(way), own[0]), own]),
    ):
        lines[line], radii[line] = _outward(points, side), _outward(values, side)
