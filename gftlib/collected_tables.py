"""Which printed number each number of our runs stands beside, table by table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gftlib.bird import grounding_tables, paper_tables
from gftlib.bird.arm_names import FLOOR, FULL, UNTUNED
from gftlib.bird.questions import TASKS
from gftlib.bird.records import SIZES
from gftlib.bird.score_tables import OVER_MODALITIES
from gftlib.bird.tasks import HEADLINES
from gftlib.collected import Number, at, cells, trace
from gftlib.datasets.sa_med2d_names import MODALITIES
from gftlib.results import Published
from gftlib.vlm import paper_tables as gft

STAGING = "GFT, Table 1: staging"
DEVICE = "GFT, Table 2: another device"
EXPLAINED = "GFT, Table 3: explanations"
JOINT = "Graph and boxes: grounding by the GFT agent"
ZERO_SHOT = "SCALE, Table 1: zero-shot accuracy on pigmentation"
CLAIMS = "SCALE, Figures 2 and 3: macro F1 with all training data"
SIZE = "BiRD, Table 1: size of the training set"
CAPABLE = "BiRD, Table 2: capabilities"
MODALITY = "BiRD, Table 3: modalities"
TABLES = (STAGING, DEVICE, EXPLAINED, JOINT, ZERO_SHOT, CLAIMS, SIZE, CAPABLE, MODALITY)
STUDENTS = {"Llama 3.2 11b": "tiny-mllama", "Qwen-2.5VL 7b": "tiny-qwen2.5-vl"}
"""Our small student of the same architecture."""
METHODS = {"gnn": "GNN", "resnet18": "ResNet 18", "svm": "Biomarkers"}
"""Our method by the paper's name; what classifies its biomarkers it does not say."""
OTHERS = {
    "random_forest": "Biomarkers, here by a random forest",
    "logistic": "Biomarkers, here by logistic regression",
}
"""Methods that have no row in the paper."""
Found = Mapping[str, Published]


def collect(found: Found) -> list[Number]:
    """Return every cell of every table.

    Args:
        found: Of `gftlib.collected.committed`.
    """
    parts = (staging, another_device, explanations, joint, zero_shot, claims, sizes, capabilities, modalities)
    return list(itertools.chain.from_iterable(part(found) for part in parts))


def staging(found: Found) -> Iterator[Number]:
    """Yield Table 1 of GFT; the network's balanced accuracy, which its text gives, comes first."""
    results, run = _of(found, "02_staging")
    column = "balanced accuracy"
    for method, name in METHODS.items():
        printed = gft.GNN_BALANCED_ACCURACY if method == "gnn" else None
        mean = at(results, "balanced_accuracy", "test", method, "mean")
        yield from cells(STAGING, name, {column: printed}, {column: mean}, run)
    yield from _others(found, STAGING, "test")
    for arm, model, *values in gft.TABLE_1:
        entry, run = _first(found, "05_lora_tuning", "staging", f"{STUDENTS.get(model)}/{arm}")
        printed = dict(zip(gft.COLUMNS_1, values, strict=True))
        yield from cells(STAGING, f"{arm} {model}", printed, _stages(entry), run)
    for model, student in STUDENTS.items():
        entry, run = _first(found, "05_lora_tuning", "staging", f"{student}/GFT-shuffled")
        yield from cells(STAGING, f"GFT-shuffled {model}", {}, _stages(entry), run)


def _stages(entry: Mapping[str, Any] | None) -> dict[str, float | None]:
    if entry is None:
        return {}
    told = {"balanced accuracy": entry["mean"]}
    for column in gft.COLUMNS_1[1:]:
        score, stage = column.split()
        told[column] = at(entry, score, stage)
    return told


