"""One training loop for every network that stages scans; interrupted, it goes on as if it had not been.

AdamW, exponential decay of the learning rate, cross-entropy weighted against class imbalance, and the weights
of the epoch with the best balanced accuracy on the validation split. The checkpoint is one safetensors
file, written after every epoch: weights, best weights and optimizer state as tensors, the rest as JSON in its
header.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gftlib.errors import InputError
from gftlib.metrics.classification import multiclass
from gftlib.paths import atomic_path

logger = logging.getLogger(__name__)
Load = Callable[[Sequence[int], torch.Generator | None], Any]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        epochs: Most passes over the training scans.
        batch_size: Scans in a step.
        lr: Learning rate of AdamW, times ``decay`` after each epoch.
        weight_decay: Weight decay of AdamW.
        decay: Factor of the exponential schedule.
        label_smoothing: Mass moved from the true stage to all stages.
        patience: Training ends after this many epochs without a better one.
        least_train: An epoch with a lower balanced accuracy in training is kept only if none reaches it.
    """

    epochs: int = 100
    batch_size: int = 8
    lr: float = 0.003892
    weight_decay: float = 0.007969
    decay: float = 0.95
    label_smoothing: float = 0.0
    patience: int = 20
    least_train: float = 0.65

    def __post_init__(self) -> None:
        """Refuse what no training can use."""
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.lr <= 0 or not 0 < self.decay <= 1 or not 0 <= self.label_smoothing < 1:
            raise InputError("lr must be above 0, decay in (0, 1], label_smoothing in [0, 1)")

    def shortened(self, epochs: int, usual: int = 40) -> Recipe:
        """Return the recipe with so many epochs at most; the learning rate still ends where it would.

        A shorter run takes larger strides along the same curve.

        Args:
            epochs: The most epochs.
            usual: Epochs that a whole run takes; early stopping usually leaves the graph network 40 of 100.
        """
        return replace(self, epochs=epochs, decay=self.decay ** max(usual / epochs, 1.0))


@dataclass
class _State:
    """What a checkpoint holds beside the network and its optimizer: the epochs so far, the best weights."""

    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Draw from torch's random numbers of these seeds inside, and leave its state as it was."""
    seed = int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def class_weights(y: np.ndarray, classes: int = 3) -> Tensor:
    """Return the weight of each class by its index, (classes,): scans / (classes * scans of the class).

    A class without scans has weight 1.
    """
    counts = np.bincount(y, minlength=classes)
    return torch.tensor(np.where(counts > 0, len(y) / (classes * np.maximum(counts, 1)), 1.0)).float()


def fit(
    model: nn.Module,
    load: Load,
    y: np.ndarray,
    train: Sequence[int],
    valid: Sequence[int],
    recipe: Recipe,
    seed: int,
    checkpoint: Path,
    fingerprint: str,
    device: str = "cpu",
) -> list[dict[str, float]]:
    """Train a network, or go on training it from its checkpoint; it is left with its best weights.

    Args:
        model: Its output for a batch is logits (B, 3).
        load: From positions, and a generator for augmentation (None in evaluation), to a batch on the device.
        y: (N,) stages.
        train: Positions to train on.
        valid: Positions that choose the epoch.
        recipe: How to train.
        seed: Of the order of the scans and of dropout.
        checkpoint: The file to go on from and to write.
        fingerprint: Of data and settings; a checkpoint with another one is not used.
        device: Where to train.

    Returns:
        One entry an epoch: loss and balanced accuracy in training and validation.

    Raises:
        InputError: If there is nothing to train on or to validate with.
    """
    if not len(train) or not len(valid):
        raise InputError(f"{len(train)} scans to train on and {len(valid)} to validate with: both are needed")
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    weights = class_weights(y[np.asarray(train)])

    def loss(logits: Tensor, positions: np.ndarray) -> Tensor:
        truth = torch.as_tensor(y[positions], device=logits.device)
        return cross_entropy(logits, truth, weights.to(logits.device), label_smoothing=recipe.label_smoothing)

    state = _restore(checkpoint, fingerprint, model, optimizer)
    while not _finished(state, recipe):
        epoch = len(state.history)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * recipe.decay**epoch
        with seeded(seed, epoch):
            entry = _epoch(model, load, y, train, recipe, loss, optimizer)
        logits = predict_logits(model, load, valid, recipe.batch_size)
        entry["valid_loss"] = float(loss(logits, np.asarray(valid)))
        scores = multiclass(y[np.asarray(valid)], logits.argmax(1), 3)
        entry["valid_balanced_accuracy"] = scores.balanced_accuracy
        state.history.append(entry)
        logger.info("epoch %d: %s", epoch, entry)
        if best_epoch(state.history, recipe) == epoch:
            state.best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        _save(checkpoint, fingerprint, model, optimizer, state)
    model.load_state_dict(state.best)
    return state.history


