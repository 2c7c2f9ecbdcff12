"""Features in words: what stands out of a node, relative to healthy training scans (GFT, section 2.4)."""

from __future__ import annotations

import numpy as np

from gftlib.octa.attribution import Attribution
from gftlib.octa.features import FEATURES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.normal import HealthyReference
from gftlib.octa.places import Record

SOMEWHAT, CLEARLY, MUCH = 1.0, 2.0, 3.0
"""The z-scores from which a value is somewhat, plainly and much other than usual."""
LEADING = 3
"""Features named of each node."""

_BRIGHT = ("darker", "brighter")
_EVEN = ("more even in brightness", "more uneven in brightness")
WORDS: dict[str, dict[str, tuple[str, str]]] = {
    "vessel": {
        "length": ("shorter", "longer"),
        "distance": ("closer together at its ends", "farther apart at its ends"),
        "curveness": ("straighter", "more winding"),
        "volume": ("smaller in volume", "larger in volume"),
        "avgCrossSection": ("thinner in section", "thicker in section"),
        "minRadiusAvg": ("narrower at its tighter side", "wider at its tighter side"),
        "minRadiusStd": ("more even at its walls", "more uneven at its walls"),
        "avgRadiusAvg": ("narrower", "wider"),
        "avgRadiusStd": ("more even in calibre", "more uneven in calibre"),
        "roundnessAvg": ("less regular in section", "more regular in section"),
        "roundnessStd": ("steadier in section", "more changeable in section"),
        "node1_degree": ("less branched at one end", "more branched at one end"),
        "node2_degree": ("less branched at the other end", "more branched at the other end"),
        "cl_mean": _BRIGHT,
        "cl_std": _EVEN,
        "q25": ("darker in its dark parts", "brighter in its dark parts"),
        "q75": ("darker in its bright parts", "brighter in its bright parts"),
        "degree": ("less connected", "more connected"),
    },
    "ica": {
        "centroid-0": ("higher up", "lower down"),
        "centroid-1": ("farther left", "farther right"),
        "area": ("smaller", "larger"),
        "perimeter": ("shorter in outline", "longer in outline"),
        "eccentricity": ("rounder", "more elongated"),
        "equivalent_diameter": ("smaller across", "larger across"),
        "solidity": ("more ragged in outline", "smoother in outline"),
        "extent": ("less filling of its frame", "more filling of its frame"),
        "axis_major_length": ("shorter along its axis", "longer along its axis"),
        "axis_minor_length": ("narrower across its axis", "broader across its axis"),
        "intensity_max": ("darker at its brightest", "brighter at its brightest"),
        "intensity_mean": _BRIGHT,
        "intensity_min": ("darker at its darkest", "brighter at its darkest"),
        "q25": ("darker in its dark parts", "brighter in its dark parts"),
        "q75": ("darker in its bright parts", "brighter in its bright parts"),
        "std": _EVEN,
        "degree": ("next to fewer areas", "next to more areas"),
    },
}
WORDS["faz"] = WORDS["ica"]
USUAL = "as usual"


class FeatureNote(Record):
    """One leading feature: value in its unit, z-score among healthy nodes, words, signed contribution."""

    node: str
    name: str
    value: float
    unit: str
    z: float
    words: str
    contribution: float


def compared(z: float, low: str, high: str) -> str:
    """Return "much wider than usual", "wider than usual", "somewhat wider than usual" or "as usual"."""
    size = abs(z)
    if size < SOMEWHAT:
        return USUAL
    words = high if z > 0 else low
    if size >= MUCH:
        words = f"much {words}"
    elif size < CLEARLY:
        words = f"somewhat {words}"
    return f"{words} than usual"


def describe(kind: str, feature: str, z: float) -> str:
    """Return the words for a feature of a node type at a z-score."""
    return compared(z, *WORDS[kind][feature])


def leading(
    graph: OctaGraph,
    attribution: Attribution,
    reference: HealthyReference,
    kind: str,
    row: int,
    count: int = LEADING,
) -> tuple[FeatureNote, ...]:
    """Return the features of one node that contribute most, by the size of their attribution."""
    parts = attribution.nodes[kind][row].double().cpu().numpy()
    values = np.nan_to_num(getattr(graph, kind)[row].astype(float), posinf=0.0, neginf=0.0)
    z = reference.z(kind, values[None])[0]
    notes = []
    for column in np.argsort(-np.abs(parts), kind="stable")[:count]:
        info = FEATURES[kind][column]
        notes.append(
            FeatureNote(
                node=f"{kind}-{row}",
                name=info.name,
                value=float(f"{values[column]:.6g}"),
                unit=info.unit,
                z=round(float(z[column]), 3),
                words=f"{describe(kind, info.name, z[column])}",
                contribution=round(float(parts[column]), 6),
            )
        )
    return tuple(notes)
