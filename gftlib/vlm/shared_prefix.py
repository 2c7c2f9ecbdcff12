r"""All pairs of an image for one pass over the image, exactly.

Thirty questions about an image repeat the image thirty times if each is a training example of its own. Here
the prefix runs once; its keys and values, with their gradients, are handed to every branch, which attends to
the prefix and to itself. A token of a branch sees exactly the tokens, at exactly the positions, that it
would see alone, so loss and gradients are those of separate examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from gftlib.vlm.conversations import IGNORED, Batch


class Shared(nn.Module):
    """A student, called on a batch as one module, so that wrappers for several devices see one call.

    Args:
        model: The model, with or without adapters.
        share: Run each prefix once; else once for each of its branches, as trainers usually do. That is the
            way where activations are recomputed in the backward pass, which forbids a cache.
    """

    def __init__(self, model: nn.Module, share: bool = True) -> None:
        """Take the model as it is."""
        super().__init__()
        self.model = model
        self.share = share

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of the learnt tokens."""
        total = (batch.labels[:, 1:] != IGNORED).sum()
        if not self.share:
            inputs, labels = separate(batch)
            return _summed(self.model(**inputs, use_cache=False).logits, labels) / total
        prefix = run_prefix(self.model, batch.prefix)
        parts = [batch.rows(rows) for rows in buckets(batch.mask.sum(1).tolist())]
        losses = [_summed(branch_logits(self.model, part, prefix), part.labels) for part in parts]
        return torch.stack(losses).sum() / total


@dataclass(frozen=True)
class Prefix:
    """What prefixes leave to their branches.

    Attributes:
        cache: Keys and values.
        seen: Mask of their tokens, (p, n).
        after: Position that follows each, (p,).
    """

    cache: DynamicCache
    seen: Tensor
    after: Tensor

    def cache_of(self, owner: Tensor) -> DynamicCache:
        """Return a cache of its own for branches of these prefixes."""
        copy = DynamicCache()
        for number, layer in enumerate(self.cache.layers):
            copy.update(layer.keys[owner], layer.values[owner], number)
        return copy


def buckets(lengths: Sequence[int], most: int = 4, call: int = 200) -> list[list[int]]:
    """Group rows of like length, so that little of a padded batch is padding.

    Args:
        lengths: Tokens of each row.
        most: Most groups.
        call: What one more call of the model costs, in tokens.

    Returns:
        The rows of each group: the grouping that costs least.
    """
    order = np.argsort(lengths, kind="stable")
    ascending = np.asarray(lengths)[order]
    best = [(0.0, ())] + [(np.inf, ())] * len(order)
    for _ in range(most):
        longer = list(best)
        for stop in range(1, len(order) + 1):
            for start in range(stop):
                cost = best[start][0] + (stop - start) * ascending[stop - 1] + call
                if cost < longer[stop][0]:
                    longer[stop] = (cost, (*best[start][1], (start, stop)))
        best = longer
    return [order[start:stop].tolist() for start, stop in best[-1][1]]


def branch_logits(model: nn.Module, batch: Batch, prefix: Prefix) -> Tensor:
    """Return the logits after each token of the branches, (b, n, vocabulary)."""
    owner, length = batch.owner, batch.ids.shape[1]
    steps = prefix.after[owner, None] + torch.arange(length, device=batch.ids.device)
    return model(
        input_ids=batch.ids,
        attention_mask=torch.cat([prefix.seen[owner], batch.mask], 1),
        position_ids=model_positions(model, steps),
        past_key_values=prefix.cache_of(owner),
        use_cache=True,
        **image_view(batch.prefix, owner, length),
    ).logits


def run_prefix(model: nn.Module, prefix: dict[str, Tensor]) -> Prefix:
    """Run the prefixes."""
    cache = model(**prefix, use_cache=True, logits_to_keep=1).past_key_values
    seen = prefix["attention_mask"]
    after = seen.sum(1)
    if "image_grid_thw" in prefix:
        # An image takes fewer positions than tokens: the longer side of its grid.
        inner = _inner(model)
        _, shift = inner.get_rope_index(
            prefix["input_ids"],
            prefix["mm_token_type_ids"],
            image_grid_thw=prefix["image_grid_thw"],
            attention_mask=seen,
        )
        after = after + shift[:, 0]
    return Prefix(cache, seen, after)


def model_positions(model: nn.Module, steps: Tensor) -> Tensor:
    """Return positions (b, n) in the form that the model takes: three axes where it has three."""
    three = hasattr(_inner(model), "get_rope_index")
    return steps.expand(3, *steps.shape) if three else steps


def image_view(prefix: dict[str, Tensor], owner: Tensor, length: int) -> dict[str, Tensor]:
    """Return what cross-attention needs to know of the image for ``length`` further tokens of each branch."""
    if "cross_attention_mask" not in prefix:
        return {}
    mask, seen = prefix["cross_attention_mask"], prefix["attention_mask"]
    last = mask[torch.arange(len(mask), device=mask.device), seen.sum(1) - 1]
    return {"cross_attention_mask": last[owner, None].expand(-1, length, -1, -1)}


def separate(batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    """Return the same examples one by one: inputs with the image before each pair, and labels."""
    prefix, owner = batch.prefix, batch.owner
    tokens = _spliced(prefix["input_ids"], batch.ids, batch)
    inputs = {
        "input_ids": tokens,
        "attention_mask": _spliced(prefix["attention_mask"], batch.mask, batch),
    }
    labels = _spliced(torch.full_like(prefix["input_ids"], IGNORED), batch.labels, batch, IGNORED)
    if "mm_token_type_ids" in prefix:
        inputs["mm_token_type_ids"] = _spliced(
            prefix["mm_token_type_ids"], torch.zeros_like(batch.ids), batch
        )
    if "image_grid_thw" in prefix:
        grid = prefix["image_grid_thw"]
        patches = torch.split(prefix["pixel_values"], grid.prod(1).tolist())
        inputs["pixel_values"] = torch.cat([patches[i] for i in owner.tolist()])
        inputs["image_grid_thw"] = grid[owner]
    else:
        for name in ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask"):
            if name in prefix:
                inputs[name] = prefix[name][owner]
    if "cross_attention_mask" in prefix:
        inputs["cross_attention_mask"] = image_view(prefix, owner, tokens.shape[1])["cross_attention_mask"]
        start = prefix["cross_attention_mask"].shape[1]
        own = prefix["cross_attention_mask"][owner]
        inputs["cross_attention_mask"] = torch.cat([own, inputs["cross_attention_mask"][:, start:]], 1)
    return inputs, labels


def _summed(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the summed loss of the learnt tokens."""
    labels = labels[:, 1:]
    learnt = labels != IGNORED
    return functional.cross_entropy(logits[:, :-1][learnt].float(), labels[learnt], reduction="sum")


def _spliced(prefix: Tensor, branch: Tensor, batch: Batch, fill: int = 0) -> Tensor:
    """Join prefix and branch of each row without a gap, padded on the right."""
    lengths = batch.prefix["attention_mask"].sum(1).tolist()
    rows = [torch.cat([prefix[i, : lengths[i]], branch[row]]) for row, i in enumerate(batch.owner.tolist())]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)


def _inner(model: nn.Module) -> nn.Module:
    """Return the transformers model below adapters and language-model head."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.model
