"""The staging network: SAGE layers over a graph of vessels, intercapillary areas and FAZ (GFT, section 2.2).

Per node type an MLP, then layers of message passing over every relation, an MLP again, sum and max pooling of
each type, and an MLP that gives the three stages. A layer computes for every node of the target type

    h' = act(h + root(h) + agg over relations of W_r mean_{neighbours}(h)),

which is a ``HeteroConv`` of ``SAGEConv``: its root weights and biases, one a relation, only ever occur as
their sum or mean, so they are one linear map here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from gftlib.errors import InputError, did_you_mean
from gftlib.octa.batches import NODE_TYPES, RELATIONS, WIDTHS, GraphBatch, Relation
from gftlib.octa.fitting import Recipe
from gftlib.octa.messages import mean_of_neighbours

STAGES = ("healthy", "NPDR", "PDR")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky": lambda: nn.LeakyReLU(inplace=True),
    "silu": nn.SiLU,
}
Pooling = Literal["sum", "mean", "max"]
# Sums over thousands of nodes are counted in units of a typical scan. The next linear map can undo that, so
# it is the same network; in raw units its first steps are so large that the head's units die.
SUM_UNIT = {"vessel": 2000.0, "ica": 500.0, "faz": 1.0}


@dataclass(frozen=True)
class StagingConfig:
    """Shape and recipe of the staging network; the default is the preset ``split2``, the paper's pooling.

    Args:
        hidden: Width of every hidden layer.
        layers: SAGE layers.
        before: Linear layers of each type's MLP before message passing.
        after: Linear layers of each type's MLP after it.
        head: Linear layers from the pooled features to the stages.
        pooling: How nodes become one vector a type; several are concatenated. The paper says sum and max.
        aggregation: How the relations that meet in a node type are joined.
        relations: Messages between all node types, or only those within or between types (``hetero_conns`` of
            the public code, swept there both ways).
        activation: The non-linearity.
        dropout: Share of hidden units dropped in training.
        pool_faz: Whether the FAZ node has a pooled vector of its own.
        pool_input: Whether the pooled input features join the pooled hidden ones.
        recipe: How it is trained.
    """

    hidden: int = 32
    layers: int = 1
    before: int = 2
    after: int = 2
    head: int = 3
    pooling: tuple[Pooling, ...] = ("sum", "max")
    aggregation: Literal["mean", "sum"] = "mean"
    relations: Literal["all", "between", "within"] = "all"
    activation: Literal["relu", "leaky", "silu"] = "relu"
    dropout: float = 0.1
    pool_faz: bool = True
    pool_input: bool = True
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        """Refuse unknown names and sizes that no network has."""
        for name, known in (("aggregation", ("mean", "sum")), ("relations", ("all", "between", "within"))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; known: {', '.join(known)}")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"no activation {self.activation!r}{did_you_mean(self.activation, ACTIVATIONS)}")
        if not self.pooling or not set(self.pooling) <= set(get_args(Pooling)):
            raise InputError(f"pooling is {self.pooling!r}; give one or more of sum, mean, max")
        for name in ("hidden", "before", "head"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.layers < 0 or self.after < 0 or not 0 <= self.dropout < 1:
            raise InputError("layers and after must be at least 0, dropout at least 0 and below 1")


# The surviving configurations of the graph paper's public code, one a cross-validation split. Its sweep files
# name `head` 4, 4 and 2, which the code does not pass on: its own default, 3, is what ran. Its label
# smoothing (a Gaussian over the stages, by mistake over the batch too) moves about as much mass as 0.1 here.
PRESETS = {
    "split2": StagingConfig(recipe=Recipe(label_smoothing=0.1)),
    "split3": StagingConfig(
        hidden=64,
        layers=2,
        before=4,
        after=2,
        pooling=("max", "mean"),
        aggregation="sum",
        activation="leaky",
        dropout=0.4,
        pool_faz=False,
        pool_input=False,
        recipe=Recipe(batch_size=32, lr=0.009027, weight_decay=0.004087),
    ),
    "split5": StagingConfig(
        hidden=64,
        layers=2,
        before=4,
        after=4,
        pooling=("max", "mean"),
        activation="leaky",
        dropout=0.4,
        pool_faz=False,
        pool_input=False,
        recipe=Recipe(batch_size=32, lr=0.003139, weight_decay=0.006237),
    ),
}


def preset(name: str) -> StagingConfig:
    """Return a configuration by name: ``split2`` (sum and max pooling, the paper's), ``split3``, ``split5``.

    Raises:
        InputError: If there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(f"no staging preset {name!r}{did_you_mean(name, PRESETS)}")
    return PRESETS[name]


class StagingGNN(nn.Module):
    """The network; :meth:`forward` returns logits.

    Args:
        config: Its shape.
        relations: Every relation of the graphs; ``config.relations`` chooses among them.
        widths: Features of each node type.
    """

    def __init__(
        self,
        config: StagingConfig | None = None,
        relations: tuple[Relation, ...] = RELATIONS,
        widths: Mapping[str, int] = WIDTHS,
    ) -> None:
        """Draw the weights from torch's current random state; see :mod:`gftlib.octa.training` for seeds."""
        super().__init__()
        self.config = config = config or StagingConfig()
        keep = {"all": (True, False), "within": (True,), "between": (False,)}[config.relations]
        used = tuple(relation for relation in relations if (relation[0] == relation[2]) in keep)
        size = config.hidden
        self.before = nn.ModuleDict({name: _mlp(widths[name], config.before, config) for name in NODE_TYPES})
        self.layers = nn.ModuleList(SAGELayer(size, used, config.aggregation) for _ in range(config.layers))
        self.after = nn.ModuleDict({name: _mlp(size, config.after, config) for name in NODE_TYPES})
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = _Dropout(config.dropout)
        self.pooled = NODE_TYPES if config.pool_faz else NODE_TYPES[:2]
        inputs = sum(widths[name] for name in self.pooled) if config.pool_input else 0
        width = len(config.pooling) * (size * len(self.pooled) + inputs)
        self.head = nn.Sequential(
            _mlp(width, config.head - 1, config, normalize=False),
            nn.Linear(size if config.head > 1 else width, len(STAGES)),
        )

    def forward(
        self,
        batch: GraphBatch,
        x: Mapping[str, Tensor] | None = None,
        edge_weight: Mapping[Relation, Tensor] | None = None,
    ) -> Tensor:
        """Return the logits of the stages, (batch.size, 3).

        Args:
            batch: The graphs.
            x: Node features in place of ``batch.x``; the result is differentiable in them.
            edge_weight: (E,) factor of each message by relation, 1 where a relation is not named; the result
                is differentiable in them.
        """
        x = batch.x if x is None else x
        nodes = {name: self.before[name](x[name]) for name in NODE_TYPES}
        for layer in self.layers:
            received = layer(nodes, batch, edge_weight or {})
            nodes = {name: self.dropout(self.activation(values)) for name, values in received.items()}
        parts = [self._pool(name, self.after[name](nodes[name]), batch) for name in self.pooled]
        if self.config.pool_input:
            parts += [self._pool(name, x[name], batch) for name in self.pooled]
        return self.head(torch.cat(parts, 1))

    def _pool(self, node_type: str, values: Tensor, batch: GraphBatch) -> Tensor:
        """Reduce the nodes (N, F) of one type to (graphs, F times number of poolings); no nodes give 0."""
        rows = []
        for part in values.split(batch.counts[node_type]):
            if len(part) == 0:
                rows.append(values.new_zeros(values.shape[1] * len(self.config.pooling)))
                continue
            reduced = {"sum": part.sum, "mean": part.mean, "max": part.amax}
            units = {"sum": SUM_UNIT[node_type]}
            rows.append(torch.cat([reduced[name](0) / units.get(name, 1.0) for name in self.config.pooling]))
        return torch.stack(rows)


class SAGELayer(nn.Module):
    """One round of messages over several relations.

    Args:
        size: Width of the node features, in and out.
        relations: The relations that carry messages.
        aggregation: Mean or sum over the relations that meet in a node type.
    """

    def __init__(self, size: int, relations: tuple[Relation, ...], aggregation: str) -> None:
        """Draw the weights."""
        super().__init__()
        self.relations = relations
        self.neighbour = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in relations)
        self.root = nn.ModuleDict({name: nn.Linear(size, size) for name in NODE_TYPES})
        meeting = {name: sum(relation[2] == name for relation in relations) for name in NODE_TYPES}
        self.share = {name: 1 / max(n, 1) if aggregation == "mean" else 1.0 for name, n in meeting.items()}

    def forward(
        self, nodes: Mapping[str, Tensor], batch: GraphBatch, edge_weight: Mapping[Relation, Tensor]
    ) -> dict[str, Tensor]:
        """Return each node with what it receives, (N_t, size) by type, before the activation."""
        # One product does both the residual and the root's map.
        root = {name: _plus_identity(linear.weight) for name, linear in self.root.items()}
        out = {
            name: torch.addmm(self.root[name].bias, values, root[name].T) for name, values in nodes.items()
        }
        for relation, linear in zip(self.relations, self.neighbour, strict=True):
            source, _, target = relation
            adjacency, weight = batch.adjacency[relation], edge_weight.get(relation)
            # The linear map commutes with the mean: it goes where there are fewer nodes to map.
            if len(nodes[source]) < len(nodes[target]):
                message = mean_of_neighbours(linear(nodes[source]), adjacency, weight)
                out[target].add_(message, alpha=self.share[target])
            else:
                mean = mean_of_neighbours(nodes[source], adjacency, weight)
                out[target].addmm_(mean, linear.weight.T, alpha=self.share[target])
        return out


