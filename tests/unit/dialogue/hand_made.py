"""Findings written by hand."""

from __future__ import annotations

from gftlib.octa.findings import Finding
from gftlib.octa.places import Place


def finding(number: int, kind: str, quadrants: tuple[str, ...], box: tuple[float, ...]) -> Finding:
    place = Place(quadrant=quadrants[0], clock=2, ring="outer", x=0.5, y=0.5)
    return Finding(
        id=f"F{number}",
        kind=kind,
        degree="marked",
        quadrants=quadrants,
        place=place,
        box=box,
        nodes=("ica-1",),
        strength=2.0,
        share=0.1,
    )
