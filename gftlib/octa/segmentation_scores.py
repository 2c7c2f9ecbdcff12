"""How the learned segmentation fares beside the classical one, on public scans and held-out phantoms.

Recall alone rewards a mask that covers everything. So the network's probabilities are also cut, scan by scan,
where the mask covers exactly as much as the classical one: recall at equal area. What is cut there is the
mean of the probabilities of being vessel and of being a larger vessel: with less room, larger vessels come
first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gftlib import paths
from gftlib.datasets.images import read_mask, read_scan, to_grid
from gftlib.errors import InputError, MissingError, did_you_mean
from gftlib.octa.graph import build_graph
from gftlib.octa.real_sets import SETS
from gftlib.octa.scans import find_scans
from gftlib.octa.segmentation import segment_classical
from gftlib.octa.segmentation_network import (
    CERTAIN,
    THRESHOLD,
    WEIGHTS,
    read_header,
    segment_learned,
    vessel_probability,
)
from gftlib.phantoms.octa import OctaConfig, cohort, generate

HELD_OUT = {
    "phantoms_a": ("phantoms, the device of the experiments", "a"),
    "phantoms_b": ("phantoms, the other device", "b"),
}
"""Sets of phantoms that neither the training nor any experiment has seen, and their device."""

HELD_OUT_SEED = 9102
HELD_OUT_SCANS = 12

Example = tuple[str, NDArray[np.floating], NDArray[np.bool_]]


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Return the area of a mask, its Dice coefficient with the truth, and the recall of the truth's pixels.

    Raises:
        InputError: If the masks differ in shape or the truth is empty.
    """
    if found.shape != truth.shape or not truth.any():
        raise InputError(f"masks of one shape and some truth are needed: {found.shape} and {truth.shape}")
    both = int((found & truth).sum())
    return {
        "area": float(found.mean()),
        "dice": 2 * both / int(found.sum() + truth.sum()),
        "recall": both / int(truth.sum()),
    }


def cut_at_area(probability: NDArray[np.floating], pixels: int) -> NDArray[np.bool_]:
    """Return the mask of the ``pixels`` most probable pixels, the earlier one first among equals."""
    order = np.argsort(-probability, axis=None, kind="stable")
    mask = np.zeros(probability.size, dtype=bool)
    mask[order[:pixels]] = True
    return mask.reshape(probability.shape)


def score_scan(
    image: NDArray[np.floating], truth: NDArray[np.bool_], field_mm: float = 3.0
) -> dict[str, float]:
    """Score both segmentations of one scan.

    Args:
        image: Grey scan in [0, 1], shape (H, W).
        truth: Vessel mask, longer side 1216 pixels.
        field_mm: Width of the field, mm.

    Returns:
        ``given_area``; area, Dice, recall and number of FAZ nodes of the classical mask (``classical_``), of
        the learned one (``learned_``), and, without the FAZ, of the learned one at the classical area
        (``equal_``).
    """
    size = max(truth.shape)
    masks = {
        "classical": segment_classical(image, size=size),
        "learned": segment_learned(image, size=size),
    }
    row = {"given_area": float(truth.mean())}
    for name, mask in masks.items():
        row |= {f"{name}_{key}": value for key, value in overlap(mask, truth).items()}
        row[f"{name}_faz"] = float(len(build_graph(mask, image, field_mm=field_mm).faz))
    equal = cut_at_area(vessel_probability(image).mean(axis=0), int(masks["classical"].sum()))
    return row | {f"equal_{key}": value for key, value in overlap(equal, truth).items()}


