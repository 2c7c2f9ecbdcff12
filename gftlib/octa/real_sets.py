"""Figures measured on public scans that are not shipped: what was measured, on which files, from where.

A chapter quotes them from ``book/results/real/<set>.json``; whoever has the files can measure them again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib import paths
from gftlib.datasets.images import read_mask, read_scan, to_grid
from gftlib.errors import InputError, MissingError, did_you_mean
from gftlib.octa.graph import OctaGraph, build_graph
from gftlib.octa.realism import QUANTITIES, describe_graph, describe_label
from gftlib.octa.scans import Scan, find_scans
from gftlib.octa.segmentation import segment_classical


@dataclass(frozen=True)
class PublicSet:
    """A public set of scans with vessel masks.

    Attributes:
        title: What it is, in a few words.
        source: Repository and commit.
        licence: Its licence.
        images: Folder of scans inside it.
        masks: Folder of masks of the same names.
        whole_bed: Whether the masks hold every vessel, capillaries too.
        field_mm: Width of the scanned field, mm.
    """

    title: str
    source: str
    licence: str
    images: str
    masks: str
    whole_bed: bool
    field_mm: float = 3.0


SETS = {
    "octa_synthetic_tum": PublicSet(
        "simulated deep-vascular-complex scans, exact masks",
        "aiforvision/OCTA-autosegmentation @9cdc313",
        "MIT",
        "images",
        "labels",
        whole_bed=True,
    ),
    "octa_rossa": PublicSet(
        "real scans, human masks of the larger vessels",
        "nhjydywd/OCTA-FRNet @53e87f8",
        "MIT",
        "image",
        "label",
        whole_bed=False,
    ),
}


def measure_scan(scan: Scan, about: PublicSet) -> dict[str, float]:
    """Measure one scan of a public set.

    Args:
        scan: The scan, with its mask.
        about: Its set.

    Returns:
        Area fractions of the given mask and of the one found here, their overlap (Dice, and recall of given
        vessel pixels), segments and FAZ nodes of the graph of the mask found here; for masks that hold the
        whole bed the figures of :func:`gftlib.octa.realism.describe_label` too.
    """
    image, given = read_scan(scan.image), to_grid(read_mask(scan.mask))
    found = segment_classical(image, size=max(given.shape))
    graph = build_graph(found, image, field_mm=about.field_mm)
    both = int((given & found).sum())
    row = {
        "given_area": float(given.mean()),
        "found_area": float(found.mean()),
        "dice": 2 * both / int(given.sum() + found.sum()),
        "recall": both / int(given.sum()),
        "found_segments": float(len(graph.vessel)),
        "found_faz": float(len(graph.faz)),
    }
    return row | (describe_label(given, about.field_mm) if about.whole_bed else {})


def measure_set(name: str, folder: Path | str) -> dict[str, Any]:
    """Measure every scan of a public set.

    Args:
        name: Key of ``SETS``.
        folder: Where its files are.

    Returns:
        Source, digest of every file, and a row of figures a scan (None where there is nothing to measure).

    Raises:
        InputError: If the set is unknown or a scan has no mask.
        MissingError: If the folder is not laid out as the set is.
    """
    if name not in SETS:
        raise InputError(f"unknown set {name!r}{did_you_mean(name, SETS)}")
    about, folder = SETS[name], Path(folder)
    if not (folder / about.images).is_dir() or not (folder / about.masks).is_dir():
        raise MissingError(f"{folder} does not hold the folders {about.images}/ and {about.masks}/ of {name}")
    rows, files = {}, {}
    for scan in find_scans(folder / about.images, folder / about.masks):
        if scan.mask is None:
            raise InputError(f"{scan.image} has no mask in {folder / about.masks}")
        files |= {str(path.relative_to(folder)): paths.sha256(path) for path in (scan.image, scan.mask)}
        figures = measure_scan(scan, about)
        rows[scan.name] = {
            key: round(value, 5) if np.isfinite(value) else None for key, value in figures.items()
        }
    about_it = {"title": about.title, "source": about.source, "licence": about.licence}
    return {"set": name, **about_it, "field_mm": about.field_mm, "files": files, "rows": rows}


def measured(name: str) -> pd.DataFrame:
    """Return the published rows of a public set, one a scan.

    Raises:
        MissingError: If the set has not been measured.
    """
    content = paths.read_json(paths.root() / "book" / "results" / "real" / f"{name}.json")
    return pd.DataFrame.from_dict(content["rows"], orient="index").assign(set=name)


def compare(graphs: Iterable[tuple[Scan, OctaGraph]], name: str = "phantoms") -> pd.DataFrame:
    """Put the figures of a run's graphs beside those of public sets whose masks hold the whole vascular bed.

    Args:
        graphs: Scans and their graphs.
        name: What the run's scans are called.

    Returns:
        A column ``set`` and the columns of :data:`gftlib.octa.realism.QUANTITIES`; one row a scan.
    """
    own = pd.DataFrame([describe_graph(graph, float((graph.labels == 0).mean())) for _, graph in graphs])
    others = [
        measured(key).replace({"set": {key: about.title}}) for key, about in SETS.items() if about.whole_bed
    ]
    return pd.concat([own.assign(set=name), *others])[["set", *QUANTITIES]]


def against_people(names: Iterable[str] = tuple(SETS)) -> pd.DataFrame:
    """Tell how the segmentation without training fares against given masks.

    Args:
        names: Public sets.

    Returns:
        A row a set: number of scans, mean area fractions, Dice and recall, scans in which an FAZ was found.
    """
    table = {}
    for name in names:
        rows = measured(name)
        table[SETS[name].title] = {
            "scans": len(rows),
            "area of the given mask": f"{rows.given_area.mean():.3f}",
            "area found": f"{rows.found_area.mean():.3f}",
            "given vessel pixels found": f"{rows.recall.mean():.3f}",
            "Dice": f"{rows.dice.mean():.3f}",
            "scans with an FAZ found": int((rows.found_faz > 0).sum()),
        }
    return pd.DataFrame.from_dict(table, orient="index")
