"""A few phantoms that several test files share."""

from __future__ import annotations

import pytest

from gftlib.phantoms.octa import OctaPhantom, ScanSpec, generate

CASES = (
    ("healthy", 0, 0.05, 11),
    ("npdr", 1, 0.45, 12),
    ("pdr", 2, 0.70, 13),
)


def spec(name: str, stage: int, severity: float, seed: int, eye: str = "OD", look: str = "a") -> ScanSpec:
    return ScanSpec(name, 0, eye, look, stage, severity, seed, seed + 1000)


@pytest.fixture(scope="session")
def phantoms() -> list[OctaPhantom]:
    """One phantom of each stage."""
    return [generate(spec(*case)) for case in CASES]
