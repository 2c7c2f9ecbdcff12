"""Who is scanned: subjects, eyes, stages, severities and subject-disjoint splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.errors import InputError
from gftlib.phantoms.octa_config import Cohort, OctaConfig

STAGES = ("healthy", "NPDR", "PDR")


@dataclass(frozen=True)
class ScanSpec:
    """All that determines one scan, beside the configuration.

    Attributes:
        scan_id: Unique in its cohort; also the file stem.
        subject: Subject number.
        eye: "OD" (right) or "OS" (left).
        look: Device, "a" or "b".
        stage: 0 healthy, 1 NPDR, 2 PDR.
        severity: Latent severity of the eye in [0, 1].
        anatomy_seed: Seed of the eye's vessels and lesions, shared by repeat scans.
        scan_seed: Seed of position, noise and artefacts.
        split: Split 0..5; a subject's scans share one. Split 0 is the fixed test set.
    """

    scan_id: str
    subject: int
    eye: str
    look: str
    stage: int
    severity: float
    anatomy_seed: int
    scan_seed: int
    split: int = 0

    def check(self) -> None:
        """Raise InputError unless every field is in range."""
        for name, known in (("eye", ("OD", "OS")), ("look", ("a", "b")), ("stage", (0, 1, 2))):
            if getattr(self, name) not in known:
                raise InputError(
                    f"scan {self.scan_id}: {name} is {getattr(self, name)!r}; use one of {known}"
                )
        if not 0 <= self.severity <= 1:
            raise InputError(f"scan {self.scan_id}: severity {self.severity} lies outside [0, 1]")
        if min(self.anatomy_seed, self.scan_seed) < 0:
            raise InputError(f"scan {self.scan_id}: seeds must not be negative")


def cohort(n_scans: int, seed: int, config: OctaConfig | None = None, look: str = "a") -> list[ScanSpec]:
    """Draw a cohort of exactly ``n_scans`` scans.

    Stages follow the configured mix exactly (largest remainders); subjects have one or two eyes, some eyes a
    repeat scan; the severities of a subject's eyes are correlated.

    Args:
        n_scans: Number of scans, at least 1.
        seed: Seed of the cohort, not negative.
        config: Generator settings.
        look: Device of all scans.

    Returns:
        Specs ordered by subject, with splits assigned.

    Raises:
        InputError: If an argument is out of range.
    """
    if n_scans < 1 or seed < 0:
        raise InputError(f"a cohort needs n_scans >= 1 and seed >= 0, not {n_scans} and {seed}")
    settings = (config or OctaConfig()).cohort
    rng = np.random.default_rng(seed)
    quota = _quota(n_scans, settings)
    eyes: list[tuple[int, str, int, float, int]] = []
    subject = 0
    left = quota.copy()
    while left.sum():
        stage = int(rng.choice(3, p=left / left.sum()))
        for scan in _subject(subject, stage, settings, rng):
            if left[scan[2]]:
                left[scan[2]] -= 1
                eyes.append(scan)
        subject += 1
    splits = _splits(eyes, settings.splits)
    seeds = rng.integers(0, 2**31, n_scans)
    return [
        ScanSpec(
            f"s{who:04d}_{eye}_{_repeat(eyes, k)}",
            who,
            eye,
            look,
            stage,
            severity,
            anatomy,
            int(seeds[k]),
            splits[who],
        )
        for k, (who, eye, stage, severity, anatomy) in enumerate(eyes)
    ]


def _repeat(eyes: list[tuple[int, str, int, float, int]], k: int) -> int:
    """Return which scan of its eye the k-th is, from 1."""
    return sum(other[:2] == eyes[k][:2] for other in eyes[max(0, k - 4) : k]) + 1


def _quota(n_scans: int, settings: Cohort) -> np.ndarray:
    """Return the scans per stage by largest remainders."""
    exact = n_scans * np.array(settings.mix) / sum(settings.mix)
    quota = np.floor(exact).astype(int)
    rest = n_scans - quota.sum()
    quota[np.argsort(quota - exact, kind="stable")[:rest]] += 1
    return quota


def _subject(
    subject: int, stage: int, settings: Cohort, rng: np.random.Generator
) -> list[tuple[int, str, int, float, int]]:
    """Return one subject's scans: (subject, eye, stage, severity, anatomy seed)."""
    shared = rng.normal()
    eyes = list(rng.permutation(["OD", "OS"])[: 1 + int(rng.random() < settings.both_eyes)])
    scans = []
    for order, eye in enumerate(eyes):
        own = stage
        if order and rng.random() < settings.fellow_shift:
            own = int(np.clip(stage + rng.choice([-1, 1]), 0, 2))
        mixed = (
            np.sqrt(settings.eye_correlation) * shared + np.sqrt(1 - settings.eye_correlation) * rng.normal()
        )
        severity = settings.severity_mean[own] + settings.severity_spread[own] * mixed
        anatomy = int(rng.integers(0, 2**31))
        count = 1 + int(rng.random() < settings.repeat)
        scans += [(subject, str(eye), own, float(np.clip(severity, 0.0, 1.0)), anatomy)] * count
    return scans


def _splits(eyes: list[tuple[int, str, int, float, int]], count: int) -> dict[int, int]:
    """Assign subjects to splits, rarest first, each to the split that lacks most of its stages."""
    held: dict[int, np.ndarray] = {}
    for who, _, stage, _, _ in eyes:
        held.setdefault(who, np.zeros(3))[stage] += 1
    total = np.sum(list(held.values()), axis=0)
    weight = 1 / np.maximum(total, 1)
    filled = np.zeros((count, 3))
    splits = {}
    for who in sorted(held, key=lambda w: (-held[w] @ weight, w)):
        # The lack of every stage, and the size, after this subject would join.
        after = filled + held[who]
        over = ((after - total / count) * weight)[:, held[who] > 0].max(axis=1)
        size = (after.sum(axis=1) - total.sum() / count) / total.sum()
        splits[who] = int(np.argmin(over + 0.5 * size))
        filled[splits[who]] += held[who]
    return splits
