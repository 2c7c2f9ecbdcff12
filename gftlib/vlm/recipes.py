"""Settings of tuning, and which images and pairs each step learns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gftlib.vlm.conversations import Example


@dataclass(frozen=True)
class Adapter:
    """Shape of the LoRA adapter; defaults are those of the paper's public code.

    Attributes:
        rank: Rank of the updates.
        alpha: Their scale, over the rank.
        dropout: On their inputs.
    """

    rank: int = 64
    alpha: int = 64
    dropout: float = 0.1


@dataclass(frozen=True)
class Stage:
    """One stage of tuning; defaults are those of the paper's public code where it has them.

    Attributes:
        epochs: Passes over all pairs.
        parts: What learns: the layers of the image, or those of the language too.
        lr: Highest learning rate; it falls linearly to zero.
        warmup: Steps on which it rises.
        pairs: Most pairs of an image that are learnt in one step, with one pass over the image.
        images: Images a step and device.
        accumulate: Steps whose gradients are averaged before the weights move.
        weight_decay: Of AdamW.
        clip: Longest gradient.
        optimizer: ``adamw``, or bitsandbytes' ``adamw_8bit`` (the paper's public code).
        checkpointing: Recompute activations to save memory; images are then passed once for every pair.
        precision: ``fp32``, or mixed with ``bf16``.
        save_every: Steps between two checkpoints.
        seed: Of order and dropout.
    """

    epochs: float = 1.0
    parts: Literal["vision", "both"] = "both"
    lr: float = 2e-4
    warmup: int = 5
    pairs: int = 10
    images: int = 1
    accumulate: int = 1
    weight_decay: float = 0.01
    clip: float = 1.0
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    checkpointing: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    save_every: int = 100
    seed: int = 0

    def rate(self, step: int, total: int) -> float:
        """Return the learning rate of a step, counted from 0, of ``total``."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return self.lr * min(rise, self.fall((total - step) / max(1, total - self.warmup)))

    def fall(self, left: float) -> float:
        """Return the share of the highest rate when a share of the steps after the warm-up is left."""
        return left


@dataclass(frozen=True)
class CosineStage(Stage):
    """A stage whose learning rate falls along a cosine (BiRD, section 4.2)."""

    schedule: Literal["cosine"] = "cosine"

    def fall(self, left: float) -> float:
        """Return the share of the highest rate when a share of the steps after the warm-up is left."""
        return 0.5 * (1 - math.cos(math.pi * min(1.0, left)))


@dataclass
class Steps:
    """Which images and pairs each step learns, from the seed alone.

    Attributes:
        examples: All examples.
        stage: The recipe.
        processes: Devices that share a step.
    """

    examples: Sequence[Example]
    stage: Stage
    processes: int = 1
    _shuffle: tuple[int, list[Example]] = field(
        default_factory=lambda: (-1, []), init=False, repr=False, compare=False
    )

    @property
    def total(self) -> int:
        """Number of steps."""
        return max(1, round(self.stage.epochs * self.per_epoch))

    @property
    def per_epoch(self) -> int:
        """Steps that see every pair once."""
        groups = sum(math.ceil(len(example.questions) / self.stage.pairs) for example in self.examples)
        return math.ceil(groups / self._width)

    @property
    def _width(self) -> int:
        return self.stage.images * self.stage.accumulate * self.processes

    def at(self, step: int, process: int = 0) -> Iterator[list[Example]]:
        """Yield the accumulated parts of a step, for one device."""
        epoch, within = divmod(step, self.per_epoch)
        if epoch != self._shuffle[0]:
            self._shuffle = (epoch, self._shuffled(epoch))
        # The last step of an epoch is filled up from its beginning, so that no device waits for another.
        groups = self._shuffle[1]
        first = within * self._width + process * self.stage.images * self.stage.accumulate
        for part in range(self.stage.accumulate):
            start = first + part * self.stage.images
            yield [groups[(start + i) % len(groups)] for i in range(self.stage.images)]

    def _shuffled(self, epoch: int) -> list[Example]:
        rng = np.random.default_rng([self.stage.seed, epoch])
        groups = []
        for example in self.examples:
            order = rng.permutation(len(example.questions))
            for chunk in np.array_split(order, math.ceil(len(order) / self.stage.pairs)):
                asked, told = (
                    tuple(words[i] for i in chunk) for words in (example.questions, example.answers)
                )
                groups.append(Example(example.image, asked, told, example.background))
        return [groups[i] for i in rng.permutation(len(groups))]
