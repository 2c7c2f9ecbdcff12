"""What tables state, held against the lesions that were drawn (GFT, section 2.4).

Here what students learn from meets the truth about phantoms, and it meets it to be scored.
`gftlib.oracle_lessons` is the one exception, an arm that is taught the truth to tell what tables lack.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gftlib.dialogue.figures import Claims
from gftlib.dialogue.scoring import COLUMNS, FAZ, TrueLesion, score_scan
from gftlib.octa.folds import TEST_SPLIT
from gftlib.octa.scans import Scan
from gftlib.octa.table_rows import STAGES
from gftlib.octa.tabling import state_many
from gftlib.phantoms.lesion_masks import crop_lesion
from gftlib.teaching import Lesson

TAUGHT, UNSEEN = "taught", "unseen"
"""Parts of the scores: scans that a student learns from, and those of the split that no one learns from."""


def true_lesions(scan: Scan) -> list[TrueLesion]:
    """Return the lesions of a phantom.

    Raises:
        InputError: If the scan is a real one.
    """
    return [TrueLesion(one.kind, one.quadrants, one.box) for one in scan.phantom().lesions]


def true_faz(scan: Scan) -> TrueLesion:
    """Return where the FAZ of a phantom is; errors as `true_lesions`."""
    (zone,) = crop_lesion(FAZ, scan.phantom().faz)
    return TrueLesion(FAZ, zone.quadrants, zone.box)


def score(lesson: Lesson, workers: int = 1) -> pd.DataFrame:
    """Hold what tables state against the truth, on taught scans and on those that no one was taught.

    Args:
        lesson: Real scans, whose truth is not known, are left out.
        workers: Processes.

    Returns:
        The rows of `gftlib.dialogue.scoring.score_scan`, the unseen scans last.
    """
    phantoms = lesson.rows[[lesson.scans[name].spec is not None for name in lesson.rows["scan"]]]
    unseen = phantoms.loc[phantoms["split"] == TEST_SPLIT, "scan"]
    stated = state_many({name: lesson.graphs[name] for name in unseen}, lesson.reference, workers)
    taught = {name: table for name, table in lesson.tables.items() if lesson.scans[name].spec is not None}
    stages = dict(zip(lesson.rows["scan"], lesson.rows["stage"], strict=True))
    rows = []
    for part, tables in ((TAUGHT, taught), (UNSEEN, stated)):
        for name, table in tables.items():
            scan = lesson.scans[name]
            truth = (table.faz, true_faz(scan))
            stage = STAGES[stages[name]]
            rows += score_scan(name, part, stage, table.findings, true_lesions(scan), truth)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def claims(lesson: Lesson, stages: Sequence[int] = (1, 2)) -> list[Claims]:
    """Return an example of each stage: its scan, what its table states, and what is there."""
    found = []
    for stage in stages:
        table = lesson.example(stage)
        scan = lesson.scans[table.scan]
        true = true_lesions(scan) if scan.spec is not None else None
        found.append(Claims(STAGES[stage], lesson.pictures(table.scan)[0], table.findings, true))
    return found
