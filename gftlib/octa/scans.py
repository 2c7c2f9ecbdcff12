"""The scans a chapter works on: a user's own, or the phantom cohort of a profile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.datasets.images import read_mask, read_scan, to_grid
from gftlib.errors import InputError, MissingError
from gftlib.octa.batch import BatchResult, extract_folder
from gftlib.octa.cohort import make_cohort
from gftlib.octa.graph import OctaGraph
from gftlib.octa.graph_io import read_graph
from gftlib.octa.segmentation import segment_classical
from gftlib.phantoms.octa import OctaPhantom, ScanSpec
from gftlib.phantoms.octa_files import read
from gftlib.profiles import Profile
from gftlib.sources import digest, source_files

SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}


@dataclass(frozen=True)
class Scan:
    """One OCTA en-face scan.

    Attributes:
        name: What results call it; the file name without its ending.
        image: Image file.
        mask: Vessel mask of the same field, if there is one; of a phantom, the true one.
        spec: Whose scan a phantom is; None for a real scan.
    """

    name: str
    image: Path
    mask: Path | None = None
    spec: ScanSpec | None = None

    def phantom(self) -> OctaPhantom:
        """Read a phantom with its truth.

        Raises:
            InputError: If the scan is a real one.
        """
        if self.spec is None:
            raise InputError(f"{self.image} is a real scan: its truth is not known")
        return read(self.image.parent, self.name)


def open_cohort(profile: Profile, image: str = "", mask: str = "") -> list[Scan]:
    """Return the scans of a run: a user's own if ``image`` is given, else those of the profile.

    Args:
        profile: The profile of the run.
        image: A scan or a folder of scans; may be empty.
        mask: Its mask or masks; may be empty.

    Returns:
        The scans; phantoms are made if they are not there yet.
    """
    if image:
        return find_scans(image, mask)
    if profile.octa.source == "folder":
        return find_scans(profile.octa.path, mask)
    folder, specs = make_cohort(profile)
    return [Scan(s.scan_id, folder / f"{s.scan_id}.png", folder / f"{s.scan_id}_label.png", s) for s in specs]


def find_scans(image: str | Path, mask: str | Path = "") -> list[Scan]:
    """Find a user's scans.

    Args:
        image: A scan, or a folder of scans; ``${NAME}`` stands for an environment variable.
        mask: The scan's vessel mask, or a folder of masks of the same names; empty if there is none.

    Returns:
        The scans, by name.

    Raises:
        MissingError: If a file or folder is not there, or a folder holds no scan.
        InputError: If a file is given where a folder is needed, or two scans share a name.
    """
    source, masks = _existing(image), _existing(mask) if mask else None
    if source.is_file():
        if masks is not None and masks.is_dir():
            masks = _named(masks).get(source.stem)
        return [Scan(source.stem, source, masks)]
    if masks is not None and masks.is_file():
        raise InputError(
            f"{source} is a folder of scans, so the masks must be one too, found the file {masks}"
        )
    found = _named(source)
    if not found:
        raise MissingError(f"no scan in {source}: looked for {', '.join(sorted(SUFFIXES))}")
    beside = _named(masks) if masks is not None else {}
    return [Scan(name, path, beside.get(name)) for name, path in found.items()]


def load(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Read a scan and its vessel mask; without a mask, segment the scan.

    Args:
        scan: The scan.

    Returns:
        The scan, (h, w), and its mask on the working grid, (H, W) bool.
    """
    image = read_scan(scan.image)
    return image, to_grid(read_mask(scan.mask) if scan.mask else segment_classical(image))


def extract(
    scans: Sequence[Scan],
    folder: Path | str,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Any,
) -> BatchResult:
    """Write the graph of every scan that has none yet, or one of earlier code.

    See :func:`gftlib.octa.batch.extract_folder`.

    Args:
        scans: The scans; those without a mask are segmented.
        folder: Where the graphs go.
        workers: Processes at work at once.
        progress: Called with (done, total, name) after each scan.
        **settings: Passed to :func:`gftlib.octa.graph.build_graph`.

    Returns:
        Files, skipped scans and errors.
    """
    return extract_folder(
        [scan.image for scan in scans],
        Path(folder),
        segment_classical,
        masks={scan.name: scan.mask for scan in scans if scan.mask},
        workers=workers,
        progress=progress,
        label=digest(source_files(["gftlib.octa.graph", "gftlib.octa.segmentation"])),
        **settings,
    )


def extracted(scans: Sequence[Scan], batch: BatchResult) -> Iterator[tuple[Scan, OctaGraph]]:
    """Read back the graphs of those scans that have one, in order."""
    for scan in scans:
        if scan.name in batch.graphs:
            yield scan, read_graph(batch.graphs[scan.name])


def _existing(path: str | Path) -> Path:
    expanded = Path(os.path.expandvars(path)).expanduser()
    if "$" in str(expanded):
        raise MissingError(f"the environment variable in {str(path)!r} is not set")
    if not expanded.exists():
        raise MissingError(f"no file or folder {expanded}")
    return expanded


def _named(folder: Path) -> dict[str, Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    named: dict[str, Path] = {}
    for path in files:
        if path.stem in named:
            raise InputError(
                f"{path} and {named[path.stem].name} share a name: results would overwrite each other"
            )
        named[path.stem] = path
    return named
