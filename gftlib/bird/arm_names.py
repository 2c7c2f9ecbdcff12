"""Names in the results of chapter 9, which other pages read without loading a model."""

from __future__ import annotations

from gftlib.bird.records import SIZES

UNTUNED = "untuned"
FULL = tuple(SIZES)[-1]
FLOOR = "question alone"
RIGHT, FOUND = "neutral questions right", "neutral boxes found"
