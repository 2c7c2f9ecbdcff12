"""How the embedded encoders come to be: contrastive learning on pictures with neutral captions.

No class-concept label is seen. The general pictures of :mod:`gftlib.phantoms.patterns` stand for CLIP's pairs
from the web; the domain's own images come with captions of skin tone, size or photograph, drawn from other
cohorts than those that any method is measured on. Beside the captions every image explains itself: a linear
head must tell its colours and edge energies at several scales, as in masked feature prediction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gftlib.errors import InputError
from gftlib.scale.encoders import Encoder

logger = logging.getLogger(__name__)

Pair = tuple[np.ndarray, list[str]]  # an image and several captions of it


@dataclass(frozen=True)
class PretrainingConfig:
    """The recipe.

    Args:
        epochs: Passes over all pairs.
        batch_size: Pairs of one step, all from one source.
        learning_rate: Peak, after a linear warm-up over a tenth of the steps; then a cosine to zero.
        weight_decay: Of AdamW.
        self_weight: Weight of the image statistics beside the contrastive loss.
        seed: Order of the pairs and choice of captions.
    """

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    self_weight: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Source:
    """Pairs of one kind: ``images`` ``(N, S, S, 3)`` uint8 and the captions of each."""

    images: np.ndarray
    captions: list[list[str]]

    @classmethod
    def of_pairs(cls, count: int, pair: Callable[[int], Pair], encoder: Encoder) -> Source:
        """Draw ``count`` pairs and bring their images to the encoder's size.

        Raises:
            InputError: If ``count`` is not positive.
        """
        if count < 1:
            raise InputError(f"a source needs at least one pair, got {count}")
        drawn = [pair(i) for i in range(count)]
        images = np.stack([encoder.transform.square(image) for image, _ in drawn])
        return cls(images, [captions for _, captions in drawn])


def pretrain(encoder: Encoder, sources: list[Source], config: PretrainingConfig | None = None) -> list[float]:
    """Train all weights of ``encoder`` in place and freeze it again.

    Args:
        encoder: A small encoder.
        sources: Kinds of pairs; a batch never mixes them, so that negatives are of the pair's own kind.
        config: The recipe.

    Returns:
        The mean loss of each epoch.
    """
    config = config or PretrainingConfig()
    rng = np.random.default_rng(config.seed)
    statistics = [image_statistics(source.images) for source in sources]
    head = _head(encoder.dim, statistics[0].shape[1])
    parameters = [*encoder.model.requires_grad_(True).parameters(), *head.parameters()]
    steps = config.epochs * sum(len(s.images) // config.batch_size for s in sources)
    optimizer = torch.optim.AdamW(
        parameters, config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=max(steps, 1) + 1, pct_start=0.1
    )
    losses = []
    encoder.model.train()
    for epoch in range(config.epochs):
        total = []
        for which, rows in _batches([len(s.images) for s in sources], config.batch_size, rng):
            source = sources[which]
            texts = [source.captions[i][int(rng.integers(len(source.captions[i])))] for i in rows]
            image = encoder.encode_images(encoder.transform.normalize(source.images[rows]))
            text = encoder.encode_tokens(*encoder.tokens(texts))
            loss = _contrast(image, text, encoder.model.logit_scale)
            loss = loss + config.self_weight * nn.functional.mse_loss(head(image), statistics[which][rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            total.append(loss.item())
        losses.append(float(np.mean(total)))
        logger.info("epoch %d of %d: loss %.3f", epoch + 1, config.epochs, losses[-1])
    encoder.model.eval().requires_grad_(False)
    return losses


def image_statistics(images: np.ndarray) -> Tensor:
    """Return colours and edge energies at three scales on a 4 x 4 grid, standardised, ``(N, 144)``.

    Args:
        images: ``(N, S, S, 3)`` uint8.
    """
    parts = []
    pool = nn.functional.avg_pool2d
    for start in range(0, len(images), 256):
        x = torch.from_numpy(images[start : start + 256]).permute(0, 3, 1, 2).float() / 255
        found = [nn.functional.adaptive_avg_pool2d(x, 4)]
        grey = x.mean(1, keepdim=True)
        for channels in (x, pool(grey, 2), pool(grey, 4), pool(grey, 8)):
            edges = (channels - pool(channels, 3, 1, 1)).square()
            found.append((nn.functional.adaptive_avg_pool2d(edges, 4) + 1e-5).log())
        parts.append(torch.cat(found, 1).flatten(1))
    table = torch.cat(parts)
    return (table - table.mean(0)) / table.std(0, correction=0).clamp_min(1e-6)


def _head(dim: int, width: int) -> nn.Linear:
    head = nn.Linear(dim, width)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _batches(sizes: list[int], batch: int, rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    found = []
    for which, size in enumerate(sizes):
        order = rng.permutation(size)
        found += [(which, order[i : i + batch]) for i in range(0, size - batch + 1, batch)]
    for i in rng.permutation(len(found)):
        yield found[i]


def _contrast(image: Tensor, text: Tensor, log_scale: Tensor) -> Tensor:
    image, text = (nn.functional.normalize(x, dim=-1) for x in (image, text))
    logits = log_scale.exp().clamp(1, 100) * image @ text.T
    own = torch.arange(len(logits), device=logits.device)
    entropy = nn.functional.cross_entropy
    return 0.5 * (entropy(logits, own) + entropy(logits.T, own))
