"""Side-by-side timing: two callables in alternation, so that a machine whose speed drifts is fair to both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(ours: Callable[[], object], peer: Callable[[], object], repeats: int = 5) -> dict[str, float]:
    """Time ``ours`` and ``peer`` in turn after one warm-up of each.

    Returns:
        Median and minimum milliseconds of both, and ``ratio``, the median over the pairs of peer / ours.
    """
    ours()
    peer()
    pairs = []
    for _ in range(repeats):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        peer()
        pairs.append((1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)))
    mine, theirs = zip(*pairs, strict=True)
    return {
        "ours_ms": statistics.median(mine),
        "ours_min_ms": min(mine),
        "peer_ms": statistics.median(theirs),
        "peer_min_ms": min(theirs),
        "ratio": statistics.median(b / a for a, b in pairs),
    }
