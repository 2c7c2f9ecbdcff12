"""The tables of chapter 9: BiRD's Tables 1 and 2 beside this run, ablations, goals, what was kept."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gftlib.bird.arm_names import FLOOR, FOUND, FULL, RIGHT, UNTUNED
from gftlib.bird.hallucination import POSITIVES, RATE, YES
from gftlib.bird.paper_tables import TABLE_1, TEST, table_2
from gftlib.bird.questions import TASKS
from gftlib.bird.records import SIZES
from gftlib.bird.score_tables import CAPABLE, OVER_ITEMS, OVER_MODALITIES, Numbers, shown
from gftlib.bird.tasks import HEADLINES, MBMR, RECALL_AT, ROC_RECALL, SLOT_F1, SPICE
from gftlib.datasets.sa_med2d_names import MODALITIES

Scores = Mapping[str, Mapping[str, Numbers]]
BLEU, ROUGE = "MIA BLEU-4", "MIA ROUGE-L"
COLUMNS = (RECALL_AT, ROC_RECALL, SPICE, SLOT_F1, MBMR, BLEU, ROUGE)
VG_GOAL, RISE_GOAL = 0.85, 0.30
"""Set before anything was run: Recall@0.5 at full size, and above the smallest size."""
_PAPER_SIZES = {"20k": "20k", "40k": "40k", "80k": "80k", "240k": "270k"}


def students(scores: Scores) -> list[str]:
    """Return the students of a comparison."""
    return list(dict.fromkeys(name.rpartition("/")[0] for name in scores if "/" in name))


def value(scores: Scores, name: str, score: str, average: str = OVER_MODALITIES) -> float | None:
    """Return a score of a student, None if it has none."""
    return scores.get(name, {}).get(score, {}).get(average, {}).get("value")


def table_1(scores: Scores, java: Scores, protocol: Mapping[str, Mapping[str, Numbers]]) -> pd.DataFrame:
    """Return Table 1: the paper's rows, then this run's; in per cent, means over modalities.

    Args:
        scores: What `gftlib.bird.tuning_study.headline` returned.
        java: What `gftlib.bird.tuning_study.with_java` returned.
        protocol: Student -> scores by LLaVA-Med's protocol.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for model, test, *printed in TABLE_1:
        if test == TEST:
            named = zip((HEADLINES[task] for task in TASKS), printed, strict=False)
            rows["paper", model] = {name: f"{number:.2f}" for name, number in named}
    rows["this run", FLOOR] = _row(scores.get(FLOOR, {}))
    for student in students(scores):
        if student in protocol:
            rows["this run", f"{student}, untuned, by LLaVA-Med's protocol"] = _row(protocol[student])
        for arm in (UNTUNED, *SIZES):
            if (found := scores.get(f"{student}/{arm}")) is not None:
                rows["this run", f"{student}, {arm}"] = _row({**found, **java.get(f"{student}/{arm}", {})})
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("")
    table.index = pd.MultiIndex.from_tuples(table.index)
    return table[[name for name in COLUMNS if name in table]]


def _row(found: Mapping[str, Numbers]) -> dict[str, str]:
    return {name: shown(found[name][OVER_MODALITIES]) for name in COLUMNS if name in found}


def ablations(scores: Scores) -> pd.DataFrame:
    """Return what each change of the full-size arm does to each score, in per cent."""
    columns = (RECALL_AT, ROC_RECALL, SLOT_F1, ROUGE)
    rows = {}
    for student in students(scores):
        for name, found in scores.items():
            owner, _, arm = name.rpartition("/")
            if (owner == student and arm not in (UNTUNED, *SIZES)) or name == f"{student}/{FULL}":
                rows[student, _words(arm)] = {
                    c: shown(found[c][OVER_MODALITIES]) for c in columns if c in found
                }
    return _indexed(rows)


def _words(arm: str) -> str:
    words = {
        FULL: "as in the paper: all tasks, tower frozen, no negatives",
        "negatives": "with negatives",
        "unfrozen": "tower unfrozen",
    }
    return words.get(arm, arm)


def hallucination(scores: Scores) -> pd.DataFrame:
    """Return hallucination, yes-rate and what is right on positives; in per cent, over all questions."""
    rows = {}
    for name, found in scores.items():
        student, _, arm = name.rpartition("/")
        if RATE in found and arm in ("", UNTUNED, FULL, "negatives", "unfrozen", FLOOR):
            told = {
                score: shown(found[score][OVER_ITEMS]) for score in (RATE, YES, POSITIVES) if score in found
            }
            rows[student or FLOOR, _words(arm) if student else ""] = told
    return _indexed(rows)


