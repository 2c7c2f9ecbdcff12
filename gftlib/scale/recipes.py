"""The recipes of the three embedded encoders: general pictures for all, the domain's images for two.

``clip`` sees general pictures only, ``monet`` continues from it on dermoscopic phantoms as MONET did from
CLIP, ``medclip`` learns from grey general pictures and chest phantoms. All cohorts drawn here have seeds that
no experiment uses.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from gftlib.datasets import derm7pt, padchest_locations
from gftlib.paths import sha256
from gftlib.phantoms import chest, chest_config, chest_reports, patterns, skin, skin_config
from gftlib.scale import tiny
from gftlib.scale.encoders import Encoder, Name
from gftlib.scale.pretraining import Pair, PretrainingConfig, Source, pretrain

SEED = 9000  # of the cohorts; experiments use small seeds
CAPTIONS = 4  # per image
COHORT = 2400  # the most domain images that a recipe may ask for

Kind = Literal["general", "skin", "chest"]


@dataclass(frozen=True)
class Recipe:
    """How one embedded encoder is made.

    Args:
        kinds: Sources of pairs and how many of each.
        training: Epochs and the like.
        start: The encoder it continues from.
    """

    kinds: dict[Kind, int]
    training: PretrainingConfig
    start: Name | None = None


# On one core five minutes for each CLIP, twenty for MedCLIP, whose pictures differ far less from one another.
RECIPES: dict[Name, Recipe] = {
    "clip": Recipe({"general": 3000}, PretrainingConfig(epochs=6)),
    "monet": Recipe({"skin": 2400, "general": 600}, PretrainingConfig(epochs=6), "clip"),
    "medclip": Recipe({"chest": 2400, "general": 1000}, PretrainingConfig(epochs=36, self_weight=5.0)),
}


def make(name: Name, folder: Path | str, share: float = 1.0, epochs: int | None = None) -> Encoder:
    """Train an embedded encoder and write it to ``folder / name``, its recipe's digest in the header.

    Args:
        name: ``"clip"``, ``"monet"`` (``"clip"`` must be there) or ``"medclip"``.
        folder: Where the encoders lie.
        share: Of the pairs of the recipe.
        epochs: Instead of the recipe's.
    """
    recipe = _reduced(RECIPES[name], share, epochs)
    encoder = tiny.load(recipe.start, folder) if recipe.start else tiny.build(name, vocabulary(name), SEED)
    if recipe.start:
        encoder.transform = tiny.published_transform(name, encoder.transform.size)
    sources = [Source.of_pairs(count, PAIRS[kind], encoder) for kind, count in recipe.kinds.items()]
    losses = pretrain(encoder, sources, recipe.training)
    about = {
        "recipe": fingerprint(name, recipe),
        "seed": str(SEED),
        "losses": json.dumps(np.round(losses, 3).tolist()),
    }
    tiny.save(encoder, Path(folder) / name, about)
    return encoder


def fingerprint(name: Name, recipe: Recipe | None = None) -> str:
    """Return a digest of everything that an encoder's weights are made from, short of the code itself.

    Args:
        name: The encoder.
        recipe: Instead of its own.
    """
    recipe = recipe or RECIPES[name]
    parts = {
        "recipe": asdict(recipe),
        "start": fingerprint(recipe.start) if recipe.start else None,
        "drawing": [
            SEED,
            CAPTIONS,
            COHORT,
            skin_config.CONFIG.config_hash(),
            chest_config.CONFIG.config_hash(),
        ],
        "model": tiny.medclip_config(0) if name == "medclip" else tiny.clip_config(0),
    }
    return sha256(json.dumps(parts, sort_keys=True).encode())


def _reduced(recipe: Recipe, share: float, epochs: int | None) -> Recipe:
    counts = {kind: max(round(share * count), 8) for kind, count in recipe.kinds.items()}
    training = recipe.training if epochs is None else replace(recipe.training, epochs=epochs)
    return replace(
        recipe,
        kinds=counts,
        training=replace(training, batch_size=min(training.batch_size, *counts.values())),
    )


def vocabulary(name: Name) -> list[str]:
    """Return texts with every word that an encoder may meet; knowing a word's spelling is not its meaning."""
    rng = np.random.default_rng(SEED)
    texts = [text for i in range(300) for text in general(i)[1]]
    tasks = [padchest_locations.task("chest-phantom")]
    texts += [chest_reports.sentence(h, rng) for h in range(len(tasks[0])) for _ in range(60)]
    if name == "medclip":
        texts += [text for i in range(40) for text in domain_chest(i)[1]]
    else:
        tasks += [derm7pt.task(), derm7pt.task("concept")]
        texts += [text for i in range(60) for text in domain_skin(i)[1]]
    return [*texts, *(prompt for task in tasks for prompt in [*task.prompts, task.negative_prompt])]


def general(i: int) -> Pair:
    """Return a general picture with captions."""
    rng = np.random.default_rng([SEED, 0, i])
    pattern = patterns.draw(rng)
    return pattern.image, [patterns.caption(pattern, rng) for _ in range(CAPTIONS)]


def domain_skin(i: int) -> Pair:
    """Return a dermoscopic phantom with neutral captions."""
    phantom = skin.generate(_skin_cohort()[i])
    rng = np.random.default_rng([SEED, 1, i])
    return phantom.image, [skin.neutral_caption(phantom, rng) for _ in range(CAPTIONS)]


def domain_chest(i: int) -> Pair:
    """Return a chest phantom, some without a finding, with neutral captions."""
    phantom = chest.generate(_chest_cohort()[i])
    rng = np.random.default_rng([SEED, 2, i])
    return phantom.image, [chest.neutral_caption(phantom, rng) for _ in range(CAPTIONS)]


@cache
def _skin_cohort() -> list[skin.SkinSpec]:
    return skin.cohort(COHORT, SEED)


@cache
def _chest_cohort() -> list[chest.ChestSpec]:
    specs = chest.cohort(COHORT - COHORT // 4, SEED, normals=COHORT // 4)
    return [specs[i] for i in np.random.default_rng(SEED).permutation(len(specs))]


PAIRS = {"general": general, "skin": domain_skin, "chest": domain_chest}
