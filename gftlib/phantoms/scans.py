"""Phantoms of eight modalities with exact instance masks, written in the grammar of SA-Med2D-20M.

What stands in BiRD's Table 3 stands here: CT, MR and PET are 3-D cases cut in slices, the others 2-D images;
PET and fundus have one category. The difficulty (`ScanConfig`) was set by how the modalities look, before any
model saw an image, and is frozen by `config_hash`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gftlib.datasets.sa_med2d import CLASSES, PAIRS
from gftlib.datasets.sa_med2d_names import MIN_AREA, image_stem, mask_stem
from gftlib.errors import InputError, did_you_mean
from gftlib.paths import atomic_path, read_json, write_json
from gftlib.phantoms import scan_chest, scan_ct, scan_mr, scan_pet, scan_photographs, scan_ultrasound
from gftlib.phantoms.scan_anatomy import Scan
from gftlib.processes import process_pool

VERSION = 1
_log = logging.getLogger(__name__)
Draw = Callable[[np.random.Generator, int, int, float], list[Scan]]


@dataclass(frozen=True)
class ScanConfig:
    """The frozen settings of the cohort; what else decides difficulty is written in the drawing modules.

    Args:
        side: Height of most images, pixels.
        slices: Slices of a 3-D case.
        least: Smallest share of an image that an instance may cover.
        version: Version of the drawing; raised whenever the same seed would give other images.
    """

    side: int = 256
    slices: int = 6
    least: float = MIN_AREA
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse settings that cannot be drawn."""
        if self.side < 64 or self.side % 8 or self.slices < 1 or not 0 <= self.least < 1:
            raise InputError(
                f"side must be a multiple of 8 from 64 on, slices >= 1, least in [0, 1): got {self}"
            )


@dataclass(frozen=True)
class Source:
    """One modality's phantom.

    Args:
        dataset: Its name in the data set field.
        labels: Its classes; the position is the class id.
        draw: Draws one case.
        sliced: Whether a case is cut in slices.
    """

    dataset: str
    labels: tuple[str, ...]
    draw: Draw
    sliced: bool = False


SOURCES: dict[str, Source] = {
    "ct": Source("phantom_trunk", scan_ct.LABELS, scan_ct.draw, sliced=True),
    "mr": Source("phantom_head", scan_mr.LABELS, scan_mr.draw, sliced=True),
    "x_ray": Source("phantom_chest", scan_chest.LABELS, scan_chest.draw),
    "pet": Source("phantom_uptake", scan_pet.LABELS, scan_pet.draw, sliced=True),
    "endoscopy": Source("phantom_colon", scan_photographs.ENDOSCOPY, scan_photographs.endoscopy),
    "dermoscopy": Source("phantom_skin", scan_photographs.LESIONS, scan_photographs.dermoscopy),
    "fundus": Source("phantom_retina", scan_photographs.FUNDUS, scan_photographs.fundus),
    "ultrasound": Source("phantom_breast", scan_ultrasound.LABELS, scan_ultrasound.draw),
}


