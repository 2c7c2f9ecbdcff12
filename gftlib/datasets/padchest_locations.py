"""The twelve class-location combinations of SCALE on PadChest-GR, and how a location becomes one of them.

SCALE, section 2.3.1, prints each coarse location as a Boolean expression of UMLS identifiers with the
number of positive cases. PadChest-GR gives locations as strings ("loc left", "loc costophrenic angle"), so
each printed expression is written here over those strings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gftlib.datasets.class_concepts import ClassConceptTask, Combination
from gftlib.errors import InputError

UMLS = {
    "loc lower lobe": "C0225758",
    "loc lower lung field": "C1282378",
    "loc left": "C0443246",
    "loc right": "C0444532",
    "loc bilateral": "C0238767",
    "loc left lower lobe": "C1261077",
    "loc right lower lobe": "C1261075",
    "loc cardiac": "C1522601",
    "loc costophrenic angle": "C0230151",
    "loc left costophrenic angle": "C0504100",
    "loc right costophrenic angle": "C0504099",
    "loc pleural": "C0032225",
}
N_PATIENTS = 748
MIN_CASES = 10  # locations with fewer cases were removed (SCALE, section 2.3.1)


def _any(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(f"loc {word.strip()}" for word in option.split("+")) for option in alternatives)


# Alternatives of strings that must all be there. Two strings stand in for what the paper leaves open:
# "loc retrocardiac" (its identifier is printed as "Not given") and "loc bilateral costophrenic angle", which
# PadChest also uses for C0230151 AND C0238767.
LOCATIONS: dict[str, tuple[frozenset[str], ...]] = {
    "left lower lobe": _any("lower lobe + left", "lower lung field + left", "left lower lobe"),
    "right lower lobe": _any("lower lobe + right", "lower lung field + right", "right lower lobe"),
    "retrocardiac": _any("retrocardiac"),
    "cardiac": _any("cardiac"),
    "bilateral costophrenic angle": _any("costophrenic angle + bilateral", "bilateral costophrenic angle"),
    "left costophrenic angle": _any("costophrenic angle + left", "left costophrenic angle"),
    "right costophrenic angle": _any("costophrenic angle + right", "right costophrenic angle"),
    "bilateral pleural": _any("pleural + bilateral"),
    "left pleural": _any("pleural + left"),
    "right pleural": _any("pleural + right"),
}


@dataclass(frozen=True)
class Printed:
    """One line of the paper's list: a class-location combination and its number of positive cases."""

    finding: str
    location: str
    count: int


PRINTED = (
    Printed("atelectasis", "left lower lobe", 25),
    Printed("atelectasis", "retrocardiac", 17),
    Printed("atelectasis", "right lower lobe", 17),
    Printed("cardiomegaly", "cardiac", 437),
    Printed("consolidation", "left lower lobe", 13),
    Printed("consolidation", "right lower lobe", 13),
    Printed("pleural effusion", "bilateral costophrenic angle", 53),
    Printed("pleural effusion", "bilateral pleural", 40),
    Printed("pleural effusion", "left costophrenic angle", 80),
    Printed("pleural effusion", "left pleural", 76),
    Printed("pleural effusion", "right costophrenic angle", 54),
    Printed("pleural effusion", "right pleural", 57),
)

MultiLocation = Literal["all", "first"]


def task(name: str = "padchest-gr", kept: Iterable[int] | None = None) -> ClassConceptTask:
    """Return the twelve combinations (SCALE, section 2.3.1); the prompt is the combination's printed name.

    Args:
        name: Name of the task; the chest phantom uses the same combinations under its own name.
        kept: Indices into ``PRINTED`` if some lack cases; all twelve by default.
    """
    printed = PRINTED if kept is None else tuple(PRINTED[h] for h in kept)
    combinations = tuple(
        Combination(p.finding, p.finding, p.location, f"{p.finding.capitalize()} {p.location}.")
        for p in printed
    )
    return ClassConceptTask(
        name=name,
        classes=tuple(dict.fromkeys(p.finding for p in printed)),
        concepts=tuple(dict.fromkeys(p.location for p in printed)),
        combinations=combinations,
        multi_label=True,
    )


def coarse_locations(locations: Iterable[str], multiple: MultiLocation = "all") -> list[str]:
    """Return the coarse locations that the location strings of one finding satisfy.

    How the paper treats a finding with several locations is not published. By default every printed
    expression that holds counts, so that "left, costophrenic angle, pleural" is both a left costophrenic
    angle and a left pleural location, and "left, right, pleural" is both sides, not "bilateral".

    Args:
        locations: Strings such as ``"loc left"``; case and surrounding blanks do not matter.
        multiple: ``"all"`` as above, or ``"first"``: only the first that holds in the order of
            ``LOCATIONS``, in which the lobes come first and costophrenic angles come before pleura.

    Raises:
        InputError: If ``multiple`` is neither.
    """
    if multiple not in ("all", "first"):
        raise InputError(f"multiple must be 'all' or 'first', got {multiple!r}")
    given = {location.strip().lower() for location in locations}
    found = [name for name, rule in LOCATIONS.items() if any(option <= given for option in rule)]
    return found if multiple == "all" else found[:1]
