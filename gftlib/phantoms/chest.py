"""Chest radiograph phantoms: four findings at their locations, with boxes, reports and exact truth.

They stand for the frontal studies of PadChest-GR (SCALE, section 2.3.1): 748 patients with the twelve
printed counts. As in any radiograph, the patient's right is the image's left. The settings were chosen by
looks alone, before any model saw them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from gftlib.datasets.class_concepts import Box, ClassConceptData
from gftlib.datasets.padchest_locations import N_PATIENTS, PRINTED, task
from gftlib.phantoms import chest_cohort
from gftlib.phantoms.chest_anatomy import Build, anatomy
from gftlib.phantoms.chest_cohort import ChestSpec
from gftlib.phantoms.chest_config import CONFIG, ChestConfig
from gftlib.phantoms.chest_devices import devices
from gftlib.phantoms.chest_findings import box, draw
from gftlib.phantoms.chest_reports import report
from gftlib.phantoms.store import Drawn, drawn_once

# Streams of randomness of one patient.
_BODY, _FILM, _CAPTION, _REPORT, _FINDING = 0, 1, 2, 3, 10


@dataclass(frozen=True)
class ChestPhantom:
    """One drawn patient.

    Args:
        image: ``(size, size)`` uint8.
        masks: Boolean regions of each drawn combination, by combination index; two for a bilateral one.
        boxes: ``(combination index, box)`` pairs, boxes xyxy in unit coordinates.
        traits: What a caption may say without naming a finding: words by topic.
    """

    image: np.ndarray
    masks: dict[int, list[np.ndarray]]
    boxes: list[tuple[int, Box]]
    traits: dict[str, str]


def cohort(
    n: int = N_PATIENTS, seed: int = 0, config: ChestConfig = CONFIG, normals: int = 0
) -> list[ChestSpec]:
    """Draw the patients of a cohort; see :func:`gftlib.phantoms.chest_cohort.cohort`."""
    return chest_cohort.cohort(n, seed, config.disagreement, normals)


def generate(spec: ChestSpec, config: ChestConfig = CONFIG) -> ChestPhantom:
    """Draw one patient; the same spec and configuration give the same bytes.

    Body, each finding and film are drawn from streams of their own, so that one patient with and without a
    finding differs by that finding alone (and by the heart, if it is cardiomegaly).
    """
    body, film = (np.random.default_rng([*spec.key, stream]) for stream in (_BODY, _FILM))
    traits: dict[str, str] = {}
    large = any(PRINTED[h].finding == "cardiomegaly" for h in spec.drawn)
    build = _build(body, config, large, traits)
    chest = anatomy(body, build, config.size)
    masks = {}
    for h in spec.drawn:
        rng = np.random.default_rng([*spec.key, _FINDING + h])
        masks[h] = draw(rng, chest, PRINTED[h].finding, PRINTED[h].location, rng.uniform(*config.strength))
    density = chest.density
    if film.random() < config.device:
        density = density + devices(film, chest, traits)
    image = _expose(film, density, config, traits)
    boxes = [(h, box(region)) for h, regions in masks.items() for region in regions if region.any()]
    return ChestPhantom(image, masks, boxes, traits)


def _build(rng: np.random.Generator, config: ChestConfig, large: bool, traits: dict[str, str]) -> Build:
    portable = rng.random() < config.portable
    ratio = rng.normal(*(config.large_ratio if large else config.ratio)) + (0.015 if portable else 0.0)
    girth, tilt = float(rng.beta(2, 2.5)), float(rng.normal(0, config.tilt))
    shift = float(rng.normal(0, 0.010))
    low = rng.random() < (0.4 if portable else 0.15)
    traits["view"] = "anteroposterior" if portable else "posteroanterior"
    traits["habitus"] = ("a slim", "an average", "a large")[int(np.digitize(girth, (0.33, 0.6)))]
    traits["inspiration"] = "shallow inspiration" if low else "good inspiration"
    traits["turn"] = "rotated" if abs(shift) > 0.012 or abs(tilt) > 0.04 else "well centred"
    return Build(
        mid=0.5 + float(rng.normal(0, 0.012)),
        half=float(rng.uniform(0.36, 0.42)),
        top=float(rng.uniform(0.09, 0.14)),
        dome=float(rng.uniform(0.66, 0.70) if low else rng.uniform(0.70, 0.77)),
        step=float(rng.uniform(0.005, 0.03)),
        sulcus=float(rng.uniform(0.10, 0.14)),
        ratio=float(np.clip(ratio, 0.38, 0.68)),
        shift=shift,
        tilt=tilt,
        girth=girth,
    )


def _expose(
    rng: np.random.Generator, density: np.ndarray, config: ChestConfig, traits: dict[str, str]
) -> np.ndarray:
    dose = rng.normal(0, 1)
    traits["exposure"] = "underexposed" if dose > 1 else "overexposed" if dose < -1 else "normally exposed"
    film = 1 - np.exp(-(1.9 + 0.25 * dose) * np.clip(density, 0, 3) ** rng.uniform(*config.contrast))
    film = np.clip(film / 0.96, 0, 1) * 255 * rng.uniform(0.9, 1.0)
    blur = rng.uniform(*config.blur)
    film = ndimage.gaussian_filter(film.astype(np.float32), blur, truncate=3.0)
    grain = rng.standard_normal(film.shape, np.float32)
    # Half of the quantum noise is correlated by the detector.
    grain = 0.6 * grain + 1.6 * ndimage.gaussian_filter(grain, 0.8, truncate=3.0)
    sigma = rng.uniform(*config.noise)
    traits["quality"] = "noisy" if sigma > 4.8 else "blurred" if blur > 0.85 else "clean"
    film = film + sigma * 0.6 * grain * (0.5 + film / 255)
    return np.clip(np.rint(film), 0, 255).astype(np.uint8)


def neutral_caption(phantom: ChestPhantom, rng: np.random.Generator) -> str:
    """Return a caption of view, exposure, build and devices that names none of the twelve combinations.

    Text of this kind pre-trains the embedded encoders, so that zero-shot prediction is a fair start.
    """
    t = phantom.traits
    facts = [
        f"{t['view']} view",
        f"{t['habitus']} patient",
        f"{t['turn']} patient position",
        t["inspiration"],
        f"{t['exposure']} film",
        f"a {t['quality']} image",
        *(t[name] for name in ("wires", "pacemaker", "line", "marker") if name in t),
    ]
    chosen = [facts[i] for i in rng.permutation(len(facts))[: int(rng.integers(3, len(facts) + 1))]]
    opening = str(rng.choice(["A frontal chest radiograph,", "Chest X-ray,", "A radiograph of the chest,"]))
    return f"{opening} {', '.join(chosen)}."


def as_data(
    n: int = N_PATIENTS,
    seed: int = 0,
    config: ChestConfig = CONFIG,
    normals: int = 0,
    folder: Path | str | None = None,
) -> ClassConceptData:
    """Draw a whole cohort, in the same form as the PadChest-GR reader returns.

    Args:
        n: Patients with findings.
        seed: Seed of the cohort.
        config: The generator's settings.
        normals: Further patients without findings.
        folder: Where to keep the drawn images for the next call; None keeps them in memory alone.

    Returns:
        The data; ``labels`` are the recorded findings, ``texts`` the report sentences, ``boxes`` the boxes of
        what is both drawn and on record, ``truth`` what is drawn.
    """
    specs = cohort(n, seed, config, normals)

    def draw_all() -> Drawn:
        phantoms = [generate(spec, config) for spec in specs]
        facts = [
            [neutral_caption(phantom, np.random.default_rng([*spec.key, _CAPTION])), phantom.boxes]
            for spec, phantom in zip(specs, phantoms, strict=True)
        ]
        return np.stack([phantom.image for phantom in phantoms]), facts

    images, facts = drawn_once(folder, f"chest-{config.config_hash()[:12]}-{n}-{normals}-{seed}", draw_all)
    labels, truth = np.zeros((2, len(specs), len(PRINTED)), np.uint8)
    for i, spec in enumerate(specs):
        labels[i, list(spec.recorded)] = 1
        truth[i, list(spec.drawn)] = 1
    return ClassConceptData(
        task=task("chest-phantom"),
        labels=labels,
        subjects=np.array([spec.patient for spec in specs]),
        split=np.array([spec.split for spec in specs]),
        texts=[report(spec.recorded, np.random.default_rng([*spec.key, _REPORT])) for spec in specs],
        images=images,
        captions=[caption for caption, _ in facts],
        boxes=[
            [(h, tuple(corners)) for h, corners in boxes if h in spec.recorded]
            for spec, (_, boxes) in zip(specs, facts, strict=True)
        ],
        truth=truth,
    )
