"""Linear probing: a linear classifier on frozen image embeddings, with and without loss weighting.

"Typically using the binary cross-entropy loss" (SCALE, section 2.3): one sigmoid per combination, and as many
for the classes, so that the probe is measured at each level on a head of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from gftlib.scale.features import Features
from gftlib.scale.outputs import Outputs
from gftlib.scale.sampling import Order, TrainingConfig


@dataclass(frozen=True)
class ProbeConfig:
    """How a probe is trained.

    Args:
        weighted: Weigh the positives of a label with the ratio of its negatives to its positives.
        learning_rate: Of AdamW; 0.001 in the paper for all methods.
        weight_decay: Of AdamW.
    """

    weighted: bool = False
    learning_rate: float = 1e-3
    weight_decay: float = 0.0


@dataclass(frozen=True, eq=False)
class Probe:
    """Stacked probes.

    Args:
        weight: ``(runs, dim, outputs)``.
        bias: ``(runs, 1, outputs)``.
        mean: Of the training embeddings, ``(runs, 1, dim)``.
        std: Of the training embeddings, ``(runs, 1, dim)``.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor

    def logits(self, images: Tensor) -> Tensor:
        """Return ``(runs, N, outputs)`` from ``(N, dim)`` or ``(runs, N, dim)``."""
        return torch.baddbmm(self.bias, (images - self.mean) / self.std, self.weight)

    @classmethod
    def joined(cls, parts: Sequence[tuple[Sequence[int], Probe]]) -> Probe:
        """Return one stack of the probes of several, each with the places of its own."""
        order = torch.tensor([run for runs, _ in parts for run in runs]).argsort()
        return cls(*(torch.cat([getattr(p, f.name) for _, p in parts])[order] for f in fields(cls)))

    def outputs(self, features: Features, rows: Sequence[np.ndarray]) -> list[Outputs]:
        """Return for each probe the scores of its own samples."""
        p = self.logits(features.images[0].expand(len(rows), -1, -1)).numpy()
        h = len(features.task)
        return [Outputs(one[r, :h], one[r, h:]) for one, r in zip(p, rows, strict=True)]


def train_probes(
    features: Features,
    rows: Sequence[np.ndarray],
    seeds: Sequence[int],
    probe: ProbeConfig | None = None,
    config: TrainingConfig | None = None,
) -> Probe:
    """Train one probe for each entry of ``rows``, side by side, on standardised embeddings.

    Args:
        features: Cached embeddings and labels.
        rows: Training samples of each.
        seeds: Of the order of each; weights start at zero.
        probe: Weighting, learning rate, weight decay.
        config: Epochs and batches.
    """
    probe, config = probe or ProbeConfig(), config or TrainingConfig()
    order = Order(rows, seeds, len(features.images), config)
    parts = [
        (members, _train([rows[i] for i in members], [seeds[i] for i in members], features, probe, config))
        for members in order.alike()
    ]
    return Probe.joined(parts)


def _train(
    rows: Sequence[np.ndarray],
    seeds: Sequence[int],
    features: Features,
    probe: ProbeConfig,
    config: TrainingConfig,
) -> Probe:
    """Train the probes of runs that take the same number of steps."""
    images, device = features.images.to(config.device), config.device
    labels = np.concatenate([features.labels, features.class_labels], axis=1)
    target = torch.from_numpy(labels).float().to(device)
    own = [torch.from_numpy(np.asarray(r)) for r in rows]
    mean = torch.stack([images[:, r].mean((0, 1)) for r in own]).unsqueeze(1)
    std = torch.stack([images[:, r].std((0, 1), correction=0) for r in own]).unsqueeze(1).clamp_min(1e-6)
    positive = torch.stack([target[r].mean(0) for r in own]).unsqueeze(1)
    ratio = torch.where(positive > 0, (1 - positive) / positive.clamp_min(1e-9), 1.0)
    weight = torch.zeros(len(own), features.dim, target.shape[1], device=device, requires_grad=True)
    bias = torch.zeros(len(own), 1, target.shape[1], device=device, requires_grad=True)
    found = Probe(weight, bias, mean, std)
    optimizer = torch.optim.AdamW(
        [weight, bias], probe.learning_rate, weight_decay=probe.weight_decay, fused=True
    )
    order = Order(rows, seeds, len(images), config)
    for _ in range(config.epochs):
        for units in order.epoch():
            index, there, view = (
                torch.from_numpy(x).to(device) for x in (units.index, units.there[..., None], units.view)
            )
            logits = found.logits(images[view, index])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, target[index], pos_weight=ratio if probe.weighted else None, reduction="none"
            )
            optimizer.zero_grad()
            ((loss * there).sum((1, 2)) / there.sum((1, 2)).clamp_min(1)).sum().backward()
            optimizer.step()
    return Probe(*(x.detach().cpu() for x in (weight, bias, mean, std)))
