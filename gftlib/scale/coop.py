"""CoOp (Zhou et al., IJCV 2022): a learned context in front of each label's name, gradients through the text.

The published loop runs 77 tokens through the text encoder for every label. Nothing after a text's end is ever
read, and all labels share the start and the context; so the texts are cut at their end, and the shared prefix
is computed once, with the names attending to it. Both are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor, nn

from gftlib.datasets.class_concepts import ClassConceptTask
from gftlib.errors import InputError
from gftlib.scale.encoders import ClipEncoder, Encoder, MedClipEncoder
from gftlib.scale.features import Features
from gftlib.scale.losses import ScaleLossConfig, scale_loss
from gftlib.scale.outputs import Outputs, of_runs
from gftlib.scale.sampling import PromptSampler, TrainingConfig


@dataclass(frozen=True)
class CoopConfig:
    """What CoOp leaves to choose; the values of its authors where they publish one.

    Args:
        context: Number M of learned vectors.
        std: Of their normal start.
        learning_rate: Of Adam. CoOp's authors use SGD at 0.002; SCALE trains all methods at 0.001.
        logit_scale: What cosines are multiplied with; None: the backbone's own.
    """

    context: int = 16
    std: float = 0.02
    learning_rate: float = 1e-3
    logit_scale: float | None = None


def names(task: ClassConceptTask) -> list[str]:
    """Return the name of each combination, then the negative prompt."""
    return [f"{c.concept}, {c.cls}." for c in task.combinations] + [task.negative_prompt]


class ContextTexts(nn.Module):
    """Texts made of a learned context and fixed names, one context per run.

    Args:
        encoder: The frozen encoder.
        texts: The names.
        config: Length and start of the context.
        seeds: One per run.
    """

    def __init__(
        self, encoder: Encoder, texts: Sequence[str], config: CoopConfig, seeds: Sequence[int]
    ) -> None:
        """Draw the contexts.

        Raises:
            InputError: If the encoder is of no known class.
        """
        super().__init__()
        self._encoder = [encoder]  # in a list, so that its weights do not count as ours
        tokens = encoder.tokens(texts)
        if isinstance(encoder, ClipEncoder):
            self._words = encoder.model.token_embedding
            self.ends = tokens[0].argmax(-1)
        elif isinstance(encoder, MedClipEncoder):
            self._words = encoder.model.text_model.model.embeddings.word_embeddings
            self.ends = tokens[1]
        else:
            raise InputError(f"CoOp knows CLIP and MedCLIP encoders, not {type(encoder).__name__}")
        with torch.no_grad():
            self.first = self._words(tokens[0][:1, :1])[0]  # the start token, (1, width)
            self.names = self._words(tokens[0])[:, 1:]  # the names with their end and padding
        shape = (config.context, self.first.shape[-1])
        draws = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) * config.std for s in seeds]
        self.context = nn.Parameter(torch.stack(draws).to(self.first.device))

    def forward(self) -> Tensor:
        """Return the embeddings of all names under each context, ``(runs, names, dim)``, at unit length."""
        model = self._encoder[0].model
        runs = len(self.context)
        prefix = torch.cat([self.first.expand(runs, -1, -1), self.context], 1)
        if isinstance(model, CLIP):
            out = encode_after_prefix(model, prefix, self.names, self.ends - 1)
        else:
            out = self._encode_bert(model.text_model, prefix)
        return nn.functional.normalize(out, dim=-1)

    def _encode_bert(self, text_model: nn.Module, prefix: Tensor) -> Tensor:
        runs, length = prefix.shape[:2]
        count = len(self.names)
        whole = torch.cat(
            [
                prefix.unsqueeze(1).expand(-1, count, -1, -1),
                self.names.expand(runs, -1, -1, -1),
            ],
            2,
        )
        mask = torch.cat([self.ends.new_ones(count, length - 1), self.ends], 1).repeat(runs, 1)
        return text_model(None, mask, whole.flatten(0, 1)).view(runs, count, -1)


def encode_after_prefix(model: CLIP, prefix: Tensor, names: Tensor, ends: Tensor) -> Tensor:
    """Return text embeddings of ``prefix + name`` for every run and name, the prefix computed once a run.

    Causal attention lets no prefix token see a name, so that the prefix is the same for all names; the names
    attend to its keys and values. Equal to encoding each whole text.

    Args:
        model: The CLIP.
        prefix: Word embeddings ``(runs, P, width)``.
        names: Word embeddings ``(C, T, width)``.
        ends: Position in each name of its end, ``(C,)``; later tokens are never read.

    Returns:
        ``(runs, C, dim)``, not normalised.
    """
    runs, p = prefix.shape[:2]
    longest = int(ends.max()) + 1
    count = len(names)
    positions = model.positional_embedding[: p + longest]
    x = prefix + positions[:p]
    y = (names[:, :longest] + positions[p:]).expand(runs, -1, -1, -1)
    causal = torch.ones(longest, longest, dtype=torch.bool, device=names.device).tril()
    visible = torch.cat([causal.new_ones(longest, p), causal], 1)
    for block in model.transformer.resblocks:
        heads = block.attn.num_heads
        qx, kx, vx = _projections(block, x, heads)
        qy, ky, vy = _projections(block, y.flatten(0, 1), heads)
        keys, values = (torch.cat([a.repeat_interleave(count, 0), b], 2) for a, b in ((kx, ky), (vx, vy)))
        attend = nn.functional.scaled_dot_product_attention
        x = _rest(block, x, attend(qx, kx, vx, is_causal=True))
        y = _rest(block, y.flatten(0, 1), attend(qy, keys, values, attn_mask=visible)).view_as(y)
    at_end = y[:, torch.arange(count, device=names.device), ends]
    return model.ln_final(at_end) @ model.text_projection


def train_coop(
    features: Features,
    encoder: Encoder,
    rows: Sequence[np.ndarray],
    seeds: Sequence[int],
    coop: CoopConfig | None = None,
    config: TrainingConfig | None = None,
) -> ContextTexts:
    """Learn one context for each entry of ``rows``, side by side.

    Args:
        features: Cached embeddings and labels.
        encoder: The encoder that made them.
        rows: Training samples of each run.
        seeds: Of start and order of each run.
        coop: Context and learning rate.
        config: Epochs and batches.
    """
    coop, config = coop or CoopConfig(), config or TrainingConfig()
    texts = ContextTexts(encoder, names(features.task), coop, seeds)
    features = features.to(texts.context.device)
    sampler = PromptSampler(features, rows, seeds, config)
    for members in sampler.alike():
        part = [[values[i] for i in members] for values in (rows, seeds)]
        own = ContextTexts(encoder, names(features.task), coop, part[1])
        _train(own, PromptSampler(features, *part, config), features, coop)
        with torch.no_grad():
            texts.context[members] = own.context
    return texts.requires_grad_(False)


def _train(texts: ContextTexts, sampler: PromptSampler, features: Features, coop: CoopConfig) -> None:
    """Learn the contexts of runs that take the same number of steps."""
    scale = features.logit_scale if coop.logit_scale is None else coop.logit_scale
    loss = ScaleLossConfig(0, 0, 0, 0, logit_scale=scale, absent="prompt", reduction="mean")
    optimizer = torch.optim.Adam([texts.context], coop.learning_rate)
    for _ in range(sampler.config.epochs):
        for units in sampler.epoch():
            batch = sampler.batch(_Fixed(texts()[:, :-1]), units, loss)
            optimizer.zero_grad()
            scale_loss(batch, features.relations, loss).sum().backward()
            optimizer.step()


def coop_outputs(
    features: Features, texts: ContextTexts, rows: Sequence[np.ndarray], logit_scale: float | None = None
) -> list[Outputs]:
    """Return for each learned context the scores of its own samples ``rows``."""
    with torch.no_grad():
        similarity = (features.images[0] @ texts().cpu().mT).numpy()
    return of_runs(features, similarity, rows, None if logit_scale is None else [logit_scale] * len(rows))


@dataclass(frozen=True, eq=False)
class _Fixed:
    """Stands where samplers expect adapters: images as they are, texts as learned."""

    texts: Tensor

    def image(self, f: Tensor) -> Tensor:
        return f

    def text(self, f: Tensor) -> Tensor:
        return self.texts


def _projections(block: nn.Module, x: Tensor, heads: int) -> list[Tensor]:
    qkv = nn.functional.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
    return [part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, -1)]


def _rest(block: nn.Module, x: Tensor, attended: Tensor) -> Tensor:
    x = x + block.attn.out_proj(attended.transpose(1, 2).flatten(2))
    return x + block.mlp(block.ln_2(x))
