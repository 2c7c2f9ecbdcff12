"""How long tuning takes on a GPU, by arithmetic: operations of a step over what a card sustains.

Good for telling hours from days before anything is rented. The constants are assumptions, and a plan prints
them with what it derives from them. Stages of disease are taken as often as they occur, and answering is left
out.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from gftlib import checkpoints
from gftlib.bird.records import SIZES
from gftlib.profiles import Profile

IMAGE_TOKENS = 1000
"""Of one pass over an image and the background before its questions."""
PAIR_TOKENS = 100
"""Of a question with its answer."""
SUSTAINED = 150e12
"""Operations a second of a large card in bfloat16, about a seventh of its printed peak."""
ADAPTED, FULL, AGAIN = 4, 6, 2
"""Operations a weight and token, where the weights are frozen, where they learn, and for recomputing them."""
SPLITS = 6
"""Of a cohort; each of ``dialogue.splits`` is one of them."""
BIRD_PAIRS = 4
"""Questions an image: 240k of 60,000 images (BiRD, section 3)."""

ASSUMED = (
    f"assumed: {IMAGE_TOKENS} tokens an image and background, {PAIR_TOKENS} a pair, {ADAPTED} operations a "
    f"weight and token ({FULL} where all weights learn, {AGAIN} more to recompute), {BIRD_PAIRS} questions "
    f"an image of chapter 9, {SUSTAINED / 1e12:.0f} TFLOP/s on one card"
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
    settings, pairs = profile.tuning, profile.dialogue.pairs
    scans = profile.octa.scans * len(profile.dialogue.splits) / SPLITS
    passes = math.ceil(pairs / settings.pairs)
    shared = pairs if settings.checkpointing else passes
    label = IMAGE_TOKENS + PAIR_TOKENS
    dialogue = shared * IMAGE_TOKENS + pairs * PAIR_TOKENS
    # FT takes GFT's steps, each with one question an image.
    second = {arm: passes * label if arm == "FT" else dialogue for arm in settings.arms if arm != "BS"}
    if "GFT-few" in second:
        from gftlib.dialogue.lessons import FEW  # which loads torch

        second["GFT-few"] = passes * (IMAGE_TOKENS + min(FEW, settings.pairs) * PAIR_TOKENS)
    second = {arm: tokens + settings.rehearsals * label for arm, tokens in second.items()}
    return [
        Tuning(
            "05_lora_tuning",
            name,
            arm,
            (1 if arm in settings.experiments else seeds)
            * len(profile.dialogue.folds)
            * _seconds(
                name,
                ADAPTED + AGAIN * settings.checkpointing,
                scans * (settings.first_epochs * label + settings.second_epochs * tokens),
            ),
        )
        for name, seeds in settings.students.items()
        for arm, tokens in second.items()
    ]


def _grounding(profile: Profile) -> list[Tuning]:
    settings, bird = profile.grounding, profile.bird
    images = settings.epochs * bird.images * (1 - bird.test_share)
    passes = BIRD_PAIRS if settings.checkpointing else math.ceil(BIRD_PAIRS / settings.pairs)
    found = []
    for name, arms in settings.arms.items():
        operations = (FULL if "$" in name else ADAPTED) + AGAIN * settings.checkpointing
        for arm in arms:
            alone = arm.endswith(" alone")  # one question an image, in the steps of all
            tokens = IMAGE_TOKENS * (1 if alone else passes) + PAIR_TOKENS * (1 if alone else BIRD_PAIRS)
            share = SIZES.get(arm, 1.0)
            seconds = _seconds(os.path.expandvars(name), operations, images * share * tokens)
            found.append(Tuning("09_bird_grounding", name, arm, seconds))
    return found


def _seconds(name: str, operations: int, tokens: float) -> float:
    weights = 0 if "$" in name else checkpoints.memory(name, "bfloat16") / 2
    return operations * weights * tokens / SUSTAINED
