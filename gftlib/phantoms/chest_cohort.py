"""Who is X-rayed: patients and their findings, at the counts printed by SCALE for PadChest-GR.

A cohort of 748 has exactly the twelve printed counts, 882 findings in all, every patient at least one.
Which of them occur together is not published; the affinities below are ours: fluid beside a large heart,
collapse or consolidation beside fluid on the same side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.datasets.padchest_locations import N_PATIENTS, PRINTED
from gftlib.datasets.splitting import shares, stratified_test
from gftlib.errors import InputError

TEST_SHARE = 0.15


@dataclass(frozen=True)
class ChestSpec:
    """One patient of the cohort.

    Args:
        patient: Identifier.
        key: Seed of the drawing: (cohort seed, index).
        drawn: The combinations that are drawn, as sorted indices: the exact truth.
        recorded: Those the report names: the labels.
        split: ``"train"`` or ``"test"``.
    """

    patient: str
    key: tuple[int, int]
    drawn: tuple[int, ...]
    recorded: tuple[int, ...]
    split: str


def _sides(index: int) -> frozenset[str]:
    location = PRINTED[index].location
    if location in ("retrocardiac", "cardiac"):
        return frozenset({"left"}) if location == "retrocardiac" else frozenset({"left", "right"})
    side = location.split()[0]
    return frozenset({"left", "right"}) if side == "bilateral" else frozenset({side})


def affinity(one: int, other: int) -> float:
    """Return how readily two combinations occur in one patient; 0 where they exclude one another.

    One side holds at most one effusion, and one lower lobe at most one opacity.
    """
    if one == other:
        return 0.0
    a, b = PRINTED[one], PRINTED[other]
    meet = bool(_sides(one) & _sides(other))
    if a.finding == b.finding:
        return 0.0 if meet else 0.3
    if "cardiomegaly" in (a.finding, b.finding):
        return 3.0 if "pleural effusion" in (a.finding, b.finding) else 1.0
    if "pleural effusion" in (a.finding, b.finding):
        angle = "costophrenic angle" in a.location + b.location
        return (2.0 if angle else 0.5) if meet else 0.3
    return 0.0 if meet else 0.2


# Pairs that readers take for one another, at the same side.
_CONFUSED = (
    ("pleural effusion", "left costophrenic angle", "pleural effusion", "left pleural"),
    ("pleural effusion", "right costophrenic angle", "pleural effusion", "right pleural"),
    ("pleural effusion", "bilateral costophrenic angle", "pleural effusion", "bilateral pleural"),
    ("atelectasis", "left lower lobe", "consolidation", "left lower lobe"),
    ("atelectasis", "right lower lobe", "consolidation", "right lower lobe"),
    ("atelectasis", "left lower lobe", "atelectasis", "retrocardiac"),
)


def cohort(n: int, seed: int, disagreement: float, normals: int = 0) -> list[ChestSpec]:
    """Draw the patients of a cohort.

    Args:
        n: Patients with findings; 748 gives the printed counts exactly, others scale them.
        seed: Seed of the cohort.
        disagreement: For each pair of confusable combinations, the share of the rarer one that was recorded
            as the other and the reverse, so that the recorded counts stay as they are.
        normals: Further patients without findings, which the paper's cohort does not hold.

    Raises:
        InputError: If a number is out of range.
    """
    if n < 2 or seed < 0 or normals < 0:
        raise InputError(f"a cohort needs n >= 2, seed >= 0 and normals >= 0, got {n}, {seed}, {normals}")
    rng = np.random.default_rng([seed, n])
    recorded = _together(rng, n)
    drawn = _disagree(rng, recorded, disagreement)
    labels = np.zeros((n, len(PRINTED)), np.uint8)
    for i, found in enumerate(recorded):
        labels[i, sorted(found)] = 1
    names = np.array([f"chest-{i:04d}" for i in range(n + normals)])
    labels = np.concatenate([labels, np.zeros((normals, len(PRINTED)), np.uint8)])
    drawn += [set() for _ in range(normals)]
    test = stratified_test(labels, names, TEST_SHARE, seed)
    return [
        ChestSpec(
            patient=str(names[i]),
            key=(seed, i),
            drawn=tuple(sorted(drawn[i])),
            recorded=tuple(int(h) for h in np.flatnonzero(labels[i])),
            split="test" if test[i] else "train",
        )
        for i in range(n + normals)
    ]


def _together(rng: np.random.Generator, n: int) -> list[set[int]]:
    """Give every patient one finding and the surplus to patients it goes with."""
    total = round(sum(p.count for p in PRINTED) * n / N_PATIENTS)
    counts = shares([p.count for p in PRINTED], max(total, n))
    tokens = rng.permutation(np.repeat(np.arange(len(PRINTED)), counts))
    table = np.array([[affinity(a, b) for b in range(len(PRINTED))] for a in range(len(PRINTED))])
    patients = [{int(token)} for token in tokens[:n]]
    for token in tokens[n:]:
        weight = np.array([np.prod([table[token, held] for held in found]) for found in patients])
        if weight.sum() == 0:
            raise InputError(f"a cohort of {n} is too small to hold the printed findings together")
        patients[int(rng.choice(n, p=weight / weight.sum()))].add(int(token))
    return [patients[i] for i in rng.permutation(n)]


def _disagree(rng: np.random.Generator, recorded: list[set[int]], share: float) -> list[set[int]]:
    index = {(p.finding, p.location): i for i, p in enumerate(PRINTED)}
    drawn = [set(found) for found in recorded]
    for *first, finding, location in _CONFUSED:
        one, other = index[(first[0], first[1])], index[(finding, location)]
        only = [
            [
                i
                for i, found in enumerate(drawn)
                if held in found and found == recorded[i] and _fits(found, held, new)
            ]
            for held, new in ((one, other), (other, one))
        ]
        k = round(share * min(len(only[0]), len(only[1])))
        for members, held, new in ((only[0], one, other), (only[1], other, one)):
            for i in rng.permutation(members)[:k]:
                drawn[i] = (drawn[i] - {held}) | {new}
    return drawn


def _fits(found: set[int], held: int, new: int) -> bool:
    return all(affinity(new, rest) > 0 for rest in found - {held})
