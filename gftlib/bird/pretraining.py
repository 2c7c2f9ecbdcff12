"""How the embedded BiRD was made: scan phantoms, neutral lessons, all of its weights trained from nothing.

BiRD starts from Qwen-VL, which sees and grounds on natural images, and leaves its tower as it is. The small
one starts from nothing, so it gets eyes here: it learns where an image is light or dark, in words and in
boxes. What a scan holds is never told. ``gftlib train-student tiny-bird`` repeats it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gftlib.bird.dataset import BuildConfig, build
from gftlib.bird.layouts import SPLITS, read
from gftlib.bird.student import build_tiny, save
from gftlib.datasets.sa_med2d import SAMed2D
from gftlib.phantoms.scans import write_cohort
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example, read_image
from gftlib.vlm.neutral_lessons import lessons, look
from gftlib.vlm.recipes import Stage
from gftlib.vlm.tuning import Progress, tune

SEED = 60610
"""Of the phantoms; the cohorts of the chapters have others."""
OPTIMISATION = Stage(epochs=4.0, lr=1.5e-3, warmup=50, pairs=20, images=8, save_every=100)


@dataclass(frozen=True)
class Recipe:
    """Settings of the pre-training.

    Attributes:
        images: Phantoms of each modality.
        stage: The optimisation.
    """

    images: int = 120
    stage: Stage = OPTIMISATION


def neutral(student: Student, images: Sequence[Path], seed: int = 0) -> list[Example]:
    """Return the neutral lessons of image files, with boxes as the student writes them."""
    rng = np.random.default_rng(seed)
    found = []
    for path in images:
        image: Image.Image = read_image(path)
        pairs = lessons(
            look(np.asarray(image.convert("L"))),
            rng,
            student.family.boxes,
            (image.height, image.width),
            **student.pixels,
        )
        asked, told = zip(*pairs, strict=True)
        found.append(Example(path, asked, told))
    return found


def pretrain(
    folder: Path | str, recipe: Recipe | None = None, workers: int = 1, progress: Progress | None = None
) -> list[float]:
    """Train the small BiRD from nothing and write it.

    Args:
        folder: Receives weights (bfloat16), tokenizer and processor; continues a run that was killed.
        recipe: Settings.
        workers: Processes that draw phantoms.
        progress: Called with (done, total) after each step.

    Returns:
        The loss of each step.
    """
    recipe = recipe or Recipe()
    with tempfile.TemporaryDirectory() as name:
        source = write_cohort(Path(name) / "scans", recipe.images, SEED, workers=workers)
        build(source, Path(name) / "records", BuildConfig(overlap=1.0))
        found = [one for split in SPLITS for one in read(Path(name) / "records" / f"{split}.jsonl")]
        # The vocabulary holds the words of the records; the lessons do not.
        words = [text for one in found for turn in one.turns for text in (turn.question, turn.answer)]
        data = SAMed2D(source)
        images = [Path(data.file(one.image)) for one in found]
        draft = build_tiny([])
        told = [text for one in neutral(draft, images[:200]) for text in (*one.questions, *one.answers)]
        student = build_tiny([*words, *told])
        student.model.config.train_vision = True
        losses = tune(student, neutral(student, images), recipe.stage, folder, progress)
    student.model.config.train_vision = False
    student.model.to(torch.bfloat16)
    save(student, folder)
    return losses
