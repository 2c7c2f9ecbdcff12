"""Generation of OCTA phantoms, by stage, against the goal of one second of processor time each."""

from __future__ import annotations

import statistics
import time

from gftlib.phantoms.octa import ScanSpec, generate
from gftlib.phantoms.octa_cohort import STAGES

GOAL_MS = 1000.0
SEVERITIES = (0.05, 0.45, 0.70)
EYES = 5


def _processor_ms(spec: ScanSpec) -> float:
    """Return the processor time of one phantom: other work on the machine counts less than in wall time."""
    start = time.process_time()
    generate(spec)
    return 1e3 * (time.process_time() - start)


def rows() -> list[dict[str, object]]:
    """Time several eyes of each stage after one warm-up.

    Returns:
        One row a stage. There is no peer: ``peer_ms`` is the goal, ``ratio`` the goal over the median.
    """
    generate(ScanSpec("warm-up", 0, "OD", "a", 0, 0.05, 1, 2))
    result = []
    for stage, severity in enumerate(SEVERITIES):
        times = [
            _processor_ms(ScanSpec(f"{stage}-{eye}", 0, "OD", "a", stage, severity, 100 + eye, 200 + eye))
            for eye in range(EYES)
        ]
        ours = statistics.median(times)
        result.append(
            {
                "name": f"OCTA phantom, {STAGES[stage]}",
                "ours_ms": ours,
                "peer_ms": GOAL_MS,
                "ratio": GOAL_MS / ours,
                "target": 1,
                "note": f"goal, no peer; processor time, median of {EYES} eyes, longest {max(times):.0f} ms",
            }
        )
    return result