def measure(name: str, folder: Path | str | None = None) -> dict[str, Any]:
    """Score both segmentations on every scan of a set.

    Args:
        name: A public set of ``gftlib.octa.real_sets.SETS``, or a key of ``HELD_OUT``.
        folder: Where the files of a public set are.

    Returns:
        What the set is, where it is from, digests of files and weights, and a row of figures a scan.

    Raises:
        InputError: If the set is unknown, or a scan has no mask.
        MissingError: If a public set's folder is not given or not laid out as the set is.
    """
    header = read_header(WEIGHTS)
    about: dict[str, Any] = {
        "set": name,
        "weights": {"sha256": paths.sha256(WEIGHTS), "recipe_digest": header["recipe_digest"]},
        "threshold": THRESHOLD,
        "certain": CERTAIN,
    }
    if name in HELD_OUT:
        examples, field_mm = _phantoms(HELD_OUT[name][1]), 3.0
        about |= {
            "title": HELD_OUT[name][0],
            "cohort": {"seed": HELD_OUT_SEED, "scans": HELD_OUT_SCANS, "look": HELD_OUT[name][1]},
            "generator": OctaConfig().config_hash(),
        }
    elif name in SETS:
        examples, field_mm = _public(name, folder, files := {}), SETS[name].field_mm
        public = SETS[name]
        about |= {"title": public.title, "source": public.source, "licence": public.licence, "files": files}
    else:
        raise InputError(f"unknown set {name!r}{did_you_mean(name, [*SETS, *HELD_OUT])}")
    rows = {
        key: {column: round(value, 5) for column, value in score_scan(image, truth, field_mm).items()}
        for key, image, truth in examples
    }
    return about | {"rows": rows}


def _phantoms(look: str) -> Iterator[Example]:
    """Generate the held-out phantoms of a device."""
    for spec in cohort(HELD_OUT_SCANS, HELD_OUT_SEED, look=look):
        phantom = generate(spec)
        yield spec.scan_id, phantom.image / 255, phantom.label


def _public(name: str, folder: Path | str | None, files: dict[str, str]) -> Iterator[Example]:
    """Read the scans and masks of a public set; note the digest of each file."""
    about = SETS[name]
    if folder is None or not all((Path(folder) / part).is_dir() for part in (about.images, about.masks)):
        raise MissingError(f"{folder} does not hold the folders {about.images}/ and {about.masks}/ of {name}")
    folder = Path(folder)
    for scan in find_scans(folder / about.images, folder / about.masks):
        if scan.mask is None:
            raise InputError(f"{scan.image} has no mask in {folder / about.masks}")
        files |= {str(path.relative_to(folder)): paths.sha256(path) for path in (scan.image, scan.mask)}
        yield scan.name, read_scan(scan.image), to_grid(read_mask(scan.mask))


def published(name: str) -> Path:
    """Return the file of a set's figures in the book."""
    return paths.root() / "book" / "results" / "real" / f"{name}_learned.json"


def publish(name: str, folder: Path | str | None = None) -> Path:
    """Score a set, see :func:`measure`, and write its figures for the book to quote."""
    return paths.write_json(published(name), measure(name, folder))


def table(names: Iterable[str] = (*HELD_OUT, *SETS)) -> pd.DataFrame:
    """Put the published figures of both segmentations side by side.

    Args:
        names: Sets.

    Returns:
        Means over scans, a row for each set and method: ``classical``; ``learned`` at its own threshold; and
        ``learned, equal area``, cut scan by scan to the classical area. Columns: set, method, scans, area of
        the given mask, area found, Dice, recall, scans with an FAZ found (missing where no graph was built).

    Raises:
        MissingError: If a set has not been measured.
    """
    lines = []
    for name in names:
        content = paths.read_json(published(name))
        rows = pd.DataFrame.from_dict(content["rows"], orient="index")
        for key, method in (
            ("classical", "classical"),
            ("learned", "learned"),
            ("equal", "learned, equal area"),
        ):
            line = {"set": content["title"], "method": method, "scans": len(rows)}
            line["area given"] = rows["given_area"].mean()
            line |= {
                title: rows[f"{key}_{column}"].mean()
                for column, title in (("area", "area found"), ("dice", "Dice"), ("recall", "recall"))
            }
            faz = rows.get(f"{key}_faz")
            line["FAZ found"] = None if faz is None else int((faz > 0).sum())
            lines.append(line)
    frame = pd.DataFrame(lines)
    return frame.astype({"FAZ found": "Int64"})
