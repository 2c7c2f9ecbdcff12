"""The straight path of integrated gradients, walked in chunks of replicas of one graph (GFT, equation 1).

The points of the path are independent of each other, so a chunk of them is one block-diagonal batch, forward
and backward; parameters get no gradients.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gftlib.octa.batches import GraphBatch, GraphTensors, Relation, collate

Walk = Literal["joint", "node", "edge"]
Rule = Literal["gausslegendre", "midpoint", "trapezoid"]
Output = Literal["logit", "log_odds"]
_CAPTUM_RULE = {"gausslegendre": "gausslegendre", "midpoint": "riemann_middle"}


def class_output(logits: Tensor, target: int, output: Output) -> Tensor:
    """Reduce (B, classes) logits to the (B,) number that is attributed.

    A constant added to all logits changes no probability but every logit; the log-odds of the class against
    all others are free of it.
    """
    if output == "logit":
        return logits[:, target]
    others = [index for index in range(logits.shape[1]) if index != target]
    return logits[:, target] - logits[:, others].logsumexp(1)


class GraphPath:
    """The straight path from a baseline to a graph; integrals over it are flat lists of tensors."""

    def __init__(
        self,
        model: nn.Module,
        graph: GraphTensors,
        start: dict[str, Tensor],
        walk: Walk,
        rule: Rule,
        chunk: int,
        output: Output = "logit",
    ) -> None:
        """Evaluate both ends.

        Args:
            model: ``model(batch, x, edge_weight)`` -> (B, classes) logits, in evaluation mode.
            graph: The end of the path, with all edge weights 1.
            start: Node type -> (n, features) start of the path, with all edge weights 0.
            walk: Which of the two moves; the other keeps its value at the end of the path.
            rule: Quadrature.
            chunk: Replicas in one batch.
            output: What is attributed, see `class_output`.
        """
        self.model, self.graph, self.rule, self.chunk, self.output = model, graph, rule, chunk, output
        self.moves_nodes, self.moves_edges = walk != "edge", walk != "node"
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.device = device
        self.input = {kind: x.to(device) for kind, x in graph.x.items()}
        self.start = {kind: start[kind].to(device) for kind in graph.x} if self.moves_nodes else self.input
        self.shift = {kind: x - self.start[kind] for kind, x in self.input.items()}
        self._batches: dict[int, GraphBatch] = {}
        with torch.no_grad():
            self.base_logits, self.logits = self.model(*self._at(np.array([0.0, 1.0])))

    def points(self, steps: int) -> int:
        """Return how many gradients an integral of so many steps takes."""
        return steps + (self.rule == "trapezoid")

    def integral(self, target: int, steps: int) -> list[Tensor]:
        """Return the contributions to the output: those of each node type, then those of each relation."""
        return self._integral(target, *quadrature(self.rule, steps))

    def refined(self, total: list[Tensor], target: int, steps: int) -> tuple[list[Tensor], int]:
        """Return the integral at twice the ``steps`` of ``total``, and how many gradients that took.

        The trapezoid rule needs the new points only: T(2n) = (T(n) + M(n)) / 2.
        """
        if self.rule != "trapezoid":
            return self.integral(target, 2 * steps), 2 * steps
        between = self._integral(target, *quadrature("midpoint", steps))
        return [(a + b) / 2 for a, b in zip(total, between, strict=True)], steps

    def split(self, total: list[Tensor]) -> tuple[dict[str, Tensor], dict[Relation, Tensor]]:
        """Name the parts of an integral: nodes by type, edges by relation."""
        count = len(self.input) if self.moves_nodes else 0
        nodes = dict(zip(self.input, total[:count], strict=False))
        edges = dict(zip(self.graph.edges, total[count:], strict=False))
        return nodes, edges

    def _integral(self, target: int, alphas: np.ndarray, weights: np.ndarray) -> list[Tensor]:
        pieces = -(-len(alphas) // self.chunk)
        total: list[Tensor] | None = None
        for alpha, weight in zip(
            np.array_split(alphas, pieces), np.array_split(weights, pieces), strict=True
        ):
            batch, x, edge_weight = self._at(alpha)
            moving = [
                *(x.values() if self.moves_nodes else ()),
                *(edge_weight.values() if self.moves_edges else ()),
            ]
            for part in moving:
                part.requires_grad_()
            value = class_output(self.model(batch, x, edge_weight), target, self.output)
            scale = torch.as_tensor(weight, dtype=value.dtype, device=self.device)
            # The replicas are independent: one backward pass of the weighted sum gives each its own gradient.
            grads = torch.autograd.grad(
                (value * scale).sum(), moving, allow_unused=True, materialize_grads=True
            )
            sums = [g.view(len(alpha), -1, *g.shape[1:]).sum(0) if g.numel() else g for g in grads]
            total = sums if total is None else [a + b for a, b in zip(total, sums, strict=True)]
        shifts = list(self.shift.values()) if self.moves_nodes else []
        # The shift of an edge weight is 1.
        return [t * s for t, s in zip(total, shifts, strict=False)] + total[len(shifts) :]

    def _at(self, alphas: np.ndarray) -> tuple[GraphBatch, dict[str, Tensor], dict[Relation, Tensor]]:
        count = len(alphas)
        if count not in self._batches:
            self._batches[count] = collate([self.graph] * count).to(self.device)
        alpha = torch.as_tensor(alphas, dtype=torch.float32, device=self.device)
        x = {}
        for kind, start in self.start.items():
            a = alpha.to(start.dtype)[:, None, None]
            x[kind] = (
                (start + a * self.shift[kind]).flatten(0, 1) if self.moves_nodes else start.repeat(count, 1)
            )
        edge_weight = {}
        for relation, edges in self.graph.edges.items():
            weight = alpha if self.moves_edges else torch.ones_like(alpha)
            edge_weight[relation] = weight.repeat_interleave(edges.shape[1])
        return self._batches[count], x, edge_weight


def quadrature(rule: Rule, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights on [0, 1]; the weights add up to 1."""
    if rule == "trapezoid":
        # captum's own trapezoid weights add up to (n - 1) / n.
        weights = np.full(steps + 1, 1 / steps)
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps + 1), weights
    from captum.attr._utils.approximation_methods import approximation_parameters

    sizes, alphas = approximation_parameters(_CAPTUM_RULE[rule])
    return np.array(alphas(steps)), np.array(sizes(steps))
