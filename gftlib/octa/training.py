"""Cross-validation of the staging network: five folds, several seeds, resumable (GFT, section 3)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gftlib.errors import InputError, MissingError
from gftlib.jobs import Progress, run_jobs
from gftlib.octa.batches import GraphBatch, GraphTensors, Normalizer, collate
from gftlib.octa.fitting import Load, Recipe, best_epoch, fit, predict_logits, seeded
from gftlib.octa.folds import Fold, five_folds
from gftlib.octa.predictions import choose, prediction_rows
from gftlib.octa.staging import StagingConfig, StagingGNN
from gftlib.paths import atomic_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldResult:
    """One trained network.

    Args:
        model: With the weights of its best epoch, in evaluation mode.
        normalizer: The z-score of its training fold.
        history: Loss and balanced accuracy, one entry an epoch.
        best_epoch: The epoch of the weights, from 0.
    """

    model: StagingGNN
    normalizer: Normalizer
    history: tuple[dict[str, float], ...]
    best_epoch: int

    def probabilities(
        self, graphs: Sequence[GraphTensors], normalizer: Normalizer | None = None, device: str = "cpu"
    ) -> np.ndarray:
        """Return the probabilities of the stages, (n, 3).

        Args:
            graphs: Graphs as measured, not normalised.
            normalizer: In place of the training fold's: ``Normalizer.fit(graphs, robust=True)`` is how the
                public code meets a foreign set, which makes the prediction of a scan depend on the others.
            device: Where to compute.
        """
        ready = [(normalizer or self.normalizer)(graph) for graph in graphs]
        self.model.to(device)
        size = self.model.config.recipe.batch_size
        return predict_logits(self.model, _loader(ready, device), range(len(ready)), size).softmax(1).numpy()


def train_fold(
    graphs: Sequence[GraphTensors],
    fold: Fold,
    config: StagingConfig,
    seed: int,
    folder: Path,
    device: str = "cpu",
) -> FoldResult:
    """Train one network, or go on with it, or read it if it is finished.

    Args:
        graphs: The whole cohort, with stages; only the training fold and the validation split are looked at.
        fold: Who trains and who validates.
        config: The network and its recipe.
        seed: Of weights, order and dropout.
        folder: Gets ``model.safetensors``; while training, ``checkpoint.safetensors``.
        device: Where to train.

    Raises:
        InputError: If a scan has no stage, or a part of the fold is empty.
    """
    used = np.concatenate([fold.train, fold.valid])
    y = np.array([graph.y for graph in graphs])
    if (unknown := used[y[used] < 0]).size:
        raise InputError(f"graph {unknown[0]} has no stage: training needs one for every scan")
    fingerprint = _fingerprint(graphs, fold, config, seed)
    path = Path(folder) / "model.safetensors"
    if path.is_file() and (finished := read_fold(path, fingerprint)):
        return finished
    normalizer = Normalizer.fit([graphs[i] for i in fold.train])
    ready = {int(i): normalizer(graphs[i]) for i in used}
    with seeded(seed):
        model = StagingGNN(config)
    checkpoint = path.with_name("checkpoint.safetensors")
    history = fit(
        model,
        _loader(ready, device),
        y,
        fold.train,
        fold.valid,
        config.recipe,
        seed,
        checkpoint,
        fingerprint,
        device,
    )
    result = FoldResult(model.cpu().eval(), normalizer, tuple(history), best_epoch(history, config.recipe))
    _write_fold(path, result, fingerprint)
    checkpoint.unlink(missing_ok=True)
    return result


def cross_validate(
    graphs: Sequence[GraphTensors],
    scans: pd.DataFrame,
    configs: Sequence[StagingConfig],
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    folds: Sequence[int] = (1, 2, 3, 4, 5),
    foreign: dict[str, tuple[Sequence[GraphTensors], pd.DataFrame]] | None = None,
    normalizers: dict[str, Normalizer] | None = None,
    device: str = "cpu",
    method: str = "gnn",
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train every fold and seed; of several configurations the validation split chooses one a fold.

    Args:
        graphs: The cohort.
        scans: One row a graph: scan, subject, stage, split (see :func:`gftlib.octa.folds.scan_table`).
        configs: The candidates; their number is the search budget.
        folder: Gets one folder a seed, fold and candidate; what is finished there is not repeated.
        seeds: Seeds.
        folds: Folds, named by their validation split.
        foreign: Further cohorts to judge by name: graphs and scans.
        normalizers: For cohorts that are not to be met with the z-score of the training fold.
        device: Where to train.
        method: The name in the predictions.
        workers: Networks trained at once, each in a process and on a thread of its own; on a GPU one.
        progress: Called with (done, total) after each network.

    Returns:
        Predictions of the validation split, the test split and the foreign cohorts (see
        :mod:`gftlib.octa.predictions`).
    """
    if len(graphs) != len(scans):
        raise InputError(f"{len(graphs)} graphs and {len(scans)} rows of scans: they must correspond")
    chosen = five_folds(scans, folds)
    jobs = [
        (fold, config, seed, fold_folder(folder, seed, fold.number, index), device)
        for seed in seeds
        for fold in chosen
        for index, config in enumerate(configs)
    ]
    trained = iter(run_jobs(train_fold, list(graphs), jobs, workers, progress, device))
    tables = []
    for seed in seeds:
        for fold in chosen:
            results = [next(trained) for _ in configs]
            kept = choose(
                [result.history[result.best_epoch]["valid_balanced_accuracy"] for result in results]
            )
            parts = {
                name: ([graphs[i] for i in rows], scans.iloc[rows])
                for name, rows in (("valid", fold.valid), ("test", fold.test))
            }
            for part, (judged, rows) in (parts | (foreign or {})).items():
                values = results[kept].probabilities(judged, (normalizers or {}).get(part), device)
                tables.append(prediction_rows(rows, values, method, seed, fold.number, part, kept))
    return pd.concat(tables, ignore_index=True)