def general(found: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return what is left of what students could say before they were tuned, in per cent.

    Args:
        found: ``student/arm`` -> what `gftlib.bird.asking.general` returned.
    """
    rows = {
        tuple(name.rsplit("/", 1)): {
            RIGHT: f"{100 * one[RIGHT]:.1f} n={one['questions']:.0f}",
            FOUND: f"{100 * one[FOUND]:.1f} n={one['boxes']:.0f}",
        }
        for name, one in found.items()
    }
    return _indexed(rows)


def goals(scores: Scores) -> pd.DataFrame:
    """Return the goals that were set before anything was run, what came out, and whether each was met."""
    rows = []
    for student in students(scores):
        sizes = [size for size in SIZES if f"{student}/{size}" in scores]
        full = f"{student}/{FULL}"
        if full not in scores:
            continue
        for score in (RECALL_AT, ROC_RECALL, SLOT_F1, ROUGE):
            line = [value(scores, f"{student}/{size}", score) for size in sizes]
            if len(line) > 1 and None not in line:
                told = " → ".join(f"{100 * v:.1f}" for v in line)
                rises = all(a < b for a, b in itertools.pairwise(line))
                rows.append((student, f"{score} rises with the data", told, rises))
        recall = value(scores, full, RECALL_AT) or 0.0
        rows.append(
            (student, f"{RECALL_AT} at least {100 * VG_GOAL:.0f}", f"{100 * recall:.1f}", recall >= VG_GOAL)
        )
        if len(sizes) > 1:
            ahead = recall - (value(scores, f"{student}/{sizes[0]}", RECALL_AT) or 0.0)
            words = f"{RECALL_AT} {100 * RISE_GOAL:.0f} above the smallest size"
            rows.append((student, words, f"{100 * ahead:+.1f}", ahead >= RISE_GOAL))
        rows += _negatives(scores, student)
    return pd.DataFrame(rows, columns=["student", "goal", "found", "met"])


def _negatives(scores: Scores, student: str) -> list[tuple[str, str, str, bool]]:
    pairs = {}
    for score in (RATE, POSITIVES):
        both = [value(scores, f"{student}/{arm}", score, OVER_ITEMS) for arm in (FULL, "negatives")]
        if None in both:
            return []
        pairs[score] = both
    (before, after), (right, still) = pairs[RATE], pairs[POSITIVES]
    return [
        (
            student,
            "negatives halve hallucination",
            f"{100 * before:.1f} → {100 * after:.1f}",
            after <= before / 2,
        ),
        (student, "at no loss on positives", f"{100 * right:.1f} → {100 * still:.1f}", still >= right),
    ]


def capabilities(scores: Scores) -> pd.DataFrame:
    """Return Table 2 with a row a full-size student: a task counts if it is surely above `CAPABLE`."""
    table = table_2()
    for student in students(scores):
        if (found := scores.get(f"{student}/{FULL}")) is None:
            continue
        row: dict[str, Any] = {}
        for task in ("MIA", "ROC", "RC", "VG"):
            own = [cells[OVER_MODALITIES] for name, cells in found.items() if name.startswith(f"{task} ")]
            row[task] = any(cell.get("low", 0.0) > CAPABLE for cell in own)
        names = {name for cells in found.values() for name in cells if name in MODALITIES.values()}
        table.loc[f"{student}, {FULL}, this run's phantoms"] = row | {"modalities": len(names)}
    return table


def findings(scores: Scores, general_scores: Mapping[str, Mapping[str, float]]) -> tuple[str, str]:
    """Return which goals were met, and what was kept of earlier knowledge, as sentences."""
    table = goals(scores)
    met, missed = (table[table["met"] == state] for state in (True, False))
    told = [f"{row.student}: {row.goal} ({row.found})" for row in missed.itertuples(index=False)]
    first = f"Of {len(table)} goals {len(met)} were met. " + (f"Missed: {'; '.join(told)}." if told else "")
    parts = []
    for student in students(scores):
        both = [general_scores.get(f"{student}/{arm}") for arm in (UNTUNED, FULL)]
        if all(both):
            rights = [f"{100 * one[RIGHT]:.0f}" for one in both if one]
            parts.append(f"{student} from {rights[0]} to {rights[1]} %")
    second = f"Neutral questions, right before and after tuning: {'; '.join(parts) or 'not asked'}."
    return first.strip(), second


def _indexed(rows: Mapping[tuple[str, ...], Mapping[str, str]]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("")
    if len(table):
        table.index = pd.MultiIndex.from_tuples(table.index)
    return table


def sizes_of(scores: Scores, student: str) -> Sequence[str]:
    """Return the nested sizes that a student was tuned on."""
    return [size for size in SIZES if f"{student}/{size}" in scores]


def paper_sizes(task: str) -> dict[str, float]:
    """Return the paper's score of a task at each nested size, from 0 to 1."""
    printed = {row[0].rsplit("-", 1)[1]: row[2 + TASKS.index(task)] for row in TABLE_1 if row[1] == TEST}
    return {size: printed[name] / 100 for size, name in _PAPER_SIZES.items()}
