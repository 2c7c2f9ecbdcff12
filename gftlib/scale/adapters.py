"""The adapters of SCALE (equation 1) and their residual-style blending with the frozen embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gftlib.errors import InputError, did_you_mean

ALPHA_MARGIN = 1e-3  # keeps the logit of a start at 0 or 1 finite


@dataclass(frozen=True)
class AdapterConfig:
    """What section 2.1 of SCALE leaves open.

    Args:
        reduction: Width of the embedding over that of the bottleneck; 4 is CLIP-Adapter's.
        alpha: Start of the blending weight; 0.2 is CLIP-Adapter's fixed ratio.
        alpha_range: ``"unit"``: the learnable alpha is a sigmoid and stays in (0, 1), as a blend asks for;
            ``"free"``: a plain parameter; ``"fixed"``: not learnable, as in CLIP-Adapter.
        branches: The encoders that get an adapter; CLIP-Adapter's published code has ``("image",)``.
        adapters_per_branch: "We used two adapters for both encoding branches" reads as one for each of the
            two branches (1, the default) or as two in a row on each (2).
        trailing_relu: CLIP-Adapter's code ends in a ReLU, equation 1 does not.
    """

    reduction: int = 4
    alpha: float = 0.2
    alpha_range: Literal["unit", "free", "fixed"] = "unit"
    branches: tuple[Literal["image", "text"], ...] = ("image", "text")
    adapters_per_branch: int = 1
    trailing_relu: bool = False

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        if self.reduction < 1 or self.adapters_per_branch < 1:
            raise InputError(
                f"reduction and adapters_per_branch must be at least 1, got {self.reduction} and "
                f"{self.adapters_per_branch}"
            )
        if self.alpha_range not in (known := ("unit", "free", "fixed")):
            raise InputError(
                f"unknown alpha_range {self.alpha_range!r}{did_you_mean(self.alpha_range, known)}"
            )
        if self.alpha_range != "free" and not 0 <= self.alpha <= 1:
            raise InputError(f"alpha must lie in [0, 1] unless alpha_range is 'free', got {self.alpha}")
        if unknown := set(self.branches) - {"image", "text"}:
            raise InputError(f"unknown branch {sorted(unknown)[0]!r}; known: image, text")


class Adapter(nn.Module):
    """A(f) = ReLU(f^T W_1) W_2 and f' = alpha A(f) + (1 - alpha) f (SCALE, equation 1 and below).

    Neither has a bias, so a longer ``f`` gives an ``f'`` of the same direction: cosines do not depend on
    whether the embeddings were normalised before.

    Args:
        dim: Width of the embeddings.
        config: The choices that are open.
        runs: Number of independent adapters trained side by side; None: a single one without that dimension.
        alpha: Start of alpha of each run, ``(runs,)``, instead of the configuration's.
        generator: Source of the initial weights, uniform as in ``torch.nn.Linear``; a list gives one per run.
    """

    def __init__(
        self,
        dim: int,
        config: AdapterConfig,
        runs: int | None = None,
        alpha: Tensor | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
    ) -> None:
        """Draw the initial weights."""
        super().__init__()
        self.config = config
        hidden = max(dim // config.reduction, 1)
        self.down = nn.Parameter(_uniform((dim, hidden), dim, runs, generator))
        self.up = nn.Parameter(_uniform((hidden, dim), hidden, runs, generator))
        start = torch.full(() if runs is None else (runs,), config.alpha) if alpha is None else alpha.clone()
        if config.alpha_range == "unit":
            start = start.clamp(ALPHA_MARGIN, 1 - ALPHA_MARGIN).logit()
        self.raw_alpha = nn.Parameter(start, requires_grad=config.alpha_range != "fixed")

    @property
    def alpha(self) -> Tensor:
        """The blending weight, a scalar or ``(runs,)``."""
        return self.raw_alpha.sigmoid() if self.config.alpha_range == "unit" else self.raw_alpha

    def bottleneck(self, f: Tensor) -> Tensor:
        """Return A(f), ``([runs,] ..., dim)``."""
        out = (_flat(f, self.down) @ self.down).relu() @ self.up
        return (out.relu() if self.config.trailing_relu else out).view(f.shape)

    def forward(self, f: Tensor) -> Tensor:
        """Return f', not normalised, ``([runs,] ..., dim)``."""
        alpha = self.alpha if self.alpha.ndim == 0 else self.alpha.view(-1, *[1] * (f.ndim - 1))
        return torch.lerp(f, self.bottleneck(f), alpha.to(f.dtype))


class AdapterPair(nn.Module):
    """The adapters of both branches; a branch without one passes its embeddings on unchanged.

    Args:
        dim: Width of the joint embedding space.
        config: The choices that are open.
        runs: As in :class:`Adapter`.
        alpha: As in :class:`Adapter`.
        generator: As in :class:`Adapter`.
    """

    def __init__(
        self,
        dim: int,
        config: AdapterConfig,
        runs: int | None = None,
        alpha: Tensor | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
    ) -> None:
        """Build the adapters, image branch first."""
        super().__init__()
        self.branches = nn.ModuleDict(
            {
                name: nn.Sequential(
                    *(Adapter(dim, config, runs, alpha, generator) for _ in range(config.adapters_per_branch))
                )
                for name in config.branches
            }
        )

    def image(self, f: Tensor) -> Tensor:
        """Return the blended image embeddings at unit length."""
        return self._branch("image", f)

    def text(self, f: Tensor) -> Tensor:
        """Return the blended text embeddings at unit length."""
        return self._branch("text", f)

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the matrix Q of cosines, ``([runs,] N, M)``."""
        return self.image(images) @ self.text(texts).mT

    def put(self, runs: Sequence[int], other: AdapterPair) -> None:
        """Take over the weights of ``other``, whose stacked adapters are those of ``runs``."""
        theirs = other.state_dict()
        for name, value in self.state_dict().items():  # shares its memory with the parameters
            value[list(runs)] = theirs[name]

    def _branch(self, name: str, f: Tensor) -> Tensor:
        out = self.branches[name](f) if name in self.branches else f
        return nn.functional.normalize(out, dim=-1)


def _flat(f: Tensor, weight: Tensor) -> Tensor:
    """Fold everything between the runs and the embedding into one dimension, for one batched product."""
    return f.reshape(*weight.shape[:-2], -1, f.shape[-1])


def _uniform(
    shape: tuple[int, int],
    fan_in: int,
    runs: int | None,
    generator: torch.Generator | list[torch.Generator] | None,
) -> Tensor:
    bound = 1 / math.sqrt(fan_in)
    if runs is None or not isinstance(generator, list):
        full = shape if runs is None else (runs, *shape)
        return (torch.rand(full, generator=generator) * 2 - 1) * bound
    if len(generator) != runs:
        raise InputError(f"{len(generator)} generators for {runs} runs; one each is needed")
    return torch.stack([(torch.rand(shape, generator=g) * 2 - 1) * bound for g in generator])