def fold_folder(folder: Path, seed: int, fold: int, candidate: int = 0) -> Path:
    """Return where :func:`cross_validate` keeps one network."""
    return Path(folder) / f"seed{seed}" / f"fold{fold}" / f"candidate{candidate}"


def read_fold(path: Path, fingerprint: str | None = None) -> FoldResult | None:
    """Read a finished network.

    Args:
        path: Its ``model.safetensors``.
        fingerprint: If given, a network of other data or settings gives None.

    Raises:
        MissingError: If there is no such file.
    """
    if not Path(path).is_file():
        raise MissingError(f"no trained network {path}: run the staging notebook first")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["fold"])
        if fingerprint not in (None, header["fingerprint"]):
            logger.info("%s is of other data or settings: it is trained anew", path)
            return None
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - the file is no mapping
    parts = {"model": {}, "normalizer": {}}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        parts[kind][name] = value
    settings = header["config"] | {"pooling": tuple(header["config"]["pooling"])}
    settings["recipe"] = Recipe(**settings["recipe"])
    model = StagingGNN(StagingConfig(**settings))
    model.load_state_dict(parts["model"])
    history = tuple(header["history"])
    return FoldResult(model.eval(), Normalizer.from_state(parts["normalizer"]), history, header["best_epoch"])


def _write_fold(path: Path, result: FoldResult, fingerprint: str) -> None:
    tensors = {f"model.{name}": value for name, value in result.model.state_dict().items()}
    tensors |= {f"normalizer.{name}": value for name, value in result.normalizer.state().items()}
    header = {
        "fingerprint": fingerprint,
        "config": dataclasses.asdict(result.model.config),
        "history": result.history,
        "best_epoch": result.best_epoch,
    }
    with atomic_path(path) as temporary:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            temporary,
            {"fold": json.dumps(header)},
        )


def _loader(ready: Sequence[GraphTensors] | dict[int, GraphTensors], device: str) -> Load:
    """Return a function from positions to their batch; graphs are not augmented."""

    def load(positions: Sequence[int], generator: torch.Generator | None) -> GraphBatch:
        return collate([ready[int(i)] for i in positions]).to(device)

    return load


def _fingerprint(graphs: Sequence[GraphTensors], fold: Fold, config: StagingConfig, seed: int) -> str:
    """Digest data, configuration and seed; not the code, whose change calls for an empty folder."""
    digest = hashlib.sha256(json.dumps([dataclasses.asdict(config), seed], sort_keys=True).encode())
    for part in (fold.train, fold.valid):
        digest.update(np.asarray(part, np.int64).tobytes())
        for i in part:
            digest.update(graphs[i].digest)
    return digest.hexdigest()
