"""Which unseen scans chapter 6 asks about closely: few, and of every stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gftlib.agent import Course
from gftlib.octa.table_rows import STAGES
from gftlib.profiles import Profile


def evenly(course: Course, names: Sequence[str], most: int) -> list[str]:
    """Return scans in turns of the stages, as many of each as there are, in their order.

    Args:
        course: Knows their stages.
        names: Of the scans.
        most: At most so many.
    """
    by_stage = [[name for name in names if course.stages[name] == stage] for stage in STAGES]
    longest = max(map(len, by_stage), default=0)
    return [part[k] for k in range(longest) for part in by_stage if k < len(part)][:most]


def sampled(course: Course, profile: Profile, explained: Iterable[str]) -> list[str]:
    """Return the scans of judge and experts, ``agent.samples`` of those whose stage was explained."""
    return evenly(course, list(explained), profile.agent.samples)
