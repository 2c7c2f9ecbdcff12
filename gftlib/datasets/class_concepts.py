"""What a class-concept task is, and the labelled images that go with it (SCALE, section 2.2).

A *combination* is one class-concept combination ``h`` of the paper: "diffuse irregular pigmentation" read as
melanoma, or "atelectasis left lower lobe". The readers of the public sets and the phantoms return the same
:class:`ClassConceptData`, so that nothing downstream knows which of them it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gftlib.errors import InputError

SPLITS = ("train", "valid", "test")
NO_FINDING = "No finding."
NO_COMBINATION = -1  # the index of a sentence that names no combination, such as "No pneumothorax."


@dataclass(frozen=True)
class Combination:
    """One class-concept combination.

    Args:
        group: What it competes with: the criterion (Derm7pt) or the finding (PadChest-GR).
        cls: The class, such as ``"melanoma"`` or ``"atelectasis"``.
        concept: The class-descriptive concept, such as ``"diffuse irregular pigmentation"``.
        prompt: The text that stands for it in zero-shot prediction.
    """

    group: str
    cls: str
    concept: str
    prompt: str

    @property
    def name(self) -> str:
        """Return a short unique name, ``"group: concept"``."""
        return f"{self.group}: {self.concept}"


@dataclass(frozen=True)
class ClassConceptTask:
    """The prior knowledge on class-concept relations (the sets C_l and L_c of SCALE, section 2.2).

    Args:
        name: ``"derm7pt"``, ``"padchest-gr"``, ``"skin-phantom"`` or ``"chest-phantom"``.
        classes: The C class names.
        concepts: The L concept names.
        combinations: Those of the C x L pairs that exist.
        multi_label: False if exactly one combination holds in each group; True if any subset may hold.
        negative_prompt: The second option of the two-prompt AUC (SCALE, section 2.3.2).

    Raises:
        InputError: If a combination is repeated or names an unknown class or concept, or if one is unused.
    """

    name: str
    classes: tuple[str, ...]
    concepts: tuple[str, ...]
    combinations: tuple[Combination, ...]
    multi_label: bool
    negative_prompt: str = NO_FINDING

    def __post_init__(self) -> None:
        """Refuse a task whose combinations and names do not agree."""
        keys = [(c.group, c.cls, c.concept) for c in self.combinations]
        if not keys:
            raise InputError(f"task {self.name!r} has no combinations")
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise InputError(f"task {self.name!r} holds the combination {repeated[0]} more than once")
        for kind, names, used in (
            ("class", self.classes, {c.cls for c in self.combinations}),
            ("concept", self.concepts, {c.concept for c in self.combinations}),
        ):
            if len(set(names)) != len(names):
                raise InputError(f"task {self.name!r} repeats a {kind} name: {names}")
            if wrong := sorted(used ^ set(names)):
                raise InputError(
                    f"task {self.name!r}: the {kind} {wrong[0]!r} is declared or used, but not both"
                )

    def __len__(self) -> int:
        """Return the number of combinations."""
        return len(self.combinations)

    def groups(self) -> dict[str, list[int]]:
        """Return the combination indices of each group, groups in order of first appearance."""
        found: dict[str, list[int]] = {}
        for index, combination in enumerate(self.combinations):
            found.setdefault(combination.group, []).append(index)
        return found

    @cached_property
    def group_index(self) -> np.ndarray:
        """Group of each combination, ``(n_combinations,)`` int64, in the order of :meth:`groups`."""
        order = list(self.groups())
        return np.array([order.index(c.group) for c in self.combinations])

    @cached_property
    def class_index(self) -> np.ndarray:
        """Class of each combination as an index into ``classes``, ``(n_combinations,)`` int64."""
        return np.array([self.classes.index(c.cls) for c in self.combinations])

    @cached_property
    def concept_index(self) -> np.ndarray:
        """Concept of each combination as an index into ``concepts``, ``(n_combinations,)`` int64."""
        return np.array([self.concepts.index(c.concept) for c in self.combinations])

    @cached_property
    def group_classes(self) -> tuple[tuple[str, str], ...]:
        """The (group, class) pairs that exist: what is predicted at class level.

        Derm7pt has fourteen (seven criteria, each nevus or melanoma), PadChest-GR four.
        """
        return tuple(dict.fromkeys((c.group, c.cls) for c in self.combinations))

    @cached_property
    def group_class_index(self) -> np.ndarray:
        """The (group, class) pair of each combination as an index into ``group_classes``."""
        return np.array([self.group_classes.index((c.group, c.cls)) for c in self.combinations])

    def index(self, group: str, concept: str, cls: str | None = None) -> int:
        """Return the index of a combination.

        Raises:
            InputError: If no combination or more than one answers to the names given.
        """
        found = [
            i
            for i, c in enumerate(self.combinations)
            if c.group == group and c.concept == concept and cls in (None, c.cls)
        ]
        if len(found) != 1:
            raise InputError(
                f"task {self.name!r} has {len(found)} combinations {group!r} / {concept!r}, 1 needed"
            )
        return found[0]

    def part(self, columns: Sequence[int]) -> ClassConceptTask:
        """Return the task of some of the combinations, with the classes and concepts that they name."""
        chosen = tuple(self.combinations[h] for h in columns)
        classes = tuple(c for c in self.classes if c in {x.cls for x in chosen})
        concepts = tuple(c for c in self.concepts if c in {x.concept for x in chosen})
        return replace(self, classes=classes, concepts=concepts, combinations=chosen)

    @property
    def prompts(self) -> list[str]:
        """The prompt of each combination."""
        return [c.prompt for c in self.combinations]


Box = tuple[float, float, float, float]
Images = np.ndarray | Callable[[int], np.ndarray]


@dataclass(frozen=True, eq=False)
class ClassConceptData:
    """Images with their class-concept labels, texts and split.

    Args:
        task: The task that the columns of ``labels`` belong to.
        labels: The matrix G of SCALE, equation 2: ``(N, n_combinations)`` uint8 of 0 and 1.
        subjects: Patient or case identifiers, ``(N,)`` str; all images of a subject share a split.
        split: ``"train"``, ``"valid"`` or ``"test"``, ``(N,)`` str.
        texts: For each sample its ``(sentence, combination index)`` pairs; ``NO_COMBINATION`` marks a
            sentence that names none.
        images: ``(N, H, W[, 3])`` uint8, or a function of the sample index that returns one image.
        captions: For each sample a neutral caption that names no combination (phantoms only), else empty.
        boxes: ``(combination index, box)`` pairs of each sample, boxes xyxy in unit coordinates; or empty.
        notes: What the reader skipped or corrected, one line each.
        truth: Phantoms only: what is really drawn, shaped like ``labels``. Labels are as fallible as readers;
            ``truth`` scored against them is the ceiling of any method.

    Raises:
        InputError: If shapes or values disagree; the message names the shape or the row.
    """

    task: ClassConceptTask
    labels: np.ndarray
    subjects: np.ndarray
    split: np.ndarray
    texts: Sequence[Sequence[tuple[str, int]]]
    images: Images
    captions: Sequence[str] = ()
    boxes: Sequence[Sequence[tuple[int, Box]]] = ()
    notes: tuple[str, ...] = ()
    truth: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse shapes and values that do not agree."""
        for matrix in (self.labels, *(() if self.truth is None else (self.truth,))):
            _check_labels(self.task, matrix)
        if self.truth is not None and self.truth.shape != self.labels.shape:
            raise InputError(f"truth has shape {self.truth.shape}, labels {self.labels.shape}")
        n = len(self.labels)
        for name in ("subjects", "split"):
            values = getattr(self, name)
            if not isinstance(values, np.ndarray) or values.shape != (n,):
                raise InputError(f"{name} must be an array of shape ({n},), got {np.shape(values)}")
        for name in ("texts", "captions", "boxes"):
            values = getattr(self, name)
            if len(values) != n and not (len(values) == 0 and name != "texts"):
                raise InputError(f"{name} has {len(values)} entries for {n} samples")
        if isinstance(self.images, np.ndarray) and (len(self.images) != n or self.images.dtype != np.uint8):
            raise InputError(
                f"images must be {n} uint8 images, got shape {self.images.shape}, {self.images.dtype}"
            )
        _check_split(self.subjects, self.split)
        _check_texts(self.texts, self.labels)

    def __len__(self) -> int:
        """Return the number of samples N."""
        return len(self.labels)

    def image(self, i: int) -> np.ndarray:
        """Return image ``i``, ``(H, W)`` or ``(H, W, 3)`` uint8; read from disk only now if need be.

        Raises:
            InputError: If there is no sample ``i`` or it is not a uint8 image.
        """
        if not 0 <= i < len(self):
            raise InputError(f"there is no sample {i}; there are {len(self)}")
        image = self.images[i] if isinstance(self.images, np.ndarray) else self.images(i)
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise InputError(f"image {i} has shape {image.shape} and type {image.dtype}, uint8 needed")
        return image

    def indices(self, split: str) -> np.ndarray:
        """Return the indices of the samples of one split.

        Raises:
            InputError: If ``split`` is not one of ``SPLITS``.
        """
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
        return np.flatnonzero(self.split == split)

    def subset(self, indices: np.ndarray) -> ClassConceptData:
        """Return the samples at ``indices`` (integers), in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        images = self.images
        return replace(
            self,
            labels=self.labels[chosen],
            subjects=self.subjects[chosen],
            split=self.split[chosen],
            texts=[self.texts[i] for i in chosen],
            images=images[chosen] if isinstance(images, np.ndarray) else lambda i: images(int(chosen[i])),
            captions=[self.captions[i] for i in chosen] if self.captions else (),
            boxes=[self.boxes[i] for i in chosen] if self.boxes else (),
            truth=None if self.truth is None else self.truth[chosen],
        )

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Return the number of positive samples of each combination, of one split or of all."""
        rows = self.labels if split is None else self.labels[self.indices(split)]
        return {c.name: int(n) for c, n in zip(self.task.combinations, rows.sum(axis=0), strict=True)}


