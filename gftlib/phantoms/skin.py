"""Dermoscopic phantoms: lesions drawn from the seven-point checklist, with exact truth.

They stand for Derm7pt (SCALE, section 2.3.1): all 28 expressions at a realistic imbalance, on skin of many
tones, under hair, rulers, bubbles and soft focus. The settings were chosen by looks alone, before any model
saw them.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
from scipy import ndimage

from gftlib.datasets.class_concepts import ClassConceptData
from gftlib.datasets.derm7pt import EXPRESSIONS, N_CASES, PromptStyle, task
from gftlib.phantoms import skin_cohort
from gftlib.phantoms.drawing import ellipse, grid, sigmoid, smooth_noise
from gftlib.phantoms.skin_cohort import SkinSpec
from gftlib.phantoms.skin_config import CONFIG, SkinConfig
from gftlib.phantoms.skin_photograph import photograph
from gftlib.phantoms.skin_structures import (
    Lesion,
    blue_whitish_veil,
    dots_and_globules,
    pigment_network,
    pigmentation,
    regression_structures,
    streaks,
)
from gftlib.phantoms.skin_vessels import vascular_structures
from gftlib.phantoms.store import Drawn, drawn_once

_MELANIN = np.array([0.46, 0.76, 0.98], np.float32)  # absorption of red, green, blue light
_BLOOD = np.array([0.14, 1.00, 0.80], np.float32)
_SCAR = np.array([236, 216, 208], np.float32)
_VEIL = np.array([112, 126, 156], np.float32)
_SKIN = np.array([[238, 200, 182], [224, 172, 148], [190, 138, 110], [134, 92, 70]], np.float32)

# Streams of randomness of one case, and the order in which structures cover one another.
_BODY, _CAMERA, _CAPTION, _CRITERION = 0, 1, 2, 10
_ORDER = (
    ("pigment_network", pigment_network),
    ("pigmentation", pigmentation),
    ("dots_and_globules", dots_and_globules),
    ("streaks", streaks),
    ("regression_structures", regression_structures),
    ("blue_whitish_veil", blue_whitish_veil),
    ("vascular_structures", vascular_structures),
)


@dataclass(frozen=True)
class SkinPhantom:
    """One drawn case.

    Args:
        image: ``(size, size, 3)`` uint8.
        masks: Boolean ``(size, size)`` region of the ``"lesion"`` and of each structure drawn, by criterion.
        traits: What a caption may say without naming a criterion: words by topic.
    """

    image: np.ndarray
    masks: dict[str, np.ndarray]
    traits: dict[str, str]


def cohort(n: int = N_CASES, seed: int = 0, config: SkinConfig = CONFIG) -> list[SkinSpec]:
    """Draw the cases of a cohort; see :func:`gftlib.phantoms.skin_cohort.cohort`."""
    return skin_cohort.cohort(n, seed, config.correlation, config.disagreement)


def generate(spec: SkinSpec, config: SkinConfig = CONFIG) -> SkinPhantom:
    """Draw one case; the same spec and configuration give the same bytes.

    Skin, each criterion and photograph are drawn from streams of their own, so that one case with and without
    a structure differs by that structure alone.
    """
    body, camera = (np.random.default_rng([*spec.key, stream]) for stream in (_BODY, _CAMERA))
    traits: dict[str, str] = {}
    skin = _skin(body, config.size, traits)
    lesion = _outline(body, spec, config.size, traits)
    for k, (criterion, draw) in enumerate(_ORDER):
        rng = np.random.default_rng([*spec.key, _CRITERION + k])
        draw(rng, lesion, spec.drawn[criterion], rng.uniform(*config.strength))
    image = photograph(camera, _develop(skin, lesion), config, traits)
    lesion.masks["lesion"] = lesion.depth > 0
    return SkinPhantom(image, lesion.masks, traits)


def _skin(rng: np.random.Generator, size: int, traits: dict[str, str]) -> np.ndarray:
    tone = rng.beta(1.5, 3.2) * (len(_SKIN) - 1)
    traits["tone"] = ("fair", "light", "olive", "dark")[round(tone)]
    base = np.array([np.interp(tone, np.arange(len(_SKIN)), _SKIN[:, k]) for k in range(3)], np.float32)
    fine = ndimage.gaussian_filter(rng.standard_normal((size, size), np.float32), 1.3)
    flush = 0.035 * smooth_noise(rng, size, 3) + 0.04 * fine + rng.uniform(0, 0.2)
    texture = 0.05 * fine + 0.02 * smooth_noise(rng, size, 5)
    return base * np.exp(-flush[..., None] * _BLOOD) * (1 + texture[..., None])


def _outline(rng: np.random.Generator, spec: SkinSpec, size: int, traits: dict[str, str]) -> Lesion:
    melanoma, other = spec.diagnosis == "melanoma", spec.diagnosis == "other"
    radius = size * np.clip(rng.normal(0.31 if melanoma else 0.27, 0.045), 0.17, 0.42)
    centre = np.array([size / 2, size / 2]) + rng.normal(0, 0.055 * size, 2)
    stretch = np.exp(rng.normal(0, 0.14))
    relative = ellipse(size, centre, (radius * stretch, radius / stretch), rng.uniform(0, np.pi))
    rows, columns = grid(size)
    theta = np.arctan2(rows - np.float32(centre[0]), columns - np.float32(centre[1]))
    uneven = rng.gamma(3.0, 0.042 if melanoma else 0.022)
    wobble = sum(
        float(rng.normal(0, uneven / k**1.1)) * np.cos(k * theta + float(rng.uniform(0, 7)))
        for k in range(2, 8)
    )
    ragged = rng.uniform(0.015, 0.05) * smooth_noise(rng, size, 14)
    depth = ((1 + wobble + ragged - relative) * radius).astype(np.float32)
    edge = rng.uniform(1.0, 4.5)
    dose = rng.uniform(0.12, 0.6) if other else rng.uniform(0.4, 1.05)
    mottle = ndimage.gaussian_filter(rng.standard_normal((size, size), np.float32), 1.1)
    shade = 1 + 0.14 * smooth_noise(rng, size, 4) + 0.07 * smooth_noise(rng, size, 13) + 0.35 * mottle
    traits["size"] = ("small", "medium-sized", "large")[int(np.digitize(radius / size, (0.24, 0.31)))]
    traits["border"] = "sharp" if edge < 2.2 else "gradual"
    traits["shape"] = "an elongated" if abs(np.log(stretch)) > 0.16 else "a round"
    traits["place"] = _place(centre / size)
    zero = np.zeros((size, size), np.float32)
    melanin = (dose * shade * sigmoid(depth / edge)).astype(np.float32)
    pink = (rng.uniform(0.05, 0.4) * sigmoid(depth / edge)).astype(np.float32)
    return Lesion(size, centre, radius, depth, theta, melanin, pink, zero.copy(), zero.copy())


def _place(centre: np.ndarray) -> str:
    if np.abs(centre - 0.5).max() <= 0.05:
        return "centre"
    vertical = "upper" if centre[0] < 0.45 else "lower" if centre[0] > 0.55 else ""
    side = "left" if centre[1] < 0.45 else "right" if centre[1] > 0.55 else ""
    return " ".join(f"{vertical} {side} part".split())


def _develop(skin: np.ndarray, lesion: Lesion) -> np.ndarray:
    light = np.exp(-lesion.melanin[..., None] * _MELANIN) * np.exp(-lesion.blood[..., None] * _BLOOD)
    image = skin * light + 14 * (1 - light)
    white, blue = np.clip(lesion.white, 0, 0.9)[..., None], np.clip(lesion.blue, 0, 0.9)[..., None]
    image = image * (1 - white) + white * (0.5 * _SCAR + 0.5 * np.minimum(skin * 1.12, 250))
    return image * (1 - blue) + blue * (0.8 * _VEIL + 0.25 * image)


def neutral_caption(phantom: SkinPhantom, rng: np.random.Generator) -> str:
    """Return a caption of skin, size, place and photograph that names none of the 28 expressions.

    Text of this kind pre-trains the embedded encoders, so that zero-shot prediction is a fair start.
    """
    t = phantom.traits
    extras = [t[name] for name in ("hair", "ruler", "bubbles", "vignette") if t[name]]
    facts = [
        f"{t['tone']} skin",
        f"a {t['size']} lesion",
        f"{t['shape']} outline with a {t['border']} border",
        f"the lesion in the {t['place']} of the field",
        f"a {t['focus']} photograph",
        *extras,
    ]
    chosen = [facts[i] for i in rng.permutation(len(facts))[: int(rng.integers(3, len(facts) + 1))]]
    opening = str(rng.choice(["A dermoscopic image of", "A close-up of", "A dermoscopy photograph showing"]))
    return f"{opening} {', '.join(chosen)}."


def as_data(
    n: int = N_CASES,
    seed: int = 0,
    config: SkinConfig = CONFIG,
    prompt: PromptStyle = "class and concept",
    folder: Path | str | None = None,
) -> ClassConceptData:
    """Draw a whole cohort, in the same form as the Derm7pt reader returns.

    Args:
        n: Number of cases.
        seed: Seed of the cohort.
        config: The generator's settings.
        prompt: See :func:`gftlib.datasets.derm7pt.task`.
        folder: Where to keep the drawn images for the next call; None keeps them in memory alone.

    Returns:
        The data; ``labels`` are the recorded expressions, ``truth`` the drawn ones.
    """
    specs = cohort(n, seed, config)

    def draw() -> Drawn:
        phantoms = [generate(spec, config) for spec in specs]
        captions = [
            neutral_caption(phantom, np.random.default_rng([*spec.key, _CAPTION]))
            for spec, phantom in zip(specs, phantoms, strict=True)
        ]
        return np.stack([phantom.image for phantom in phantoms]), captions

    images, captions = drawn_once(folder, f"skin-{config.config_hash()[:12]}-{n}-{seed}", draw)
    the_task = task(prompt, name="skin-phantom")
    labels, truth = (
        np.array([[held(s)[e.criterion] == e.label for e in EXPRESSIONS] for s in specs], dtype=np.uint8)
        for held in (attrgetter("recorded"), attrgetter("drawn"))
    )
    return ClassConceptData(
        task=the_task,
        labels=labels,
        subjects=np.array([spec.case for spec in specs]),
        split=np.array([spec.split for spec in specs]),
        texts=[[(the_task.prompts[h], int(h)) for h in np.flatnonzero(row)] for row in labels],
        images=images,
        captions=captions,
        truth=truth,
    )
