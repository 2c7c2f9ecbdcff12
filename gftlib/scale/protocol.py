"""The protocol of SCALE, section 2.3: fractions of the data, five stratified draws, two levels, error bars.

A *cell* is one method at one fraction on one draw. Finished cells are small files written whole, so that an
interrupted run goes on where it stopped; they hold scores as well as metrics, so that every number can be
computed again. A cell depends on its own draw, seed and candidate alone: cells may be computed one by one on
a cluster, or stacked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from gftlib.datasets.class_concepts import ClassConceptTask
from gftlib.errors import InputError
from gftlib.paths import atomic_path, read_json, write_json
from gftlib.scale.baselines import Candidate, Job, Setting, method
from gftlib.scale.features import Features, carve, draw
from gftlib.scale.outputs import LEVELS, Outputs, best_threshold, evaluate, summary_score

logger = logging.getLogger(__name__)

FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
DRAWS = 5
METRICS = ("accuracy", "macro_recall", "macro_f1", "auc")


@dataclass(frozen=True)
class ProtocolConfig:
    """What is run.

    Args:
        methods: Names from ``gftlib.scale.baselines.METHODS``.
        fractions: Shares of the training pool.
        draws: Stratified draws per fraction; with the whole pool they differ in the training's seed alone.
        validation: Share of each draw held back while candidates are compared; the chosen candidate is then
            trained on the whole draw.
        seed: Of draws and trainings.
        search_draws: Draws on which candidates are compared; None: all that are trained.
        full_draws: Draws of the whole pool, which differ in the seed alone; None: ``draws``.
        ablation_fractions: Fractions for the methods that take over another's choice; None: all.
        coop_draws: Draws of CoOp, whose gradients go through the text encoder; None: ``draws``.
        tuned: Fractions at which the encoders themselves are tuned; None: all.
        tuned_draws: Draws of that; None: ``draws``.
    """

    methods: tuple[str, ...] = ("zero_shot", "linear_probe", "linear_probe_weighted", "scale")
    fractions: tuple[float, ...] = FRACTIONS
    draws: int = DRAWS
    validation: float = 0.25
    seed: int = 0
    search_draws: int | None = None
    full_draws: int | None = None
    ablation_fractions: tuple[float, ...] | None = None
    coop_draws: int | None = None
    tuned: tuple[float, ...] | None = None
    tuned_draws: int | None = None

    def for_method(self, name: str) -> ProtocolConfig:
        """Return the part that is run for one method."""
        own = method(name)
        if not own.trained:
            return replace(self, fractions=(0.0,), draws=1)
        if own.follows is not None:
            return replace(self, fractions=_or(self.ablation_fractions, self.fractions))
        if name == "coop":
            return replace(self, draws=min(_or(self.coop_draws, self.draws), self.draws))
        if own.needs_encoder:
            draws = min(_or(self.tuned_draws, self.draws), self.draws)
            return replace(self, fractions=_or(self.tuned, self.fractions), draws=draws)
        return self

    def at(self, fraction: float) -> ProtocolConfig:
        """Return the part that is run at one fraction."""
        draws = self.draws if fraction < 1 else min(_or(self.full_draws, self.draws), self.draws)
        return replace(self, draws=draws)


@dataclass(frozen=True, eq=False)
class Cell:
    """One finished cell: its scores on the test, its metrics, and how it came about."""

    method: str
    fraction: float
    draw: int
    outputs: Outputs
    report: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)


def draws_of(features: Features, fraction: float, config: ProtocolConfig) -> list[np.ndarray]:
    """Return the training samples of every draw at ``fraction``; all methods share them."""
    return [
        draw(features, fraction, seed=1000 * config.seed + 10 * i + round(100 * fraction))
        for i in range(config.draws)
    ]


def run(setting: Setting, config: ProtocolConfig, folder: Path | str) -> list[Cell]:
    """Compute all cells that are not in ``folder`` yet and return all of them.

    Args:
        setting: Features, training, defaults.
        config: Methods, fractions, draws.
        folder: Where cells are kept.

    Raises:
        InputError: If a method is unknown, or follows one that is not run.
    """
    return [c for name in _ordered(config.methods) for c in run_method(setting, config, name, Path(folder))]


def run_method(setting: Setting, config: ProtocolConfig, name: str, folder: Path) -> list[Cell]:
    """Compute the cells of one method that are not in ``folder`` yet; return all of them."""
    own = config.for_method(name)
    return [c for share in own.fractions for c in run_block(setting, own.at(share), name, share, folder)]


def run_block(
    setting: Setting, config: ProtocolConfig, name: str, fraction: float, folder: Path
) -> list[Cell]:
    """Compute the draws of one method at one fraction that are not in ``folder`` yet; return all of them."""
    paths = {i: cell_path(folder, name, fraction, i) for i in range(config.draws)}
    missing = [i for i, path in paths.items() if not path.is_file()]
    if missing:
        chosen = choose(setting, config, name, fraction, folder)
        trained = method(name).trained
        rows = draws_of(setting.features, fraction, config) if trained else [setting.features.pool[:0]]
        test = np.flatnonzero(setting.features.test)
        jobs = [Job(chosen["candidate"], rows[i], test, _seed(config, i)) for i in missing]
        for i, outputs in zip(missing, method(name).train(setting, jobs), strict=True):
            details = {**chosen, "train": len(rows[i]), "test": len(test), "seed": _seed(config, i)}
            # From what is written, so that a reader of the cell computes the very same numbers.
            stored = Outputs(**outputs.arrays())
            report = report_of(
                setting.features.task, setting.features.labels[test], stored, chosen["threshold"]
            )
            write_cell(paths[i], Cell(name, fraction, i, outputs, report, details))
        logger.info("%s at %g: %d draws computed", name, fraction, len(missing))
    return [read_cell(path) for path in paths.values()]


def choose(
    setting: Setting, config: ProtocolConfig, name: str, fraction: float, folder: Path
) -> dict[str, Any]:
    """Return the candidate of a method at a fraction, chosen on validation sets carved from the draws.

    The candidate with the best mean over draws of macro F1 (mean of both levels) wins; the threshold for
    several labels is chosen on the same scores. The test takes no part. The choice is kept in ``folder``.

    A quarter of a small draw holds few combinations: those without a case have no F1, and a decision for them
    costs nothing. ``validation_combinations`` is how many have one, as a mean over the draws. To score each
    candidate on all four quarters would take four times the search.
    """
    the_method = method(name)
    path = folder / name / f"{fraction:g}-choice.json"
    if path.is_file():
        return read_json(path)
    features = setting.features
    if not the_method.trained:
        return _unsearched({})
    candidates = the_method.candidates(features.task.multi_label)
    if the_method.follows is not None:
        candidates = [choose(setting, config, the_method.follows, fraction, folder)["candidate"]]
        if not features.task.multi_label:  # nothing is left to choose, not even a threshold
            return _unsearched(candidates[0])
    searched = draws_of(features, fraction, config)[: config.search_draws]
    split = [carve(features, rows, config.validation, _seed(config, i)) for i, rows in enumerate(searched)]
    jobs = [
        Job(candidate, train, held, _seed(config, i))
        for candidate in candidates
        for i, (train, held) in enumerate(split)
    ]
    outputs = the_method.train(setting, jobs)
    scores = [
        summary_score(evaluate(features.task, features.labels[job.score], o))
        for job, o in zip(jobs, outputs, strict=True)
    ]
    means = np.array(scores).reshape(len(candidates), -1).mean(1)
    best = int(means.argmax())
    own = outputs[best * len(split) : (best + 1) * len(split)]
    threshold = 0.5
    if features.task.multi_label:
        truth = [features.labels[held] for _, held in split]
        threshold = best_threshold(features.task, truth, own)
    choice = {
        "candidate": candidates[best],
        "threshold": threshold,
        "candidates": candidates,
        "validation_scores": means.tolist(),
        "validation_combinations": float(np.mean([features.labels[h].any(0).sum() for _, h in split])),
    }
    write_json(path, choice)
    return choice


def _unsearched(candidate: Candidate) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "threshold": 0.5,
        "candidates": [candidate],
        "validation_scores": [],
        "validation_combinations": None,
    }


def report_of(
    task: ClassConceptTask, labels: np.ndarray, outputs: Outputs, threshold: float
) -> dict[str, Any]:
    """Return the metrics of a cell; for several labels also macro F1 at the threshold chosen on validation.

    Args:
        task: The task.
        labels: The truth of the test, ``(N, H)``.
        outputs: The scores as stored.
        threshold: Of :func:`choose`.
    """
    report = evaluate(task, labels, outputs)
    if task.multi_label:
        tuned = evaluate(task, labels, outputs, threshold)
        for level in LEVELS:
            report[level]["macro_f1_tuned"] = tuned[level]["macro_f1"]
    return report


def cell_path(folder: Path, name: str, fraction: float, draw_index: int) -> Path:
    """Return where a cell is kept."""
    return folder / name / f"{fraction:g}-{draw_index}.safetensors"


def write_cell(path: Path, cell: Cell) -> None:
    """Write a cell whole: scores as float16, the rest as JSON beside them."""
    content = {"fraction": cell.fraction, "draw": cell.draw, "report": cell.report, "details": cell.details}
    meta = {"cell": json.dumps({"method": cell.method, **content}, allow_nan=False)}
    with atomic_path(path) as temporary:
        save_file(cell.outputs.arrays(), temporary, metadata=meta)


def read_cell(path: Path) -> Cell:
    """Read a cell.

    Raises:
        InputError: If the file is no cell.
    """
    with safe_open(path, "np") as stream:
        meta = (stream.metadata() or {}).get("cell")
        if meta is None:
            raise InputError(f"{path} is no cell of the protocol")
        outputs = Outputs(**{name: stream.get_tensor(name) for name in stream.keys()})  # noqa: SIM118
    return Cell(**json.loads(meta), outputs=outputs)


def _ordered(names: Sequence[str]) -> list[str]:
    """Put methods behind those they follow."""
    for name in names:
        follows = method(name).follows
        if follows is not None and follows not in names:
            raise InputError(f"{name!r} takes the choice of {follows!r}, which is not among the methods")
    return sorted(names, key=lambda n: method(n).follows is not None)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _seed(config: ProtocolConfig, draw_index: int) -> int:
    return 100 * config.seed + draw_index
