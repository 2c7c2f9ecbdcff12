"""Choosing images from a set of slices: few near-duplicates, every modality and data set heard.

BiRD, section 3: about 60,000 images were sampled "considering the diversity of modality and redundancy". How
is not published; the rules here are declared: a least distance between slices of a stack, a greatest overlap
of their masks, and equal shares for modalities, then for the data sets of each.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gftlib.datasets.sa_med2d import Entry, Problems, SAMed2D

Grids = Mapping[str, NDArray[np.uint8]]


def hashed(seed: int, text: str) -> int:
    """Return 64 bits that depend on ``seed`` and ``text`` alone: a random order that never changes."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=8).digest(), "big")


def apart(entry: Entry, gap: int, seed: int) -> bool:
    """Return whether an image is on its stack's grid of every ``gap``-th slice; 2-D images always are.

    The grid starts at a random slice of each stack, so that any two kept slices are ``gap`` or more apart and
    the rule needs no memory.
    """
    if entry.name.index is None or gap <= 1:
        return True
    return entry.name.index % gap == hashed(seed, entry.name.volume) % gap


def shares(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """Divide ``total`` equally among the keys, none above its count; what one cannot use the others get.

    Raises no error if there is too little: then every key gets all it has.
    """
    left, quota = total, dict.fromkeys(counts, 0)
    for done, key in enumerate(sorted(counts, key=lambda k: (counts[k], k))):
        quota[key] = min(counts[key], left // (len(counts) - done))
        left -= quota[key]
    return quota


def sample(
    data: SAMed2D, size: int, seed: int = 0, gap: int = 1, problems: Problems | None = None
) -> list[Entry]:
    """Choose up to ``size`` entries, balanced over modality and then over data set.

    The set is streamed twice: once to count, once to keep the entries of smallest `hashed` number in each
    stratum. Memory grows with ``size`` alone.

    Args:
        data: The set.
        size: How many entries.
        seed: Seed of the choice; a larger ``size`` keeps most of a smaller one's entries.
        gap: Least distance between slices of one stack, see `apart`.
        problems: Gets what was skipped.

    Returns:
        Entries sorted by case, stack and slice.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for entry in data.entries(problems):
        if apart(entry, gap, seed):
            counts[entry.name.modality, entry.name.dataset] += 1
    quotas = _quotas(counts, size)
    kept: dict[tuple[str, str], list[tuple[int, str, Entry]]] = defaultdict(list)
    for entry in data.entries():
        stratum = (entry.name.modality, entry.name.dataset)
        if not apart(entry, gap, seed) or not quotas[stratum]:
            continue
        item = (-hashed(seed, entry.name.stem), entry.image, entry)
        if len(kept[stratum]) < quotas[stratum]:
            heapq.heappush(kept[stratum], item)
        else:
            heapq.heappushpop(kept[stratum], item)
    chosen = [entry for items in kept.values() for _, _, entry in items]
    return sorted(chosen, key=lambda e: (e.name.case_key, e.name.volume, e.name.index or 0, e.image))


def _quotas(counts: Counter[tuple[str, str]], size: int) -> dict[tuple[str, str], int]:
    modalities: Counter[str] = Counter()
    for (modality, _), n in counts.items():
        modalities[modality] += n
    quotas = {}
    for modality, quota in shares(modalities, size).items():
        sets = {dataset: n for (m, dataset), n in counts.items() if m == modality}
        quotas |= {(modality, dataset): n for dataset, n in shares(sets, quota).items()}
    return quotas


def overlap(one: Grids, other: Grids) -> float:
    """Return the mean overlap of two slices' masks over the classes of either: 1 the same, 0 apart.

    Args:
        one: Coarse occupancy by class, as `gftlib.datasets.masks.Measure.grid`.
        other: The same of the other slice.

    Returns:
        The mean over classes of sum(min) / sum(max), the intersection over union of soft masks.
    """
    names = one.keys() | other.keys()
    if not names:
        return 0.0
    total = 0.0
    for name in one.keys() & other.keys():
        a, b = one[name].astype(np.int32), other[name].astype(np.int32)
        total += np.minimum(a, b).sum() / max(np.maximum(a, b).sum(), 1)
    return total / len(names)


@dataclass(frozen=True, eq=False)
class Slice:
    """What the rule of near-duplicates looks at.

    Args:
        volume: The stack.
        index: The number in the stack, None for a 2-D image.
        grids: Coarse occupancy by class.
    """

    volume: str
    index: int | None
    grids: Grids


def novel(slices: Iterable[Slice], reach: int = 10, most: float = 0.8) -> Iterator[bool]:
    """Yield for each slice whether it is kept, given the slices before it.

    A slice is a near-duplicate if a kept slice of its stack, at most ``reach`` slices away, overlaps it by
    more than ``most``. Slices must come stack by stack, as `sample` returns them.

    Args:
        slices: The slices in order.
        reach: Distance within which slices are compared.
        most: Greatest overlap that is not a duplicate.
    """
    volume, kept = "", []
    for item in slices:
        if item.volume != volume:
            volume, kept = item.volume, []
        if item.index is None:
            yield True
            continue
        kept = [near for near in kept if abs(item.index - near.index) <= reach]
        new = all(overlap(item.grids, near.grids) <= most for near in kept)
        if new:
            kept.append(item)
        yield new
