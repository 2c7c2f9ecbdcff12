"""Instance-level records from image-mask pairs, against a plain loop of Pillow and ``np.where``."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks._timing import interleaved
from gftlib.bird.dataset import build
from gftlib.bird.instances import Rule, collect
from gftlib.datasets.sa_med2d import CLASSES, PAIRS, SAMed2D
from gftlib.phantoms.scans import ScanConfig, write_cohort

TARGET = 5.0
FULL = 60_000
THREADS = min(2, os.cpu_count() or 1)


def plain(root: Path, entries: list, rule: Rule) -> list[list[tuple[float, ...]]]:
    """Do what one would write first: open, compare with zero, search, take the extremes."""
    found = []
    for entry in entries:
        width, height = Image.open(root / entry.image).size
        boxes = []
        for mask in entry.masks:
            pixels = np.array(Image.open(root / mask.path)) > 0
            labels, n = ndimage.label(pixels, np.ones((3, 3))) if rule == "components" else (pixels, 1)
            for k in range(1, n + 1):
                rows, cols = np.where(labels == k)
                boxes.append(
                    (
                        cols.min() / width,
                        rows.min() / height,
                        (cols.max() + 1) / width,
                        (rows.max() + 1) / height,
                    )
                )
        found.append(sorted(boxes))
    return found


def ours(data: SAMed2D, entries: list, rule: Rule, workers: int) -> list[list[tuple[float, ...]]]:
    """Do the same by the library."""
    metas = collect(data, entries, rule, least=0.0, overlap=1.0, workers=workers)
    return [sorted(instance.box for instance in meta.instances) for meta in metas]


def rows(images: int = 6, repeats: int = 7) -> list[dict]:
    """Return one row per image side and rule of instances."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for side in (256, 512):
            data = SAMed2D(write_cohort(Path(folder) / str(side), images, config=ScanConfig(side=side)))
            found += [
                _row(data, list(data.entries()), rule, side, repeats) for rule in ("file", "components")
            ]
    return found


def _row(data: SAMed2D, entries: list, rule: Rule, side: int, repeats: int) -> dict:
    if plain(data.root, entries, rule) != ours(data, entries, rule, 1):
        raise AssertionError("the two disagree")
    timing = interleaved(
        lambda: ours(data, entries, rule, THREADS), lambda: plain(data.root, entries, rule), repeats
    )
    masks = sum(len(entry.masks) for entry in entries)
    return {
        "name": f"instance records, {side} px, one a {rule.removesuffix('s')}",
        "ours_ms": timing["ours_ms"],
        "peer_ms": timing["peer_ms"],
        "ratio": timing["ratio"],
        "target": TARGET,
        "note": f"{len(entries)} images, {masks} masks, {THREADS} threads; same boxes",
    }


def projection(images: int = 12, copies: tuple[int, ...] = (1, 2, 4)) -> list[dict]:
    """Return time and peak memory of whole builds of growing folders, and what 60,000 images would take."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source = write_cohort(Path(folder) / "scans", images)
        build(source, Path(folder) / "warm")
        for factor in copies:
            grown = _copies(source, Path(folder) / f"x{factor}", factor)
            start = time.perf_counter()
            summary = build(grown, Path(folder) / f"records{factor}", workers=THREADS)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            n = summary["images"]
            found.append({"images": n, "s": seconds, "peak_mb": peak, "s_at_60000": seconds / n * FULL})
    return found


def _copies(source: Path, target: Path, factor: int) -> Path:
    """Lay out ``factor`` copies of a cohort as other cases, by links."""
    pairs = json.loads((source / PAIRS).read_text())
    grown = {}
    for k in range(factor):
        for image, masks in pairs.items():
            names = [name.replace("--case_", f"--copy{k}_case_") for name in (image, *masks)]
            for old, new in zip((image, *masks), names, strict=True):
                (target / new).parent.mkdir(parents=True, exist_ok=True)
                (target / new).hardlink_to(source / old)
            grown[names[0]] = names[1:]
    (target / PAIRS).write_text(json.dumps(grown))
    (target / CLASSES).write_text((source / CLASSES).read_text())
    return target


if __name__ == "__main__":
    for row in rows():
        print(f"{row['name']}: {row['ours_ms']:.1f} ms, plain {row['peer_ms']:.1f} ms, {row['ratio']:.1f}x")
    for row in projection(copies=tuple(int(a) for a in sys.argv[1:]) or (1, 2, 4)):
        rate = f"{row['s']:.1f} s, peak {row['peak_mb']:.0f} MB"
        print(
            f"whole build of {row['images']} images: {rate}; 60,000 images: {row['s_at_60000'] / 60:.0f} min"
        )