def best_epoch(history: Sequence[dict[str, float]], recipe: Recipe) -> int:
    """Return the epoch whose weights were kept, from 0."""
    return max(range(len(history)), key=lambda k: _rank(history[k], recipe))


def predict_logits(model: nn.Module, load: Load, positions: Sequence[int], batch_size: int) -> Tensor:
    """Return the logits (n, 3) of scans, on the CPU, without dropout."""
    model.eval()
    with torch.no_grad():
        parts = [model(load(chunk, None)).cpu() for chunk in _chunks(positions, batch_size)]
    return torch.cat(parts)


def _chunks(positions: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Cut positions into runs of at most ``size``."""
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _rank(entry: dict[str, float], recipe: Recipe) -> tuple[bool, float, float]:
    """Order epochs: trained enough, then balanced accuracy, then loss."""
    enough = entry["train_balanced_accuracy"] >= recipe.least_train
    return enough, entry["valid_balanced_accuracy"], -entry["valid_loss"]


def _finished(state: _State, recipe: Recipe) -> bool:
    """Whether all epochs are done, or too many since the best."""
    done = len(state.history)
    return done >= recipe.epochs or (
        done > 0 and done - 1 - best_epoch(state.history, recipe) >= recipe.patience
    )


def _epoch(
    model: nn.Module,
    load: Load,
    y: np.ndarray,
    train: Sequence[int],
    recipe: Recipe,
    loss: Callable[[Tensor, np.ndarray], Tensor],
    optimizer: torch.optim.Optimizer,
) -> dict[str, float]:
    """Take one pass over the training scans in random order."""
    model.train()
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
    order = np.asarray(train)[torch.randperm(len(train), generator=generator).numpy()]
    total, predicted = 0.0, []
    for chunk in _chunks(order, recipe.batch_size):
        optimizer.zero_grad()
        logits = model(load(chunk, generator))
        value = loss(logits, chunk)
        value.backward()
        optimizer.step()
        total += float(value.detach()) * len(chunk)
        predicted.append(logits.detach().argmax(1).cpu().numpy())
    scores = multiclass(y[order], np.concatenate(predicted), 3)
    return {"train_loss": total / len(order), "train_balanced_accuracy": scores.balanced_accuracy}


def _save(
    path: Path, fingerprint: str, model: nn.Module, optimizer: torch.optim.Optimizer, state: _State
) -> None:
    """Write everything that the next epoch depends on."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    header = {"fingerprint": fingerprint, "history": state.history}
    with atomic_path(path) as temporary:
        copies = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(copies, temporary, {"state": json.dumps(header)})


def _restore(path: Path, fingerprint: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> _State:
    """Read a checkpoint of the same data and settings; start afresh if there is none."""
    if not path.is_file():
        return _State()
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["state"])
        if header["fingerprint"] != fingerprint:
            logger.info("%s is of other data or settings: training starts anew", path)
            return _State()
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for key in file.keys():  # noqa: SIM118 - the file is no mapping
            kind, _, name = key.partition(".")
            parts[kind][name] = file.get_tensor(key)
    model.load_state_dict(parts["model"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["optimizer"].items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    return _State(header["history"], parts["best"])
