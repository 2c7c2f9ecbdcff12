"""From the outputs of earlier chapters to tables, and from tables to dialogues (GFT, section 2.4).

Tables and teachers live in packages that cannot reach a phantom: what they state meets the truth in
`gftlib.table_truth`, to be scored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib import results
from gftlib.datasets.eight_bit import eight_bit
from gftlib.datasets.images import read_scan
from gftlib.dialogue import corpus
from gftlib.dialogue.corpus import Corpus
from gftlib.dialogue.display import dialogue_html
from gftlib.dialogue.records import Kind, Pair
from gftlib.dialogue.taught import fold_place, taught_splits
from gftlib.dialogue.teacher import TeacherScan
from gftlib.errors import InputError
from gftlib.jobs import Progress
from gftlib.octa.attribution_study import fitted_baseline, ig_config, staging_network
from gftlib.octa.explaining import read_attribution
from gftlib.octa.folds import TEST_SPLIT
from gftlib.octa.graph_io import read_graph
from gftlib.octa.normal import HealthyReference
from gftlib.octa.overlays import overlay, write_overlays
from gftlib.octa.scans import Scan, extract, open_cohort
from gftlib.octa.staging_cohorts import stage_table
from gftlib.octa.table_rows import STAGES, ScanTable
from gftlib.octa.tabling import Explainer, Labelled, attribution_file, healthy_reference, tabulate
from gftlib.octa.training import fold_folder
from gftlib.paths import read_json, root, sha256, write_json
from gftlib.profiles import Profile

SEED = 0
"""Of the network that explains, one a fold. The split that validated it gives no healthy reference either."""
NAME = r"[\w.-]+"
"""Of a scan, as tables and dialogues keep it."""
SHOWN: tuple[Kind, ...] = ("quadrant", "vessels", "perfusion", "presence", "grounding")
"""Stage 2 questions of an example, one of each kind."""


@dataclass(frozen=True)
class Lesson:
    """What a teacher is given, and where it came from.

    Attributes:
        scans: Scan by name, all that have a graph.
        graphs: Graph file of each.
        rows: scan, subject, stage and split of each.
        reference: From the healthy scans of the training fold.
        tables: Of the scans that are taught, by name.
        folder: Of the chapter's results, or of a further fold's.
        fold: Whose network explains.
    """

    scans: dict[str, Scan]
    graphs: dict[str, Path]
    rows: pd.DataFrame
    reference: HealthyReference
    tables: dict[str, ScanTable]
    folder: Path
    fold: int = 1

    def example(self, stage: int) -> ScanTable:
        """Return the table of a taught scan that the network stages rightly, with the most to tell.

        Raises:
            InputError: If no scan of that stage is taught.
        """
        known = [table for table in self.tables.values() if table.label == STAGES[stage]]
        if not known:
            raise InputError(f"no taught scan is {STAGES[stage]}: teach more splits")
        return max(known, key=lambda table: (table.predicted == table.label, len(table.findings)))

    def pictures(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a taught scan, (h, w) uint8, and the same with its heatmap, (H, W, 3) uint8."""
        image = np.round(255 * read_scan(self.scans[name].image)).astype(np.uint8)
        attribution = read_attribution(attribution_file(self.folder, name))
        return image, overlay(image, read_graph(self.graphs[name]), attribution)

    def pupils(self, images: bool = False, workers: int = 1) -> list[TeacherScan]:
        """Return the tables as a teacher takes them, with scan and heatmap if these are to be sent."""
        if not images:
            return [TeacherScan(table, self.scans[name].image.name) for name, table in self.tables.items()]
        overlays = write_overlays(
            [
                (name, self.scans[name].image, self.graphs[name], attribution_file(self.folder, name))
                for name in self.tables
            ],
            self.folder / "overlays",
            workers,
        )
        return [
            TeacherScan(
                table,
                self.scans[name].image.name,
                eight_bit(self.scans[name].image, self.folder / "eight_bit"),
                overlays[name],
            )
            for name, table in self.tables.items()
        ]


def prepare(
    profile: Profile,
    folder: Path | str,
    workers: int = 1,
    progress: Progress | None = None,
    fold: int | None = None,
) -> Lesson:
    """Make the tables of the scans that are taught, from the graphs of chapter 1 and a network of chapter 2.

    Args:
        profile: Its sections ``octa``, ``graph``, ``attribution`` and ``dialogue`` are used.
        folder: Of the chapter's results; a second call makes only what is missing there.
        workers: Processes.
        progress: Called with (done, total) after each table made now.
        fold: Whose network explains; the first of the profile if not given.

    Raises:
        MissingError: If chapter 2 has not been run for the profile.
        InputError: If the training fold has fewer than two healthy scans, or is taught its validation split.
    """
    fold = profile.dialogue.folds[0] if fold is None else fold
    splits, folder = taught_splits(profile.dialogue, fold), fold_place(folder, profile.dialogue, fold)
    cohort = open_cohort(profile)
    graphs = root() / "runs" / profile.name / "01_graph_construction" / "graphs"
    batch = extract(cohort, graphs, workers, **profile.graph.model_dump())
    there = [scan for scan in cohort if scan.name in batch.graphs]
    rows = stage_table(there)
    _named(rows["scan"])
    healthy = rows[(rows["stage"] == 0) & ~rows["split"].isin([TEST_SPLIT, fold])]
    reference = _reference([batch.graphs[name] for name in healthy["scan"]], folder, workers)
    lesson = Lesson(
        {scan.name: scan for scan in there},
        {scan.name: batch.graphs[scan.name] for scan in there},
        rows,
        reference,
        {},
        folder,
        fold,
    )
    taught = rows.loc[rows["split"].isin(splits), "scan"]
    return replace(lesson, tables=explain_tables(profile, lesson, list(taught), folder, workers, progress))


