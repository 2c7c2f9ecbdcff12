"""How much each declared default matters: one change at a time, and the grid of lambdas.

All of it is measured on a validation part carved from the training pool, so that no number here can tempt
anyone to choose on the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gftlib.scale.baselines import Candidate, Job, Setting, method
from gftlib.scale.features import Features, carve, draw
from gftlib.scale.outputs import Outputs, evaluate, summary_score


@dataclass(frozen=True)
class Change:
    """One departure from the declared defaults.

    Args:
        name: In words.
        loss: Fields of the loss.
        adapter: Fields of the adapters.
        training: Fields of the training.
        joint: The reading of the groups, see :class:`gftlib.scale.features.Features`.
        features: Other embeddings of the same samples; None: the setting's.
    """

    name: str
    loss: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    joint: bool | None = None
    features: Features | None = None

    def is_number(self) -> bool:
        """Whether runs with and without it can be trained side by side."""
        values = [*self.loss.values(), *self.adapter.values()]
        return (
            not self.training
            and self.joint is None
            and self.features is None
            and set(self.adapter) <= {"alpha"}
            and all(isinstance(value, float) for value in values)
        )


def changes(multi_label: bool) -> list[Change]:
    """Return the changes that make sense for a task: every choice that the paper leaves open."""
    found = [
        *(Change(f"bottleneck 1/{r}", adapter={"reduction": r}) for r in (2, 8, 16)),
        *(Change(f"alpha from {a}", adapter={"alpha": a}) for a in (0.05, 0.5, 0.8)),
        Change("alpha unbounded", adapter={"alpha_range": "free"}),
        Change("alpha fixed", adapter={"alpha_range": "fixed"}),
        Change("two adapters a branch", adapter={"adapters_per_branch": 2}),
        Change("trailing ReLU", adapter={"trailing_relu": True}),
        *(Change(f"tau {t}", loss={"temperature": t}) for t in (0.02, 0.2, 0.5)),
        *(Change(f"logit scale {s}", loss={"logit_scale": float(s)}) for s in (1, 5, 50, 100)),
        Change("absent: cosine 0", loss={"absent": "zero"}),
        Change("absent: own prompt", loss={"absent": "prompt"}),
        Change("raw rows of Q", loss={"normalize_rows": False}),
        Change("raw rows of Q, tau 1", loss={"normalize_rows": False, "temperature": 1.0}),
        Change("mean over samples", loss={"reduction": "mean"}),
        Change("binary cross-entropy", loss={"cross_entropy": "binary"}),
        *(Change(f"batches of {b}", training={"max_batch": b}) for b in (16, 256)),
    ]
    if multi_label:
        found += [Change(f"mixing {m}", training={"mixing": m}) for m in (0.0, 1.0)]
    else:
        found.append(Change("all criteria in one softmax", joint=True))
    return found


def sensitivity(
    setting: Setting,
    fraction: float = 0.25,
    draws: int = 5,
    wanted: Sequence[Change] | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return for each change the mean difference in validation macro F1 (both levels) from the defaults.

    Args:
        setting: Features, training, defaults.
        fraction: Share of what is left of the pool after the validation part.
        draws: Draws, the same for all changes, so that differences are paired.
        wanted: Changes; None: all that make sense.
        seed: Of carving and draws.
    """
    wanted = changes(setting.features.task.multi_label) if wanted is None else wanted
    numbers = [change for change in wanted if change.is_number()]
    candidates = [{}, *({**change.loss, **change.adapter} for change in numbers)]
    base, *rest = _scores(setting, candidates, fraction, draws, seed)
    scores = dict(zip([change.name for change in numbers], rest, strict=True))
    for change in wanted:
        if change.name not in scores:
            changed = replace(
                setting,
                features=replace(change.features or setting.features, joint=change.joint),
                training=replace(setting.training, **change.training),
                adapter=replace(setting.adapter, **change.adapter),
            )
            (scores[change.name],) = _scores(changed, [change.loss], fraction, draws, seed)
    records = [_record(change.name, scores[change.name], base) for change in wanted]
    return [_record("declared defaults", base, base), *records]


def lambda_grid(
    setting: Setting,
    supervised: Sequence[float] = (0.0, 0.3, 1.0, 3.0),
    contrastive: Sequence[float] = (0.0, 0.03, 0.1, 0.3, 1.0),
    fraction: float = 0.25,
    draws: int = 5,
    seed: int = 0,
) -> list[dict[str, float | None]]:
    """Return validation macro F1 over lambda_1 = lambda_2 and lambda_3 = lambda_4, trained side by side."""
    grid = [(a, b) for a in supervised for b in contrastive]
    candidates = [
        {"lambda_concept": a, "lambda_class": a, "lambda_image": b, "lambda_text": b} for a, b in grid
    ]
    scores = _scores(setting, candidates, fraction, draws, seed)
    return [
        {"lambda_1_2": a, "lambda_3_4": b, "macro_f1": float(s.mean()), "macro_f1_std": spread(s)}
        for (a, b), s in zip(grid, scores, strict=True)
    ]


def _jobs(
    setting: Setting, candidates: Sequence[Candidate], fraction: float, draws: int, seed: int
) -> list[Job]:
    features = setting.features
    train, held = carve(features, features.pool, 0.25, seed)
    rows = [draw(features, fraction, seed + i, within=train) for i in range(draws)]
    return [Job(c, r, held, seed + i) for c in candidates for i, r in enumerate(rows)]


def _scores(
    setting: Setting, candidates: Sequence[Candidate], fraction: float, draws: int, seed: int
) -> np.ndarray:
    """Return ``(candidates, draws)``, all trained side by side."""
    jobs = _jobs(setting, candidates, fraction, draws, seed)
    scores = validation_scores(setting, jobs, method("scale").train(setting, jobs))
    return scores.reshape(len(candidates), -1)


def validation_scores(setting: Setting, jobs: Sequence[Job], outputs: Sequence[Outputs]) -> np.ndarray:
    """Return the summary score of each job on the samples that it scored, ``(jobs,)``."""
    features = setting.features
    return np.array(
        [
            summary_score(evaluate(features.task, features.labels[job.score], o))
            for job, o in zip(jobs, outputs, strict=True)
        ]
    )


def _record(name: str, scores: np.ndarray, base: np.ndarray) -> dict[str, Any]:
    difference = scores - base
    return {
        "change": name,
        "macro_f1": float(scores.mean()),
        "difference": float(difference.mean()),
        "difference_std": spread(difference),
    }


def spread(values: np.ndarray) -> float | None:
    """Return the standard deviation over draws; None for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else None
