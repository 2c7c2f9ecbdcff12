"""What cache-only methods learn from: the embeddings of a data set's images and texts, with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gftlib.datasets.class_concepts import NO_COMBINATION, ClassConceptData, ClassConceptTask
from gftlib.datasets.splitting import stratified_test
from gftlib.errors import InputError
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.relations import Relations
from gftlib.scale.transforms import draw_views


@dataclass(frozen=True, eq=False)
class Features:
    """Embeddings of unit length, and everything that a training or a test needs to know about them.

    Args:
        task: The class-concept task.
        images: ``(views, N, dim)``; the first view is the image itself.
        prompts: One per combination, ``(H, dim)``.
        negative: Of the negative prompt, ``(dim,)``.
        sentences: Of all distinct sentences, ``(S, dim)``.
        pairs: ``(P, 3)`` int64: sample, sentence and combination of every image-text pair.
        labels: ``(N, H)`` uint8.
        subjects: ``(N,)``.
        test: ``(N,)`` bool.
        logit_scale: The backbone's own.
        joint: See :meth:`gftlib.scale.relations.Relations.of_task`; None: as the task says.
    """

    task: ClassConceptTask
    images: Tensor
    prompts: Tensor
    negative: Tensor
    sentences: Tensor
    pairs: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    test: np.ndarray
    logit_scale: float
    joint: bool | None = None

    def __len__(self) -> int:
        """Return the number of samples N."""
        return len(self.labels)

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.prompts.shape[1]

    @cached_property
    def relations(self) -> Relations:
        """Which combinations compete, and which share a class or a concept; where the embeddings are."""
        return Relations.of_task(self.task, self.joint).to(self.images.device)

    @property
    def by_pair(self) -> bool:
        """Whether a sample is several training samples, one for each combination that it holds."""
        return self.task.multi_label if self.joint is None else self.joint

    @property
    def pool(self) -> np.ndarray:
        """Indices of the samples that may be learnt from: all but the test's."""
        return np.flatnonzero(~self.test)

    @cached_property
    def class_labels(self) -> np.ndarray:
        """``(N, number of group_classes)`` uint8: the union of the labels of each class."""
        index = self.task.group_class_index
        return np.stack([self.labels[:, index == c].max(1) for c in range(index.max() + 1)], axis=1)

    def to(self, device: torch.device | str) -> Features:
        """Return the same with the embeddings on a device; labels and indices stay where they are."""
        names = ("images", "prompts", "negative", "sentences")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def with_labels(self, labels: np.ndarray, pairs: np.ndarray) -> Features:
        """Return the same embeddings under other labels."""
        return replace(self, labels=labels, pairs=pairs)


def embed(
    data: ClassConceptData, cache: EmbeddingCache, views: int = 0, flips: bool = False, seed: int = 0
) -> Features:
    """Encode a data set once.

    Args:
        data: The data set.
        cache: The encoder with its stored embeddings.
        views: Number of augmented views per image beside the image itself (MedCLIP's augmentation).
        flips: Whether augmented views may be mirrored, see :class:`gftlib.scale.transforms.View`.
        seed: Of the views, which differ from image to image.

    Raises:
        InputError: If the data hold no text for a label, or no test samples.
    """
    test = data.split == "test"
    if not test.any() or test.all():
        raise InputError(f"{test.sum()} of {len(data)} samples are in the test split; some must be, not all")
    _, pairs = _pairs(data)
    task = data.task
    # One call for all texts, so that they are padded alike where padding is part of the embedding.
    encoded = _unit(cache.texts(texts_of(data)))
    h = len(task)
    return Features(
        task=task,
        images=_unit(cache.images(len(data), data.image, lambda i: draw_views(i, views, flips, seed))),
        prompts=encoded[:h],
        negative=encoded[h],
        sentences=encoded[h + 1 :],
        pairs=pairs,
        labels=data.labels,
        subjects=data.subjects,
        test=test,
        logit_scale=cache.encoder.logit_scale,
    )


def restrict(features: Features, columns: Sequence[int]) -> Features:
    """Return the same samples under a part of the combinations; samples that hold none of them stay."""
    keep = list(columns)
    pairs = features.pairs[np.isin(features.pairs[:, 2], keep)].copy()
    pairs[:, 2] = [keep.index(h) for h in pairs[:, 2]]
    return replace(
        features,
        task=features.task.part(keep),
        prompts=features.prompts[keep],
        labels=features.labels[:, keep],
        pairs=pairs,
    )


def draw(features: Features, fraction: float, seed: int, within: np.ndarray | None = None) -> np.ndarray:
    """Return a stratified share of the training pool, whole patients, every combination in proportion.

    Args:
        features: The data.
        fraction: Share of the patients, in (0, 1].
        seed: Of the draw.
        within: Indices to draw from instead of the whole pool.

    Returns:
        Ascending sample indices.

    Raises:
        InputError: If the fraction is out of range.
    """
    pool = features.pool if within is None else np.asarray(within)
    if not 0 < fraction <= 1:
        raise InputError(f"the fraction must lie in (0, 1], got {fraction}")
    if fraction == 1:
        return np.sort(pool)
    return np.sort(pool[stratified_test(features.labels[pool], features.subjects[pool], fraction, seed)])


def carve(features: Features, rows: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split ``rows`` into training and validation by patients; the test takes no part.

    Raises:
        InputError: If ``rows`` hold fewer than two patients.
    """
    if len(set(features.subjects[rows].tolist())) < 2:
        raise InputError("two patients at least are needed to carve a validation set")
    held = draw(features, share, seed, within=rows)
    if not len(held):
        held = rows[-1:]
    return np.setdiff1d(rows, rows[np.isin(features.subjects[rows], features.subjects[held])]), held


def sentences_of(data: ClassConceptData) -> list[str]:
    """Return the distinct sentences that describe a combination, as ``Features.sentences`` has them."""
    return _pairs(data)[0]


def texts_of(data: ClassConceptData) -> list[str]:
    """Return all texts that are padded alike: the prompts, the negative one, the sentences."""
    return [*data.task.prompts, data.task.negative_prompt, *sentences_of(data)]


def _pairs(data: ClassConceptData) -> tuple[list[str], np.ndarray]:
    index: dict[str, int] = {}
    rows: list[tuple[int, int, int]] = []
    for sample, pairs in enumerate(data.texts):
        for text, combination in pairs:
            if combination != NO_COMBINATION:
                rows.append((sample, index.setdefault(text, len(index)), combination))
    if not rows:
        raise InputError(
            "no sentence of the data describes a combination: there is nothing to pair images with"
        )
    return list(index), np.array(rows, dtype=np.int64)


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)


def stack_rows(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return index arrays of different length as one table, padded with 0, and their lengths."""
    lengths = np.array([len(r) for r in rows])
    table = np.zeros((len(rows), lengths.max()), dtype=np.int64)
    for one, line in zip(rows, table, strict=True):
        line[: len(one)] = one
    return table, lengths
