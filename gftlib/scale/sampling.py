"""Batches of image-text pairs for stacked runs, on cached embeddings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gftlib.errors import InputError
from gftlib.scale.adapters import AdapterPair
from gftlib.scale.batch import Batch
from gftlib.scale.features import Features, stack_rows
from gftlib.scale.losses import ScaleLossConfig


@dataclass(frozen=True)
class TrainingConfig:
    """How adapters are trained.

    Args:
        epochs: 150 in the paper.
        learning_rate: 0.001 in the paper; its optimiser is not printed, ours is Adam.
        max_batch: "The batch size is adjusted according to the dataset size": an epoch has at least
            ``min_steps`` batches, and no batch more than this many units.
        min_steps: See ``max_batch``.
        mixing: Probability that a pair's text is exchanged for one of another training sample with the same
            combination ("we mixed non-corresponding image-text pairs"); without effect where all samples of a
            combination share one prompt.
        device: Where it is trained; what comes back from adapters and probes is on the CPU. CoOp is trained
            where its encoder is.
    """

    epochs: int = 150
    learning_rate: float = 1e-3
    max_batch: int = 64
    min_steps: int = 4
    mixing: float = 0.5
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Units:
    """One step's units of every run: samples, or image-text pairs.

    Args:
        index: ``(runs, B)`` int64.
        there: ``(runs, B)`` bool; False is padding.
        view: ``(runs, B)`` int64, which augmented view of the image.
        text: ``(runs, B)`` int64, the sentence; without meaning where texts are the prompts.
    """

    index: np.ndarray
    there: np.ndarray
    view: np.ndarray
    text: np.ndarray


def steps(units: int, config: TrainingConfig) -> int:
    """Return the number of steps of an epoch of so many units."""
    return min(max(config.min_steps, math.ceil(units / config.max_batch)), units)


class Order:
    """The order in which each run sees its units; stacked runs take the same number of steps an epoch.

    Args:
        units: Of each run.
        seeds: Of each run.
        views: Number of views of an image to choose from.
        config: Batches per epoch.
    """

    def __init__(
        self, units: Sequence[np.ndarray], seeds: Sequence[int], views: int, config: TrainingConfig
    ) -> None:
        """Lay the units out as a table.

        Raises:
            InputError: If a run has none.
        """
        if empty := [run for run, u in enumerate(units) if not len(u)]:
            raise InputError(f"run {empty[0]} has no training sample with a text")
        self.views, self.config = views, config
        self.table, self.lengths = stack_rows([np.asarray(u) for u in units])
        self.rngs = [np.random.default_rng(seed) for seed in seeds]

    def alike(self) -> list[list[int]]:
        """Return the runs that can be stacked: those of one number of steps, each group in ascending order.

        An optimiser moves all stacked weights at every step, so that a run of fewer steps would be moved
        between its own.
        """
        counts = [steps(int(n), self.config) for n in self.lengths]
        return [[run for run, c in enumerate(counts) if c == one] for one in dict.fromkeys(counts)]

    def epoch(self) -> Iterator[Units]:
        """Yield the steps of one epoch; every unit occurs once, dealt evenly over the steps.

        Raises:
            InputError: If the runs differ in their number of steps.
        """
        if len(self.alike()) > 1:
            raise InputError(f"runs of {sorted(self.lengths.tolist())} units differ in their number of steps")
        width = self.table.shape[1]
        count = steps(width, self.config)
        size = math.ceil(width / count)
        shape = (len(self.table), count, size)
        index, there = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        view, text = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for run, (rng, n) in enumerate(zip(self.rngs, self.lengths, strict=True)):
            order = self.table[run, rng.permutation(n)]
            where = (run, np.arange(n) % count, np.arange(n) // count)
            index[where], there[where] = order, True
            if self.views > 1:
                view[where] = rng.integers(0, self.views, n)
            text[where] = self.texts(run, order, rng)
        for step in range(count):
            yield Units(index[:, step], there[:, step], view[:, step], text[:, step])

    def texts(self, run: int, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the sentence that each unit is paired with in this epoch; none by default."""
        return np.zeros_like(units)


class Sampler(Order, ABC):
    """An order, and the batch that each of its steps makes.

    Args:
        features: Cached embeddings and labels.
        units: Of each run.
        seeds: Of each run.
        config: Batches per epoch and mixing.
    """

    def __init__(
        self,
        features: Features,
        units: Sequence[np.ndarray],
        seeds: Sequence[int],
        config: TrainingConfig,
    ) -> None:
        """See :class:`Order`."""
        super().__init__(units, seeds, len(features.images), config)
        self.features = features

    def _put(self, values: np.ndarray) -> torch.Tensor:
        """Return an array as a tensor where the embeddings are."""
        return torch.from_numpy(values).to(self.features.images.device)

    @abstractmethod
    def batch(self, pair: AdapterPair, units: Units, loss: ScaleLossConfig) -> Batch:
        """Return the similarities under the adapters ``pair`` with all that the loss needs beside them."""


