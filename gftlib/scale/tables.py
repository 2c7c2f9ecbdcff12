"""The tables of chapter 7: Table 1, each criterion by itself, the goals, and the paper beside this run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from gftlib.scale.baselines import METHODS
from gftlib.scale.features import Features
from gftlib.scale.outputs import LEVELS, evaluate, zero_shot
from gftlib.scale.protocol import Cell

if TYPE_CHECKING:
    from gftlib.scale.shown import Shown
    from gftlib.scale.study import Study

TABLE_1_PAPER = {"class": 0.59, "combination": 0.29}  # zero-shot MONET on pigmentation (SCALE, Table 1)


def table_1(features: Features, group: str = "pigmentation") -> pd.DataFrame:
    """Return Table 1: zero-shot accuracy of one criterion at both levels, the paper's beside this run's."""
    test = features.test.nonzero()[0]
    report = evaluate(features.task, features.labels[test], zero_shot(features, test))
    rows = {
        level: {
            "paper": TABLE_1_PAPER[level] if group == "pigmentation" else None,
            "this run": report[level]["groups"][group]["accuracy"],
            "chance": 1 / _options(features, group, level),
        }
        for level in LEVELS
    }
    return pd.DataFrame(rows).T.rename(index={"combination": "class-concept"})


def per_group(cells: Sequence[Cell], metric: str = "macro_f1", level: str = "combination") -> pd.DataFrame:
    """Return a metric of every criterion and method with the whole training pool, averaged over draws.

    Empty for a task of several labels, which has no criteria.
    """
    rows: dict[tuple[str, str], list[float]] = {}
    for cell in cells:
        if cell.fraction not in (0.0, 1.0):
            continue
        for group, values in cell.report[level].get("groups", {}).items():
            if values[metric] is not None:
                rows.setdefault((group, cell.method), []).append(values[metric])
    table = pd.Series({key: sum(v) / len(v) for key, v in rows.items()}, dtype=float)
    return table.unstack() if len(table) else pd.DataFrame()


def goals(found: Mapping[str, Shown], level: str = "combination") -> pd.DataFrame:
    """Return macro F1 of SCALE less that of three peers at every fraction: above zero, the goal was met.

    The goals were set before anything was run: above the weighted probe and CoOp at every fraction, above
    zero-shot prediction from 5 %.

    Args:
        found: Of :func:`gftlib.scale.shown.shown`.
        level: One of ``gftlib.scale.outputs.LEVELS``.
    """
    rows = {}
    for name, one in found.items():
        table = _macro_f1(one.records, level)
        for fraction in sorted({f for m, f in table.index if m == "scale"}):
            keys = {p: (p, 0.0 if p == "zero_shot" else fraction) for p in _GOALS}
            rows[USE_CASES[name], f"{100 * fraction:g} %"] = {
                METHODS[peer].label: float(table["scale", fraction] - table[key])
                for peer, key in keys.items()
                if key in table.index
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["use case", "training data"]).round(3)


def first(studies: Mapping[str, Study]) -> pd.DataFrame:
    """Return Table 1 and beside it macro F1 of zero-shot prediction at both levels, of the page's own run."""
    rows = {}
    for name, study in studies.items():
        for level, row in study.table_1.to_dict(orient="index").items():
            rows[f"{USE_CASES[name]}, pigmentation, accuracy: {level}"] = row
        for cell in (c for c in study.cells if c.method in ("zero_shot", "zero_shot_clip")):
            words = (
                "CLIP" if cell.method == "zero_shot_clip" else {"monet": "MONET", "medclip": "MedCLIP"}[name]
            )
            for level, text in zip(LEVELS, ("class", "class-concept"), strict=True):
                key = f"{USE_CASES[name]}, {words}, macro F1: {text}"
                rows[key] = {"this run": cell.report[level]["macro_f1"]}
    return pd.DataFrame.from_dict(rows, orient="index").round(2)


USE_CASES = {"monet": "skin", "medclip": "chest"}
_GOALS = ("linear_probe_weighted", "coop", "zero_shot")
_CLAIMS = (
    ("better than zero-shot from 5 % of the data", "zero_shot", "combination"),
    ("better than linear probing", "linear_probe", "combination"),
    ("similar to linear probing with loss weighting", "linear_probe_weighted", "combination"),
    ("better than CoOp", "coop", "combination"),
    ("better than the same adapters with InfoNCE", "info_nce", "combination"),
    ("CLIP-Adapter, which the method builds on", "clip_adapter", "combination"),
    ("LoRA, which the paper wishes for", "lora", "combination"),
    ("full fine-tuning", "full", "combination"),
    ("linear probing, at class level", "linear_probe", "class"),
    ("linear probing with loss weighting, at class level", "linear_probe_weighted", "class"),
)


def claims(found: Mapping[str, Shown]) -> pd.DataFrame:
    """Return what the paper claims of SCALE, beside SCALE's macro F1 less that of each peer.

    Each entry is the range over the fractions that both were trained on.

    Args:
        found: Of :func:`gftlib.scale.shown.shown`.
    """
    rows: dict[str, dict[str, str]] = {}
    for words, peer, level in _CLAIMS:
        for name, one in found.items():
            table = _macro_f1(one.records, level)
            ahead = [
                table["scale", f] - table[key]
                for f in sorted({f for m, f in table.index if m == "scale"})
                if (key := (peer, 0.0 if peer == "zero_shot" else f)) in table.index
            ]
            if ahead:
                text = f"{min(ahead):+.2f} to {max(ahead):+.2f}" if len(ahead) > 1 else f"{ahead[0]:+.2f}"
                rows.setdefault(words, {})[USE_CASES[name]] = text
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def defaults(found: Mapping[str, Shown]) -> pd.DataFrame:
    """Return how much each departure from a declared default changes validation macro F1, largest first."""
    columns = {}
    for name, one in found.items():
        own = pd.DataFrame(one.measured["defaults"][1:]).set_index("change")
        columns[USE_CASES[name]] = own["difference"]
        columns[f"{USE_CASES[name]}, s.d."] = own["difference_std"].astype(float)
    table = pd.DataFrame(columns)
    size = table[[USE_CASES[name] for name in found]].abs().max(axis=1)
    return table.loc[size.sort_values(ascending=False).index].round(3)


def general_knowledge(found: Mapping[str, Shown]) -> pd.DataFrame:
    """Return what is left of held-back concepts and captions, and how well prompts find images."""
    words = {
        "trained_macro_f1": "macro F1, trained concepts",
        "held_back_macro_f1": "macro F1, held-back concepts",
        "held_back_auc": "AUC, held-back concepts",
        "caption_recall_at_5": "recall at 5, neutral captions",
        "mean_average_precision": "retrieval, mean average precision",
        "chance": "retrieval by chance",
    }
    rows = []
    for name, one in found.items():
        by_method: dict[str, dict[str, Any]] = {}
        for part in ("retention", "retrieval"):
            for record in one.measured[part]:
                by_method.setdefault(record["method"], {}).update(record)
        for method, record in by_method.items():
            values = {text: record.get(key) for key, text in words.items()}
            rows.append({"use case": USE_CASES[name], "model": METHODS[method].label, **values})
    return pd.DataFrame(rows).set_index(["use case", "model"]).round(2)


def _macro_f1(records: Sequence[dict[str, Any]], level: str) -> pd.Series:
    table = pd.DataFrame(records)
    return table[table["level"] == level].set_index(["method", "fraction"])["macro_f1"]


def _options(features: Features, group: str, level: str) -> int:
    if level == "combination":
        return len(features.task.groups()[group])
    return sum(g == group for g, _ in features.task.group_classes)
