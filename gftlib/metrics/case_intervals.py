"""Bootstrap intervals where several items are of one case: whole cases are resampled.

Questions about one image, and images of one patient, are right or wrong together. Resampled one by one they
would seem to be more than they are, and intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gftlib.errors import InputError
from gftlib.metrics.intervals import Cell, GroupTable, Statistic, by_group


def by_case(
    statistic: Statistic,
    groups: Sequence[str],
    cases: Sequence[str],
    leave_out: Collection[str] = (),
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> GroupTable:
    """Return a statistic per group and its two averages, resampling whole cases within each group.

    With one item a case it is `gftlib.metrics.intervals.by_group`.

    Args:
        statistic: From an index array of items to a number, see `gftlib.metrics.intervals`.
        groups: The group of each item.
        cases: The case of each item; one that is in several groups is resampled in each by itself.
        leave_out: As in `by_group`.
        resamples: As in `by_group`.
        seed: As in `by_group`.
        level: As in `by_group`.

    Returns:
        The table; ``n`` counts items, not cases.

    Raises:
        InputError: If groups and cases differ in number; otherwise as `by_group`.
    """
    if len(groups) != len(cases):
        raise InputError(f"{len(groups)} groups for the cases of {len(cases)} items")
    units: dict[tuple[str, str], int] = {}
    owner = np.array([units.setdefault(unit, len(units)) for unit in zip(groups, cases, strict=True)], int)
    # All members of a unit lie side by side, so that a resample is gathered without a loop over units.
    members, sizes = np.argsort(owner, kind="stable"), np.bincount(owner, minlength=len(units))
    starts = np.cumsum(sizes) - sizes

    def of_units(chosen: NDArray[np.intp]) -> float:
        counts = sizes[chosen]
        ends = np.cumsum(counts)
        shift = np.repeat(starts[chosen] - ends + counts, counts)
        return statistic(members[shift + np.arange(len(shift))])

    table = by_group(of_units, [group for group, _ in units], leave_out, resamples, seed, level)
    items = {name: int(np.sum(np.asarray(groups, dtype=str) == name)) for name in table.cells}
    inside = sum(n for name, n in items.items() if name not in leave_out)

    def counted(cell: Cell, n: int) -> Cell:
        return replace(cell, n=n)

    return GroupTable(
        {name: counted(cell, items[name]) for name, cell in table.cells.items()},
        counted(table.over_groups, inside),
        counted(table.over_items, inside),
    )
