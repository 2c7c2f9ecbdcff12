"""Integrated gradients on the nodes and on the edges of a heterogeneous graph.

Source: GFT, section 2.3 and equation (1); the method is Sundararajan et al., 2017. Each edge carries a
weight, 1 in the graph as it is and 0 where the edge is absent, which multiplies its message. The default path
moves node features and edge weights together from the baseline to the graph, so that the attributions of all
nodes and all edges add up to F(graph) - F(baseline); the node path holds the edges at 1, the edge path holds
the features. F is the raw logit of one class, or its log-odds against the others. The paper says neither
which path it takes nor which F.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import get_args

import torch
from torch import Tensor, nn

from gftlib.errors import InputError, did_you_mean
from gftlib.octa.batches import GraphTensors, Relation
from gftlib.octa.ig_path import GraphPath, Output, Rule, Walk, class_output

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IGConfig:
    """How one attribution is computed.

    Attributes:
        walk: What moves along the path: node features and edge weights together, or one of them alone.
        rule: Quadrature over the path. ``trapezoid`` can be refined without repeating a step.
        output: What is attributed: the raw logit of the class, or its log-odds against all others.
        steps: Points of the first (or only) pass; intervals for ``trapezoid``, which has one point more.
        chunk: Replicas of the graph in one batch.
        stable: The share of the ``top`` highest ranked nodes, and of the edges, that must stay the same when
            the steps are doubled; 0 makes one pass of ``steps`` and checks nothing.
        top: Length of the compared rankings.
        most_steps: No pass has more steps than this.
    """

    walk: Walk = "joint"
    rule: Rule = "trapezoid"
    output: Output = "logit"
    steps: int = 16
    chunk: int = 8
    stable: float = 0.95
    top: int = 20
    most_steps: int = 256

    def __post_init__(self) -> None:
        """Refuse unknown names and counts that no pass can have."""
        for name, kind in (("walk", Walk), ("rule", Rule), ("output", Output)):
            if getattr(self, name) not in get_args(kind):
                value = str(getattr(self, name))
                raise InputError(f"unknown {name} {value!r}{did_you_mean(value, get_args(kind))}")
        if self.chunk < 1 or self.top < 1 or not 2 <= self.steps <= self.most_steps:
            raise InputError(
                f"integrated gradients need 2 <= steps <= most_steps, chunk and top >= 1: {self}"
            )
        if not 0 <= self.stable <= 1:
            raise InputError(f"stable is a share from 0 to 1, got {self.stable}")


@dataclass(frozen=True)
class Attribution:
    """The contributions of one graph's nodes and edges to one class.

    Attributes:
        nodes: Node type -> (n, features) signed contributions; empty on the edge path.
        edges: Relation -> (E,) signed contributions of the directed edges; empty on the node path.
        target: The class.
        logits: (classes,) logits of the graph.
        change: F(graph) - F(baseline).
        steps: Steps of the last pass.
        evaluations: Points of the path at which a gradient was taken, all passes together.
        overlap: Shared part of the top rankings of the last two passes, the smaller one of nodes and edges;
            None if there was one pass only.
    """

    nodes: dict[str, Tensor]
    edges: dict[Relation, Tensor]
    target: int
    logits: Tensor
    change: float
    steps: int
    evaluations: int
    overlap: float | None = field(default=None)

    @property
    def total(self) -> float:
        """The sum of all contributions; equals `change` for an exact integral (completeness)."""
        return float(sum(part.double().sum() for part in (*self.nodes.values(), *self.edges.values())))

    @property
    def completeness_error(self) -> float:
        """``|total - change| / |change|``; NaN if the logit does not change."""
        return abs(self.total - self.change) / abs(self.change) if self.change else float("nan")


def integrated_gradients(
    model: nn.Module,
    graph: GraphTensors,
    config: IGConfig | None = None,
    baseline: dict[str, Tensor] | None = None,
    target: int | None = None,
) -> Attribution:
    """Attribute one class's output to a graph's node features and edges (GFT, equation 1).

    With ``config.stable`` above 0 the steps are doubled until the highest ranks of nodes and of edges no
    longer change, because ReLU networks with sum pooling do not reach a small completeness error at any usual
    number of steps.

    Args:
        model: ``model(batch, x=..., edge_weight=...)`` -> (B, classes) logits, as `StagingGNN`. It is run in
            evaluation mode; mode and parameters are left as they were.
        graph: One normalised graph.
        config: See `IGConfig`.
        baseline: Node type -> (n, features) start of the path; types not named start at zero, which is the
            training mean after z-scores. Edges start at 0 (absent).
        target: The class; the predicted one if not given.

    Returns:
        The attribution, on the device of the model.

    Raises:
        InputError: If a baseline does not fit the graph or the target is no class of the model.
    """
    config = config or IGConfig()
    start = _start(graph, baseline)
    with _frozen(model):
        path = GraphPath(model, graph, start, config.walk, config.rule, config.chunk, config.output)
        target = int(path.logits.argmax()) if target is None else target
        if not 0 <= target < len(path.logits):
            raise InputError(f"target {target} is no class: the model has {len(path.logits)}")
        total, evaluations, overlap = path.integral(target, config.steps), path.points(config.steps), None
        steps = config.steps
        while config.stable and 2 * steps <= config.most_steps:
            finer, more = path.refined(total, target, steps)
            evaluations += more
            overlap = _overlap(path.split(total), path.split(finer), config.top)
            total, steps = finer, 2 * steps
            if overlap >= config.stable:
                break
        else:
            if config.stable:
                logger.info("top-%d overlap %s after %d steps", config.top, overlap, steps)
    nodes, edges = path.split(total)
    ends = class_output(torch.stack([path.base_logits, path.logits]), target, config.output)
    change = float(ends[1] - ends[0])
    return Attribution(nodes, edges, target, path.logits, change, steps, evaluations, overlap)


def _overlap(before: tuple[dict, dict], after: tuple[dict, dict], top: int) -> float:
    """The smaller of the shared parts of the highest ranked nodes and of the highest ranked edges."""
    shares = []
    for old, new in zip(before, after, strict=True):
        if not old:
            continue
        sets = []
        for parts in (old, new):
            flat = torch.cat([p.abs().flatten(1).sum(1) if p.dim() > 1 else p.abs() for p in parts.values()])
            sets.append(set(flat.topk(min(top, len(flat))).indices.tolist()))
        shares.append(len(sets[0] & sets[1]) / max(len(sets[0]), 1))
    return min(shares, default=1.0)


def _start(graph: GraphTensors, baseline: dict[str, Tensor] | None) -> dict[str, Tensor]:
    baseline = baseline or {}
    for kind, values in baseline.items():
        if kind not in graph.x or values.shape != graph.x[kind].shape:
            wanted = {k: tuple(v.shape) for k, v in graph.x.items()}
            raise InputError(
                f"the baseline of {kind!r} has shape {tuple(values.shape)}; the graph has {wanted}"
            )
    return {kind: baseline.get(kind, torch.zeros_like(x)) for kind, x in graph.x.items()}


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without parameter gradients; both are put back afterwards."""
    training = {module: module.training for module in model.modules()}
    needed = [p for p in model.parameters() if p.requires_grad]
    try:
        model.eval()
        for parameter in needed:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for parameter in needed:
            parameter.requires_grad_(True)
