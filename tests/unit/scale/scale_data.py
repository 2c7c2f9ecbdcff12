"""Small tasks with random embeddings, so that methods are tested without any encoder."""

from __future__ import annotations

import numpy as np
import torch

from gftlib.datasets.class_concepts import ClassConceptTask, Combination
from gftlib.scale.features import Features


def exclusive_task() -> ClassConceptTask:
    table = [("streaks", "nevus", "absent"), ("streaks", "nevus", "regular"), ("streaks", "melanoma", "odd")]
    table += [("veil", "nevus", "no veil"), ("veil", "melanoma", "veil")]
    combinations = tuple(Combination(g, c, k, f"A photo of {k} in {g}.") for g, c, k in table)
    return ClassConceptTask(
        "exclusive", ("nevus", "melanoma"), tuple(k for _, _, k in table), combinations, multi_label=False
    )


def multi_task() -> ClassConceptTask:
    table = [("fluid", "left"), ("fluid", "right"), ("collapse", "left"), ("collapse", "right")]
    combinations = tuple(Combination(c, c, k, f"{c} on the {k}.") for c, k in table)
    return ClassConceptTask("multi", ("fluid", "collapse"), ("left", "right"), combinations, multi_label=True)


def make_features(task: ClassConceptTask, n: int = 60, dim: int = 16, seed: int = 0) -> Features:
    """Images are noisy sums of the directions of their labels; two samples of each subject."""
    rng = np.random.default_rng(seed)
    h = len(task)
    labels = np.zeros((n, h), dtype=np.uint8)
    if task.multi_label:
        labels[np.arange(n), rng.integers(0, h, n)] = 1
        labels[np.arange(n), rng.integers(0, h, n)] = 1
    else:
        for columns in task.groups().values():
            labels[np.arange(n), np.array(columns)[rng.integers(0, len(columns), n)]] = 1
    directions = rng.normal(size=(h, dim))
    sentences = np.repeat(directions, 3, axis=0) + 0.5 * rng.normal(size=(3 * h, dim))
    pairs = [(i, 3 * c + int(rng.integers(3)), c) for i in range(n) for c in np.flatnonzero(labels[i])]
    unit = lambda x: torch.nn.functional.normalize(torch.tensor(x, dtype=torch.float32), dim=-1)  # noqa: E731
    return Features(
        task=task,
        images=unit(labels @ rng.normal(size=(h, dim)) + 0.7 * rng.normal(size=(n, dim)))[None],
        prompts=unit(directions),
        negative=unit(rng.normal(size=dim)),
        sentences=unit(sentences),
        pairs=np.array(pairs),
        labels=labels,
        subjects=np.repeat(np.arange(n // 2), 2).astype(str),
        test=np.arange(n) // 2 % 4 == 0,
        logit_scale=20.0,
    )
