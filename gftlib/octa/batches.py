"""Graphs as tensors: one graph, a batch of graphs, and the z-score of the training fold (GFT, section 2.2).

A batch is the disjoint union of its graphs: nodes of a type are stacked in the order of the graphs, edges
keep their order within each graph, and every relation carries its adjacency in compressed sparse rows
together with the transpose, worked out once a graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gftlib.errors import InputError
from gftlib.octa.adjacency import EDGE_TYPES
from gftlib.octa.features import FEATURES
from gftlib.octa.messages import Adjacency, Rows

if TYPE_CHECKING:
    from gftlib.octa.graph import OctaGraph

NODE_TYPES = ("vessel", "ica", "faz")
Relation = tuple[str, str, str]
RELATIONS: tuple[Relation, ...] = EDGE_TYPES
WIDTHS = {name: len(columns) for name, columns in FEATURES.items()}


@dataclass(frozen=True)
class GraphTensors:
    """One heterogeneous graph.

    Args:
        x: Node features by type, (N_t, F_t) float32.
        edges: Edges by relation ``(source, name, target)``, (2, E) int64 rows of source and target.
        y: Stage: 0 healthy, 1 NPDR, 2 PDR; -1 where it is not known.
    """

    x: dict[str, Tensor]
    edges: dict[Relation, Tensor]
    y: int = -1

    def __post_init__(self) -> None:
        """Refuse edges that leave the graph."""
        for relation, pairs in self.edges.items():
            for row, end in ((0, relation[0]), (1, relation[2])):
                size = len(self.x[end]) if end in self.x else 0
                if pairs.numel() and not 0 <= int(pairs[row].min()) <= int(pairs[row].max()) < size:
                    raise InputError(f"the relation {relation} names a node outside the {size} {end} nodes")

    @cached_property
    def adjacency(self) -> dict[Relation, Adjacency]:
        """Both groupings of every relation."""
        return {
            relation: Adjacency.of(pairs, len(self.x[relation[0]]), len(self.x[relation[2]]))
            for relation, pairs in self.edges.items()
        }

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of features, edges and stage."""
        digest = hashlib.sha256(str(self.y).encode())
        for key, values in [*sorted(self.x.items()), *sorted(self.edges.items())]:
            digest.update(f"{key}{tuple(values.shape)}".encode())
            digest.update(np.ascontiguousarray(values.numpy()))
        return digest.digest()


@dataclass(frozen=True)
class GraphBatch:
    """Several graphs side by side; made by :func:`collate`.

    Args:
        x: Node features by type, (N_t, F_t).
        adjacency: Both groupings of every relation.
        y: Stages, (size,) int64.
        graphs: The graphs.
    """

    x: dict[str, Tensor]
    adjacency: dict[Relation, Adjacency]
    y: Tensor
    graphs: tuple[GraphTensors, ...]

    @property
    def size(self) -> int:
        """The number of graphs."""
        return len(self.graphs)

    @cached_property
    def counts(self) -> dict[str, tuple[int, ...]]:
        """Nodes of each graph by type, in the order of the graphs."""
        return {name: tuple(len(graph.x[name]) for graph in self.graphs) for name in self.x}

    @cached_property
    def graph_of(self) -> dict[str, Tensor]:
        """The graph of each node by type, (N_t,) int64, ascending."""
        numbers = torch.arange(self.size)
        return {
            name: torch.repeat_interleave(numbers, torch.tensor(sizes)).to(self.y.device)
            for name, sizes in self.counts.items()
        }

    @cached_property
    def edges(self) -> dict[Relation, Tensor]:
        """Edges by relation, (2, E) int64, shifted to the batch's nodes."""
        starts = _starts(self.graphs)
        edges = {}
        for relation in self.adjacency:
            pairs = [graph.edges[relation] for graph in self.graphs]
            shifts = torch.tensor([starts[relation[0]], starts[relation[2]]])
            sizes = torch.tensor([part.shape[1] for part in pairs])
            edges[relation] = (torch.cat(pairs, 1) + torch.repeat_interleave(shifts, sizes, 1)).to(
                self.y.device
            )
        return edges

    def to(self, device: torch.device | str) -> GraphBatch:
        """Copy to a device."""
        return GraphBatch(
            {name: values.to(device) for name, values in self.x.items()},
            {relation: rows.to(device) for relation, rows in self.adjacency.items()},
            self.y.to(device),
            self.graphs,
        )


