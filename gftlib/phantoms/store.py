"""Keep a drawn cohort on disk, so that it is drawn once for a configuration, a size and a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.errors import InputError
from gftlib.paths import atomic_path, read_json, write_json

Drawn = tuple[np.ndarray, list[Any]]  # images (N, H, W[, 3]) uint8, and one JSON value a sample


def drawn_once(folder: Path | str | None, name: str, make: Callable[[], Drawn]) -> Drawn:
    """Return what ``make`` draws, from disk where it lies already.

    Args:
        folder: Where to keep it; None draws in memory and keeps nothing.
        name: File name without suffix; it must name configuration, size and seed.
        make: Draws the images and the facts of each sample.

    Returns:
        Images (memory-mapped if from disk) and facts.

    Raises:
        InputError: If the files on disk do not belong together.
    """
    if folder is None:
        return make()
    images_path, facts_path = Path(folder) / f"{name}.npy", Path(folder) / f"{name}.json"
    if not (images_path.is_file() and facts_path.is_file()):
        images, facts = make()
        with atomic_path(images_path) as temporary, open(temporary, "wb") as stream:
            np.save(stream, images, allow_pickle=False)
        write_json(facts_path, facts)
    images, facts = np.load(images_path, mmap_mode="r", allow_pickle=False), read_json(facts_path)
    if len(images) != len(facts):
        raise InputError(
            f"{images_path} has {len(images)} images, {facts_path} {len(facts)} facts: delete both"
        )
    return images, facts
