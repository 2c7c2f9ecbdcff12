"""What becomes of the general knowledge: held-back concepts, neutral captions, retrieval, and Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.manifold import TSNE
from sklearn.metrics import average_precision_score, silhouette_score
from torch import Tensor

from gftlib.datasets.class_concepts import ClassConceptData
from gftlib.errors import InputError, did_you_mean
from gftlib.scale.adapters import AdapterPair
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.encoders import Encoder
from gftlib.scale.features import Features, restrict
from gftlib.scale.outputs import evaluate, from_similarities


@dataclass(frozen=True, eq=False)
class Space:
    """The joint embedding space of a model: frozen, adapted or tuned. All rows of unit length.

    Args:
        images: ``(N, dim)``.
        prompts: ``(H, dim)``.
        negative: ``(dim,)``.
        sentences: ``(S, dim)``.
        captions: Of each image, ``(N, dim)``; empty without captions.
    """

    images: Tensor
    prompts: Tensor
    negative: Tensor
    sentences: Tensor
    captions: Tensor

    def adapted(self, pair: AdapterPair) -> Space:
        """Return the space under the adapters of a single run."""
        with torch.no_grad():
            image, text = (lambda x: pair.image(x[None])[0]), (lambda x: pair.text(x[None])[0])
            return Space(
                image(self.images),
                text(self.prompts),
                text(self.negative[None])[0],
                text(self.sentences),
                text(self.captions) if len(self.captions) else self.captions,
            )


def space_of(features: Features, data: ClassConceptData, encoder: Encoder) -> Space:
    """Return the space of ``features``, which ``encoder`` made from ``data``, with its captions."""
    captions = features.prompts[:0]
    if len(data.captions):
        encoded = EmbeddingCache(encoder).texts(list(data.captions))
        captions = torch.nn.functional.normalize(encoded, dim=-1)
    return Space(features.images[0], features.prompts, features.negative, features.sentences, captions)


def hold_back(features: Features, groups: Sequence[str]) -> tuple[Features, list[int]]:
    """Return the features without the combinations of ``groups``, and the indices of those held back.

    Raises:
        InputError: If a group is unknown or all are held back.
    """
    known = features.task.groups()
    for group in groups:
        if group not in known:
            raise InputError(f"unknown group {group!r}{did_you_mean(group, known)}")
    held = [h for group in groups for h in known[group]]
    rest = [h for h in range(len(features.task)) if h not in held]
    if not rest:
        raise InputError("every group is held back; nothing is left to train on")
    return restrict(features, rest), held


def retained(features: Features, space: Space, held: Sequence[int], logit_scale: float) -> dict[str, Any]:
    """Return zero-shot metrics on held-back combinations and on neutral captions, over the test images.

    Args:
        features: With all combinations.
        space: Of the model after training on the others.
        held: Indices of the held-back combinations.
        logit_scale: What cosines are multiplied with.
    """
    test = torch.from_numpy(np.flatnonzero(features.test))
    own = restrict(features, held)
    similarity = (space.images[test] @ space.prompts[list(held)].T).double().numpy()
    negative = (space.images[test] @ space.negative).double().numpy()
    outputs = from_similarities(own.task, similarity, negative, logit_scale)
    report = evaluate(own.task, own.labels[features.test], outputs)["combination"]
    found = {"held_back_macro_f1": report["macro_f1"], "held_back_auc": report["auc"]}
    if len(space.captions):
        found["caption_recall_at_5"] = recall_at(space.images[test], space.captions[test], 5)
    return found


def recall_at(images: Tensor, captions: Tensor, k: int) -> float:
    """Return the share of images whose own caption is among the ``k`` most similar ones; ties count half.

    Captions are neutral and may repeat: a rank counts the others that are more similar.
    """
    similarity = images @ captions.T
    own = similarity.diagonal().unsqueeze(1)
    better = (similarity > own + 1e-6).sum(1)
    tied = ((similarity - own).abs() <= 1e-6).sum(1) - 1
    return float(((better + 0.5 * tied) < k).double().mean())


def retrieval(features: Features, space: Space, k: int = 10) -> dict[str, Any]:
    """Return how well the prompt of each combination finds test images ("image retrieval", SCALE, section 4).

    Returns:
        ``mean_average_precision`` and ``precision_at_k`` over the combinations that occur in the test,
        ``chance``, their mean prevalence, and the average precision of each.
    """
    labels = features.labels[features.test]
    test = torch.from_numpy(np.flatnonzero(features.test))
    similarity = (space.images[test] @ space.prompts.T).double().numpy()
    there = np.flatnonzero(labels.any(0))
    precision = {
        features.task.combinations[h].name: float(average_precision_score(labels[:, h], similarity[:, h]))
        for h in there
    }
    first = np.argsort(-similarity, axis=0, kind="stable")[:k]
    at_k = [labels[first[:, h], h].mean() for h in there]
    return {
        "mean_average_precision": float(np.mean(list(precision.values()))),
        "precision_at_k": float(np.mean(at_k)),
        "k": k,
        "chance": float(labels[:, there].mean()),
        "average_precision": precision,
    }


def text_clusters(
    features: Features, spaces: dict[str, Space], cls: str, samples: int = 100, seed: int = 0
) -> dict[str, Any]:
    """Return Figure 4: t-SNE of sampled report sentences of one class, with a score of its clusters.

    Args:
        features: Pairs and labels.
        spaces: The models to compare, by name.
        cls: The class, ``"pleural effusion"`` in the paper.
        samples: Number of sentences; 100 in the paper.
        seed: Of sample and t-SNE.

    Returns:
        Per model ``points`` ``(n, 2)`` and ``silhouette`` (cosine, by combination); and the ``combination``
        of each sentence.

    Raises:
        InputError: If the class is unknown or has fewer than two combinations with sentences.
    """
    task = features.task
    if cls not in task.classes:
        raise InputError(f"unknown class {cls!r}{did_you_mean(cls, task.classes)}")
    members = [h for h, c in enumerate(task.combinations) if c.cls == cls]
    found = np.unique(features.pairs[np.isin(features.pairs[:, 2], members)][:, 1:], axis=0)
    if len(np.unique(found[:, 1])) < 2:
        raise InputError(
            f"the class {cls!r} has sentences of fewer than two combinations: nothing to cluster"
        )
    rng = np.random.default_rng(seed)
    chosen = found[np.sort(rng.permutation(len(found))[:samples])]
    result: dict[str, Any] = {"combination": [task.combinations[h].name for h in chosen[:, 1]]}
    for name, space in spaces.items():
        x = space.sentences[torch.from_numpy(chosen[:, 0])].double().numpy()
        perplexity = min(30.0, (len(x) - 1) / 3)
        points = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=seed).fit_transform(
            x
        )
        score = silhouette_score(x, chosen[:, 1], metric="cosine")
        result[name] = {"points": points.round(3).tolist(), "silhouette": float(score)}
    return result
