"""Cohorts in the forms that staging methods want, and cohorts that none of them is trained on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from skimage.transform import resize

from gftlib.datasets import octa500
from gftlib.datasets.images import read_scan
from gftlib.errors import InputError, MissingError
from gftlib.jobs import run_jobs
from gftlib.octa.batch import BatchResult, extract_folder
from gftlib.octa.batches import GraphTensors, from_octa_graph
from gftlib.octa.biomarkers import biomarkers
from gftlib.octa.folds import TEST_SPLIT, scan_table
from gftlib.octa.graph_io import read_graph
from gftlib.octa.scans import Scan
from gftlib.octa.segmentation import segment_classical
from gftlib.octa.staging import STAGES
from gftlib.paths import root
from gftlib.phantoms.octa_files import write_cohort
from gftlib.profiles import Profile

FOUND, SHIFTED, REAL = "masks found", "other device", "OCTA-500"


@dataclass(frozen=True)
class Cohort:
    """Scans in every form that a method wants, all in the same order.

    Args:
        rows: scan, subject, stage, split.
        graphs: As measured, not normalised.
        features: One column a biomarker.
        images: (N, H, W) uint8.
    """

    rows: pd.DataFrame
    graphs: list[GraphTensors]
    features: pd.DataFrame
    images: np.ndarray


def staged_cohort(scans: Sequence[Scan], batch: BatchResult, workers: int = 1) -> Cohort:
    """Read the graphs of scans whose stage is known; those without a graph are left out.

    Args:
        scans: Phantoms, or scans beside a ``scans.csv`` (see `stage_table`).
        batch: Their graphs.
        workers: Processes that read.

    Raises:
        InputError: If no scan has a graph, or a stage is not known.
    """
    there = [scan for scan in scans if scan.name in batch.graphs]
    if not there:
        raise InputError(f"none of {len(scans)} scans has a graph: look at the errors of the graph chapter")
    return _read(stage_table(there), there, batch, workers)


def stage_table(scans: Sequence[Scan]) -> pd.DataFrame:
    """Return scan, subject, stage and split of each scan.

    Phantoms know theirs. Of a user's own scans the file ``scans.csv`` in their folder tells it, with the
    columns ``scan`` (file name without ending), ``subject``, ``stage`` (healthy, NPDR, PDR) and, if wanted,
    ``split`` (0 is never trained on). Without splits, six are drawn that share no subject.

    Raises:
        MissingError: If there is no such file.
        InputError: If it lacks a column or a scan, names a scan twice or without its subject, or names an
            unknown stage or a split that is no number.
    """
    if all(scan.spec for scan in scans):
        return scan_table(scan.spec for scan in scans)
    path = scans[0].image.parent / "scans.csv"
    if not path.is_file():
        raise MissingError(f"no {path}: staging needs a table with the columns scan, subject, stage")
    table = pd.read_csv(path, dtype=str, skip_blank_lines=False)
    if missing := [name for name in ("scan", "subject", "stage") if name not in table]:
        raise InputError(f"{path} has no column {missing[0]!r}; it needs scan, subject and stage")
    table["line"] = np.arange(len(table)) + 2
    for name in ("scan", "subject"):
        table[name] = table[name].str.strip()
    if (twice := table[table["scan"].notna() & table.duplicated("scan")]).size:
        line, scan = twice.iloc[0][["line", "scan"]]
        raise InputError(f"{path}, line {line}: scan {scan!r} is named a second time")
    table = table[table["scan"].notna()].set_index("scan").reindex([scan.name for scan in scans])
    stages = table["stage"].str.strip().str.lower().map({name.lower(): k for k, name in enumerate(STAGES)})
    if (unknown := table.index[stages.isna()]).size:
        raise InputError(f"{path}: scan {unknown[0]!r} has no stage of {', '.join(STAGES)}")
    if (nobody := table.index[table["subject"].fillna("") == ""]).size:
        line = int(table["line"][nobody[0]])
        raise InputError(f"{path}, line {line}: scan {nobody[0]!r} has no subject: splits must share none")
    table["stage"] = stages.astype(int)
    table["split"] = _splits(table, path)
    return table.reset_index()[["scan", "subject", "stage", "split"]]


def _splits(table: pd.DataFrame, path: Path) -> pd.Series:
    """Return the splits that a table by scan names, or six that share no subject."""
    if "split" not in table:
        from sklearn.model_selection import StratifiedGroupKFold

        splits = pd.Series(0, table.index)
        folds = StratifiedGroupKFold(6, shuffle=True, random_state=0)
        for number, (_, rows) in enumerate(folds.split(table, table["stage"], table["subject"])):
            splits.iloc[rows] = number
        return splits
    splits = table["split"].fillna("").str.strip()
    bad = ~splits.str.fullmatch("-?[0-9]+")
    if bad.any():
        line, told = int(table["line"][bad].iloc[0]), splits[bad].iloc[0]
        raise InputError(
            f"{path}, line {line}: the split of scan {splits.index[bad][0]!r} is {told!r}: write a whole "
            "number (0 is never trained on) in every row, or leave the column out"
        )
    return splits.astype(int)


def foreign_cohorts(profile: Profile, scans: Sequence[Scan], folder: Path, workers: int) -> dict[str, Cohort]:
    """Return the cohorts that no method is trained on, by name.

    The unseen split with masks that had to be found; the same eyes by another device, with masks that had to
    be found; and OCTA-500 where the profile names its folder (GFT, Table 2).

    Args:
        profile: Its ``staging`` and ``graph`` sections are used.
        scans: The phantom cohort.
        folder: Gets the graphs.
        workers: Processes.
    """
    unseen = [scan for scan in scans if scan.spec and scan.spec.split == TEST_SPLIT]
    unseen = unseen[: profile.staging.shifted]
    # A fresh process needs seconds to start: a few scans are done sooner without.
    workers = workers if len(unseen) > 50 else 1
    elsewhere = root() / "runs" / profile.name / "cohorts" / "octa_shifted"
    specs = [dataclasses.replace(scan.spec, look="b") for scan in unseen]
    write_cohort(elsewhere, specs, workers=workers)
    parts = {
        FOUND: [dataclasses.replace(scan, mask=None) for scan in unseen],
        SHIFTED: [Scan(spec.scan_id, elsewhere / f"{spec.scan_id}.png", None, spec) for spec in specs],
    }
    found = {
        name: staged_cohort(part, segmented(profile, part, folder / name.replace(" ", "_"), workers), workers)
        for name, part in parts.items()
        if part
    }
    place = os.path.expandvars(profile.staging.octa500)
    if place and "$" not in place:
        found[REAL] = _octa500(Path(place), profile, folder / REAL, workers)
    return found


def segmented(profile: Profile, scans: Sequence[Scan], folder: Path, workers: int) -> BatchResult:
    """Build the graph of each scan from a mask that is found in it, whatever masks there are."""
    name = profile.staging.segmentation
    rules = profile.graph.model_dump()
    return extract_folder(
        [scan.image for scan in scans], folder, segmentation(name), workers=workers, label=name, **rules
    )


def segmentation(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the segmentation of that name, ``classical`` or ``learned``."""
    if name == "classical":
        return segment_classical
    from gftlib.octa.segmentation_network import segment_learned

    return segment_learned


