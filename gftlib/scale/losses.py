"""The loss of SCALE (equations 2 and 3), every unpublished choice an argument with a declared default.

Everything works on stacks: the leading dimensions, written ``...``, hold independent runs (draws, seeds,
candidates), then one dimension of groups. A single run on a single group is the literal equation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from gftlib.errors import InputError, did_you_mean
from gftlib.scale.batch import MASKED, Batch, aggregate, first_columns
from gftlib.scale.relations import Relations

Number = float | Tensor

_CHOICES = {
    "absent": ("mask", "zero", "prompt"),
    "cross_entropy": ("softmax", "binary"),
    "reduction": ("sum", "mean"),
}
TERMS = ("combination", "concept", "class", "image", "text")  # in the order of equation 3


@dataclass(frozen=True)
class ScaleLossConfig:
    """What equation 3 leaves open: the paper prints none of these values ("found empirically").

    A number may be a tensor with one entry per stacked run; see :func:`stack`.

    Args:
        lambda_concept: lambda_1.
        lambda_class: lambda_2.
        lambda_image: lambda_3, of the contrastive term over the rows of Q (images).
        lambda_text: lambda_4, of the contrastive term over the rows of Q transposed (texts).
        temperature: tau of equation 2; 0.07 is the value of Khosla et al., whom the paper follows.
        logit_scale: What cosines are multiplied with inside the cross-entropy; 1 / 0.07 is the value that
            CLIP and MedCLIP start from.
        absent: What z_h is when no text of the batch has combination h. ``"mask"``: left out of the softmax;
            ``"zero"``: a cosine of 0; ``"prompt"``: the similarity to the combination's own prompt.
        normalize_rows: Give the rows of Q unit length in equation 2, as SupContrast demands of its features;
            the equation itself takes raw rows, whose products grow with the batch.
        cross_entropy: ``"softmax"`` over the combinations of a group (several labels become several samples),
            or ``"binary"``: one sigmoid per combination, on the margin over the negative prompt.
        reduction: ``"sum"`` over the samples as printed, or ``"mean"``.
    """

    lambda_concept: Number = 1.0
    lambda_class: Number = 1.0
    lambda_image: Number = 0.1
    lambda_text: Number = 0.1
    temperature: Number = 0.07
    logit_scale: Number = 1 / 0.07
    absent: Literal["mask", "zero", "prompt"] = "mask"
    normalize_rows: bool = True
    cross_entropy: Literal["softmax", "binary"] = "softmax"
    reduction: Literal["sum", "mean"] = "sum"

    def __post_init__(self) -> None:
        """Refuse values without meaning."""
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise InputError(f"unknown {name} {value!r}{did_you_mean(str(value), known)}")
        for name in ("temperature", "logit_scale"):
            if not bool(torch.as_tensor(getattr(self, name) > 0).all()):
                raise InputError(f"{name} must be more than 0, got {getattr(self, name)}")


def scale_loss(batch: Batch, relations: Relations, config: ScaleLossConfig) -> Tensor:
    """Return equation 3 for each stacked run, shape ``...``.

    Raises:
        InputError: If the configuration needs a part of the batch that is not there.
    """
    weights = (1.0, config.lambda_concept, config.lambda_class, config.lambda_image, config.lambda_text)
    wanted = {name: w for name, w in zip(TERMS, weights, strict=True) if isinstance(w, Tensor) or w != 0}
    terms = scale_terms(batch, relations, config, tuple(wanted))
    total = sum(wanted[name] * term for name, term in terms.items())
    return total / batch.size() if config.reduction == "mean" else total


def scale_terms(
    batch: Batch, relations: Relations, config: ScaleLossConfig, names: Sequence[str] = TERMS
) -> dict[str, Tensor]:
    """Return the named terms of equation 3, unweighted and summed over samples and groups, each ``...``."""
    z, labels, q = predictions(batch, relations, config), batch.row_label, batch.similarity
    terms: dict[str, Tensor] = {}
    for name in names:
        if name == "combination":
            terms[name] = _entropy(z, labels, batch, config)
        elif name == "concept" and relations.one_concept_each and "combination" in terms:
            terms[name] = terms["combination"]  # nothing to aggregate: the very same sum
        elif name == "concept":
            at_level = aggregate(z, relations.concept_members)
            target = _take(relations.concept, labels)
            terms[name] = _entropy(at_level, target, batch, config, relations.concept_members)
        elif name == "class":
            at_level = aggregate(z, relations.class_members)
            target = _take(relations.cls, labels)
            terms[name] = _entropy(at_level, target, batch, config, relations.class_members)
        elif name == "image":
            terms[name] = _supcon(q, labels, batch.rows(), batch.columns(), relations.width, config)
        else:
            terms[name] = _supcon(
                q.mT, batch.column_label, batch.columns(), batch.rows(), relations.width, config
            )
    return terms


def predictions(batch: Batch, relations: Relations, config: ScaleLossConfig) -> Tensor:
    """Return Z: for each combination h the first column k(h) of Q that has it, ``(..., groups, N, K)``.

    Combinations without a column are handled as ``config.absent`` says; padding is always masked.

    Raises:
        InputError: If ``absent`` is ``"prompt"`` and the batch has no prompt similarities.
    """
    index, present = first_columns(batch.column_label, batch.columns(), relations.width)
    z = batch.similarity.gather(-1, _each_row(index, batch.similarity))
    if config.absent == "prompt":
        if batch.prompt is None:
            raise InputError('absent="prompt" needs the similarities to the prompts in Batch.prompt')
        z = torch.where(present.unsqueeze(-2), z, batch.prompt)
    else:
        z = z.masked_fill(~present.unsqueeze(-2), 0.0 if config.absent == "zero" else MASKED)
    return z.masked_fill(~relations.valid.unsqueeze(-2), MASKED)


def supcon(rows: Tensor, labels: Tensor, temperature: Number = 0.07, normalize_rows: bool = False) -> Tensor:
    """Return equation 2 for one matrix whose rows are the vectors q_i, summed over the anchors.

    An anchor without a positive contributes 0.

    Args:
        rows: ``(N, D)``.
        labels: ``(N,)`` integers; rows with the same integer have identical labels.
        temperature: tau.
        normalize_rows: Whether to give the rows unit length first.
    """
    config = ScaleLossConfig(temperature=temperature, normalize_rows=normalize_rows)
    ones = torch.ones_like(rows)[None]
    width = int(labels.max()) + 1
    return _supcon(rows[None], labels[None], ones[..., 0], ones[:, 0], width, config)


def info_nce(batch: Batch, config: ScaleLossConfig) -> Tensor:
    """Return CLIP's loss: each image against the texts of the batch and the reverse, one positive an anchor.

    All other pairs are pushed apart, whatever their labels: the "noisy supervision signal" of section 1.

    Raises:
        InputError: If the batch does not say which text belongs to which image.
    """
    if batch.match is None:
        raise InputError("info_nce needs Batch.match, the column of each row's own text")
    rows, columns = batch.rows(), batch.columns()
    logits = batch.similarity * _wide(config.logit_scale, batch.similarity)
    own = logits.gather(-1, batch.match.unsqueeze(-1)).squeeze(-1)
    over_texts = (logits + _log(columns).unsqueeze(-2)).logsumexp(-1)
    over_images = (logits + _log(rows).unsqueeze(-1)).logsumexp(-2).gather(-1, batch.match)
    total = ((0.5 * (over_texts + over_images) - own) * rows).sum((-1, -2))
    return total / batch.size() if config.reduction == "mean" else total


def stack(configs: Sequence[ScaleLossConfig], device: torch.device | str = "cpu") -> ScaleLossConfig:
    """Return one configuration whose numbers are tensors with one entry per run.

    Args:
        configs: Of each run.
        device: Where the tensors are.

    Raises:
        InputError: If there is none, or if the runs differ in a choice that is no number.
    """
    if not configs:
        raise InputError("no loss configuration to stack")
    numbers = {}
    for field in fields(ScaleLossConfig):
        values = [getattr(config, field.name) for config in configs]
        if isinstance(values[0], bool | str):
            if len(set(values)) > 1:
                raise InputError(
                    f"stacked runs must agree in {field.name}, got {sorted(set(map(str, values)))}"
                )
        else:
            numbers[field.name] = torch.tensor(values, dtype=torch.float32, device=device)
    return replace(configs[0], **numbers)


def _entropy(
    z: Tensor, labels: Tensor, batch: Batch, config: ScaleLossConfig, members: Tensor | None = None
) -> Tensor:
    """Cross-entropy of one level, summed over samples and groups."""
    scale = _wide(config.logit_scale, z)
    if config.cross_entropy == "softmax":
        logits = z * scale
        own = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        return ((logits.logsumexp(-1) - own) * batch.rows()).sum((-1, -2))
    if batch.negative is None or batch.truth is None:
        raise InputError('cross_entropy="binary" needs Batch.negative and Batch.truth')
    truth = batch.truth.to(z.dtype)
    # The copies of a sample share its truth, so that together they count once.
    share = batch.rows() / truth.sum(-1).clamp_min(1)
    if members is not None:
        truth = (truth.unsqueeze(-2) * members.unsqueeze(-3)).amax(-1)
    logits = (z - batch.negative.unsqueeze(-1)) * scale
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    loss = torch.where(z > MASKED / 2, loss, 0.0).sum(-1)
    return (loss * share).sum((-1, -2))


def _supcon(
    q: Tensor, labels: Tensor, count: Tensor, weight: Tensor, width: int, config: ScaleLossConfig
) -> Tensor:
    """Equation 2 on rows with counts; ``weight`` are the counts of the columns, labels lie below ``width``.

    The sum over positives is a product with the sum of the label's rows, so that of the N x N products only
    the log-sum is taken.
    """
    rows = q * weight.unsqueeze(-2).sqrt()
    if config.normalize_rows:
        rows = torch.nn.functional.normalize(rows, dim=-1, eps=1e-6)
    tau = _wide(config.temperature, rows)
    others = (count.unsqueeze(-2) - torch.eye(q.shape[-2], device=q.device)).clamp_min(0)  # S(i)
    log_sum = torch.logsumexp((rows / tau) @ rows.mT + _log(others), -1)
    held = torch.nn.functional.one_hot(labels, width).to(q.dtype) * count.unsqueeze(-1)
    positives = _take(held.sum(-2), labels) - 1
    summed = (held.mT @ rows).gather(-2, labels.unsqueeze(-1).expand_as(rows)) - rows
    mean = (rows * summed / tau).sum(-1) / positives.clamp_min(1)
    return (torch.where((positives > 0) & (count > 0), log_sum - mean, 0.0) * count).sum((-1, -2))


def _take(table: Tensor, labels: Tensor) -> Tensor:
    return table.expand(*labels.shape[:-1], table.shape[-1]).gather(-1, labels)


def _each_row(index: Tensor, q: Tensor) -> Tensor:
    return index.unsqueeze(-2).expand(*q.shape[:-1], index.shape[-1])


def _wide(value: Number, like: Tensor) -> Number:
    return value.view(-1, *[1] * (like.ndim - 1)) if isinstance(value, Tensor) else value


def _log(counts: Tensor) -> Tensor:
    return torch.where(counts > 0, counts.clamp_min(1).log(), MASKED)
