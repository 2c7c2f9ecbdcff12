"""The check that the drawn label shows every face of the graph, and the repair where it does not."""

from __future__ import annotations

import cc3d
import numpy as np
from scipy.spatial import cKDTree

from gftlib.phantoms.kernels import look_up, tally
from gftlib.phantoms.legibility import drop_illegible
from gftlib.phantoms.strokes import Strokes

HOLE = 10
LEAST_FACE = 64
FRAME = 2


def background(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the regions of a vessel mask: 4-connected, a 2-pixel frame counted as vessel.

    Returns:
        (h, w) labels from 1, 0 on vessels, and the number of labels with 0.
    """
    free = mask == 0
    free[:FRAME] = free[-FRAME:] = False
    free[:, :FRAME] = free[:, -FRAME:] = False
    labels, count = cc3d.connected_components(free, connectivity=4, return_N=True)
    return labels, count + 1


def settle(
    strokes: Strokes, spacing: float, least_angle: float, rounds: int = 14
) -> tuple[np.ndarray, np.ndarray] | None:
    """Drop capillaries until every face of the graph is one clear region of the drawn label (in place).

    Args:
        strokes: Polylines.
        spacing: See :func:`gftlib.phantoms.legibility.drop_illegible`.
        least_angle: Likewise, radians.
        rounds: How often to draw and repair.

    Returns:
        The label (1216, 1216) uint8 with holes filled and its light map, or None if they never agree.
    """
    strokes.keep(~strokes.hugs_frame())
    strokes.part()
    drop_illegible(strokes, spacing, least_angle)
    for _ in range(rounds):
        strokes.prune()
        mask = strokes.mask()
        labels, count = background(mask)
        thin, faces = background(strokes.mask(thin=0.75))
        sizes, face_of = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
        tally(labels.ravel(), thin.ravel(), sizes, face_of)
        spots, group = _bad_spots(labels, sizes, thin, face_of, faces)
        if not len(spots):
            hole = sizes <= HOLE
            hole[0] = False
            if hole.any():
                mask[hole[labels]] = 1
            agreed = np.sum(sizes[1:] > HOLE) == strokes.faces()
            return (mask, strokes.light_map()) if agreed else None
        strokes.keep(~_culprits(strokes, spots, group))
    return None


def _bad_spots(
    labels: np.ndarray, sizes: np.ndarray, thin: np.ndarray, face_of: np.ndarray, faces: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (k, 2), and the fault each belongs to, where label and graph disagree.

    A fault is a region beside a larger one in the same face, a region that is too small, or a face without
    any.
    """
    regions = np.flatnonzero(sizes > HOLE)
    regions = regions[regions > 0]
    regions = regions[np.argsort(sizes[regions], kind="stable")]
    largest = np.zeros(faces, dtype=int)
    largest[face_of[regions]] = regions
    wrong = regions[(largest[face_of[regions]] != regions) | (sizes[regions] < LEAST_FACE)]
    empty = np.setdiff1d(np.arange(1, faces), face_of[regions])
    bad_region, bad_face = np.zeros(len(sizes), dtype=bool), np.zeros(faces, dtype=bool)
    bad_region[wrong], bad_face[empty] = True, True
    if not len(wrong) and not len(empty):
        return np.zeros((0, 2)), np.zeros(0, dtype=int)
    split = wrong[largest[face_of[wrong]] != wrong]
    bad_region[largest[face_of[split]]] = True
    found = np.zeros(labels.size, dtype=bool)
    look_up(labels.ravel(), bad_region, thin.ravel(), bad_face, found)
    found = np.flatnonzero(found)
    spots = np.stack(np.divmod(found, labels.shape[1]), axis=1)
    region, face = labels.ravel()[found], thin.ravel()[found]
    faults = [(spots[region == r], r) for r in wrong if r not in set(split)]
    faults += [(spots[face == f], -f) for f in empty]
    near: dict[int, cKDTree] = {}
    for r in split:
        # The culprit sits where the two parts of the face come closest.
        a, main = _rim(labels, spots[region == r]), largest[face_of[r]]
        near[main] = near.get(main) or cKDTree(spots[region == main])
        gap, nearest = near[main].query(a)
        faults.append((0.5 * (a[[gap.argmin()]] + near[main].data[[nearest[gap.argmin()]]]), r))
    return np.vstack([p for p, _ in faults]), np.concatenate([np.full(len(p), k) for p, k in faults])


def _rim(labels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return those of a region's (k, 2) pixels that touch another region or a vessel."""
    r, c = pixels.T
    own = labels[r[0], c[0]]
    beside = (labels[r - 1, c], labels[r + 1, c], labels[r, c - 1], labels[r, c + 1])
    return pixels[np.any([other != own for other in beside], axis=0)]


def _culprits(strokes: Strokes, spots: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Choose one edge to drop for each fault: a sprout beside it, else the capillary it borders longest."""
    near = cKDTree(strokes.points).query(spots, k=6)[1]
    pair, votes = np.unique(
        np.stack([np.repeat(group, 6), strokes.owner()[near.ravel()]], axis=1), axis=0, return_counts=True
    )
    degree = np.bincount(strokes.ends.ravel(), minlength=len(strokes.tip))
    sprout = (strokes.tip & (degree == 1))[strokes.ends].any(axis=1)
    score = votes + 1e4 * sprout[pair[:, 1]] - 1e6 * strokes.firm()[pair[:, 1]]
    order = np.lexsort((-score, pair[:, 0]))
    best = order[np.r_[True, np.diff(pair[order, 0]) != 0]]
    doomed = np.zeros(len(strokes.ends), dtype=bool)
    doomed[pair[best, 1]] = True
    return doomed
