"""The vision-language adapter of BiRD: one cross-attention layer with trainable queries (section 4.1).

As in Qwen-VL, which BiRD starts from: patches become a fixed number of tokens, and places are told by fixed
two-dimensional sines and cosines that are added to queries and keys.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gftlib.errors import InputError

_EPSILON = 1e-6


def sinusoids(side: int, width: int, scale: float = 1.0) -> NDArray[np.float64]:
    """Return the position codes of a square grid, row by row.

    Args:
        side: Cells a side.
        width: Length of a code: a quarter each of sines and cosines of column, then of row.
        scale: Distance of two cells; codes of a finer grid meet those of a coarser one by
            ``coarse / fine``, cell centres on the same image.

    Returns:
        (side², width).

    Raises:
        InputError: If the width is not a multiple of 4.
    """
    if width % 4:
        raise InputError(f"position codes need a width that is a multiple of 4, not {width}")
    centre = (np.arange(side) + 0.5) * scale - 0.5
    rates = 1 / 10_000 ** (np.arange(width // 4) / (width // 4))
    angles = centre[:, None] * rates
    line = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    column = np.broadcast_to(line[None, :, :], (side, side, width // 2))
    row = np.broadcast_to(line[:, None, :], (side, side, width // 2))
    return np.concatenate([column, row], axis=2).reshape(side * side, width)


class Resampler(nn.Module):
    """Attends from trainable queries to the patches of an image.

    Args:
        queries: Number of tokens that come out; a square number.
        grid: Patches a side.
        vision: Width of the patches.
        width: Width of the tokens: that of the language model.
        heads: Attention heads.

    Raises:
        InputError: If the number of queries is not square or the heads do not divide the width.
    """

    def __init__(self, queries: int, grid: int, vision: int, width: int, heads: int) -> None:
        """Make the layers; position codes are buffers, saved with the weights."""
        super().__init__()
        side = math.isqrt(queries)
        if side * side != queries or queries < 1:
            raise InputError(f"queries lie on a square grid: {queries} is not a square number")
        if width % heads:
            raise InputError(f"{heads} heads do not divide a width of {width}")
        self.queries = nn.Parameter(torch.empty(queries, width))
        self.project_in = nn.Linear(vision, width, bias=False)
        self.norm_queries = nn.LayerNorm(width, eps=_EPSILON)
        self.norm_patches = nn.LayerNorm(width, eps=_EPSILON)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_out = nn.LayerNorm(width, eps=_EPSILON)
        self.project_out = nn.Linear(width, width, bias=False)
        self.register_buffer("query_places", torch.tensor(sinusoids(side, width), dtype=torch.float32))
        places = sinusoids(grid, width, side / grid)
        self.register_buffer("patch_places", torch.tensor(places, dtype=torch.float32))
        nn.init.trunc_normal_(self.queries, std=0.02)

    def forward(self, patches: Tensor) -> Tensor:
        """Return (images, queries, width) tokens of (images, grid², vision) patches."""
        patches = self.norm_patches(self.project_in(patches))
        queries = (self.norm_queries(self.queries) + self.query_places.to(patches.dtype)).expand(
            len(patches), -1, -1
        )
        keys = patches + self.patch_places.to(patches.dtype)
        tokens, _ = self.attention(queries, keys, patches, need_weights=False)
        return self.project_out(self.norm_out(tokens))
