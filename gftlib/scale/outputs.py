"""What a method says about test images, and how good that is at both levels (SCALE, section 2.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gftlib.datasets.class_concepts import ClassConceptTask
from gftlib.metrics.classification import Scores, macro_auc, multiclass, multilabel
from gftlib.scale.adapters import AdapterPair
from gftlib.scale.features import Features

LEVELS = ("class", "combination")
QUANTILES = (*np.linspace(0.05, 0.95, 19), 0.97, 0.98, 0.99)  # dense where rare labels have their bound
CERTAIN = 30.0  # log-odds beyond which a probability as float is 1


@dataclass(frozen=True, eq=False)
class Outputs:
    """Scores of N images at both levels, as log-odds.

    For prompts they are the log-odds of the two-prompt softmax, the label's prompt against "No finding.". Its
    AUC is that of the probability, and within a group the order is that of the cosines.

    Args:
        combination: ``(N, H)``.
        cls: ``(N, number of group_classes)``.
    """

    combination: np.ndarray
    cls: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return both tables as float16 of eight significant bits, for the disk: the rest is noise."""
        return {name: _rounded(getattr(self, name)) for name in ("combination", "cls")}


def from_similarities(
    task: ClassConceptTask, similarity: np.ndarray, negative: np.ndarray, logit_scale: float
) -> Outputs:
    """Turn cosines to prompts into scores; a class takes the maximum over its concepts, as in training.

    Args:
        task: The task.
        similarity: Cosines to the prompt of each combination, ``(N, H)``.
        negative: Cosines to the negative prompt, ``(N,)``.
        logit_scale: What cosines are multiplied with.
    """
    margin = logit_scale * (similarity - negative[:, None])
    return Outputs(margin, class_maximum(task, margin))


def class_maximum(task: ClassConceptTask, values: np.ndarray) -> np.ndarray:
    """Return the maximum over the concepts of each (group, class), ``(N, number of group_classes)``."""
    index = task.group_class_index
    return np.stack([values[:, index == c].max(1) for c in range(index.max() + 1)], axis=1)


def adapted_outputs(
    features: Features,
    pair: AdapterPair,
    rows: Sequence[np.ndarray],
    logit_scale: Sequence[float] | None = None,
) -> list[Outputs]:
    """Return for each of the stacked adapters the scores of its own samples.

    Args:
        features: Cached embeddings.
        pair: The adapters of R runs.
        rows: R index arrays.
        logit_scale: Of each run; None: the backbone's.
    """
    runs = len(rows)
    with torch.no_grad():
        images = pair.image(features.images[0].expand(runs, -1, -1))
        texts = pair.text(torch.cat([features.prompts, features.negative[None]]).expand(runs, -1, -1))
        similarity = (images @ texts.mT).numpy()
    return of_runs(features, similarity, rows, logit_scale)


def of_runs(
    features: Features,
    similarity: np.ndarray,
    rows: Sequence[np.ndarray],
    logit_scale: Sequence[float] | None = None,
) -> list[Outputs]:
    """Turn cosines of all samples to all prompts, the negative one last, ``(R, N, H + 1)``, into scores."""
    scales = [features.logit_scale] * len(rows) if logit_scale is None else logit_scale
    return [
        from_similarities(features.task, s[r, :-1], s[r, -1], scale)
        for s, r, scale in zip(similarity, rows, scales, strict=True)
    ]


def zero_shot(features: Features, rows: np.ndarray) -> Outputs:
    """Return the scores of the frozen model itself."""
    images = features.images[0, torch.from_numpy(rows)]
    texts = torch.cat([features.prompts, features.negative[None]])
    similarity = (images @ texts.T).double().numpy()
    return from_similarities(features.task, similarity[:, :-1], similarity[:, -1], features.logit_scale)


