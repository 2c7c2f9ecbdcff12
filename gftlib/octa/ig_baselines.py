"""Where the path of integrated gradients starts: zero, or what training scans look like at the same place.

GFT, section 2.3, names a baseline input and does not say which. After z-scores with training-fold statistics
the zero vector is the training mean. The alternatives follow the graph code that the paper builds on: a
statistic of the k training nodes of the same type that lie nearest to the node; the FAZ starts at zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree
from torch import Tensor

from gftlib.errors import InputError, did_you_mean
from gftlib.octa.batches import GraphTensors

BaselineKind = Literal["zero", "mean", "median", "quantile"]
Positions = Mapping[str, ArrayLike]
BAND = (0.1, 0.9)


class Baseline:
    """A baseline for the nodes of any graph, from the nodes of the training graphs.

    ``quantile`` is the mean of the neighbours' values between their 10 % and 90 % quantiles, by feature.
    """

    def __init__(
        self, kind: BaselineKind = "zero", k: int = 100, zero_types: Sequence[str] = ("faz",)
    ) -> None:
        """Choose the statistic.

        Args:
            kind: ``zero`` needs no training graphs; the others are statistics of the neighbours.
            k: Neighbours, fewer where training has fewer nodes of a type.
            zero_types: Node types that start at zero whatever the kind.

        Raises:
            InputError: If the kind is unknown or k is not positive.
        """
        if kind not in get_args(BaselineKind):
            raise InputError(f"unknown baseline {kind!r}{did_you_mean(str(kind), get_args(BaselineKind))}")
        if k < 1:
            raise InputError(f"a baseline needs k >= 1 neighbours, got {k}")
        self.kind, self.k, self.zero_types = kind, k, frozenset(zero_types)
        self._trees: dict[str, cKDTree] = {}
        self.values: dict[str, np.ndarray] = {}

    def fit(self, graphs: Sequence[GraphTensors], positions: Sequence[Positions]) -> Baseline:
        """Remember the training nodes.

        Args:
            graphs: Normalised training graphs.
            positions: For each graph, node type -> (n, 2) positions in one shared frame.

        Returns:
            The baseline itself.

        Raises:
            InputError: If there are no graphs, or positions and nodes do not match.
        """
        if not graphs or len(graphs) != len(positions):
            raise InputError(
                f"a baseline needs training graphs, each with positions: {len(graphs)}, {len(positions)}"
            )
        for kind in set(graphs[0].x) - self.zero_types:
            points = np.concatenate([np.asarray(p[kind], dtype=float).reshape(-1, 2) for p in positions])
            values = torch.cat([g.x[kind] for g in graphs]).cpu().numpy()
            if len(points) != len(values):
                raise InputError(f"{len(points)} positions for {len(values)} nodes of type {kind!r}")
            if len(points):
                self._trees[kind], self.values[kind] = cKDTree(points), values
        return self

    def __call__(self, graph: GraphTensors, positions: Positions) -> dict[str, Tensor]:
        """Return node type -> (n, features), the start of the path for one normalised graph.

        Raises:
            InputError: If the kind needs training nodes of a type and `fit` has seen none.
        """
        start = {}
        for kind, x in graph.x.items():
            if self.kind == "zero" or kind in self.zero_types or not len(x):
                start[kind] = torch.zeros_like(x)
                continue
            if kind not in self._trees:
                raise InputError(
                    f"the {self.kind} baseline has seen no training node of type {kind!r}: call fit"
                )
            tree, values = self._trees[kind], self.values[kind]
            nearest = tree.query(
                np.asarray(positions[kind], dtype=float), k=np.arange(1, min(self.k, tree.n) + 1)
            )[1]
            start[kind] = torch.as_tensor(self._statistic(values[nearest])).to(x)
        return start

    def _statistic(self, values: np.ndarray) -> np.ndarray:
        """Reduce (n, k, features) to (n, features)."""
        if self.kind == "mean":
            return values.mean(1)
        if self.kind == "median":
            return np.median(values, axis=1)
        low, high = np.quantile(values, BAND, axis=1)[:, :, None]
        inside = (values >= low) & (values <= high)
        return (values * inside).sum(1) / np.maximum(inside.sum(1), 1)
