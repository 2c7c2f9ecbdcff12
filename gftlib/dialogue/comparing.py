"""Comparisons of vessel density: between quadrants, between halves."""

from __future__ import annotations

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.speaker import Speaker
from gftlib.dialogue.wording import quadrant_words
from gftlib.octa.places import Quadrant
from gftlib.octa.table_rows import ScanTable

ALIKE = 0.03
"""Vessel densities that differ by less than this share of the larger one are called alike."""
HALVES = {"upper half": "UL UR", "lower half": "LL LR", "left half": "UL LL", "right half": "UR LR"}


def ranked(table: ScanTable) -> list[Quadrant]:
    """Return the quadrants, the densest in vessels first."""
    return sorted(QUADRANTS, key=lambda q: (-table.quadrants[q].vessel_density, QUADRANTS.index(q)))


def mean_density(table: ScanTable, names: str) -> float:
    """Return the mean vessel density of quadrants, named with spaces between."""
    parts = names.split()
    return sum(table.quadrants[name].vessel_density for name in parts) / len(parts)


def versus(voice: Speaker, one: str, first: str, other: str, second: str) -> str:
    """Compare the vessel density of two places, given by words and by quadrants."""
    a, b = mean_density(voice.table, first), mean_density(voice.table, second)
    if abs(a - b) < ALIKE * max(a, b):
        return voice.pick(
            ("The {one} and the {other} are about alike.", "They are about equally dense."),
            one=one,
            other=other,
        )
    denser, sparser = (one, other) if a > b else (other, one)
    return voice.pick(
        ("The {denser} is denser than the {sparser}.", "The {denser} has the denser vessel network."),
        denser=denser,
        sparser=sparser,
    )


def even(voice: Speaker) -> str:
    """Say whether vessel density is even."""
    order = ranked(voice.table)
    high, low = (voice.table.quadrants[name].vessel_density for name in (order[0], order[-1]))
    if high - low < 2 * ALIKE * high:
        return voice.pick(("Yes, the four quadrants are about alike.", "The perfusion is about even."))
    return voice.pick(
        (
            "No, it is lower in the {low} than in the {high}.",
            "It is uneven: the {low} is sparser than the {high}.",
        ),
        low=quadrant_words(order[-1]),
        high=quadrant_words(order[0]),
    )
