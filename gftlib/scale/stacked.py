"""Many adapter trainings in one: draws, seeds and candidates side by side in a single batched step.

On cached embeddings a step of one training is a few small products, dominated by the cost of calling them.
Stacked, R trainings share the calls; each has its own samples, order, initial weights, numbers of the loss
and start of alpha, and comes out as it would alone. Only runs with the same number of steps share them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from gftlib.errors import InputError
from gftlib.scale.adapters import AdapterConfig, AdapterPair
from gftlib.scale.features import Features
from gftlib.scale.losses import ScaleLossConfig, info_nce, scale_loss, stack
from gftlib.scale.sampling import PromptSampler, TrainingConfig, sampler_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Run:
    """One training.

    Args:
        rows: Indices of the training samples.
        seed: Of order and initial weights.
        loss: The numbers of its loss.
        alpha: Start of alpha; None: the adapter configuration's.
    """

    rows: np.ndarray
    seed: int
    loss: ScaleLossConfig = field(default_factory=ScaleLossConfig)
    alpha: float | None = None


def train_adapters(
    features: Features,
    runs: Sequence[Run],
    adapter: AdapterConfig | None = None,
    objective: Literal["scale", "info_nce"] = "scale",
    config: TrainingConfig | None = None,
    texts: Literal["pairs", "prompts"] = "pairs",
) -> AdapterPair:
    """Train the adapters of all ``runs`` at once.

    Args:
        features: Cached embeddings and labels.
        runs: The trainings; they agree in every choice of the loss that is no number.
        adapter: The adapters; one configuration for all.
        objective: Equation 3, or CLIP's loss.
        config: Epochs, learning rate, batches.
        texts: What images are compared with: the texts of the batch, as SCALE does, or the prompts of all
            combinations, as CLIP-Adapter does.

    Returns:
        The trained adapters, stacked in the order of ``runs``.

    Raises:
        InputError: If there are no runs, or a run has no samples with a text.
    """
    adapter, config = adapter or AdapterConfig(), config or TrainingConfig()
    if not runs:
        raise InputError("no runs to train")
    features = features.to(config.device)
    make = sampler_of if texts == "pairs" else PromptSampler
    sampler = make(features, [r.rows for r in runs], [r.seed for r in runs], config)
    if len(groups := sampler.alike()) > 1:
        whole = AdapterPair(features.dim, adapter, len(runs), generator=torch.Generator())
        for members in groups:
            part = train_adapters(features, [runs[i] for i in members], adapter, objective, config, texts)
            whole.put(members, part)
        return whole.requires_grad_(False)
    loss_config = stack([run.loss for run in runs], config.device)
    starts = torch.tensor([adapter.alpha if run.alpha is None else run.alpha for run in runs])
    generators = [torch.Generator().manual_seed(run.seed) for run in runs]
    pair = AdapterPair(features.dim, adapter, len(runs), starts, generators).to(config.device)
    parameters = [p for p in pair.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, config.learning_rate, fused=True)
    compute = scale_loss if objective == "scale" else lambda b, _, c: info_nce(b, c)
    for epoch in range(config.epochs):
        for units in sampler.epoch():
            loss = compute(sampler.batch(pair, units, loss_config), features.relations, loss_config).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        logger.debug("epoch %d: loss %.3f over %d runs", epoch, loss.item(), len(runs))
    return pair.requires_grad_(False).cpu()
