"""What chapter 6 tabulates: what students explain rightly, how they reply, how they stage elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from gftlib.dialogue.lessons import ARMS
from gftlib.octa.staging_study import METHODS
from gftlib.profiles import Profile
from gftlib.results import standing

SCORES = {
    "kinds/f1": "kind and quadrant, F1",
    "any/f1": "any abnormality, F1",
    "FAZ/box_recall": "FAZ boxes",
    "non-perfusion/box_recall": "non-perfusion boxes",
}
DEVICE, PUBLIC = "other device", "OCTA-500"
"""Cohorts of Table 2, as chapter 2 names them."""


def explained_table(scores: Mapping[str, float], ceiling: Mapping[str, float]) -> pd.DataFrame:
    """Return what students explain rightly, mean over seeds and folds, below the table's own statements.

    Args:
        scores: Flat numbers ``<way>/<student>/<arm>/<seed>/<scope>/<score>``.
        ceiling: Of the tables on unseen scans, ``<scope>/<score>``.
    """
    rows: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for key, value in _scored(scores):
        way, student, arm, _, scope, score = key.split("/")[0], *_parts(key)
        if (name := SCORES.get(f"{scope}/{score}")) and (way == "asked" or "box" not in score):
            rows.setdefault((way, student, arm), {}).setdefault(name, []).append(value)
    table = [
        {
            "answers": {"asked": "asked for each", "told": "free explanation"}[way],
            "student": student,
            "tuning": arm,
        }
        | {name: f"{np.mean(values):.2f}" for name, values in found.items()}
        for (way, student, arm), found in rows.items()
    ]
    table.sort(key=lambda row: (row["answers"], row["student"], ARMS.index(row["tuning"])))
    top = {name: f"{ceiling[key]:.2f}" for key, name in SCORES.items() if key in ceiling}
    table.insert(0, {"answers": "–", "student": "the table itself", "tuning": "–"} | top)
    # What words alone can score: the same for all, as all are asked about the same scans.
    naive = {
        SCORES[f"{scope}/f1"]: f"{value:.2f}"
        for key, value in _scored(scores)
        for scope in ("kinds", "any")
        if key.startswith("asked/") and key.endswith(f"/{scope}/naive_f1")
    }
    if naive:
        table.insert(1, {"answers": "–", "student": "every quadrant named", "tuning": "–"} | naive)
    return pd.DataFrame(table).fillna("–")


def table_2(
    moved: Mapping[str, Any], public: Mapping[str, Mapping[str, float]], profile: Profile
) -> pd.DataFrame:
    """Return how students and chapter 2's methods stage scans by other devices (GFT, Table 2).

    Args:
        moved: What `gftlib.dialogue.staging_answers.headline` gives of phantoms by another device.
        public: What `gftlib.dialogue.staging_answers.two_grades` gives of OCTA-500; empty without it.
        profile: Says which run of chapter 2 stands beside.
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for key, entry in moved.items():
        student, _, arm = key.rpartition("/")
        rows[arm, student] = {
            "phantoms, three stages": entry["mean"],
            "phantoms, healthy against DR": entry["pooled"],
        }
    for key, scores in public.items():
        student, _, arm = key.rpartition("/")
        found = {f"{PUBLIC}, {name}": value for name, value in scores.items()}
        rows.setdefault((arm, student), {}).update(found)
    full = standing("02_staging", profile.name)
    parts = {} if full is None else full.results["balanced_accuracy"]
    columns = {DEVICE: "phantoms, three stages", PUBLIC: f"{PUBLIC}, balanced accuracy"}
    for part, column in columns.items():
        for method, name in METHODS.items():
            if method in parts.get(part, {}):
                rows.setdefault(("chapter 2", name), {})[column] = parts[part][method]["mean"]
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(rows, names=["tuning", "model"]) if rows else table.index
    return table


def replies_table(replies: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return how each student answered whether something is somewhere, mean over seeds and folds, in %.

    Args:
        replies: Of `gftlib.dialogue.examination.replies`.
    """
    found: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for part, shares in replies.items():
        student, arm, _ = part.removeprefix("asked/").rsplit("/", 2)
        found.setdefault((student, arm), []).append(shares)
    rows = [
        {"student": student, "tuning": arm}
        | {name: f"{100 * np.mean([one[name] for one in each]):.1f} %" for name in each[0]}
        for (student, arm), each in found.items()
    ]
    rows.sort(key=lambda row: (row["student"], ARMS.index(row["tuning"])))
    return pd.DataFrame(rows)


def ceiling(profile: Profile) -> dict[str, float]:
    """Return what tables state rightly of unseen scans, by the run of chapter 4 that fits."""
    full = standing("04_dialogue", profile.name)
    if full is None:
        return {}
    values = full.results["ceiling"]
    return {k.partition("/")[2]: v for k, v in values.items() if k.startswith("unseen/")}


def finding(scores: Mapping[str, float]) -> str:
    """Say what naming kinds and quadrants came to, for each student and arm, mean over seeds and folds."""
    found: dict[str, dict[str, list[float]]] = {}
    for key, value in _scored(scores):
        student, arm, _, scope, score = _parts(key)
        if key.startswith("asked/") and f"{scope}/{score}" == "kinds/f1":
            found.setdefault(student, {}).setdefault(arm, []).append(value)
    told = [
        f"{student}: " + ", ".join(f"{arm} {np.mean(values):.2f}" for arm, values in arms.items())
        for student, arms in found.items()
    ]
    return f"F1 of what lies where, asked one by one. {'; '.join(told) or 'Nothing was scored'}."


def _scored(scores: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the scores, without the numbers of scans that stand among them."""
    return ((key, value) for key, value in scores.items() if not key.endswith("/scans"))


def _parts(key: str) -> tuple[str, str, str, str, str]:
    """Return student, arm, seed, scope and score of a key; a hub id holds a slash of its own."""
    rest, scope, score = key.partition("/")[2].rsplit("/", 2)
    student, arm, seed = rest.rsplit("/", 2)
    return student, arm, seed, scope, score
