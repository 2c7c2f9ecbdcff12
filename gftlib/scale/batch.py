"""A batch as the losses see it: images against texts, their labels, and how often each occurs.

Texts that occur several times in a batch need not be repeated: rows and columns carry counts, and every sum
of the equations is weighted with them. That is exact, and a count of 0 is padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MASKED = -1e9  # finite, so that gradients through an empty maximum stay zero and never become NaN


@dataclass(frozen=True)
class Batch:
    """One batch of N images against M texts, per run and group.

    Args:
        similarity: Q, cosines ``(..., groups, N, M)``.
        row_label: Position in its group of each image's combination, ``(..., groups, N)`` int64.
        column_label: The same of each text, ``(..., groups, M)`` int64.
        row_count: How many samples a row stands for, ``(..., groups or 1, N)``; 0 is padding. None: 1 each.
        column_count: The same of the texts, ``(..., groups, M)``.
        match: Column of each row's own text, ``(..., groups, N)``; needed by ``info_nce`` alone.
        prompt: Similarity to the prompt of every combination, ``(..., groups, N, K)``; for ``"prompt"``.
        negative: Similarity to the negative prompt, ``(..., groups, N)``; for ``"binary"``.
        truth: All labels of each row, ``(..., groups, N, K)``; for ``"binary"``.
    """

    similarity: Tensor
    row_label: Tensor
    column_label: Tensor
    row_count: Tensor | None = None
    column_count: Tensor | None = None
    match: Tensor | None = None
    prompt: Tensor | None = None
    negative: Tensor | None = None
    truth: Tensor | None = None

    def rows(self) -> Tensor:
        """Counts of the rows, ``(..., groups or 1, N)`` float."""
        if self.row_count is None:
            return self.similarity.new_ones(self.similarity.shape[-2:-1])
        return self.row_count.to(self.similarity.dtype)

    def columns(self) -> Tensor:
        """Counts of the columns, ``(..., groups or 1, M)`` float."""
        if self.column_count is None:
            return self.similarity.new_ones(self.similarity.shape[-1:])
        return self.column_count.to(self.similarity.dtype)

    def size(self) -> Tensor:
        """Number of samples, summed over the groups and at least 1, ``...``."""
        return self.rows().expand(self.similarity.shape[:-1]).sum((-1, -2)).clamp_min(1)


def first_columns(labels: Tensor, counts: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the first column of each of ``width`` combinations, ``(..., width)``, and whether it has one."""
    wanted = torch.arange(width, device=labels.device).unsqueeze(-1)
    hit = (labels.unsqueeze(-2) == wanted) & (counts > 0).unsqueeze(-2)
    return hit.to(torch.int8).argmax(-1), hit.any(-1)


def aggregate(z: Tensor, members: Tensor) -> Tensor:
    """Return the maximum of ``z`` over each set of combinations (SCALE, the display above equation 2).

    Args:
        z: ``(..., groups, N, K)``.
        members: ``(groups, S, K)`` bool.

    Returns:
        ``(..., groups, N, S)``.
    """
    return z.unsqueeze(-2).masked_fill(~members.unsqueeze(-3), MASKED).amax(-1)