def another_device(found: Found) -> Iterator[Number]:
    """Yield Table 2 of GFT: there two classes of OCTA-500, here three stages of shifted phantoms."""
    staged, run_2 = _of(found, "02_staging")
    names = {"Llama 3.2": "tiny-mllama"}
    methods = {name: method for method, name in METHODS.items()}
    for model, *values in gft.TABLE_2:
        printed = dict(zip(("balanced accuracy", "F1 healthy", "F1 DR"), values, strict=True))
        if model in methods:
            mean, run = at(staged, "balanced_accuracy", "other device", methods[model], "mean"), run_2
        else:
            arm, _, student = model.partition("-")
            of = f"{names.get(student)}/{arm}"
            mean, run = _first(found, "06_agent_evaluation", "shifted", of, "mean")
        yield from cells(DEVICE, model, printed, {"balanced accuracy": mean}, run)
    yield from _others(found, DEVICE, "other device")


def _others(found: Found, table: str, part: str) -> Iterator[Number]:
    staged, run = _of(found, "02_staging")
    for method, name in OTHERS.items():
        mean = at(staged, "balanced_accuracy", part, method, "mean")
        yield from cells(table, name, {}, {"balanced accuracy": mean}, run)


def explanations(found: Found) -> Iterator[Number]:
    """Yield Table 3 of GFT: there a model and experts judge, here a rule, and no expert."""
    for arm, model, teacher, experts, regions, average in gft.TABLE_3:
        student = STUDENTS.get(f"{model} 11b") if "Llama" in model else None
        printed = {"teacher": teacher, "experts": experts, "regions": regions, "average": average}
        told, run = {}, ""
        for judged in _runs(found, "06_agent_evaluation") if student else ():
            if (rated := _judged(at(judged.results, "judge", "score") or {}, student, arm)) is not None:
                told, run = {"teacher": rated}, trace(judged)
        yield from cells(EXPLAINED, f"{arm} {model}", printed, told, run)


def _judged(scores: Mapping[str, float], student: str, arm: str) -> float | None:
    rated = [
        v for name, v in scores.items() if student in name and arm in name.replace(student, "").split("/")
    ]
    return float(np.mean(rated)) if rated else None


def joint(found: Found) -> Iterator[Number]:
    """Yield box recall of the agent's answers on OCTA phantoms, its table's, and BiRD's on its own images."""
    yield Number(JOINT, "BiRD, eight modalities", "box recall", paper_tables.TABLE_3["VG"][-1] / 100)
    grounded, run = _of(found, "09_bird_grounding")
    for student in _students(grounded):
        recall = _score(grounded, f"{student}/{FULL}", HEADLINES["VG"])
        yield from cells(JOINT, f"{student}, scan phantoms", {}, {"box recall": recall}, run)
    for agent in _runs(found, "06_agent_evaluation"):
        means: dict[tuple[str, str], list[float]] = {}
        for key, recall in (at(agent.results, "explained") or {}).items():
            if key.startswith("asked/") and key.endswith("/box_recall"):
                rest, scope, _ = key.removeprefix("asked/").rsplit("/", 2)
                student, arm, _ = rest.rsplit("/", 2)
                means.setdefault((f"{student}, {arm}, OCTA phantoms", scope), []).append(recall)
        for (row, scope), values in means.items():
            yield from cells(JOINT, row, {}, {_scope(scope): float(np.mean(values))}, trace(agent))
    table, run = _of(found, "04_dialogue")
    for key, recall in (at(table, "ceiling") or {}).items():
        if key.startswith("unseen/") and key.endswith("/box_recall"):
            scope = key.split("/")[1]
            yield from cells(JOINT, "the graph's own table, OCTA phantoms", {}, {_scope(scope): recall}, run)


def _scope(scope: str) -> str:
    return "box recall" if scope == "kinds" else f"box recall, {scope}"


def zero_shot(found: Found) -> Iterator[Number]:
    """Yield Table 1 of SCALE."""
    results, run = _of(found, "07_scale")
    for level, printed in (("class", 0.59), ("class-concept", 0.29)):
        ours = at(results, "table_1", "monet", "this run", level)
        yield from cells(ZERO_SHOT, "MONET", {level: printed}, {level: ours}, run)