def config_hash(config: ScanConfig) -> str:
    """Return the digest of the settings and of the classes of all modalities."""
    content = asdict(config) | {name: source.labels for name, source in SOURCES.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def draw_case(modality: str, number: int, seed: int = 0, config: ScanConfig | None = None) -> list[Scan]:
    """Draw one case: the same arguments give the same bytes, whatever was drawn before.

    Args:
        modality: A key of `SOURCES`.
        number: The number of the case.
        seed: Seed of the cohort.
        config: Settings; None for the defaults.

    Returns:
        Its images; those on which no instance is large enough are left out, as in SA-Med2D.

    Raises:
        InputError: If the modality is unknown.
    """
    if modality not in SOURCES:
        raise InputError(f"unknown modality {modality!r}{did_you_mean(modality, SOURCES)}")
    config = config or ScanConfig()
    rng = np.random.default_rng([seed, list(SOURCES).index(modality), number])
    scans = SOURCES[modality].draw(rng, config.side, config.slices, config.least)
    return [scan for scan in scans if scan.instances]


def write_case(
    folder: Path, modality: str, number: int, seed: int, config: ScanConfig
) -> dict[str, list[str]]:
    """Draw one case and write its images and masks.

    Args:
        folder: Root of the cohort.
        modality: As for `draw_case`.
        number: As for `draw_case`.
        seed: As for `draw_case`.
        config: As for `draw_case`.

    Returns:
        Masks by image, as in ``SAMed2D_v1.json``.
    """
    source, pairs = SOURCES[modality], {}
    for scan in draw_case(modality, number, seed, config):
        stem = image_stem(scan.prefix, source.dataset, f"case_{number:05d}", scan.axis, scan.index)
        masks, seen = [], dict.fromkeys(source.labels, 0)
        for label, mask in scan.instances:
            name = f"masks/{mask_stem(stem, source.labels.index(label), seen[label])}.png"
            seen[label] += 1
            _save(folder / name, mask.astype(np.uint8) * 255, 6)
            masks.append(name)
        _save(folder / "images" / f"{stem}.png", scan.image, 1)
        pairs[f"images/{stem}.png"] = masks
    return pairs


def _save(path: Path, pixels: np.ndarray, effort: int) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=effort)


def write_cohort(
    folder: Path | str, images: int, seed: int = 0, config: ScanConfig | None = None, workers: int = 1
) -> Path:
    """Write a cohort, or what is missing of it.

    Each finished case leaves a small file under ``cases/``; a run that was cut off goes on from there. The
    two JSON files of SA-Med2D come last, so a folder with them is complete.

    Args:
        folder: Root of the cohort.
        images: Least number of images of each modality, up to slices that show nothing.
        seed: Seed of the cohort.
        config: Settings; None for the defaults.
        workers: Processes at work at once.

    Returns:
        The folder.

    Raises:
        InputError: If the folder holds a cohort of other settings or another seed.
    """
    folder, config = Path(folder), config or ScanConfig()
    if images < 1:
        raise InputError(f"images must be 1 or more, got {images}")
    card = {"phantom": "scans", "seed": seed, "config": asdict(config), "config_hash": config_hash(config)}
    if (folder / "cohort.json").is_file() and read_json(folder / "cohort.json") != card:
        raise InputError(f"{folder} holds a cohort of other settings: remove it or choose another folder")
    write_json(folder / "cohort.json", card)
    tasks = [(modality, n) for modality in SOURCES for n in range(_cases(modality, images, config))]
    missing = [task for task in tasks if not _note(folder, *task).is_file()]
    _log.info("scan phantoms: %d of %d cases to draw", len(missing), len(tasks))
    work = partial(_finish_case, folder, seed, config)
    if workers > 1 and len(missing) > 1:
        with process_pool(workers) as pool:
            list(pool.map(work, *zip(*missing, strict=True), chunksize=8))
    else:
        for task in missing:
            work(*task)
    write_json(folder / CLASSES, class_ids())
    pairs: dict[str, list[str]] = {}
    for task in tasks:
        pairs |= read_json(_note(folder, *task))
    write_json(folder / PAIRS, pairs)
    return folder


def class_ids() -> dict[str, dict[str, str]]:
    """Return the content of ``SAMed2D_v1_class_mapping_id.json``."""
    return {
        source.dataset: {label: f"{i:04d}" for i, label in enumerate(source.labels)}
        for source in SOURCES.values()
    }


def _cases(modality: str, images: int, config: ScanConfig) -> int:
    return -(-images // config.slices) if SOURCES[modality].sliced else images


def _note(folder: Path, modality: str, number: int) -> Path:
    return folder / "cases" / modality / f"{number:05d}.json"


def _finish_case(folder: Path, seed: int, config: ScanConfig, modality: str, number: int) -> None:
    write_json(_note(folder, modality, number), write_case(folder, modality, number, seed, config))