def predictions(task: ClassConceptTask, outputs: Outputs, threshold: float = 0.5) -> dict[str, np.ndarray]:
    """Return the decisions at both levels, ``(N, ...)`` bool.

    Args:
        task: The task.
        outputs: The scores.
        threshold: For several labels; 0.5 is the larger of two prompts, or of yes and no.
    """
    if task.multi_label:
        bound = np.log(threshold / (1 - threshold))
        return {"combination": outputs.combination > bound, "class": outputs.cls > bound}
    return {
        "combination": _argmax(outputs.combination, task.group_index),
        "class": _argmax(outputs.cls, _class_groups(task)),
    }


def evaluate(
    task: ClassConceptTask, labels: np.ndarray, outputs: Outputs, threshold: float = 0.5
) -> dict[str, Any]:
    """Return mean accuracy, macro recall, macro F1 and AUC at both levels, and per group.

    For exclusive groups each metric is the mean over the groups ("the mean over seven binary classes"); for
    several labels they run over the labels.

    Args:
        task: The task.
        labels: The truth, ``(N, H)``.
        outputs: The scores of the same images.
        threshold: See :func:`predictions`.
    """
    decided = predictions(task, outputs, threshold)
    truth = {"combination": labels, "class": class_maximum(task, labels)}
    ranks = {"combination": outputs.combination, "class": outputs.cls}
    groups = {"combination": task.group_index, "class": _class_groups(task)}
    found: dict[str, Any] = {}
    for level in LEVELS:
        if task.multi_label:
            found[level] = _row(multilabel(truth[level], decided[level]), truth[level], ranks[level])
            continue
        rows = []
        for group in range(groups[level].max() + 1):
            columns = groups[level] == group
            y, p = truth[level][:, columns], decided[level][:, columns]
            scores = multiclass(y.argmax(1), p.argmax(1), y.shape[1])
            rows.append(_row(scores, y, ranks[level][:, columns]))
        found[level] = {name: _mean([row[name] for row in rows]) for name in rows[0]}
        found[level]["groups"] = dict(zip(task.groups(), rows, strict=True))
    return found


def summary_score(report: dict[str, Any]) -> float:
    """Return what candidates are chosen by: macro F1, averaged over both levels."""
    return float(np.mean([report[level]["macro_f1"] for level in LEVELS]))


def best_threshold(task: ClassConceptTask, labels: list[np.ndarray], outputs: list[Outputs]) -> float:
    """Return the threshold with the best mean summary score over several validation sets.

    Tried are 0.5 and quantiles of the validation scores themselves, so that the choice does not depend on
    what cosines are multiplied with.

    Args:
        task: The task.
        labels: The truth of each set, ``(N, H)``.
        outputs: The scores of each set.
    """
    values = np.concatenate([o.combination.ravel() for o in outputs]).astype(float)
    bounds = np.clip(np.quantile(values, QUANTILES), -CERTAIN, CERTAIN)
    grid = np.concatenate([[0.5], 1 / (1 + np.exp(-bounds))])
    scores = [
        np.mean([summary_score(evaluate(task, y, o, t)) for y, o in zip(labels, outputs, strict=True)])
        for t in grid
    ]
    return float(grid[int(np.argmax(scores))])


def _rounded(values: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(values.astype(np.float32))
    return np.ldexp(np.rint(mantissa * 256) / 256, exponent).astype(np.float16)


def _row(scores: Scores, truth: np.ndarray, rank: np.ndarray) -> dict[str, float | None]:
    auc, _ = macro_auc(truth, rank)
    values = {
        "accuracy": scores.accuracy,
        "macro_recall": scores.macro_recall,
        "macro_f1": scores.macro_f1,
        "auc": auc,
    }
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _argmax(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    chosen = np.zeros(scores.shape, dtype=bool)
    for group in range(groups.max() + 1):
        columns = np.flatnonzero(groups == group)
        chosen[np.arange(len(scores)), columns[scores[:, columns].argmax(1)]] = True
    return chosen


def _class_groups(task: ClassConceptTask) -> np.ndarray:
    names = list(task.groups())
    return np.array([names.index(group) for group, _ in task.group_classes])
