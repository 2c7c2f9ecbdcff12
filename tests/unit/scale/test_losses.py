"""Equations 2 and 3 against loops that spell them out, hand-computed numbers, gradients and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.errors import InputError
from gftlib.scale.batch import Batch
from gftlib.scale.losses import ScaleLossConfig, info_nce, scale_loss, scale_terms, stack, supcon
from gftlib.scale.relations import Relations

CLASSES, CONCEPTS = [0, 0, 1, 1, 2], [0, 1, 0, 2, 2]  # five combinations of three classes and three concepts
RELATIONS = Relations.of_groups([list(range(5))], CONCEPTS, CLASSES)
seeds = settings(deadline=None, max_examples=25)


def brute_supcon(q, labels, tau, normalize=False):
    """Equation 2, symbol by symbol."""
    rows = [row / row.norm() for row in q] if normalize else list(q)
    n, total = len(rows), torch.zeros((), dtype=q.dtype)
    for i in range(n):
        others = [s for s in range(n) if s != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if not positives:
            continue
        denominator = sum(torch.exp(rows[i] @ rows[s] / tau) for s in others)
        inner = sum(torch.log(torch.exp(rows[i] @ rows[p] / tau) / denominator) for p in positives)
        total = total - inner / len(positives)
    return total


def brute_entropy(scores, target, scale):
    """Cross-entropy over the entries that are there; ``None`` is an absent one."""
    return -scale * scores[target] + torch.log(sum(torch.exp(scale * s) for s in scores if s is not None))


def brute_terms(q, labels, config):
    """Equation 3 with Z, its maxima and its five terms, symbol by symbol; absent combinations left out."""
    n = len(labels)
    totals = [torch.zeros((), dtype=q.dtype) for _ in range(3)]
    first = {h: labels.index(h) for h in set(labels)}
    for i in range(n):
        z = [q[i, first[h]] if h in first else None for h in range(5)]
        levels = [(z, labels[i])]
        for kinds in (CONCEPTS, CLASSES):
            members = [[z[h] for h in range(5) if kinds[h] == k and z[h] is not None] for k in range(3)]
            levels.append(([max(m) if m else None for m in members], kinds[labels[i]]))
        for level, (scores, target) in enumerate(levels):
            totals[level] = totals[level] + brute_entropy(scores, target, config.logit_scale)
    contrastive = [brute_supcon(m, labels, config.temperature, config.normalize_rows) for m in (q, q.T)]
    return [*totals, *contrastive]


def random_pairs(seed, n, d=6):
    generator = torch.Generator().manual_seed(seed)
    images, texts = (
        torch.nn.functional.normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1)
        for _ in range(2)
    )
    labels = torch.randint(0, 5, (n,), generator=generator)
    return images @ texts.T, labels


def square(q, labels, **more):
    return Batch(q[None], labels[None], labels[None], **more)


def test_supcon_by_hand():
    # Rows 0 and 1 are positives of each other, row 2 has none; q0 q1 = q0 q2 = 0 and q1 q2 = 1.
    q = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    first = math.log(2)  # log(e^0 + e^0) - 0
    second = math.log(1 + math.e)  # log(e^0 + e^1) - 0
    assert supcon(q, torch.tensor([0, 0, 1]), temperature=1.0).item() == pytest.approx(first + second)


@seeds
@given(seed=st.integers(0, 10_000), n=st.integers(1, 9), tau=st.floats(0.2, 3), normalize=st.booleans())
def test_supcon_equals_brute_force(seed, n, tau, normalize):
    q, labels = random_pairs(seed, n)
    expected = brute_supcon(q, labels.tolist(), tau, normalize)
    torch.testing.assert_close(supcon(q, labels, tau, normalize), expected)


@seeds
@given(seed=st.integers(0, 10_000), n=st.integers(1, 9), normalize=st.booleans())
def test_all_terms_and_the_total_equal_brute_force(seed, n, normalize):
    q, labels = random_pairs(seed, n)
    config = ScaleLossConfig(0.3, 0.7, 0.11, 0.13, 0.5, 4.0, normalize_rows=normalize)
    expected = brute_terms(q, labels.tolist(), config)
    terms = scale_terms(square(q, labels), RELATIONS, config)
    torch.testing.assert_close(list(terms.values()), expected)
    total = sum(w * t for w, t in zip((1, 0.3, 0.7, 0.11, 0.13), expected, strict=True))
    torch.testing.assert_close(scale_loss(square(q, labels), RELATIONS, config), total)


@seeds
@given(seed=st.integers(0, 10_000), n=st.integers(2, 7))
def test_gradient_equals_that_of_brute_force(seed, n):
    q, labels = random_pairs(seed, n)
    config = ScaleLossConfig(temperature=0.5, normalize_rows=False)
    ours, plain = q.clone().requires_grad_(), q.clone().requires_grad_()
    scale_loss(square(ours, labels), RELATIONS, config).backward()
    weights = (1, config.lambda_concept, config.lambda_class, config.lambda_image, config.lambda_text)
    sum(w * t for w, t in zip(weights, brute_terms(plain, labels.tolist(), config), strict=True)).backward()
    torch.testing.assert_close(ours.grad, plain.grad)


def test_gradcheck():
    q, labels = random_pairs(3, 6)
    config = ScaleLossConfig(temperature=0.5, normalize_rows=True)
    assert torch.autograd.gradcheck(
        lambda x: scale_loss(square(x, labels), RELATIONS, config), q.requires_grad_()
    )


@seeds
@given(seed=st.integers(0, 10_000))
def test_order_of_the_pairs_does_not_matter_when_equal_labels_have_equal_texts(seed):
    # With differing texts "the first column" does depend on the order: that is what the equation says.
    generator = torch.Generator().manual_seed(seed)
    q, labels = random_pairs(seed, 8)
    q = torch.rand(8, 5, generator=generator, dtype=torch.float64)[:, labels]
    order = torch.randperm(8, generator=generator)
    config = ScaleLossConfig(temperature=0.5)
    torch.testing.assert_close(
        scale_loss(square(q, labels), RELATIONS, config),
        scale_loss(square(q[order][:, order], labels[order]), RELATIONS, config),
    )


def test_first_column_depends_on_order_when_texts_differ():
    q = torch.tensor([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 0.5]])
    labels, order = torch.tensor([0, 0, 1]), torch.tensor([1, 0, 2])
    only = ScaleLossConfig(0, 0, 0, 0)
    one = scale_loss(square(q, labels), RELATIONS, only)
    other = scale_loss(square(q[order][:, order], labels[order]), RELATIONS, only)
    assert not torch.isclose(one, other)


def test_single_member_classes_are_finite_with_zero_contrast():
    q, labels = random_pairs(0, 5)
    q, labels = q.requires_grad_(), torch.arange(5)
    terms = scale_terms(square(q, labels), RELATIONS, ScaleLossConfig())
    assert terms["image"] == 0 and terms["text"] == 0
    sum(terms.values()).backward()
    assert torch.isfinite(q.grad).all()


def test_a_batch_of_one_has_no_loss_and_no_nan():
    q = torch.tensor([[0.4]], requires_grad=True)
    loss = scale_loss(square(q, torch.tensor([2])), RELATIONS, ScaleLossConfig())
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(q.grad).all()


def test_the_three_readings_of_an_absent_combination_by_hand():
    q, labels = torch.tensor([[0.5]]), torch.tensor([0])
    prompt = torch.full((1, 1, 5), 0.25)
    expected = {
        "mask": 0.0,
        "zero": math.log(1 + 4 * math.exp(-0.5)),
        "prompt": math.log(1 + 4 * math.exp(-0.25)),
    }
    for absent, value in expected.items():
        config = ScaleLossConfig(0, 0, 0, 0, logit_scale=1.0, absent=absent)
        loss = scale_loss(square(q, labels, prompt=prompt), RELATIONS, config)
        assert loss.item() == pytest.approx(value, abs=1e-6)


@seeds
@given(seed=st.integers(0, 10_000), absent=st.sampled_from(["mask", "zero"]))
def test_counts_stand_for_repetition_and_zero_for_padding(seed, absent):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 5, (7,), generator=generator)
    unique = torch.rand(7, 5, generator=generator, dtype=torch.float64)
    config = ScaleLossConfig(temperature=0.5, absent=absent, logit_scale=3.0)
    literal = Batch(unique[:, labels][None], labels[None], labels[None], match=torch.arange(7)[None])
    padded = torch.cat([unique, torch.rand(2, 5, generator=generator, dtype=torch.float64)])
    short = Batch(
        padded[None],
        torch.cat([labels, torch.tensor([0, 4])])[None],
        torch.arange(5)[None],
        row_count=torch.tensor([1.0] * 7 + [0.0] * 2)[None],
        column_count=torch.bincount(labels, minlength=5)[None],
        match=torch.cat([labels, torch.tensor([0, 4])])[None],
    )
    for loss in (lambda b: scale_loss(b, RELATIONS, config), lambda b: info_nce(b, config)):
        torch.testing.assert_close(loss(short), loss(literal))


def test_info_nce_equals_clip():
    q, labels = random_pairs(1, 6)
    target = torch.arange(6)
    entropy = torch.nn.functional.cross_entropy
    expected = 0.5 * (entropy(5 * q, target) + entropy(5 * q.T, target))
    batch = square(q, labels, match=target[None])
    torch.testing.assert_close(info_nce(batch, ScaleLossConfig(logit_scale=5.0, reduction="mean")), expected)


def test_stacked_runs_equal_single_runs():
    configs = [ScaleLossConfig(0.1 * i, 0.2, 0.3, 0.4 * i, 0.5 + i, 2.0 + i) for i in range(3)]
    pairs = [random_pairs(seed, 6) for seed in range(3)]
    q, labels = (torch.stack(part).unsqueeze(1) for part in zip(*pairs, strict=True))
    together = scale_loss(Batch(q, labels, labels), RELATIONS, stack(configs))
    for run, config in enumerate(configs):
        alone = scale_loss(square(*pairs[run]), RELATIONS, config)
        torch.testing.assert_close(together[run], alone, rtol=1e-5, atol=1e-5)


def test_groups_add_up():
    relations = Relations.of_groups([[0, 1, 2], [3, 4]], CONCEPTS, CLASSES)
    q, _ = random_pairs(5, 6)
    labels = torch.tensor([[0, 1, 2, 0, 1, 2], [0, 1, 0, 1, 0, 0]])
    config = ScaleLossConfig(temperature=0.5)
    both = scale_loss(Batch(torch.stack([q, q]), labels, labels), relations, config)
    parts = 0
    for group, members in enumerate(([0, 1, 2], [3, 4])):
        alone = Relations.of_groups(
            [list(range(len(members)))], [CONCEPTS[h] for h in members], [CLASSES[h] for h in members]
        )
        parts = parts + scale_loss(square(q, labels[group]), alone, config)
    torch.testing.assert_close(both, parts)


def test_binary_cross_entropy_counts_a_sample_once_and_leaves_absent_combinations_out():
    # Sample 0 holds combinations 0 and 3 (two copies), sample 1 holds 1; combinations 2 and 4 have no column.
    rows = torch.tensor([0, 0, 1])
    labels = torch.tensor([0, 3, 1])
    q = torch.tensor([[0.6, 0.2, 0.1], [0.3, 0.5, 0.4]])[rows]
    truth = torch.tensor([[1, 0, 0, 1, 0], [0, 1, 0, 0, 0]])[rows]
    negative = torch.tensor([0.3, 0.1])[rows]
    config = ScaleLossConfig(0, 0, 0, 0, logit_scale=2.0, cross_entropy="binary")
    batch = square(q, labels, truth=truth[None], negative=negative[None])
    expected = 0.0
    for z, y, n in (((0.6, 0.2, 0.1), (1, 1, 0), 0.3), ((0.3, 0.5, 0.4), (0, 0, 1), 0.1)):
        for value, target in zip(z, y, strict=True):
            p = 1 / (1 + math.exp(-2 * (value - n)))
            expected -= math.log(p if target else 1 - p)
    assert scale_loss(batch, RELATIONS, config).item() == pytest.approx(expected, rel=1e-5)


def test_binary_cross_entropy_at_concept_level_uses_the_union_of_the_labels():
    q, labels = torch.tensor([[0.5, 0.1]]).repeat(2, 1), torch.tensor([0, 2])  # both of concept 0
    truth = torch.tensor([[1, 0, 1, 0, 0]]).repeat(2, 1)
    config = ScaleLossConfig(logit_scale=1.0, cross_entropy="binary")
    batch = square(q, labels, truth=truth[None], negative=torch.zeros(1, 2))
    concept = scale_terms(batch, RELATIONS, config, ["concept"])["concept"]
    assert concept.item() == pytest.approx(math.log(1 + math.exp(-0.5)), rel=1e-6)


def test_a_mean_is_the_sum_over_the_samples():
    q, labels = random_pairs(2, 6)
    total, mean = (
        scale_loss(square(q, labels), RELATIONS, ScaleLossConfig(reduction=r)) for r in ("sum", "mean")
    )
    torch.testing.assert_close(total, 6 * mean)


def test_missing_parts_of_a_batch_are_named():
    batch = square(*random_pairs(0, 3))
    with pytest.raises(InputError, match=r"Batch\.prompt"):
        scale_loss(batch, RELATIONS, ScaleLossConfig(absent="prompt"))
    with pytest.raises(InputError, match=r"Batch\.negative"):
        scale_loss(batch, RELATIONS, ScaleLossConfig(cross_entropy="binary"))
    with pytest.raises(InputError, match=r"Batch\.match"):
        info_nce(batch, ScaleLossConfig())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"absent": "masked"}, "unknown absent 'masked'; did you mean 'mask'"),
        ({"cross_entropy": "sigmoid"}, "unknown cross_entropy"),
        ({"reduction": "none"}, "unknown reduction"),
        ({"temperature": 0.0}, "temperature must be more than 0"),
        ({"logit_scale": torch.tensor([1.0, -1.0])}, "logit_scale must be more than 0"),
        ({"temperature": float("nan")}, "temperature must be more than 0"),
    ],
)
def test_choices_without_meaning_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        ScaleLossConfig(**bad)


def test_stacked_runs_must_agree_in_what_is_no_number():
    with pytest.raises(InputError, match="absent"):
        stack([ScaleLossConfig(), ScaleLossConfig(absent="zero")])
    with pytest.raises(InputError, match="no loss"):
        stack([])


def test_relations_of_labels():
    relations = Relations.of_groups([[0, 1, 2], [3, 4]], CONCEPTS, CLASSES)
    labels = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 1, 1, 0]])
    assert relations.local(labels).tolist() == [[1, 2], [1, 0]]
    with pytest.raises(InputError, match="row 1 holds 2 labels of group 0"):
        relations.local(torch.tensor([[0, 1, 0, 0, 1], [1, 0, 1, 1, 0]]))
    assert relations.class_members.tolist() == [
        [[True, True, False], [False, False, True]],
        [[True, False, False], [False, True, False]],
    ]
