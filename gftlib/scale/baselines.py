"""SCALE and everything it is compared with, as settings of a few trainings with equal search budgets.

Every trained method has the same number of candidates, all listed here; ablations take the candidate that was
chosen for SCALE. Jobs of one method are trained side by side wherever they can be stacked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from gftlib.datasets.class_concepts import ClassConceptData
from gftlib.errors import InputError, did_you_mean
from gftlib.scale.adapters import AdapterConfig
from gftlib.scale.coop import CoopConfig, coop_outputs, train_coop
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.encoders import Encoder
from gftlib.scale.features import Features, texts_of
from gftlib.scale.linear_probe import ProbeConfig, train_probes
from gftlib.scale.losses import ScaleLossConfig
from gftlib.scale.outputs import Outputs, adapted_outputs, from_similarities, zero_shot
from gftlib.scale.sampling import TrainingConfig
from gftlib.scale.stacked import Run, train_adapters
from gftlib.scale.tuning import TuningConfig, tune

BUDGET = 4  # candidates of every trained method
Candidate = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Setting:
    """What a training is given.

    Args:
        features: Cached embeddings and labels.
        training: Epochs and batches.
        encoder: For CoOp and for tuning, whose gradients go through it.
        data: For tuning: the images and texts themselves.
        coop: Epochs and batches of CoOp; None: as all.
        tuning: Epochs and batches of tuning.
        loss: Defaults of SCALE's loss.
        adapter: Defaults of the adapters.
    """

    features: Features
    training: TrainingConfig = field(default_factory=TrainingConfig)
    encoder: Encoder | None = None
    data: ClassConceptData | None = None
    coop: TrainingConfig | None = None
    tuning: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=5, max_batch=32))
    loss: ScaleLossConfig = field(default_factory=ScaleLossConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)


@dataclass(frozen=True, eq=False)
class Job:
    """One training and what it is scored on.

    Args:
        candidate: Values that differ from the setting's defaults.
        rows: Training samples.
        score: Samples to score.
        seed: Of initial weights and order.
    """

    candidate: Candidate
    rows: np.ndarray
    score: np.ndarray
    seed: int


Train = Callable[[Setting, Sequence[Job]], list[Outputs]]


@dataclass(frozen=True)
class Method:
    """One line of a figure.

    Args:
        label: In words.
        candidates: From the task's kind (several labels or not) to the settings tried on validation.
        train: From setting and jobs to the scores of each job; jobs are stacked where they can be.
        needs_encoder: Whether cached embeddings are not enough; such methods are slow.
        follows: The method whose chosen candidate it takes instead of a search.
        trained: False for zero-shot prediction, which has one cell at the fraction 0.
    """

    label: str
    candidates: Callable[[bool], list[Candidate]]
    train: Train
    needs_encoder: bool = False
    follows: str | None = None
    trained: bool = True


def _zero_shot(setting: Setting, jobs: Sequence[Job]) -> list[Outputs]:
    return [zero_shot(setting.features, job.score) for job in jobs]


def _adapters(**fixed: Any) -> Train:
    """Return a training of adapters with some choices fixed over both defaults and candidate."""

    def train(setting: Setting, jobs: Sequence[Job]) -> list[Outputs]:
        choices = {k: v for k, v in fixed.items() if k in ("objective", "texts")}
        for_adapter = {k: v for k, v in fixed.items() if k in AdapterConfig.__dataclass_fields__}
        for_loss = {k: v for k, v in fixed.items() if k in ScaleLossConfig.__dataclass_fields__}
        adapter = replace(setting.adapter, **for_adapter)
        losses, runs = [], []
        for job in jobs:
            own = dict(job.candidate)
            alpha = own.pop("alpha", None)
            losses.append(replace(setting.loss, **{**own, **for_loss}))
            runs.append(Run(job.rows, job.seed, losses[-1], alpha))
        pair = train_adapters(setting.features, runs, adapter, config=setting.training, **choices)
        scales = [float(loss.logit_scale) for loss in losses]
        return adapted_outputs(setting.features, pair, [job.score for job in jobs], scales)

    return _grouped(train, lambda c: tuple(v for v in c.values() if isinstance(v, str)))


def _probe(weighted: bool) -> Train:
    def train(setting: Setting, jobs: Sequence[Job]) -> list[Outputs]:
        config = ProbeConfig(weighted, **jobs[0].candidate)
        rows, seeds = [job.rows for job in jobs], [job.seed for job in jobs]
        probe = train_probes(setting.features, rows, seeds, config, setting.training)
        return probe.outputs(setting.features, [job.score for job in jobs])

    return _grouped(train, lambda c: tuple(c.values()))


def _coop(setting: Setting, jobs: Sequence[Job]) -> list[Outputs]:
    if setting.encoder is None:
        raise InputError("CoOp needs the encoder itself: its gradients go through the text branch")
    rows, seeds = [job.rows for job in jobs], [job.seed for job in jobs]
    config = CoopConfig(**jobs[0].candidate)
    texts = train_coop(
        setting.features, setting.encoder, rows, seeds, config, setting.coop or setting.training
    )
    return coop_outputs(setting.features, texts, [job.score for job in jobs])


def _tuned(mode: Literal["lora", "full"]) -> Train:
    def train(setting: Setting, jobs: Sequence[Job]) -> list[Outputs]:
        if setting.encoder is None or setting.data is None:
            raise InputError("tuning needs the encoder and the data themselves, not only their embeddings")
        found = []
        for job in jobs:
            config = TuningConfig(mode, training=setting.tuning, loss=setting.loss, **job.candidate)
            tuned = tune(setting.encoder, setting.data, setting.features, job.rows, config, job.seed)
            part, task = setting.data.subset(job.score), setting.features.task
            images = EmbeddingCache(tuned).images(len(part), part.image)[0]
            pad = tuned.pad_length(texts_of(setting.data))  # as in training
            with torch.inference_mode():
                texts = tuned.encode_texts([*task.prompts, task.negative_prompt], pad).cpu()
            images, texts = (torch.nn.functional.normalize(x, dim=-1) for x in (images, texts))
            similarity = (images @ texts.T).numpy()
            scale = float(setting.loss.logit_scale)
            found.append(from_similarities(task, similarity[:, :-1], similarity[:, -1], scale))
        return found

    return train


def _grouped(train: Train, key: Callable[[Candidate], tuple[Any, ...]]) -> Train:
    """Return a training that stacks only jobs whose candidates agree in ``key``, and keeps their order."""

    def whole(setting: Setting, jobs: Sequence[Job]) -> list[Outputs]:
        found: dict[int, Outputs] = {}
        keys = [key(job.candidate) for job in jobs]
        for one in dict.fromkeys(keys):
            members = [i for i, k in enumerate(keys) if k == one]
            found.update(zip(members, train(setting, [jobs[i] for i in members]), strict=True))
        return [found[i] for i in range(len(jobs))]

    return whole


def _scale_candidates(multi_label: bool) -> list[Candidate]:
    """Weights of the contrastive terms; where labels hold together also the two readings of the entropy."""
    pairs = [
        {"lambda_image": w, "lambda_text": w} for w in ((0.1, 1.0) if multi_label else (0.03, 0.1, 0.3, 1))
    ]
    if not multi_label:
        return pairs
    return [{**p, "cross_entropy": e} for e in ("softmax", "binary") for p in pairs]


def _grid(**axes: Sequence[Any]) -> Callable[[bool], list[Candidate]]:
    (first, a), (second, b) = axes.items()
    return lambda _: [{first: x, second: y} for x in a for y in b]


def _none(_: bool) -> list[Candidate]:
    return [{}]


_CLIP_SCALES = (1 / 0.07, 100.0)
_PROBES = _grid(learning_rate=(1e-3, 1e-2), weight_decay=(0.0, 0.1))

METHODS: dict[str, Method] = {
    "zero_shot": Method("zero-shot", _none, _zero_shot, trained=False),
    "linear_probe": Method("linear probe", _PROBES, _probe(False)),
    "linear_probe_weighted": Method("linear probe, weighted", _PROBES, _probe(True)),
    "coop": Method(
        "CoOp",
        _grid(learning_rate=(1e-3, 1e-2), context=(4, 16)),
        _grouped(_coop, lambda c: tuple(c.values())),
        True,
    ),
    "clip_adapter": Method(
        "CLIP-Adapter",
        _grid(alpha=(0.2, 0.6), logit_scale=_CLIP_SCALES),
        _adapters(
            branches=("image",),
            trailing_relu=True,
            alpha_range="fixed",
            texts="prompts",
            absent="prompt",
            cross_entropy="softmax",
            lambda_concept=0.0,
            lambda_class=0.0,
            lambda_image=0.0,
            lambda_text=0.0,
        ),
    ),
    "info_nce": Method(
        "adapters, InfoNCE",
        _grid(alpha=(0.2, 0.6), logit_scale=_CLIP_SCALES),
        _adapters(objective="info_nce"),
    ),
    "lora": Method("LoRA", _grid(learning_rate=(3e-4, 1e-3), rank=(4, 16)), _tuned("lora"), True),
    "full": Method(
        "full fine-tuning",
        lambda _: [{"learning_rate": rate} for rate in (1e-5, 3e-5, 1e-4, 3e-4)],
        _tuned("full"),
        True,
    ),
    "scale": Method("SCALE", _scale_candidates, _adapters()),
    **{
        f"scale_without_{name}": Method(
            f"SCALE, no {words}", _none, _adapters(**{f"lambda_{name}": 0.0}), follows="scale"
        )
        for name, words in (
            ("concept", "concept term"),
            ("class", "class term"),
            ("image", "image contrast"),
            ("text", "text contrast"),
        )
    },
}


def method(name: str) -> Method:
    """Return a method by name.

    Raises:
        InputError: If there is none.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}{did_you_mean(name, METHODS)}")
    return METHODS[name]
