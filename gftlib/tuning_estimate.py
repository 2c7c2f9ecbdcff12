"""How long tuning takes on a GPU, by arithmetic: operations of a step over what a card sustains.

Good for telling hours from days before anything is rented. The four constants are assumptions, and a plan
prints them with what it derives from them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from gftlib import checkpoints
from gftlib.profiles import Profile

IMAGE_TOKENS = 1000
"""Of one pass over an image and the background before its questions."""
PAIR_TOKENS = 100
"""Of a question with its answer."""
SUSTAINED = 150e12
"""Operations a second of a large card in bfloat16, about a seventh of its printed peak."""
ADAPTED, FULL = 4, 6
"""Operations a weight and token, forward and backward, where the weights are frozen and where they learn."""
SPLITS, SHARES = 6, {"20k": 1 / 12, "40k": 1 / 6, "80k": 1 / 3}
BIRD_PAIRS = 4
"""Records an image: 240k of 60,000 images (BiRD, section 3)."""

ASSUMED = (
    f"assumed: {IMAGE_TOKENS} tokens an image and background, {PAIR_TOKENS} a pair, {ADAPTED} operations a "
    f"weight and token ({FULL} where all weights learn), {SUSTAINED / 1e12:.0f} TFLOP/s on one card"
)


@dataclass(frozen=True)
class Tuning:
    """One tuning of one student.

    Attributes:
        notebook: Which chapter's.
        student: Its name.
        arm: How it is tuned, with its seeds.
        seconds: On one card; 0 where the number of weights is not known.
    """

    notebook: str
    student: str
    arm: str
    seconds: float


def tunings(profile: Profile) -> list[Tuning]:
    """Return every tuning that a profile asks a GPU for, with its time by arithmetic."""
    found = []
    if profile.tuning.device.startswith("cuda"):
        found += _agent(profile)
    if profile.grounding.device.startswith("cuda"):
        found += _grounding(profile)
    return found


def _agent(profile: Profile) -> list[Tuning]:
    settings, dialogue = profile.tuning, profile.dialogue
    scans = profile.octa.scans * len(dialogue.splits) / SPLITS
    shared = 1 if settings.checkpointing else settings.pairs
    first = settings.first_epochs * (IMAGE_TOKENS + PAIR_TOKENS)
    second = settings.second_epochs * dialogue.pairs * (IMAGE_TOKENS / shared + PAIR_TOKENS)
    arms = [arm for arm in settings.arms if arm != "BS"]
    return [
        Tuning("05_lora_tuning", name, arm, seeds * _seconds(name, ADAPTED, scans * (first + second)))
        for name, seeds in settings.students.items()
        for arm in arms
    ]


def _grounding(profile: Profile) -> list[Tuning]:
    settings, bird = profile.grounding, profile.bird
    shared = 1 if settings.checkpointing else min(settings.pairs, BIRD_PAIRS)
    image = BIRD_PAIRS * (IMAGE_TOKENS / shared + PAIR_TOKENS)
    whole = settings.epochs * bird.images * (1 - bird.test_share) * image
    return [
        Tuning(
            "09_bird_grounding",
            name,
            arm,
            _seconds(os.path.expandvars(name), FULL if "$" in name else ADAPTED, whole * SHARES.get(arm, 1)),
        )
        for name, arms in settings.arms.items()
        for arm in arms
    ]


def _seconds(name: str, operations: int, tokens: float) -> float:
    weights = 0 if "$" in name else checkpoints.memory(name, "bfloat16") / 2
    return operations * weights * tokens / SUSTAINED
