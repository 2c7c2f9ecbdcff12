"""How the embedded students were made: phantoms, neutral lessons, all weights trained from nothing.

``gftlib train-student tiny-qwen2.5-vl`` repeats it. The phantoms are drawn for this alone, dark and bright
patches are laid over them, and no chapter evaluates on them. First a student learns to see, then, beside the
same lessons, the words of the field, from dialogues beside a blank page.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gftlib.jobs import run_jobs
from gftlib.paths import write_json
from gftlib.phantoms.octa import generate
from gftlib.phantoms.octa_cohort import ScanSpec, cohort
from gftlib.vlm.backbones import Student, load_student
from gftlib.vlm.conversations import Example
from gftlib.vlm.eye_test import FILE, eye_test
from gftlib.vlm.neutral_lessons import add_patches, lessons, look
from gftlib.vlm.recipes import Stage
from gftlib.vlm.sighted import Sighted
from gftlib.vlm.tiny import build
from gftlib.vlm.tuning import Progress, tune

SEED = 90210
"""Of the phantoms; the cohorts of the chapters have others."""
SEEN, HEARD = "seeing", "speaking"
"""Folders of the two parts while they are learnt."""
Talk = Callable[[Student, tuple[int, int], np.random.Generator], Sequence[Example]]
"""Gives dialogues beside a blank page of a width and height."""
SEEING = Stage(epochs=4.0, lr=1.5e-3, warmup=50, pairs=4, images=8, save_every=100)
SPEAKING = Stage(epochs=1.0, lr=1e-3, warmup=20, pairs=15, images=8, save_every=50)


@dataclass(frozen=True)
class Recipe:
    """Settings of the pre-training.

    Attributes:
        scans: Number of phantoms, half of each device.
        views: Turned and mirrored copies of each, of the eight there are, each with patches and lessons of
            its own.
        heard: Number of these images, and of calls for dialogues, in the part in which words are learnt.
        tested: Number of further phantoms for the eye test.
        seeing: How sight is learnt.
        speaking: How words are learnt, beside the neutral lessons.
    """

    scans: int = 400
    views: int = 8
    heard: int = 800
    tested: int = 60
    seeing: Stage = SEEING
    speaking: Stage = SPEAKING


def neutral_images(scans: int, workers: int = 1, seed: int = SEED) -> list[np.ndarray]:
    """Return phantoms as uint8 images (h, w), half of each device."""
    specs = [*cohort(scans - scans // 2, seed), *cohort(max(1, scans // 2), seed + 1, look="b")]
    return run_jobs(_image, None, [(spec,) for spec in specs], workers)


def views(images: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return turned and mirrored copies of square images, of other contrast and brightness, with patches."""
    found = []
    for image in images:
        for k in rng.permutation(8)[:count]:
            turned = np.rot90(image if k < 4 else image.T, k % 4).astype(float)
            changed = 128 * (turned / 128) ** rng.uniform(0.8, 1.25) * rng.uniform(0.8, 1.2)
            found.append(add_patches(changed.clip(0, 255), rng))
    return found


def example(student: Student, image: Image.Image, rng: np.random.Generator) -> Example:
    """Return the neutral lesson of an image, with boxes as the student writes them."""
    grey, size = np.asarray(image.convert("L")), (image.height, image.width)
    pairs = lessons(look(grey), rng, student.family.boxes, size, **student.pixels)
    asked, told = zip(*pairs, strict=True)
    return Example(image, asked, told)


def examples(student: Student, images: Sequence[np.ndarray], seed: int = 0) -> list[Example]:
    """Return the neutral lessons of images (h, w)."""
    rng = np.random.default_rng(seed)
    return [example(student, Image.fromarray(image), rng) for image in images]


def pretrain(
    name: str,
    folder: Path | str,
    words: Iterable[str] = (),
    talk: Talk | None = None,
    recipe: Recipe | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[float]:
    """Train a small student from nothing and write it as a checkpoint of its architecture.

    Args:
        name: One of `gftlib.vlm.backbones.EMBEDDED`.
        folder: Receives weights (bfloat16), tokenizer, processor and the eye test; continues a run that was
            killed.
        words: Texts whose words the tokenizer is to know, besides those of the lessons.
        talk: What the student hears of the field; None: nothing.
        recipe: Settings.
        workers: Processes that draw phantoms.
        progress: Called with (done, total) after each step of either part.

    Returns:
        The loss of each step.

    Raises:
        InputError: If there is no such student.
    """
    recipe, folder = recipe or Recipe(), Path(folder)
    rng = np.random.default_rng(SEED)
    images = views(neutral_images(recipe.scans, workers), recipe.views, rng)
    losses = see(name, folder, words, images, recipe.seeing, progress)
    if talk is not None:
        losses += speak(
            folder, talk, images[:: max(1, len(images) // recipe.heard)], recipe.speaking, progress
        )
    shipped = load_student(str(folder))
    unseen = views(neutral_images(recipe.tested, workers, SEED + 2), 1, rng)
    write_json(folder / FILE, eye_test(shipped, examples(shipped, unseen, seed=1)))
    for part in (SEEN, HEARD):
        shutil.rmtree(folder / part, ignore_errors=True)
    return losses


def see(
    name: str,
    folder: Path,
    words: Iterable[str],
    images: Sequence[np.ndarray],
    stage: Stage,
    progress: Progress | None = None,
) -> list[float]:
    """Teach a new student to see; arguments as `pretrain`, the images (h, w) with their patches."""
    draft = build(name, [])
    texts = [text for one in examples(draft, images[:200]) for text in (*one.questions, *one.answers)]
    student = build(name, [*words, *texts])
    losses = tune(student, examples(student, images), stage, folder / SEEN, progress, Sighted)
    _ship(student, folder)
    return losses


def speak(
    folder: Path,
    talk: Talk,
    images: Sequence[np.ndarray],
    stage: Stage,
    progress: Progress | None = None,
) -> list[float]:
    """Teach the student in a folder the words of the field, and neutral lessons with them."""
    student, rng = load_student(str(folder)), np.random.default_rng(SEED)
    heard = [one for image in images for one in talk(student, image.shape[::-1], rng)]
    lessons = [*examples(student, images, seed=2), *heard]
    losses = tune(student, lessons, stage, folder / HEARD, progress, Sighted)
    _ship(student, folder)
    return losses


def _ship(student: Student, folder: Path) -> None:
    config = student.model.config
    # The whole's dtype is written as the weights are; those of the parts, as they were loaded.
    for part in config.sub_configs:
        getattr(config, part).dtype = torch.bfloat16
    student.model.to(torch.bfloat16).save_pretrained(str(folder))
    student.processor.save_pretrained(str(folder))


def _image(shared: None, spec: ScanSpec) -> np.ndarray:
    return generate(spec).image
