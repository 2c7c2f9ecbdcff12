"""Phantoms on disk: one PNG, two 1-bit PNGs, one npz and one JSON a scan; cohorts that can be resumed.

For a scan ``s0001_OD_1`` there are ``s0001_OD_1.png`` (scan), ``_label.png`` and ``_faz.png`` (1-bit,
1216x1216), ``.npz`` (vessel graph and lesion crops, no pickle) and ``.json`` (spec, version, configuration
hash, lesions). The JSON is written last, so a scan is complete if and only if its JSON is there and matches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from PIL import Image

from gftlib.errors import InputError, MissingError
from gftlib.paths import atomic_path, inside, read_json, write_json
from gftlib.phantoms.lesion_masks import Lesion
from gftlib.phantoms.octa import OctaPhantom, generate
from gftlib.phantoms.octa_cohort import ScanSpec
from gftlib.phantoms.octa_config import GENERATOR_VERSION, OctaConfig
from gftlib.phantoms.truth import VesselGraph
from gftlib.processes import process_pool

log = logging.getLogger(__name__)


def write(phantom: OctaPhantom, folder: Path | str, config: OctaConfig | None = None) -> Path:
    """Write one phantom; each file appears whole or not at all.

    Args:
        phantom: What :func:`gftlib.phantoms.octa.generate` returned.
        folder: Target folder, made if missing.
        config: The configuration it was made with.

    Returns:
        The path of the JSON, which is written last.
    """
    folder, name = Path(folder), phantom.spec.scan_id
    inside(folder, name)
    for suffix, array in (("", phantom.image), ("_label", phantom.label), ("_faz", phantom.faz)):
        with atomic_path(folder / f"{name}{suffix}.png") as temporary:
            Image.fromarray(array).save(temporary, optimize=False)
    arrays = {f"graph_{f.name}": getattr(phantom.graph, f.name) for f in fields(VesselGraph)}
    arrays |= {f"lesion_{i}": np.packbits(lesion.crop) for i, lesion in enumerate(phantom.lesions)}
    with atomic_path(folder / f"{name}.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    record = {
        "spec": asdict(phantom.spec),
        "generator_version": GENERATOR_VERSION,
        "config_hash": (config or OctaConfig()).config_hash(),
        "ica_count": phantom.ica_count,
        "lesions": [
            {
                "kind": lesion.kind,
                "corner": list(lesion.corner),
                "shape": list(lesion.crop.shape),
                "box": list(lesion.box),
                "quadrants": list(lesion.quadrants),
            }
            for lesion in phantom.lesions
        ],
    }
    return write_json(folder / f"{name}.json", record)


def read(folder: Path | str, scan_id: str) -> OctaPhantom:
    """Read one phantom back, equal to what was written.

    Args:
        folder: Folder of the cohort.
        scan_id: The scan's name.

    Returns:
        The phantom.

    Raises:
        MissingError: If the scan is not there or not complete.
        InputError: If a file does not hold what it should.
    """
    folder = Path(folder)
    record = read_json(inside(folder, f"{scan_id}.json"))
    pictures = []
    for suffix, mode in (("", "L"), ("_label", "1"), ("_faz", "1")):
        path = folder / f"{scan_id}{suffix}.png"
        if not path.is_file():
            raise MissingError(f"no file {path}; write the cohort again, complete scans are skipped")
        with Image.open(path) as picture:
            if picture.mode != mode:
                raise InputError(f"{path} has mode {picture.mode}, not {mode}")
            pictures.append(np.array(picture))
    try:
        with np.load(folder / f"{scan_id}.npz", allow_pickle=False) as arrays:
            graph = VesselGraph(**{f.name: arrays[f"graph_{f.name}"] for f in fields(VesselGraph)})
            lesions = tuple(
                Lesion(entry["kind"], tuple(entry["corner"]), _unpack(arrays[f"lesion_{i}"], entry["shape"]))
                for i, entry in enumerate(record["lesions"])
            )
        spec = ScanSpec(**record["spec"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"scan {scan_id} in {folder} is damaged ({error}); delete it and write it again"
        ) from error
    return OctaPhantom(spec, pictures[0], pictures[1], pictures[2], graph, lesions)


def _unpack(bits: np.ndarray, shape: list[int]) -> np.ndarray:
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)


def is_complete(folder: Path | str, spec: ScanSpec, config: OctaConfig | None = None) -> bool:
    """Say whether a scan is on disk, whole, with this very spec and configuration."""
    folder = Path(folder)
    names = [f"{spec.scan_id}{end}" for end in (".png", "_label.png", "_faz.png", ".npz", ".json")]
    if not all((folder / name).is_file() for name in names):
        return False
    try:
        record = read_json(folder / names[-1])
    except InputError:
        return False
    current = (config or OctaConfig()).config_hash()
    return record.get("spec") == asdict(spec) and record.get("config_hash") == current


def _make(folder: str, spec: ScanSpec, config: OctaConfig) -> str:
    write(generate(spec, config), folder, config)
    return spec.scan_id


def write_cohort(
    folder: Path | str,
    specs: Sequence[ScanSpec],
    config: OctaConfig | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write every scan of a cohort that is not there yet.

    Args:
        folder: Target folder.
        specs: From :func:`gftlib.phantoms.octa_cohort.cohort`.
        config: Generator settings.
        workers: Processes, one thread each; 1 stays in this process.
        progress: Called with (done, total) after each scan.

    Returns:
        The names of the scans made now, in cohort order.

    Raises:
        InputError: If ``workers`` is not positive or two specs share a name.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; use 1 or more")
    if len({spec.scan_id for spec in specs}) < len(specs):
        raise InputError("two scans of the cohort share a scan_id; each needs its own")
    config = config or OctaConfig()
    Path(folder).mkdir(parents=True, exist_ok=True)
    todo = [spec for spec in specs if not is_complete(folder, spec, config)]
    log.info("%d of %d scans to make in %s", len(todo), len(specs), folder)
    done = len(specs) - len(todo)

    def count() -> None:
        nonlocal done
        done += 1
        log.info("scan %d of %d", done, len(specs))
        if progress:
            progress(done, len(specs))

    if workers == 1:
        for spec in todo:
            _make(str(folder), spec, config)
            count()
    else:
        with process_pool(workers) as pool:
            futures = [pool.submit(_make, str(folder), spec, config) for spec in todo]
            for future in as_completed(futures):
                future.result()
                count()
    return [spec.scan_id for spec in todo]
