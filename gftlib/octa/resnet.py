"""Staging from the raw scan by ResNet-18, the image baseline (GFT, Table 2: "ResNet 18").

The network is timm's, its weights random unless a file is given: nothing is fetched. The paper does not say
how its ResNet was trained; here the loop, class weights and validation are those of the graph network.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gftlib.errors import InputError, MissingError
from gftlib.jobs import Progress, run_jobs
from gftlib.octa.fitting import Load, Recipe, best_epoch, fit, predict_logits, seeded
from gftlib.octa.folds import Fold, five_folds
from gftlib.octa.predictions import choose, prediction_rows
from gftlib.octa.staging import STAGES
from gftlib.octa.training import fold_folder
from gftlib.paths import atomic_path, read_json, sha256, write_json


@dataclass(frozen=True)
class ResNetConfig:
    """The image baseline.

    Args:
        size: Scans are brought to this height and width in pixels.
        architecture: Name in timm.
        weights: A safetensors file with weights of that architecture, such as ImageNet's; None starts at
            random. A first convolution over three colours is summed to one, a classifier of another size is
            left out.
        recipe: How it is trained.
    """

    size: int = 152
    architecture: str = "resnet18"
    weights: Path | None = None
    recipe: Recipe = field(
        default_factory=lambda: Recipe(epochs=30, batch_size=16, lr=1e-3, weight_decay=0.01)
    )

    def __post_init__(self) -> None:
        """Refuse sizes that a residual network cannot reduce."""
        if self.size < 32:
            raise InputError(f"size is {self.size}; a residual network needs at least 32 pixels")


def candidates(config: ResNetConfig) -> tuple[ResNetConfig, ...]:
    """Return the settings in the order in which a larger budget tries them, ``config`` first."""
    changes = ({}, {"lr": 3e-4}, {"weight_decay": 0.1}, {"lr": 3e-3})
    return tuple(
        dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **change)) for change in changes
    )


def cross_validate_resnet(
    images: np.ndarray,
    scans: pd.DataFrame,
    config: ResNetConfig,
    folder: Path,
    *,
    budget: int = 1,
    seeds: Sequence[int] = (0, 1, 2),
    folds: Sequence[int] = (1, 2, 3, 4, 5),
    foreign: dict[str, tuple[np.ndarray, pd.DataFrame]] | None = None,
    device: str = "cpu",
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train and judge the image baseline on the folds of the graph network.

    Args:
        images: (N, H, W) uint8 scans.
        scans: One row a scan: scan, subject, stage, split.
        config: The network.
        folder: Gets one folder a seed, fold and candidate; what is finished there is not repeated.
        budget: Settings tried; the validation split chooses.
        seeds: Seeds.
        folds: Folds, named by their validation split.
        foreign: Further cohorts to judge by name: images and scans.
        device: Where to train.
        workers: Networks trained at once, each in a process and on a thread of its own; on a GPU one.
        progress: Called with (done, total) after each network.

    Raises:
        InputError: If the images are no (N, H, W) uint8 array or rows do not correspond.
    """
    ready = shrink(images, config.size)
    cohorts = {name: (shrink(other, config.size), rows) for name, (other, rows) in (foreign or {}).items()}
    if len(ready) != len(scans):
        raise InputError(f"{len(ready)} images and {len(scans)} rows of scans: they must correspond")
    chosen = five_folds(scans, folds)
    jobs = [
        (fold, option, seed, fold_folder(folder, seed, fold.number, index), device)
        for seed in seeds
        for fold in chosen
        for index, option in enumerate(candidates(config)[:budget])
    ]
    shared = (ready, scans["stage"].to_numpy())
    trained = iter(run_jobs(_train, shared, jobs, workers, progress, device))
    tables = []
    for seed in seeds:
        for fold in chosen:
            models = [next(trained) for _ in range(len(jobs) // (len(chosen) * len(seeds)))]
            kept = choose([score for _, score in models])
            parts = {"valid": (ready[fold.valid], scans.iloc[fold.valid])}
            parts |= {"test": (ready[fold.test], scans.iloc[fold.test])} | cohorts
            for part, (values, rows) in parts.items():
                logits = predict_logits(models[kept][0], _loader(values, device), range(len(values)), 64)
                table = prediction_rows(
                    rows, logits.softmax(1).numpy(), config.architecture, seed, fold.number, part, kept
                )
                tables.append(table)
    return pd.concat(tables, ignore_index=True)


def shrink(images: np.ndarray, size: int) -> Tensor:
    """Return scans (N, H, W) uint8 as (N, 1, size, size) float32, each with mean 0 and deviation 1.

    Raises:
        InputError: If they are something else.
    """
    if images.ndim != 3 or images.dtype != np.uint8:
        raise InputError(
            f"images of shape {images.shape} and type {images.dtype}; (N, H, W) uint8 are needed"
        )
    values = torch.from_numpy(images)[:, None].float() / 255
    values = interpolate(values, (size, size), mode="bilinear", antialias=True, align_corners=False)
    deviation, mean = torch.std_mean(values, (1, 2, 3), keepdim=True)
    return (values - mean) / deviation.clamp(min=1e-3)


def build(config: ResNetConfig) -> nn.Module:
    """Return the network, with the weights of ``config.weights`` if given.

    Raises:
        MissingError: If there is no such file.
        InputError: If the file holds another architecture.
    """
    model = timm.create_model(config.architecture, pretrained=False, in_chans=1, num_classes=len(STAGES))
    if config.weights is None:
        return model
    if not Path(config.weights).is_file():
        raise MissingError(f"no weights {config.weights}")
    found, wanted = load_file(config.weights), model.state_dict()
    for name, value in found.items():
        if name in wanted and value.ndim == 4 and value.shape[1] == 3 and wanted[name].shape[1] == 1:
            found[name] = value.sum(1, keepdim=True)
    fitting = {k: v for k, v in found.items() if k in wanted and v.shape == wanted[k].shape}
    absent = [name for name in wanted if name not in fitting and not name.startswith("fc.")]
    if absent:
        raise InputError(f"{config.weights} does not hold a {config.architecture}: {absent[0]} is not there")
    model.load_state_dict(fitting, strict=False)
    return model


def _train(
    data: tuple[Tensor, np.ndarray], fold: Fold, config: ResNetConfig, seed: int, folder: Path, device: str
) -> tuple[nn.Module, float]:
    """Train one network, or read it if finished; return it with its balanced accuracy in validation."""
    images, y = data
    digest = hashlib.sha256(json.dumps([dataclasses.asdict(config), seed], default=str).encode())
    if config.weights is not None:
        digest.update(sha256(config.weights).encode())
    for part in (fold.train, fold.valid):
        for values in (part, y[part], images[part].numpy()):
            digest.update(np.ascontiguousarray(values))
    fingerprint = digest.hexdigest()
    with seeded(seed):
        model = build(config)
    path, notes, checkpoint = (
        folder / name for name in ("model.safetensors", "fold.json", "checkpoint.safetensors")
    )
    if notes.is_file() and read_json(notes)["fingerprint"] == fingerprint and path.is_file():
        model.load_state_dict(load_file(path))
        return model.to(device), read_json(notes)["valid_balanced_accuracy"]
    load = _loader(images, device)
    history = fit(
        model, load, y, fold.train, fold.valid, config.recipe, seed, checkpoint, fingerprint, device
    )
    score = history[best_epoch(history, config.recipe)]["valid_balanced_accuracy"]
    with atomic_path(path) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in model.state_dict().items()}, temporary)
    write_json(notes, {"fingerprint": fingerprint, "valid_balanced_accuracy": score, "history": history})
    checkpoint.unlink(missing_ok=True)
    return model, score


def _loader(images: Tensor, device: str) -> Load:
    """Return a function from positions to their images, flipped and turned at random in training."""

    def load(positions: Sequence[int], generator: torch.Generator | None) -> Tensor:
        batch = images[torch.as_tensor(np.asarray(positions))]
        if generator is not None:
            turns = torch.randint(8, (len(batch),), generator=generator).tolist()
            # The eight symmetries of a square; a stage has no handedness.
            batch = torch.stack(
                [
                    torch.rot90(image if turn < 4 else image.flip(-1), turn % 4, (-2, -1))
                    for image, turn in zip(batch, turns, strict=True)
                ]
            )
        return batch.to(device)

    return load