def claims(found: Found) -> Iterator[Number]:
    """Yield macro F1 of every method with all training data; the paper draws it and prints no number."""
    results, run = _of(found, "07_scale")
    names = {"monet": "skin", "medclip": "chest"}
    for key, score in (at(results, "protocol") or {}).items():
        case, method, fraction, level, metric = key.split("|")
        if metric == "macro_f1" and float(fraction) in (0.0, 1.0):
            level = {"combination": "class-concept"}.get(level, level)
            yield from cells(CLAIMS, method.replace("_", " "), {}, {f"{names[case]}, {level}": score}, run)


def sizes(found: Found) -> Iterator[Number]:
    """Yield Table 1 of BiRD; beside its rows stands our first student, the others below.

    Where no Java ran, SPICE and mBMR are not ours to give.
    """
    results, run = _of(found, "09_bird_grounding")
    names = [*(HEADLINES[task] for task in TASKS), "average"]
    ours = (*HEADLINES.values(), grounding_tables.SLOT_F1, grounding_tables.ROUGE)
    first, *others = _students(results) or [""]
    arms = dict(zip(("20k", "40k", "80k", "270k"), SIZES, strict=True))
    for model, test, *values in paper_tables.TABLE_1:
        told: dict[str, float | None] = {}
        if test == paper_tables.TEST and model.startswith("BiRD"):
            arm = arms[model.rsplit("-", 1)[1]]
            told = {score: _score(results, f"{first}/{arm}", score) for score in ours}
        elif test == paper_tables.TEST:
            cells_of = at(results, "llava_med", first) or {}
            told = {score: at(cells_of, score, OVER_MODALITIES, "value") for score in ours}
        printed = dict(zip(names, values, strict=True))
        yield from cells(SIZE, f"{model}, {test}", printed, _percent(told), run)
    rows = [(FLOOR, FLOOR), *((f"{first}, {UNTUNED}", f"{first}/{UNTUNED}"),)]
    rows += [(f"{s}, {a}", f"{s}/{a}") for s in others for a in (UNTUNED, *SIZES)]
    for row, name in rows:
        told = {score: _score(results, name, score) for score in ours}
        yield from cells(SIZE, row, {}, _percent(told), run)


def capabilities(found: Found) -> Iterator[Number]:
    """Yield Table 2 of BiRD: 1 for a capability, 0 for none."""
    results, run = _of(found, "09_bird_grounding")
    printed = set(paper_tables.table_2().index)
    for row in grounding_tables.capabilities(at(results, "scores") or {}).itertuples():
        values = {c: float(getattr(row, c)) for c in ("MIA", "ROC", "RC", "VG", "modalities")}
        sides = (values, {}) if row.Index in printed else ({}, values)
        yield from cells(CAPABLE, str(row.Index), *sides, run)


def modalities(found: Found) -> Iterator[Number]:
    """Yield Table 3 of BiRD; our columns are those of the first student at full size."""
    results, run = _of(found, "09_bird_grounding")
    first = next(iter(_students(results)), "")
    columns = (*MODALITIES.values(), OVER_MODALITIES)
    for task, values in paper_tables.TABLE_3.items():
        score = HEADLINES[task]
        told = {name: _score(results, f"{first}/{FULL}", score, name) for name in columns}
        yield from cells(MODALITY, score, dict(zip(columns, values, strict=True)), _percent(told), run)


def _students(results: Mapping[str, Any] | None) -> list[str]:
    return grounding_tables.students(at(results, "scores") or {})


def _score(results: Any, name: str, score: str, group: str = OVER_MODALITIES) -> float | None:
    for part in ("java", "scores"):
        if (value := at(results, part, name, score, group, "value")) is not None:
            return value
    return None


def _percent(told: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(100 * value, 2) for name, value in told.items()}


def _runs(found: Found, name: str) -> list[Published]:
    """Return every published run of a chapter."""
    return [one for one in found.values() if one.record.notebook == name]


def _first(found: Found, name: str, *keys: str) -> tuple[Any, str]:
    """Return what the first run of a chapter that has anything below keys has there, and which run it is."""
    for one in _runs(found, name):
        if (value := at(one.results, *keys)) is not None:
            return value, trace(one)
    return None, ""


def _of(found: Found, name: str) -> tuple[dict[str, Any] | None, str]:
    one = found.get(name)
    return (one.results, trace(one)) if one is not None else (None, "")