def explain_tables(
    profile: Profile,
    lesson: Lesson,
    names: Sequence[str],
    folder: Path | str,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, ScanTable]:
    """Make the tables of scans, taught or not, by the network of the lesson's fold.

    Args:
        profile: As `prepare`.
        lesson: Scans, graphs, stages and the healthy reference.
        names: Of the scans.
        folder: As `gftlib.octa.tabling.tabulate`.
        workers: Processes.
        progress: As `prepare`.
    """
    network = staging_network(profile, lesson.fold, SEED)
    baseline = fitted_baseline(profile.attribution, network, list(lesson.scans.values()), lesson.graphs)
    runs = root() / "runs" / profile.name
    weights = fold_folder(runs / "02_staging" / "gnn", SEED, lesson.fold) / "model.safetensors"
    explainer = Explainer(weights, ig_config(profile.attribution), baseline)
    stages = dict(zip(lesson.rows["scan"], lesson.rows["stage"], strict=True))
    labelled = [Labelled(name, lesson.graphs[name], int(stages[name])) for name in names]
    top = profile.dialogue.top
    tables = tabulate(
        labelled, lesson.reference, explainer, folder, top=top, workers=workers, progress=progress
    )
    return {table.scan: table for table in tables}


def unseen_tables(
    profile: Profile, names: Sequence[str], folder: Path | str, workers: int = 1
) -> tuple[Lesson, dict[str, ScanTable]]:
    """Make the tables of scans that are not taught as chapter 4 makes those of the others.

    Returns:
        The lesson of chapter 4, and the tables; arguments as `explain_tables`.
    """
    lesson = prepare(profile, root() / "runs" / profile.name / "04_dialogue", workers)
    return lesson, explain_tables(profile, lesson, names, folder, workers)


def further_folds(profile: Profile, folder: Path | str, workers: int = 1) -> dict[str, str]:
    """Have the dialogues of the other folds written, each from the tables of its own network.

    A hosted teacher is sent no scan here; `gftlib dialogue build` asks for consent and writes all folds.

    Args:
        profile: As `prepare`.
        folder: Of the chapter's results.
        workers: Processes.

    Returns:
        ``<fold> <scan> stage <n>`` -> why it has no dialogue.
    """
    missing = {}
    for fold in profile.dialogue.folds[1:]:
        lesson = prepare(profile, folder, workers, fold=fold)
        made = corpus.build(lesson.pupils(), profile.dialogue, lesson.folder, profile.seed, ledger=folder)
        missing |= {f"fold {fold} {name}": why for name, why in made.missing.items()}
    return missing


def dialogues(lesson: Lesson, made: Corpus, stages: Sequence[int] = (1, 2)) -> str:
    """Return examples as HTML: scan and heatmap above a dialogue of both stages (GFT, Fig. 2).

    Args:
        lesson: Where the scans come from.
        made: Their dialogues.
        stages: One example of each.
    """
    parts = []
    for stage in stages:
        name = lesson.example(stage).scan
        first, second = (
            [pair for dialogue in part if dialogue.id == name for pair in dialogue.pairs]
            for part in (made.first, made.second)
        )
        shown = [next(pair for pair in second if pair.kind == kind) for kind in SHOWN if _has(second, kind)]
        source = "phantom" if lesson.scans[name].spec is not None else "scan"
        image, heat = lesson.pictures(name)
        pictures = [(f"raw {source}, {STAGES[stage]}", image), (f"the same {source} with its heatmap", heat)]
        parts.append(dialogue_html(f"{STAGES[stage]} {source}", [*first, *shown], pictures))
    return "".join(parts)


def beside(key: str, this: Mapping[str, Any], profile: str) -> dict[str, Mapping[str, Any]]:
    """Return an entry of ``results.json`` of this run, behind the full-size run's where a page shows one.

    Args:
        key: The entry.
        this: This run's.
        profile: Of this run.
    """
    full = results.beside("04_dialogue", profile)
    return ({} if full is None else {full.about: full.results[key]}) | {"this run": this}


def _reference(graphs: Sequence[Path], folder: Path, workers: int) -> HealthyReference:
    """Measure the healthy scans, unless the same graphs have been measured for this folder."""
    key = sha256("".join(sha256(path) for path in graphs).encode())
    kept = folder / "reference.json"
    if kept.is_file() and (about := read_json(kept))["key"] == key:
        return HealthyReference.from_state(about["reference"])
    found = healthy_reference(graphs, workers)
    write_json(kept, {"key": key, "reference": found.state()})
    return found


def _named(scans: Iterable[str]) -> None:
    """Refuse names that tables and dialogues cannot hold, before hours are spent on them."""
    if strange := [name for name in scans if not re.fullmatch(NAME, name)]:
        raise InputError(
            f"a scan is named {strange[0]!r}: from chapter 4 on names hold letters, digits, '_', '.' and '-' "
            "alone; rename the file, and its row of scans.csv"
        )


def _has(pairs: Sequence[Pair], kind: str) -> bool:
    return any(pair.kind == kind for pair in pairs)
