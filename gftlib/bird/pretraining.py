"""How the embedded BiRD was made: scan phantoms, neutral lessons, all of its weights trained from nothing.

BiRD starts from Qwen-VL, which sees and grounds on natural images, and leaves its tower as it is. The small
one starts from nothing, so it gets eyes here: it learns where an image is bright or dark, in words and in
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
from gftlib.bird.student import build_tiny, load, save
from gftlib.datasets.sa_med2d import SAMed2D
from gftlib.paths import write_json
from gftlib.phantoms.scans import write_cohort
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example, read_image
from gftlib.vlm.eye_test import FILE, eye_test
from gftlib.vlm.neutral_lessons import add_patches
from gftlib.vlm.pretraining import example
from gftlib.vlm.recipes import Stage
from gftlib.vlm.sighted import Sighted
from gftlib.vlm.tuning import Progress, tune

SEED = 60610
"""Of the phantoms; the cohorts of the chapters have others."""
OPTIMISATION = Stage(epochs=4.0, lr=1.5e-3, warmup=50, pairs=4, images=8, save_every=100)


@dataclass(frozen=True)
class Recipe:
    """Settings of the pre-training.

    Attributes:
        images: Phantoms of each modality.
        views: Copies of each, with patches and lessons of its own.
        stage: The optimisation.
    """

    images: int = 120
    views: int = 3
    stage: Stage = OPTIMISATION


def neutral(student: Student, images: Sequence[Path], seed: int = 0) -> list[Example]:
    """Return neutral lessons of image files with patches laid over them, boxes as the student writes them."""
    rng = np.random.default_rng(seed)
    return [
        example(student, Image.fromarray(add_patches(np.asarray(read_image(path)), rng)), rng)
        for path in images
    ]


def pretrain(
    folder: Path | str, recipe: Recipe | None = None, workers: int = 1, progress: Progress | None = None
) -> list[float]:
    """Train the small BiRD from nothing and write it.

    Args:
        folder: Receives weights (bfloat16), tokenizer, processor and the eye test; continues a run that was
            killed.
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
        by_split = {split: list(read(Path(name) / "records" / f"{split}.jsonl")) for split in SPLITS}
        found = [one for records in by_split.values() for one in records]
        # The vocabulary holds the words of the records; the lessons do not.
        words = [text for one in found for turn in one.turns for text in (turn.question, turn.answer)]
        data = SAMed2D(source)
        unseen = [Path(data.file(one.image)) for one in by_split["test"]]
        images = [Path(data.file(one.image)) for split in SPLITS[:-1] for one in by_split[split]]
        draft = build_tiny([])
        told = [text for one in neutral(draft, images[:200]) for text in (*one.questions, *one.answers)]
        student = build_tiny([*words, *told])
        student.model.config.train_vision = True
        lessons_of = neutral(student, images * recipe.views)
        losses = tune(student, lessons_of, recipe.stage, folder, progress, Sighted)
        student.model.config.train_vision = False
        student.model.to(torch.bfloat16)
        save(student, folder)
        shipped = load(folder)
        write_json(Path(folder) / FILE, eye_test(shipped, neutral(shipped, unseen, seed=1)))
    return losses