def collate(graphs: Sequence[GraphTensors]) -> GraphBatch:
    """Put graphs side by side.

    Raises:
        InputError: If there is none, or if they differ in node types or relations.
    """
    if not graphs:
        raise InputError("no graph to batch: give at least one")
    first = graphs[0]
    for index, graph in enumerate(graphs):
        if graph.x.keys() != first.x.keys() or graph.edges.keys() != first.edges.keys():
            raise InputError(f"graph {index} of the batch has other node types or relations than the first")
    starts = _starts(graphs)
    adjacency = {}
    for relation in first.edges:
        rows = [graph.adjacency[relation] for graph in graphs]
        adjacency[relation] = Adjacency(
            Rows.stack([row.incoming for row in rows], starts[relation[0]]),
            Rows.stack([row.outgoing for row in rows], starts[relation[2]]),
        )
    x = {name: torch.cat([graph.x[name] for graph in graphs]) for name in first.x}
    return GraphBatch(x, adjacency, torch.tensor([graph.y for graph in graphs]), tuple(graphs))


def _starts(graphs: Sequence[GraphTensors]) -> dict[str, list[int]]:
    """Return the first node of each graph in a batch, by type."""
    return {name: [0, *accumulate(len(graph.x[name]) for graph in graphs)][:-1] for name in graphs[0].x}


class Normalizer:
    """The z-score of each feature of each node type, with statistics of the training fold only.

    Args:
        mean: Location by node type, (F_t,).
        std: Scale by node type, (F_t,); 1 where the feature does not vary.
    """

    def __init__(self, mean: Mapping[str, Tensor], std: Mapping[str, Tensor]) -> None:
        """Take statistics as they are; :meth:`fit` measures them."""
        self.mean, self.std = dict(mean), dict(std)

    @classmethod
    def fit(cls, graphs: Sequence[GraphTensors], robust: bool = False) -> Normalizer:
        """Measure the training graphs; values that are not finite do not count.

        Args:
            graphs: The graphs of the training fold.
            robust: Median and scaled median absolute deviation in place of mean and standard deviation.
                Fitted on the graphs of a foreign set, this is how the model's public code meets OCTA-500.

        Raises:
            InputError: If there is no graph.
        """
        if not graphs:
            raise InputError("no graph to normalize by: the training fold is empty")
        mean, std = {}, {}
        for name in graphs[0].x:
            values = torch.cat([graph.x[name] for graph in graphs]).double().numpy()
            location, scale = _moments(values, robust)
            mean[name], std[name] = torch.from_numpy(location).float(), torch.from_numpy(scale).float()
        return cls(mean, std)

    def __call__(self, graph: GraphTensors) -> GraphTensors:
        """Return the graph with z-scored features; what is not finite becomes 0, the training mean."""
        x = {
            name: torch.nan_to_num((v - self.mean[name]) / self.std[name], nan=0.0, posinf=0.0, neginf=0.0)
            for name, v in graph.x.items()
        }
        normalized = replace(graph, x=x)
        # The edges are the same, so is their grouping: it is worked out once a graph, not once a fold.
        normalized.__dict__["adjacency"] = graph.adjacency
        return normalized

    def state(self) -> dict[str, Tensor]:
        """Return the statistics as named tensors, for a checkpoint."""
        return {f"mean.{name}": value for name, value in self.mean.items()} | {
            f"std.{name}": value for name, value in self.std.items()
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Normalizer:
        """Restore what :meth:`state` gave."""
        parts: dict[str, dict[str, Tensor]] = {"mean": {}, "std": {}}
        for key, value in state.items():
            kind, _, name = key.partition(".")
            parts[kind][name] = value
        return cls(parts["mean"], parts["std"])


def _moments(values: np.ndarray, robust: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return location and scale (F,) of the columns of ``values`` (N, F), finite entries only."""
    location, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
    for column in range(values.shape[1]):
        finite = values[np.isfinite(values[:, column]), column]
        if len(finite) == 0:
            continue
        location[column] = np.median(finite) if robust else finite.mean()
        spread = 1.4826 * np.median(np.abs(finite - location[column])) if robust else finite.std()
        # Below this the spread of equal numbers is rounding.
        scale[column] = spread if spread > 1e-7 * max(1.0, abs(location[column])) else 1.0
    return location, scale


def from_octa_graph(graph: OctaGraph, y: int = -1) -> GraphTensors:
    """Turn an :class:`gftlib.octa.graph.OctaGraph` into tensors; node and edge order stay as they are."""
    return GraphTensors(
        {name: torch.from_numpy(np.asarray(getattr(graph, name), np.float32)) for name in NODE_TYPES},
        {
            relation: torch.from_numpy(np.asarray(pairs, np.int64).reshape(2, -1))
            for relation, pairs in graph.edges.items()
        },
        int(y),
    )