class _Dropout(nn.Dropout):
    """Dropout from 16 random bits a unit: torch's own draw of a float was a third of a training step."""

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return values
        words = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device)
        bits = words.random_(-(2**63), None).view(torch.int16)[: values.numel()].view(values.shape)
        kept = bits >= round(self.p * 2**16) - 2**15
        return values * kept.to(values.dtype).mul_(1 / (1 - self.p))


class _NodeNorm(nn.BatchNorm1d):
    """Batch normalisation that, in a batch with a single node of its type, uses its running statistics."""

    def forward(self, values: Tensor) -> Tensor:
        if self.training and len(values) < 2:
            return batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(values)


def _mlp(width: int, layers: int, config: StagingConfig, normalize: bool = True) -> nn.Sequential:
    """Stack linear layers, each followed by normalisation, activation and dropout."""
    parts: list[nn.Module] = []
    for index in range(layers):
        parts.append(nn.Linear(width if index == 0 else config.hidden, config.hidden))
        if normalize:
            parts.append(_NodeNorm(config.hidden))
        parts += [ACTIVATIONS[config.activation](), _Dropout(config.dropout)]
    return nn.Sequential(*parts)


def _plus_identity(weight: Tensor) -> Tensor:
    """Add the residual connection to a square weight."""
    return weight + torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
