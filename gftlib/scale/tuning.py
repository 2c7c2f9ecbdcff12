"""Tuning the encoders themselves: low-rank adaptation through peft, and full fine-tuning.

LoRA is the comparison that SCALE's discussion misses ("could have been explored"); full fine-tuning is what
adapters are said to spare the general knowledge from. Both are trained with SCALE's own loss.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from gftlib.datasets.class_concepts import ClassConceptData
from gftlib.errors import InputError
from gftlib.scale.encoders import ClipEncoder, Encoder
from gftlib.scale.features import Features, sentences_of, texts_of
from gftlib.scale.losses import ScaleLossConfig, scale_loss
from gftlib.scale.sampling import TrainingConfig, Units, sampler_of


@dataclass(frozen=True)
class TuningConfig:
    """How encoders are tuned.

    Args:
        mode: ``"lora"``, or ``"full"``: every weight of both encoders.
        rank: Of LoRA; its alpha is twice the rank.
        learning_rate: Of AdamW.
        training: Epochs and batches.
        loss: Of SCALE.
    """

    mode: Literal["lora", "full"] = "lora"
    rank: int = 8
    learning_rate: float = 1e-3
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=10, max_batch=32))
    loss: ScaleLossConfig = field(default_factory=ScaleLossConfig)


def lora_targets(encoder: Encoder) -> list[str]:
    """Return the layers that get low-rank matrices: attention, and for CLIP the two layers after it."""
    if isinstance(encoder, ClipEncoder):
        return ["attn", "c_fc", "c_proj"]
    return ["query", "value", "q_proj", "v_proj"]  # BERT's names, then Swin's


def tune(
    encoder: Encoder,
    data: ClassConceptData,
    features: Features,
    rows: np.ndarray,
    config: TuningConfig | None = None,
    seed: int = 0,
) -> Encoder:
    """Return a tuned copy of ``encoder``, where it was trained; the one given stays as it is.

    Args:
        encoder: The frozen encoder.
        data: The images and texts that ``features`` were made from; texts are padded as they were there.
        features: Labels and pairs; its embeddings are not used.
        rows: Training samples.
        config: Mode, rank, learning rate, epochs.
        seed: Of order and low-rank matrices.

    Raises:
        InputError: If there are no training samples.
    """
    config = config or TuningConfig()
    if not len(rows):
        raise InputError("no training samples to tune on")
    tuned = copy.deepcopy(encoder, {id(encoder.tokenizer): encoder.tokenizer})  # large, and never changed
    tuned = tuned.to(config.training.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.mode == "lora":
            lora = LoraConfig(r=config.rank, lora_alpha=2 * config.rank, target_modules=lora_targets(encoder))
            tuned.model = inject_adapter_in_model(lora, tuned.model)
            for name, parameter in tuned.model.named_parameters():
                parameter.requires_grad_("lora_" in name)
        else:
            tuned.model.requires_grad_(True)
    sampler = sampler_of(features, [rows], [seed], config.training)
    pixels = {int(i): tuned.transform.square(data.image(int(i))) for i in rows}
    texts = _Texts(
        [*features.task.prompts, features.task.negative_prompt],
        sentences_of(data),
        tuned.pad_length(texts_of(data)),
    )
    parameters = [p for p in tuned.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=0.0, fused=True)
    for _ in range(config.training.epochs):
        for units in sampler.epoch():
            loss = _step(tuned, features, pixels, texts, units, config)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    tuned.model.eval().requires_grad_(False)
    return tuned


@dataclass(frozen=True)
class _Texts:
    """Prompts with the negative one last, sentences, and the length to which all of them are padded."""

    prompts: list[str]
    sentences: list[str]
    pad_to: int | None


def _step(
    encoder: Encoder,
    features: Features,
    pixels: dict[int, np.ndarray],
    texts: _Texts,
    units: Units,
    config: TuningConfig,
) -> Tensor:
    """Encode one batch with gradients and put it in the place of the cached embeddings."""
    index = units.index[0][units.there[0]]
    own = features.pairs[index] if features.by_pair else None
    sample = index if own is None else own[:, 0]
    kept = np.unique(sample)
    normal = encoder.transform.normalize(np.stack([pixels[int(i)] for i in kept]))
    images = _unit(encoder.encode_images(normal.to(config.training.device)))
    h = len(features.task)
    spoken = np.unique(units.text[0][units.there[0]]) if own is not None else np.zeros(0, dtype=np.int64)
    read = [*texts.prompts, *(texts.sentences[s] for s in spoken)]
    encoded = _unit(encoder.encode_texts(read, texts.pad_to))
    pairs = np.zeros((0, 3), dtype=np.int64)
    if own is not None:
        said = np.searchsorted(spoken, units.text[0][units.there[0]])
        pairs = np.stack([np.searchsorted(kept, sample), said, own[:, 2]], axis=1)
    local = replace(
        features,
        images=images[None],
        prompts=encoded[:h],
        negative=encoded[h],
        sentences=encoded[h + 1 :],
        pairs=pairs,
        labels=features.labels[kept],
        subjects=features.subjects[kept],
        test=features.test[kept],
    )
    here = np.arange(len(pairs))[None] if own is not None else np.searchsorted(kept, sample)[None]
    text = pairs[:, 1][None] if own is not None else np.zeros_like(here)
    step = Units(here, np.ones(here.shape, dtype=bool), np.zeros_like(here), text)
    whole = np.arange(len(kept))
    batch = sampler_of(local, [whole], [0], config.training).batch(_Plain(), step, config.loss)
    return scale_loss(batch, local.relations, config.loss).sum()


class _Plain:
    """Stands where samplers expect adapters: embeddings as they are."""

    def image(self, f: Tensor) -> Tensor:
        return f

    def text(self, f: Tensor) -> Tensor:
        return f


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)
