"""What is measured around the protocol of one use case, as plain values: defaults, imbalance, knowledge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.scale import imbalance as thinning
from gftlib.scale import knowledge, sensitivity
from gftlib.scale.baselines import Candidate, Setting
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.features import Features, draw, embed
from gftlib.scale.knowledge import Space
from gftlib.scale.protocol import ProtocolConfig, choose
from gftlib.scale.stacked import Run, train_adapters
from gftlib.scale.tuning import TuningConfig, tune
from gftlib.scale.use_cases import UseCase


@dataclass(frozen=True, eq=False)
class Plan:
    """What a measure is given.

    Args:
        use: The use case.
        setting: What the methods are given.
        config: The protocol, whose choices on validation are taken over.
        cells: Where it keeps them.
        fraction: Share of the data on which defaults are measured.
        draws: Draws of that.
        mirrored: Features whose augmented views may be mirrored; None: not measured.
    """

    use: UseCase
    setting: Setting
    config: ProtocolConfig
    cells: Path
    fraction: float
    draws: int
    mirrored: Callable[[], Features] | None = None

    def chosen(self, name: str, fraction: float) -> Candidate:
        """Return the candidate that the protocol chose for a method at a fraction."""
        own = self.config.for_method(name).at(fraction)
        return choose(self.setting, own, name, fraction, self.cells)["candidate"]

    @property
    def largest(self) -> float:
        """The largest fraction of the protocol."""
        return max(self.config.fractions)


def defaults(plan: Plan) -> list[dict[str, Any]]:
    """Return the sensitivity of every declared default, mirrored views among them."""
    seed = plan.config.seed
    records = sensitivity.sensitivity(plan.setting, plan.fraction, plan.draws, seed=seed)
    if plan.mirrored is not None:
        change = sensitivity.Change("mirrored views", features=plan.mirrored())
        records += sensitivity.sensitivity(plan.setting, plan.fraction, plan.draws, [change], seed)[1:]
    return records


def lambdas(plan: Plan) -> list[dict[str, float | None]]:
    """Return the grid of lambdas."""
    return sensitivity.lambda_grid(
        plan.setting, fraction=plan.fraction, draws=plan.draws, seed=plan.config.seed
    )


def imbalance(plan: Plan) -> list[dict[str, Any]]:
    """Return the imbalance sweep of SCALE and both probes, each with its own choice."""
    names = [n for n in ("linear_probe", "linear_probe_weighted", "scale") if n in plan.config.methods]
    chosen = {name: plan.chosen(name, plan.largest) for name in names}
    return thinning.imbalance(plan.setting, chosen, draws=plan.draws, seed=plan.config.seed)


def retention(plan: Plan) -> list[dict[str, Any]]:
    """Train without one group and return what the model then knows of it, of the others and of captions.

    Nothing where the data do not hold the group, see :class:`gftlib.scale.use_cases.UseCase`.
    """
    use, features = plan.use, plan.use.features
    if not use.retention_group:
        return []
    rest, held = knowledge.hold_back(features, [use.retention_group])
    fraction = max(plan.config.tuned or plan.config.fractions)
    rows = draw(features, fraction, seed=plan.config.seed)
    frozen = knowledge.space_of(features, use.data, use.encoder)
    seen = [h for h in range(len(features.task)) if h not in held]
    records = []
    for name, scale, make in (
        ("zero_shot", features.logit_scale, lambda: frozen),
        (
            "scale",
            float(plan.setting.loss.logit_scale),
            partial(_adapted, plan, rest, rows, fraction, frozen),
        ),
        ("lora", float(plan.setting.loss.logit_scale), partial(_tuned, plan, rest, rows, fraction, "lora")),
        ("full", float(plan.setting.loss.logit_scale), partial(_tuned, plan, rest, rows, fraction, "full")),
    ):
        if name in plan.config.methods:
            space = make()
            record = {"method": name, **knowledge.retained(features, space, held, scale)}
            trained = knowledge.retained(features, space, seen, scale)
            records.append({**record, "trained_macro_f1": trained["held_back_macro_f1"]})
    return records


def retrieval(plan: Plan) -> list[dict[str, Any]]:
    """Return how well prompts find test images, before and after training on all data."""
    return [
        {"method": name, **knowledge.retrieval(plan.use.features, space)}
        for name, space in _before_and_after(plan).items()
    ]


def clusters(plan: Plan) -> dict[str, Any]:
    """Return Figure 4, or nothing where there is no class to show."""
    use = plan.use
    if not use.figure_class:
        return {}
    spaces = {"zero-shot MedCLIP": "zero_shot", "SCALE": "scale"}
    found = _before_and_after(plan)
    return knowledge.text_clusters(
        use.features, {words: found[name] for words, name in spaces.items()}, use.figure_class
    )


MEASURES: dict[str, Callable[[Plan], Any]] = {
    "defaults": defaults,
    "lambdas": lambdas,
    "imbalance": imbalance,
    "retention": retention,
    "retrieval": retrieval,
    "clusters": clusters,
}


def _before_and_after(plan: Plan) -> dict[str, Space]:
    use = plan.use
    frozen = knowledge.space_of(use.features, use.data, use.encoder)
    rows = use.features.pool
    return {"zero_shot": frozen, "scale": _adapted(plan, use.features, rows, plan.largest, frozen)}


def _adapted(plan: Plan, features: Features, rows: np.ndarray, fraction: float, frozen: Space) -> Space:
    loss = replace(plan.setting.loss, **plan.chosen("scale", fraction))
    run = Run(rows, plan.config.seed, loss)
    return frozen.adapted(train_adapters(features, [run], plan.setting.adapter, config=plan.setting.training))


def _tuned(plan: Plan, features: Features, rows: np.ndarray, fraction: float, mode: Any) -> Space:
    use, setting = plan.use, plan.setting
    config = TuningConfig(mode, training=setting.tuning, loss=setting.loss, **plan.chosen(mode, fraction))
    tuned = tune(use.encoder, use.data, features, rows, config, plan.config.seed)
    return knowledge.space_of(embed(use.data, EmbeddingCache(tuned)), use.data, tuned)
