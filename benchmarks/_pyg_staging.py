"""The staging network as one writes it with PyTorch Geometric: a ``HeteroConv`` of ``SAGEConv``."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv, global_add_pool, global_max_pool, global_mean_pool

from gftlib.octa.batches import NODE_TYPES, GraphTensors
from gftlib.octa.staging import SUM_UNIT, StagingGNN

POOLS = {"max": global_max_pool, "mean": global_mean_pool}


def to_hetero(graph: GraphTensors) -> HeteroData:
    """Return the graph as PyG holds it."""
    data = HeteroData(y=graph.y)
    for name, values in graph.x.items():
        data[name].x = values
    for relation, pairs in graph.edges.items():
        data[relation].edge_index = pairs
    return data


def _pool(how: str, name: str, values: Tensor, data: HeteroData) -> Tensor:
    """Pool the nodes of one type."""
    index, size = data[name].batch, data.num_graphs
    if how == "sum":
        return global_add_pool(values, index, size=size) / SUM_UNIT[name]
    return POOLS[how](values, index, size=size)


class PygStaging(nn.Module):
    """The same function with the same weights."""

    def __init__(self, ours: StagingGNN) -> None:
        """Copy the weights of ``ours``."""
        super().__init__()
        self.config = ours.config
        self.before, self.after = copy.deepcopy(ours.before), copy.deepcopy(ours.after)
        self.head, self.pooled = copy.deepcopy(ours.head), ours.pooled
        self.activation, self.dropout = ours.activation, nn.Dropout(ours.config.dropout)
        self.convs = nn.ModuleList(self._conv(layer) for layer in ours.layers)

    def _conv(self, layer: nn.Module) -> HeteroConv:
        size = self.config.hidden
        convs = {}
        for relation, neighbour in zip(layer.relations, layer.neighbour, strict=True):
            conv = SAGEConv((size, size), size)
            root = layer.root[relation[2]]
            # SAGEConv has a root weight and a bias a relation; a sum of them must be ours.
            meeting = sum(other[2] == relation[2] for other in layer.relations)
            part = 1.0 if self.config.aggregation == "mean" else 1.0 / meeting
            with torch.no_grad():
                conv.lin_l.weight.copy_(neighbour.weight)
                conv.lin_l.bias.copy_(root.bias * part)
                conv.lin_r.weight.copy_(root.weight * part)
            convs[relation] = conv
        return HeteroConv(convs, aggr=self.config.aggregation)

    def forward(self, data: HeteroData) -> Tensor:
        """Return logits (B, 3)."""
        raw = {name: data[name].x for name in NODE_TYPES}
        nodes = {name: self.before[name](values) for name, values in raw.items()}
        for conv in self.convs:
            change = conv(nodes, data.edge_index_dict)
            nodes = {name: self.dropout(self.activation(nodes[name] + change[name])) for name in NODE_TYPES}
        groups = [{name: self.after[name](nodes[name]) for name in self.pooled}]
        groups += [raw] if self.config.pool_input else []
        parts = [
            _pool(how, name, values[name], data)
            for values in groups
            for name in self.pooled
            for how in self.config.pooling
        ]
        return self.head(torch.cat(parts, 1))