def _octa500(place: Path, profile: Profile, folder: Path, workers: int) -> Cohort:
    """Return OCTA-500's healthy and diabetic scans; its grade DR is stage 1, with which 2 is pooled."""
    found = octa500.read(place)
    scans = [Scan(one.path.stem, one.path) for one in found]
    batch = segmented(profile, scans, folder, workers)
    there = [(scan, one) for scan, one in zip(scans, found, strict=True) if scan.name in batch.graphs]
    rows = [(scan.name, one.scan, one.label, TEST_SPLIT) for scan, one in there]
    table = pd.DataFrame(rows, columns=["scan", "subject", "stage", "split"])
    return _read(table, [scan for scan, _ in there], batch, workers)


def _read(rows: pd.DataFrame, scans: Sequence[Scan], batch: BatchResult, workers: int) -> Cohort:
    jobs = [
        (batch.graphs[scan.name], stage) for scan, stage in zip(scans, rows["stage"].tolist(), strict=True)
    ]
    # A fresh process needs seconds to start: a few graphs are read sooner without.
    read = run_jobs(_tensors_and_biomarkers, None, jobs, workers if len(jobs) > 100 else 1)
    images = [read_scan(scan.image) for scan in scans]
    # Graphs take scans of any size; only the residual network, which shrinks them, wants one.
    images = [one if one.shape == images[0].shape else resize(one, images[0].shape) for one in images]
    images = np.stack([np.round(255 * one).astype(np.uint8) for one in images])
    return Cohort(rows, [graph for graph, _ in read], pd.DataFrame([found for _, found in read]), images)


def _tensors_and_biomarkers(_: None, path: Path, stage: int) -> tuple[GraphTensors, dict[str, float]]:
    graph = read_graph(path)
    # What is no region is vessel or frame; holes that were filled count as vessel, as they do in the graph.
    return from_octa_graph(graph, stage), biomarkers(graph, graph.labels == 0)
