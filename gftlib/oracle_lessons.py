"""What a perfect table would teach: dialogues of the lesions that were drawn, by the same teacher.

An experiment on phantoms. A student that learns no places from its graph's tables may fail because these are
wrong or because it sees too little; told the truth, only the second is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gftlib.dialogue.corpus import Corpus, corpus_key, finished, keep, offline_teacher
from gftlib.dialogue.records import Dialogue
from gftlib.dialogue.scoring import TrueLesion, claim
from gftlib.jobs import run_jobs
from gftlib.octa.findings import MOST, Finding
from gftlib.octa.graph import OctaGraph
from gftlib.octa.graph_io import read_graph
from gftlib.octa.places import place
from gftlib.octa.scans import Scan
from gftlib.paths import sha256
from gftlib.phantoms.octa_config import OctaConfig
from gftlib.profiles import Profile
from gftlib.table_truth import true_lesions
from gftlib.teaching import Lesson


def true_dialogues(
    profile: Profile, lesson: Lesson, workers: int = 1
) -> tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]]:
    """Return the dialogues of both stages that the offline teacher writes of true tables.

    They are kept beside those of the lesson: reading every phantom's truth takes minutes.

    Args:
        profile: Its ``dialogue`` section and seed.
        lesson: Of chapter 4: which scans are taught, and the rest of their tables.
        workers: Processes.

    Raises:
        InputError: If a scan is a real one.
    """
    folder = lesson.folder / "truth"
    told = corpus_key(lesson.pupils(), profile.dialogue, profile.seed)
    key = sha256(f"{OctaConfig().config_hash()} {told}".encode())
    if (kept := finished(folder, key)) is not None:
        return kept.first, kept.second
    teacher = offline_teacher(profile.dialogue, profile.seed)
    jobs = [(lesson.scans[name], lesson.graphs[name]) for name in lesson.tables]
    found = run_jobs(_found, None, jobs, workers if len(jobs) > 100 else 1)
    tables = [
        (table.model_copy(update={"findings": findings}), scan.image.name)
        for table, findings, (scan, _) in zip(lesson.tables.values(), found, jobs, strict=True)
    ]
    made = Corpus(tuple(teacher.teach(tables, 1)), tuple(teacher.teach(tables, 2)), {})
    keep(folder, key, made)
    return made.first, made.second


def true_findings(graph: OctaGraph, lesions: Sequence[TrueLesion]) -> tuple[Finding, ...]:
    """Return lesions as the findings of a table would state them, of each kind the largest.

    Args:
        graph: Of the scan; its fovea and size say where a place is.
        lesions: The truth.

    Raises:
        InputError: If a lesion is claimed by no kind of finding.
    """
    found: list[Finding] = []
    for lesion in sorted(lesions, key=_area, reverse=True):
        kind = claim(lesion.kind)
        if sum(one.kind == kind for one in found) < MOST:
            x0, y0, x1, y1 = lesion.box
            centre = np.array([y0 + y1, x0 + x1]) / 2 * graph.shape
            found.append(
                Finding(
                    id=f"F{len(found) + 1}",
                    kind=kind,
                    degree="marked",
                    quadrants=lesion.quadrants,
                    place=place(graph, centre),
                    box=lesion.box,
                    nodes=(),
                    strength=1.0,
                    share=0.0,
                )
            )
    return tuple(found)


def _found(shared: None, scan: Scan, graph: Path) -> tuple[Finding, ...]:
    return true_findings(read_graph(graph), true_lesions(scan))


def _area(lesion: TrueLesion) -> float:
    x0, y0, x1, y1 = lesion.box
    return (x1 - x0) * (y1 - y0)