def _check_labels(task: ClassConceptTask, labels: np.ndarray) -> None:
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.shape[1] != len(task):
        raise InputError(
            f"labels must have shape (N, {len(task)}) for task {task.name!r}, got {np.shape(labels)}"
        )
    if labels.dtype != np.uint8 or labels.max(initial=0) > 1:
        raise InputError(f"labels must be uint8 of 0 and 1, got {labels.dtype}, max {labels.max(initial=0)}")
    if task.multi_label:
        return
    for group, columns in task.groups().items():
        total = labels[:, columns].sum(axis=1)
        if (wrong := np.flatnonzero(total != 1)).size:
            row = int(wrong[0])
            raise InputError(f"row {row} holds {total[row]} combinations of {group!r}, exactly 1 needed")


def _check_split(subjects: np.ndarray, split: np.ndarray) -> None:
    if unknown := sorted(set(split.tolist()) - set(SPLITS)):
        raise InputError(f"unknown split {unknown[0]!r}; known: {', '.join(SPLITS)}")
    seen: dict[str, str] = {}
    for subject, part in zip(subjects.tolist(), split.tolist(), strict=True):
        if seen.setdefault(subject, part) != part:
            raise InputError(f"subject {subject!r} is in both {seen[subject]!r} and {part!r}")


def _check_texts(texts: Sequence[Sequence[tuple[str, int]]], labels: np.ndarray) -> None:
    for row, pairs in enumerate(texts):
        for sentence, index in pairs:
            if index == NO_COMBINATION:
                continue
            if not 0 <= index < labels.shape[1] or not labels[row, index]:
                raise InputError(
                    f"sample {row}: the sentence {sentence[:60]!r} belongs to combination {index}, "
                    "which the sample's labels do not hold"
                )
