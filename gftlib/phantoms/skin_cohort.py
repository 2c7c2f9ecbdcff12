"""Who is photographed: cases, diagnoses and the seven criteria of a skin phantom cohort.

A cohort of 1,011 has Derm7pt's 252 melanomas and its splits of 413/203/395. How often each of the 28
expressions occurs, and how that spreads over melanoma, nevus and other diagnoses, is ours and plausible at
best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.datasets.derm7pt import CRITERIA, EXPRESSIONS, SPLIT_SIZES
from gftlib.datasets.splitting import shares
from gftlib.errors import InputError

DIAGNOSES = {"melanoma": 252, "nevus": 575, "other": 184}

# Cases of each expression among 252 melanomas and 184 other lesions; the nevi are the rest of the count.
_MELANOMA_AND_OTHER: dict[str, dict[str, tuple[int, int]]] = {
    "pigment_network": {"absent": (75, 160), "typical": (27, 9), "atypical": (150, 15)},
    "blue_whitish_veil": {"absent": (125, 166), "present": (127, 18)},
    "vascular_structures": {
        "absent": (172, 121),
        "arborizing": (2, 27),
        "comma": (1, 2),
        "hairpin": (3, 10),
        "within regression": (36, 5),
        "wreath": (0, 1),
        "dotted": (25, 15),
        "linear irregular": (13, 3),
    },
    "pigmentation": {
        "absent": (80, 128),
        "diffuse regular": (12, 11),
        "localized regular": (0, 0),
        "diffuse irregular": (138, 42),
        "localized irregular": (22, 3),
    },
    "streaks": {"absent": (115, 163), "regular": (10, 5), "irregular": (127, 16)},
    "dots_and_globules": {"absent": (40, 99), "regular": (32, 17), "irregular": (180, 68)},
    "regression_structures": {
        "absent": (115, 148),
        "blue areas": (55, 16),
        "white areas": (20, 8),
        "combinations": (62, 12),
    },
}

# Expressions that readers take for one another.
_CONFUSED = (
    ("pigment_network", "absent", "typical"),
    ("pigment_network", "typical", "atypical"),
    ("blue_whitish_veil", "absent", "present"),
    ("vascular_structures", "absent", "dotted"),
    ("vascular_structures", "dotted", "linear irregular"),
    ("pigmentation", "absent", "diffuse irregular"),
    ("pigmentation", "diffuse regular", "diffuse irregular"),
    ("pigmentation", "diffuse irregular", "localized irregular"),
    ("streaks", "absent", "irregular"),
    ("streaks", "regular", "irregular"),
    ("dots_and_globules", "absent", "regular"),
    ("dots_and_globules", "regular", "irregular"),
    ("regression_structures", "absent", "blue areas"),
    ("regression_structures", "blue areas", "combinations"),
    ("regression_structures", "white areas", "combinations"),
)


@dataclass(frozen=True)
class SkinSpec:
    """One case of the cohort.

    Args:
        case: Identifier.
        key: Seed of the drawing: (cohort seed, index).
        diagnosis: ``"melanoma"``, ``"nevus"`` or ``"other"``.
        drawn: The expression of each criterion that is drawn: the exact truth.
        recorded: The expression on record, as a reader would give it: the label.
        split: ``"train"``, ``"valid"`` or ``"test"``.
    """

    case: str
    key: tuple[int, int]
    diagnosis: str
    drawn: dict[str, str]
    recorded: dict[str, str]
    split: str


def cohort(n: int, seed: int, correlation: float, disagreement: float) -> list[SkinSpec]:
    """Draw the cases of a cohort.

    Args:
        n: Number of cases; 1,011 gives the declared counts exactly, others scale them.
        seed: Seed of the cohort.
        correlation: Correlation of the criteria within a diagnosis, through a common severity.
        disagreement: For each pair of confusable expressions, the share of the rarer one that was recorded as
            the other and the reverse, so that the recorded counts stay as they are.

    Raises:
        InputError: If ``n`` or ``seed`` is negative or ``n`` is 0.
    """
    if n < 1 or seed < 0:
        raise InputError(f"a cohort needs n >= 1 and seed >= 0, got n={n}, seed={seed}")
    rng = np.random.default_rng([seed, n])
    diagnosis = rng.permutation(np.repeat(list(DIAGNOSES), shares(list(DIAGNOSES.values()), n)))
    split = rng.permutation(np.repeat(list(SPLIT_SIZES), shares(list(SPLIT_SIZES.values()), n)))
    recorded = {c: np.empty(n, object) for c in CRITERIA}
    for name in DIAGNOSES:
        members = np.flatnonzero(diagnosis == name)
        severity = rng.standard_normal(len(members))
        for criterion in CRITERIA:
            rank = np.sqrt(correlation) * severity + np.sqrt(1 - correlation) * rng.standard_normal(
                len(members)
            )
            labels, counts = _frequencies(criterion, name)
            recorded[criterion][members[np.argsort(rank)]] = np.repeat(labels, shares(counts, len(members)))
    _place_regression_vessels(rng, recorded, diagnosis)
    drawn = _disagree(rng, recorded, disagreement)
    return [
        SkinSpec(
            case=f"skin-{i:04d}",
            key=(seed, i),
            diagnosis=str(diagnosis[i]),
            drawn={c: str(drawn[c][i]) for c in CRITERIA},
            recorded={c: str(recorded[c][i]) for c in CRITERIA},
            split=str(split[i]),
        )
        for i in range(n)
    ]


def _frequencies(criterion: str, diagnosis: str) -> tuple[list[str], list[int]]:
    found = sorted((e for e in EXPRESSIONS if e.criterion == criterion), key=lambda e: e.score)
    melanoma_and_other = _MELANOMA_AND_OTHER[criterion]
    counts = []
    for e in found:
        melanoma, other = melanoma_and_other[e.label]
        counts.append({"melanoma": melanoma, "other": other, "nevus": e.count - melanoma - other}[diagnosis])
    return [e.label for e in found], counts


def _place_regression_vessels(
    rng: np.random.Generator, recorded: dict[str, np.ndarray], diagnosis: np.ndarray
) -> None:
    """Exchange labels so that vessels "within regression" lie in lesions that have regression."""
    vessels, regression = recorded["vascular_structures"], recorded["regression_structures"]
    for name in DIAGNOSES:
        same = diagnosis == name
        lacking = np.flatnonzero(same & (vessels == "within regression") & (regression == "absent"))
        spare = np.flatnonzero(same & (vessels != "within regression") & (regression != "absent"))
        donors = rng.permutation(spare)[: len(lacking)]
        takers = lacking[: len(donors)]
        regression[takers], regression[donors] = regression[donors], regression[takers]


def _disagree(
    rng: np.random.Generator, recorded: dict[str, np.ndarray], share: float
) -> dict[str, np.ndarray]:
    """Exchange the drawn expressions of confusable pairs, away from the recorded ones."""
    drawn = {c: values.copy() for c, values in recorded.items()}
    for criterion, one, other in _CONFUSED:
        values = drawn[criterion]
        free = values == recorded[criterion]
        if criterion == "regression_structures":
            free &= recorded["vascular_structures"] != "within regression"
        first, second = np.flatnonzero(free & (values == one)), np.flatnonzero(free & (values == other))
        k = round(share * min(len(first), len(second)))
        values[rng.permutation(first)[:k]] = other
        values[rng.permutation(second)[:k]] = one
    return drawn
