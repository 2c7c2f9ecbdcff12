"""Do attributions say what the network does? Deletion and insertion curves, and the randomisation check.

Sources: Petsiuk et al., "RISE" (deletion and insertion); Adebayo et al., "Sanity checks for saliency maps"
(cascading randomisation: an attribution that survives the loss of the weights does not explain them). A
deleted node takes the features of a baseline and its messages are cut, in both directions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from gftlib.errors import InputError
from gftlib.octa.attribution import IGConfig, integrated_gradients
from gftlib.octa.batches import GraphTensors, collate
from gftlib.octa.ranking import node_importance

SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Curves:
    """A target's probability while nodes go (deletion) or come (insertion), the most important first.

    Attributes:
        shares: (s,) share of the nodes that are gone, or there.
        deletion: (s,) probability; falls early if the ranking is faithful.
        insertion: (s,) probability; rises early if the ranking is faithful.
    """

    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve, lower is better."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve, higher is better."""
        return float(np.trapezoid(self.insertion, self.shares))


def faithfulness_curves(
    model: nn.Module,
    graph: GraphTensors,
    importance: Mapping[str, np.ndarray],
    target: int,
    baseline: Mapping[str, Tensor] | None = None,
    shares: tuple[float, ...] = SHARES,
) -> Curves:
    """Delete and insert nodes in the order of their importance.

    Args:
        model: ``model(batch, x, edge_weight)`` -> logits, in evaluation mode.
        graph: One normalised graph.
        importance: Node type -> (n,); a random one gives the curves to compare with.
        target: The class.
        baseline: Features of a deleted node, as in `integrated_gradients`; zero if not given.
        shares: Points of the curves, ascending from 0 to 1.

    Raises:
        InputError: If the shares do not ascend from 0 to 1, or importances and nodes do not match.
    """
    if shares[0] != 0 or shares[-1] != 1 or np.any(np.diff(shares) <= 0):
        raise InputError(f"shares must ascend from 0 to 1, got {shares}")
    if any(len(importance.get(kind, ())) != len(x) for kind, x in graph.x.items()):
        raise InputError("importances must be given for every node of the graph")
    order = np.argsort(-np.concatenate([importance[kind] for kind in graph.x]), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    first = rank[None] < np.round(np.array(shares) * len(order))[:, None]
    alive = torch.from_numpy(np.concatenate([~first, first]))
    probability = _probability(model, graph, alive, target, baseline or {})
    return Curves(np.array(shares), probability[: len(shares)], probability[len(shares) :])


def _probability(
    model: nn.Module, graph: GraphTensors, alive: Tensor, target: int, baseline: Mapping[str, Tensor]
) -> np.ndarray:
    """Return the (r,) probabilities of the class for (r, nodes) masks of nodes that are there."""
    parts = dict(zip(graph.x, alive.split([len(x) for x in graph.x.values()], 1), strict=True))
    out = []
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batch = collate([graph]).to(device)
    with torch.no_grad():
        for row in range(len(alive)):
            there = {kind: part[row] for kind, part in parts.items()}
            x = {
                kind: torch.where(there[kind][:, None], values, baseline.get(kind, torch.zeros_like(values)))
                for kind, values in graph.x.items()
            }
            weight = {
                relation: (there[relation[0]][pairs[0]] & there[relation[2]][pairs[1]]).float()
                for relation, pairs in graph.edges.items()
            }
            x, weight = ({key: part.to(device) for key, part in values.items()} for values in (x, weight))
            out.append(model(batch, x, weight).softmax(1)[0, target])
    return torch.stack(out).cpu().numpy()


def randomisation_check(
    model: nn.Module,
    graph: GraphTensors,
    seed: int = 0,
    config: IGConfig | None = None,
    target: int | None = None,
) -> list[tuple[str, float]]:
    """Randomise the network from its output down and compare the importance of nodes each time.

    Args:
        model: As in `integrated_gradients`; it is left as it is.
        graph: One normalised graph.
        seed: Of the new weights; torch's own random state is left as it is.
        config: Of the attributions.
        target: The class; the one that the intact network predicts if not given.

    Returns:
        For each child of the model, the last one first: its name, and Spearman's correlation of the node
        importances of the intact network and of the one without the weights of this child and all after it.
    """
    intact = integrated_gradients(model, graph, config, target=target)
    reference = np.concatenate(list(node_importance(intact).values()))
    damaged, found = copy.deepcopy(model), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, child in reversed(list(damaged.named_children())):
            if not any(True for _ in child.parameters()):
                continue
            for module in child.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
            result = integrated_gradients(damaged, graph, config, target=intact.target)
            importance = np.concatenate(list(node_importance(result).values()))
            found.append((name, float(spearmanr(reference, importance).statistic)))
    return found
