"""Small students of another width: is it size that an embedded student lacks?

The configuration of an embedded student is taken with every width and number of heads multiplied, so that a
head stays as wide as it was, and depth, tokenizer and processor are the same. It is trained from nothing as
the embedded one was (`gftlib.vlm.pretraining`). ``gftlib train-student tiny-qwen2.5-vl --width 1.5`` does it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
import transformers

from gftlib.errors import InputError
from gftlib.paths import write_json
from gftlib.vlm.backbones import EMBEDDED, Student, family_of, find_checkpoint, load_student
from gftlib.vlm.eye_test import FILE, eye_test
from gftlib.vlm.pretraining import HEARD, SEED, SEEN, Recipe, Talk, examples, neutral_images, speak, views
from gftlib.vlm.sighted import Sighted
from gftlib.vlm.tuning import Progress, tune

WIDTHS = (
    *("hidden_size", "intermediate_size", "out_hidden_size", "vision_output_dim"),
    *("num_attention_heads", "num_key_value_heads", "num_heads", "attention_heads"),
)
"""Entries of the configurations of text and vision that a width multiplies, where they are there."""


def resized(name: str, width: float, seed: int = 0) -> Student:
    """Return a student like an embedded one, of another width, with random weights.

    Args:
        name: One of `gftlib.vlm.backbones.EMBEDDED`.
        width: Times that of the embedded one.
        seed: Of the weights.

    Raises:
        InputError: If there is no such small student, or some number of heads would not be whole.
    """
    if name not in EMBEDDED:
        raise InputError(f"no small student {name!r}; known: {', '.join(EMBEDDED)}")
    folder = find_checkpoint(name)
    config = transformers.AutoConfig.from_pretrained(folder)
    for part in (config.text_config, config.vision_config):
        # Attributes have aliases, which would be multiplied twice; what is written to a file has none.
        written = part.to_dict()
        for entry in (one for one in WIDTHS if one in written):
            setattr(part, entry, _times(width, written[entry], entry))
    family = family_of(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, family.model_class)(config).float()
    # As in `gftlib.vlm.tiny`: closed gates would hide the image from a student that starts from nothing.
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith(("cross_attn_attn_gate", "cross_attn_mlp_gate")):
                weight.fill_(1.0)
    return Student(name, family, model.eval(), transformers.AutoProcessor.from_pretrained(folder))


def pretrain(
    name: str,
    width: float,
    folder: Path | str,
    talk: Talk,
    recipe: Recipe | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[float]:
    """Train a student of another width from nothing, by the recipe and on the images of the embedded one.

    Args:
        name: As `resized`.
        width: As `resized`.
        folder: Receives weights (bfloat16), tokenizer, processor and the eye test; continues a run that was
            killed.
        talk: What the student hears of the field.
        recipe: Settings.
        workers: Processes that draw phantoms.
        progress: Called with (done, total) after each step of either part.

    Returns:
        The loss of each step.

    Raises:
        InputError: As `resized`.
    """
    recipe, folder = recipe or Recipe(), Path(folder)
    student, rng = resized(name, width), np.random.default_rng(SEED)
    images = views(neutral_images(recipe.scans, workers), recipe.views, rng)
    losses = tune(student, examples(student, images), recipe.seeing, folder / SEEN, progress, Sighted)
    student.model.save_pretrained(str(folder))
    student.processor.save_pretrained(str(folder))
    heard = images[:: max(1, len(images) // recipe.heard)]
    losses += speak(folder, talk, heard, recipe.speaking, progress)
    shipped = load_student(str(folder))
    unseen = views(neutral_images(recipe.tested, workers, SEED + 2), 1, rng)
    write_json(folder / FILE, eye_test(shipped, examples(shipped, unseen, seed=1)))
    for part in (SEEN, HEARD):
        shutil.rmtree(folder / part, ignore_errors=True)
    return losses


def _times(width: float, value: int, entry: str) -> int:
    found = round(width * value)
    if found < 1 or abs(width * value - found) > 1e-9:
        raise InputError(f"width {width:g}: {entry} would be {width * value:g}, not {value}; try 0.5 or 1.5")
    return found
