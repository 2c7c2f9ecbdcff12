"""Class-concept relations as tensors: which combinations compete, and which share a class or a concept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from gftlib.datasets.class_concepts import ClassConceptTask
from gftlib.errors import InputError


@dataclass(frozen=True, eq=False)
class Relations:
    """The prior knowledge of SCALE, section 2.2, for groups of combinations that compete within a group.

    A group has at most K combinations; the shorter groups are padded, and ``valid`` tells padding apart.

    Args:
        combination: ``(groups, K)`` int64, index of each combination in the task; 0 where padded.
        valid: ``(groups, K)`` bool.
        concept: ``(groups, K)`` int64, concept of each combination, numbered within its group.
        cls: ``(groups, K)`` int64, class of each combination, numbered within its group.
    """

    combination: Tensor
    valid: Tensor
    concept: Tensor
    cls: Tensor

    @classmethod
    def of_task(cls, task: ClassConceptTask, joint: bool | None = None) -> Relations:
        """Return the relations of a task.

        Args:
            task: The task.
            joint: True: all combinations compete in one softmax, a sample with several labels being several
                samples. False: those of a group compete with each other alone. None, the default: joint for
                a multi-label task, by group for one whose groups are exclusive ("on concept-level, the
                expressions of each criterion are exclusive", SCALE, section 2.3.2).
        """
        if joint is None:
            joint = task.multi_label
        groups = [list(range(len(task)))] if joint else list(task.groups().values())
        return cls.of_groups(groups, task.concept_index.tolist(), _classes(task, joint))

    @classmethod
    def of_groups(cls, groups: list[list[int]], concepts: list[int], classes: list[int]) -> Relations:
        """Return the relations of explicit groups.

        Args:
            groups: Combination indices of each group.
            concepts: Concept of every combination.
            classes: Class of every combination.

        Raises:
            InputError: If a group is empty or the two lists differ in length.
        """
        if not groups or not all(groups):
            raise InputError(f"every group needs at least one combination, got {groups}")
        if len(concepts) != len(classes):
            raise InputError(f"{len(concepts)} concepts but {len(classes)} classes; one of each is needed")
        width = max(map(len, groups))
        shape = (len(groups), width)
        combination, concept, label = (torch.zeros(shape, dtype=torch.int64) for _ in range(3))
        valid = torch.zeros(shape, dtype=torch.bool)
        for row, members in enumerate(groups):
            columns = slice(0, len(members))
            combination[row, columns] = torch.tensor(members)
            concept[row, columns] = _renumber([concepts[h] for h in members])
            label[row, columns] = _renumber([classes[h] for h in members])
            valid[row, columns] = True
        return cls(combination, valid, concept, label)

    def to(self, device: torch.device | str) -> Relations:
        """Return the same on a device."""
        return Relations(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.combination)

    @property
    def width(self) -> int:
        """Number K of combinations of the largest group."""
        return self.combination.shape[1]

    @cached_property
    def concept_members(self) -> Tensor:
        """``(groups, L, K)`` bool: the set of combinations of each concept l, over the classes C_l."""
        return _members(self.concept, self.valid)

    @cached_property
    def class_members(self) -> Tensor:
        """``(groups, C, K)`` bool: the set of combinations of each class c, over the concepts L_c."""
        return _members(self.cls, self.valid)

    @cached_property
    def one_concept_each(self) -> bool:
        """Whether each combination has a concept of its own, so that concepts need no aggregation."""
        here = torch.arange(self.width, device=self.concept.device).expand_as(self.concept)
        return bool((self.concept == here)[self.valid].all())

    def local(self, labels: Tensor) -> Tensor:
        """Return the position in its group of the label held: from multi-hot rows to ``(groups, N)``.

        Args:
            labels: ``(N, n_combinations)``; for a joint group every row must hold exactly one label.

        Raises:
            InputError: If a row holds none or several labels of a group.
        """
        held = labels.bool()[:, self.combination] & self.valid  # (N, groups, K)
        total = held.sum(-1)
        if (total != 1).any():
            row, group = (total != 1).nonzero()[0].tolist()
            raise InputError(
                f"row {row} holds {int(total[row, group])} labels of group {group}, exactly 1 needed; "
                "give a sample with several labels one row for each of them"
            )
        return held.to(torch.int8).argmax(-1).T.contiguous()


def _classes(task: ClassConceptTask, joint: bool) -> list[int]:
    # "Melanoma by its streaks" and "melanoma by its pigmentation" stay apart when criteria share one softmax.
    return (task.group_class_index if joint else task.class_index).tolist()


def _renumber(values: list[int]) -> Tensor:
    order = list(dict.fromkeys(values))
    return torch.tensor([order.index(value) for value in values])


def _members(index: Tensor, valid: Tensor) -> Tensor:
    kinds = torch.arange(int(index.max()) + 1, device=index.device)
    return (index.unsqueeze(1) == kinds.view(1, -1, 1)) & valid.unsqueeze(1)
