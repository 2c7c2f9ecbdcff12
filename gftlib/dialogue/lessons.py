"""Dialogues as what a student learns: the arms of the comparison (GFT, sections 2.5 and 3).

* ``FT``: image and label, nothing else.
* ``GFT``: the diagnosis explained, then the dialogue on regions and vessels.
* ``GFT-frozen``: GFT with the language model frozen in stage 1, as the paper has it, where a profile lets it
  learn, as the paper's code does.
* ``GFT-labels``: the label alone in stage 1, as in the paper's code, then the dialogue.
* ``GFT-shuffled``: the same questions, volume and steps, but each image has the dialogue of another image of
  its stage. What it gains comes from words and stages; what GFT gains beyond it comes from the graph.
* ``GFT-few``: GFT with five of an image's thirty pairs in stage 2, in as many steps.
* ``GFT-truth``: GFT with dialogues of the lesions that were drawn in place of those that a table states; of
  phantoms alone. What it gains over GFT is what the tables lack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from gftlib.datasets.masks import image_size
from gftlib.dialogue.prompts import student_system
from gftlib.dialogue.questions import QUESTIONS
from gftlib.dialogue.records import Dialogue, spoken
from gftlib.errors import InputError
from gftlib.octa.table_rows import STAGES
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example

Arm = Literal["BS", "FT", "GFT", "GFT-frozen", "GFT-labels", "GFT-shuffled", "GFT-few", "GFT-truth"]
ARMS: tuple[Arm, ...] = get_args(Arm)
LABELS_ALONE: dict[Arm, tuple[int, ...]] = {"FT": (1, 2), "GFT-labels": (1,)}
"""Stages of tuning in which an arm learns the label and nothing else."""
FIRST_ALONE = ", stage 1 alone"
"""Behind the name of an arm: its students as they were before stage 2."""
FEW = 5
"""Pairs of an image that are left of its thirty in the arm with few."""
SIZE = (304, 304)
"""(height, width) of the published scans of 3 mm, and of phantoms."""


def examples(dialogues: Sequence[Dialogue], images: Mapping[str, Path], student: Student) -> list[Example]:
    """Return dialogues as a student learns them, boxes in its own grammar, in the frame of its image.

    Args:
        dialogues: All of one stage.
        images: Image file of each scan.
        student: Who learns.

    Raises:
        InputError: If a scan has no image.
    """
    found = []
    for dialogue in dialogues:
        if dialogue.id not in images:
            raise InputError(f"no image of scan {dialogue.id}")
        size = image_size(images[dialogue.id])
        told = tuple(spoken(pair, student.family.boxes, size, **student.pixels) for pair in dialogue.pairs)
        asked = tuple(pair.question for pair in dialogue.pairs)
        found.append(Example(images[dialogue.id], asked, told, student_system(dialogue.stage)))
    return found


def few(dialogues: Sequence[Dialogue], count: int, rng: np.random.Generator) -> list[Dialogue]:
    """Leave some pairs of each dialogue, of a repeated one the same.

    Args:
        dialogues: Of one stage of tuning.
        count: Pairs that are left.
        rng: Picks them.
    """
    kept: dict[str, Dialogue] = {}
    for dialogue in dialogues:
        if dialogue.id not in kept:
            chosen = sorted(rng.permutation(len(dialogue.pairs))[:count].tolist())
            pairs = tuple(dialogue.pairs[k] for k in chosen)
            kept[dialogue.id] = dialogue.model_copy(update={"pairs": pairs})
    return [kept[dialogue.id] for dialogue in dialogues]


def labels_alone(
    stages: Sequence[tuple[str, str]],
    images: Mapping[str, Path | Image.Image],
    rng: np.random.Generator,
) -> list[Example]:
    """Return what FT learns: the questions of stage 1, answered by the label.

    Args:
        stages: Scans with the stage of each: healthy, NPDR or PDR.
        images: Image of each, or its file.
        rng: Picks wordings.
    """
    asked = QUESTIONS["stage"]
    return [
        Example(images[name], (asked[int(rng.integers(len(asked)))],), (f"{stage}.",), student_system(1))
        for name, stage in stages
    ]


def balanced(dialogues: Sequence[Dialogue], stages: Mapping[str, str]) -> list[Dialogue]:
    """Repeat the dialogues of rare stages, so that every stage is learnt from equally often.

    Three of four scans of the paper's cohort are healthy; a student that answers as is likeliest calls all of
    them so until its sight is sure. The graph networks of chapter 2 weigh classes for the same reason.

    Args:
        dialogues: Of one stage of tuning.
        stages: Stage of each scan.
    """
    groups = [[d for d in dialogues if stages[d.id] == stage] for stage in STAGES]
    most = max(map(len, groups), default=0)
    return [group[k % len(group)] for group in groups if group for k in range(most)]


def shuffled(
    dialogues: Sequence[Dialogue], stages: Mapping[str, str], rng: np.random.Generator
) -> list[Dialogue]:
    """Give each scan the dialogue of another scan of its stage; the only scan of a stage keeps its own.

    Args:
        dialogues: Of one stage of tuning.
        stages: Stage of each scan.
        rng: Source of chance; the same state gives the same exchange for every list of the same scans.
    """
    given: dict[str, Dialogue] = {}
    for stage in STAGES:
        names = [d for d in dialogues if stages[d.id] == stage]
        order = rng.permutation(len(names))
        for k, giver in enumerate(order):
            taker = names[order[(k + 1) % len(order)]]
            given[taker.id] = names[giver].model_copy(update={"id": taker.id, "image": taker.image})
    return [given[dialogue.id] for dialogue in dialogues]
