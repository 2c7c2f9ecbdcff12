"""What every cell said of every test image, in one small file, and the numbers that follow from it.

Figures and tables show what :func:`summarise` computes from this file, so that anyone can do so again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.datasets import derm7pt, padchest_locations
from gftlib.datasets.class_concepts import ClassConceptTask
from gftlib.errors import InputError
from gftlib.paths import atomic_path
from gftlib.scale.outputs import Outputs, class_maximum
from gftlib.scale.protocol import METRICS, Cell, report_of
from gftlib.scale.summaries import summarize

TASKS = {"monet": derm7pt.task, "medclip": padchest_locations.task}


def task_of(use_case: str, kept: Sequence[str] | None = None) -> ClassConceptTask:
    """Return the task of a use case, the same for phantoms and for the published set.

    Args:
        use_case: Its name.
        kept: Names of the combinations that the data hold; None: all. A reader of a published set leaves out
            those with too few cases.
    """
    whole = TASKS[use_case]()
    if kept is None:
        return whole
    names = [c.name for c in whole.combinations]
    return whole.part([names.index(name) for name in kept])


def write(
    path: Path | str,
    labels: Mapping[str, np.ndarray],
    cells: Mapping[str, Sequence[Cell]],
    kept: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the scores of all cells.

    Scores at class level are kept where they are more than the maximum over the class's concepts, as those of
    a linear probe.

    Args:
        path: ``predictions.npz``.
        labels: The truth of the test of each use case, ``(N, H)``.
        cells: Of each use case.
        kept: Names of the combinations of each use case, see :func:`task_of`; a use case that is not named
            has all.
    """
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, list[dict[str, Any]]] = {}
    for name, own in cells.items():
        task, heads = task_of(name, (kept or {}).get(name)), []
        about[name] = []
        for cell in own:
            scores = cell.outputs.arrays()
            facts = {"method": cell.method, "fraction": cell.fraction, "draw": cell.draw}
            facts |= {"threshold": cell.details["threshold"], "head": None}
            if len(task) < len(task_of(name)):
                facts["kept"] = [c.name for c in task.combinations]
            if not np.array_equal(scores["cls"], class_maximum(task, scores["combination"])):
                facts["head"] = len(heads)
                heads.append(scores["cls"])
            about[name].append(facts)
        arrays[f"{name}.labels"] = labels[name].astype(np.uint8)
        # High and low bytes apart compress better.
        arrays[f"{name}.combination"] = _bytes([cell.outputs.arrays()["combination"] for cell in own])
        arrays[f"{name}.cls"] = _bytes(heads)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    return Path(path)


def read(path: Path | str) -> dict[str, list[Cell]]:
    """Return the cells of each use case, their metrics computed from the scores.

    Raises:
        InputError: If the file is none of :func:`write`.
    """
    with np.load(path, allow_pickle=False) as stored:
        if "about" not in stored:
            raise InputError(f"{path} holds no predictions of the protocol")
        about = json.loads(stored["about"].tobytes())
        return {name: list(_cells(name, facts, stored)) for name, facts in about.items()}


def summarise(path: Path | str) -> dict[str, float]:
    """Return the mean over draws of every metric and its standard deviation, by a readable key.

    Args:
        path: A file of :func:`write`.

    Returns:
        Numbers by ``"use case|method|fraction|level|metric"``; see :func:`records`. What a single draw does
        not have, a standard deviation, is left out.
    """
    found = {}
    for name, cells in read(path).items():
        for record in summarize(cells):
            key = "|".join([name, record["method"], f"{record['fraction']:g}", record["level"]])
            names = [f"{m}{end}" for m in (*METRICS, "macro_f1_tuned") for end in ("", "_std")]
            found |= {f"{key}|{m}": record[m] for m in names if record[m] is not None}
    return found


def records(summary: Mapping[str, float], use_case: str) -> list[dict[str, Any]]:
    """Return the numbers of one use case as :func:`gftlib.scale.summaries.summarize` does, from a summary."""
    found: dict[tuple[str, float, str], dict[str, Any]] = {}
    for key, value in summary.items():
        name, method, fraction, level, metric = key.split("|")
        if name == use_case:
            own = found.setdefault((method, float(fraction), level), {})
            own |= {"method": method, "fraction": float(fraction), "level": level, metric: value}
    empty = {f"{m}{end}": None for m in METRICS for end in ("", "_std")}
    return [empty | record for record in found.values()]


def _cells(name: str, about: list[dict[str, Any]], stored: Mapping[str, np.ndarray]) -> Iterable[Cell]:
    task, labels = task_of(name, about[0].get("kept") if about else None), stored[f"{name}.labels"]
    combination, cls = (_floats(stored[f"{name}.{part}"]) for part in ("combination", "cls"))
    for scores, facts in zip(combination, about, strict=True):
        head = facts["head"]
        outputs = Outputs(scores, class_maximum(task, scores) if head is None else cls[head])
        report = report_of(task, labels, outputs, facts["threshold"])
        details = {"threshold": facts["threshold"]}
        yield Cell(facts["method"], facts["fraction"], facts["draw"], outputs, report, details)


def _bytes(scores: Sequence[np.ndarray]) -> np.ndarray:
    if not scores:
        return np.zeros((2, 0), dtype=np.uint8)
    table = np.ascontiguousarray(np.stack(scores))
    return np.ascontiguousarray(np.moveaxis(table.view(np.uint8).reshape(*table.shape, 2), -1, 0))


def _floats(planes: np.ndarray) -> np.ndarray:
    if planes.ndim == 2:
        return np.zeros((0, 0, 0), dtype=np.float16)
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view(np.float16)[..., 0]
