"""A second, dense lesson for students that start from nothing: what each token of an image holds, and where.

Words about an image tell a network little at a time, and one that cannot see yet finds no use for its eyes.
So each token of the image also has to spell out, through a read-out that never learns, its row, its column,
how bright and how varied its part of the image is, and whether that part is a dark or a bright one of its
row, its column and its quadrant; and the token after the image, a layer on, which rows, columns and
quadrants hold any. All of it is known from the pixels. Published students got as much from the
contrastive training of their towers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from gftlib.vlm.conversations import Batch
from gftlib.vlm.shared_prefix import Shared

MOST = 32
"""Rows and columns that the read-out knows."""
SPELT = 2 * MOST + 2 + 2 * (2 * MOST + 4)
"""Numbers read out of a token: row, column, two of tone, and dark and bright by row, column and quadrant."""
MARKED = 1.5
"""Standard deviations from the mean at which a cell is dark or bright."""
RARE = 3.0
"""Taken from the logits of what is dark or bright somewhere: most cells are neither."""
WEIGHT, WHOLE = 0.3, 0.1
"""Of what the tokens of an image say beside the words, and of what the token after it says."""


class Sighted(Shared):
    """As `Shared`, with the dense lesson added to the loss; for models without an adapter."""

    def __init__(self, model: nn.Module, share: bool = True) -> None:
        """Draw the read-out."""
        super().__init__(model, share)
        width = model.config.get_text_config().hidden_size
        drawn = torch.randn(width, SPELT, generator=torch.Generator().manual_seed(0))
        self.register_buffer("readout", drawn / math.sqrt(width))

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of the learnt tokens and the weighted one of the dense lesson."""
        kept: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_hook(lambda *called, name=name: _keep(kept, name, called[-1]))
            for name, module in _eyes(self.model).items()
        ]
        try:
            loss = super().forward(batch)
        finally:
            for hook in hooks:
                hook.remove()
        tokens, after = _image_tokens(self.model, batch, kept["tokens"], kept["after"])
        tone = tones(batch.prefix["pixel_values"], len(tokens), math.isqrt(tokens.shape[1]))
        dense = dense_loss(tokens @ self.readout, tone)
        return loss + WEIGHT * dense + WHOLE * whole_loss(after @ self.readout, tone)


def dense_loss(told: Tensor, tone: Tensor) -> Tensor:
    """Return the loss of places, tones, and places of what is dark or bright.

    Args:
        told: (images, side², `SPELT`) what tokens spell out.
        tone: (images, side², 2) true tones, as `tones` gives them.
    """
    side = math.isqrt(told.shape[1])
    steps = torch.arange(side, device=told.device)
    lost = functional.mse_loss(told[..., 2 * MOST : 2 * MOST + 2], tone)
    for start, true in ((0, steps.repeat_interleave(side)), (MOST, steps.repeat(side))):
        logits = told[..., start : start + side].flatten(0, 1)
        lost = lost + functional.cross_entropy(logits, true.repeat(len(told)))
    return lost + sum(_wrong(logits - RARE, held) for logits, held in _marks(told, tone))


def whole_loss(told: Tensor, tone: Tensor) -> Tensor:
    """Return the loss of which rows, columns and quadrants hold dark or bright cells.

    Args:
        told: (images, `SPELT`) what the token after the image spells out.
        tone: As in `dense_loss`.
    """
    dark, bright = (_wrong(logits - 1, held.amax(1)) for logits, held in _marks(told, tone))
    return dark + bright


def _wrong(logits: Tensor, held: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, held, reduction="none").sum(-1).mean()


def _marks(told: Tensor, tone: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return logits and truth of the dark, then of the bright: (..., rows, columns, quadrants)."""
    side = math.isqrt(tone.shape[1])
    steps = torch.arange(side, device=tone.device)
    rows, cols = steps.repeat_interleave(side), steps.repeat(side)
    quadrants = 2 * (2 * rows >= side) + (2 * cols >= side)
    here = torch.cat([functional.one_hot(n) for n in (rows, cols, quadrants)], 1).to(tone.dtype)
    found = []
    for kind, marked in enumerate((tone[..., :1] < -MARKED, tone[..., :1] > MARKED)):
        logits = told[..., 2 * MOST + 2 + kind * (2 * MOST + 4) :][..., : 2 * MOST + 4]
        used = [logits[..., :side], logits[..., MOST : MOST + side], logits[..., 2 * MOST :]]
        found.append((torch.cat(used, -1), here * marked))
    return found


def tones(pixels: Tensor, images: int, side: int) -> Tensor:
    """Return mean and spread of the pixels of each cell, each standardised over its image.

    Args:
        pixels: As processors give them: whole images (..., height, width), or flattened patches, those that
            become one token together, row by row.
        images: Number of images.
        side: Cells of an image in a row.

    Returns:
        (images, side², 2).
    """
    if pixels.ndim == 2:
        cells = pixels.reshape(images, side * side, -1)
    else:
        whole = pixels.reshape(images, -1, *pixels.shape[-2:])
        size = whole.shape[-1] // side
        cells = functional.unfold(whole[..., : size * side, : size * side], size, stride=size).transpose(1, 2)
    found = torch.stack([cells.mean(-1), cells.std(-1)], -1)
    return (found - found.mean(1, keepdim=True)) / (found.std(1, keepdim=True) + 1e-6)


def _keep(kept: dict[str, Tensor], name: str, output: Tensor | tuple[Tensor, ...]) -> None:
    # The image is in the first call; later ones are the branches'.
    kept.setdefault(name, output if torch.is_tensor(output) else output[0])


def _eyes(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules after which the tokens of the image, and the one after it, should know all this.

    Where image tokens become tokens of the language these are its second and third layers: Qwen2.5-VL tells
    places to the language model alone. Where they do not, the tower's own class token is the one after it.
    """
    if hasattr(model, "resampler"):
        layers = model.language_model.model.layers
    elif hasattr(model.model, "multi_modal_projector"):
        return dict.fromkeys(("tokens", "after"), model.model.multi_modal_projector)
    else:
        layers = model.model.language_model.layers
    return {"tokens": layers[1], "after": layers[2]}


def _image_tokens(model: nn.Module, batch: Batch, tokens: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return (images, side², width) tokens, row by row, and (images, width) those after them."""
    if tokens.ndim == 5:
        return tokens[:, 0, 0, 1:], after[:, 0, 0, 0]
    held = batch.prefix["input_ids"] == model.config.image_token_id
    images = torch.arange(len(held), device=held.device)
    following = held.shape[1] - held.flip(1).int().argmax(1)
    return tokens[held].reshape(len(held), -1, tokens.shape[-1]), after[images, following]