class GroupSampler(Sampler):
    """Exclusive groups whose texts are the prompts (Derm7pt): a unit is a sample, with one text per group.

    Equal texts are not repeated: the columns are the prompts, counted.
    """

    def __init__(
        self, features: Features, units: Sequence[np.ndarray], seeds: Sequence[int], config: TrainingConfig
    ) -> None:
        """See :class:`Sampler`."""
        super().__init__(features, units, seeds, config)
        self._local = features.relations.local(self._put(features.labels))  # (groups, N)

    def batch(self, pair: AdapterPair, units: Units, loss: ScaleLossConfig) -> Batch:
        """See :class:`Sampler`."""
        f, relations = self.features, self.features.relations
        runs = len(units.index)
        images = pair.image(f.images[self._put(units.view), self._put(units.index)])
        prompts = pair.text(f.prompts.expand(runs, -1, -1))
        q = (images @ prompts.mT)[..., relations.combination].movedim(-2, 1)  # (runs, groups, B, K)
        label = self._local[:, self._put(units.index)].movedim(0, 1)
        there = self._put(units.there).unsqueeze(1)
        width = relations.width
        held = torch.nn.functional.one_hot(label, width) * there.unsqueeze(-1)
        column = torch.arange(width, device=q.device).expand(*label.shape[:-1], width)
        negative = None
        if loss.cross_entropy == "binary":
            negative = (images @ pair.text(f.negative.expand(runs, 1, -1)).mT).squeeze(-1)
            negative = negative.unsqueeze(1).expand_as(label)
        return Batch(q, label, column, there, held.sum(-2), label, q, negative, held)


class PairSampler(Sampler):
    """Several labels per sample (PadChest-GR): a unit is an image-text pair.

    So a sample is copied once for each of its combinations.
    """

    def __init__(
        self, features: Features, units: Sequence[np.ndarray], seeds: Sequence[int], config: TrainingConfig
    ) -> None:
        """See :class:`Sampler`."""
        super().__init__(features, units, seeds, config)
        self._by_combination = []
        for own in units:
            pairs = features.pairs[own]
            order = np.argsort(pairs[:, 2], kind="stable")
            size = np.bincount(pairs[:, 2], minlength=len(features.task))
            self._by_combination.append((pairs[order, 1], np.cumsum(size) - size, size))

    def texts(self, run: int, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return each pair's own sentence, or with the probability of mixing another of its combination."""
        pairs = self.features.pairs[units]
        sentences, start, size = self._by_combination[run]
        h = pairs[:, 2]
        other = sentences[start[h] + (rng.random(len(h)) * size[h]).astype(np.int64)]
        return np.where(rng.random(len(h)) < self.config.mixing, other, pairs[:, 1])

    def batch(self, pair: AdapterPair, units: Units, loss: ScaleLossConfig) -> Batch:
        """See :class:`Sampler`."""
        f, runs = self.features, len(units.index)
        pairs = self._put(f.pairs[units.index])
        sample, label = pairs[..., 0], pairs[..., 2].unsqueeze(1)
        images = pair.image(f.images[self._put(units.view), sample])
        q = (images @ pair.text(f.sentences[self._put(units.text)]).mT).unsqueeze(1)
        there = self._put(units.there).unsqueeze(1)
        own = torch.arange(label.shape[-1], device=q.device).expand_as(label)
        prompt = negative = truth = None
        if loss.absent == "prompt":
            prompt = (images @ pair.text(f.prompts.expand(runs, -1, -1)).mT).unsqueeze(1)
        if loss.cross_entropy == "binary":
            negative = (images @ pair.text(f.negative.expand(runs, 1, -1)).mT).movedim(-1, 1)
            truth = self._put(f.labels)[sample].unsqueeze(1)
        return Batch(q, label, label, there, there, own, prompt, negative, truth)


class PromptSampler(Sampler):
    """Images against the prompts of all combinations, as CoOp and CLIP-Adapter are trained.

    A unit is a sample, or where labels hold together one of a sample's combinations.
    """

    def __init__(
        self, features: Features, rows: Sequence[np.ndarray], seeds: Sequence[int], config: TrainingConfig
    ) -> None:
        """See :class:`Sampler`; ``rows`` are samples."""
        self._copies = np.argwhere(features.labels > 0) if features.by_pair else None
        if self._copies is None:
            units = rows
        else:
            units = [np.flatnonzero(np.isin(self._copies[:, 0], r)) for r in rows]
        super().__init__(features, units, seeds, config)
        if self._copies is None:
            self._local = features.relations.local(self._put(features.labels))

    def batch(self, pair: AdapterPair, units: Units, loss: ScaleLossConfig) -> Batch:
        """See :class:`Sampler`."""
        f, relations = self.features, self.features.relations
        index = self._put(units.index)
        if self._copies is None:
            sample, label = index, self._local[:, index].movedim(0, 1)
        else:
            copies = self._put(self._copies)[index]
            sample, label = copies[..., 0], copies[..., 1].unsqueeze(1)
        images = pair.image(f.images[self._put(units.view), sample])
        prompts = pair.text(f.prompts.expand(len(index), -1, -1))
        q = (images @ prompts.mT)[..., relations.combination].movedim(-2, 1)
        there = self._put(units.there).unsqueeze(1)
        column = torch.arange(relations.width, device=q.device).expand(*label.shape[:-1], relations.width)
        return Batch(q, label, column, there, prompt=q)


def sampler_of(
    features: Features, rows: Sequence[np.ndarray], seeds: Sequence[int], config: TrainingConfig
) -> Sampler:
    """Return the sampler that fits the task: by sample for exclusive groups, else by image-text pair."""
    if not features.by_pair:
        return GroupSampler(features, rows, seeds, config)
    units = [np.flatnonzero(np.isin(features.pairs[:, 0], r)) for r in rows]
    return PairSampler(features, units, seeds, config)
