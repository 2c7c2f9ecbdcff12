"""Stacked trainings against a plain loop, batches against literal ones, and draws without leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gftlib.errors import InputError
from gftlib.scale.adapters import AdapterConfig, AdapterPair
from gftlib.scale.batch import Batch
from gftlib.scale.features import carve, draw
from gftlib.scale.linear_probe import ProbeConfig, train_probes
from gftlib.scale.losses import ScaleLossConfig, scale_loss
from gftlib.scale.outputs import adapted_outputs, evaluate, zero_shot
from gftlib.scale.sampling import Order, TrainingConfig, sampler_of
from gftlib.scale.stacked import Run, train_adapters

SHORT = TrainingConfig(epochs=3, max_batch=16, min_steps=2)


def test_each_stacked_run_is_the_run_alone(features):
    rows = [draw(features, share, seed) for share, seed in ((0.3, 0), (0.9, 1), (0.5, 2), (0.3, 3))]
    runs = [Run(r, i, ScaleLossConfig(lambda_image=0.1 * i), alpha=0.2 + 0.1 * i) for i, r in enumerate(rows)]
    together = train_adapters(features, runs, config=SHORT)
    sampler = sampler_of(features, rows, range(4), SHORT)
    assert len(sampler.alike()) > 1  # they do not all take the same number of steps
    with pytest.raises(InputError, match="differ in their number of steps"):
        next(sampler.epoch())
    for i, run in enumerate(runs):
        alone = train_adapters(features, [run], config=SHORT)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(together.state_dict()[name][i], value[0], rtol=1e-3, atol=1e-5)


def test_each_stacked_probe_is_the_probe_alone(features):
    rows = [draw(features, share, seed) for share, seed in ((0.3, 0), (0.9, 1), (0.5, 2), (0.3, 3))]
    order = Order(rows, range(4), 1, SHORT)
    assert len(order.alike()) > 1
    together = train_probes(features, rows, range(4), ProbeConfig(True, 1e-2), SHORT)
    for i, own in enumerate(rows):
        alone = train_probes(features, [own], [i], ProbeConfig(True, 1e-2), SHORT)
        torch.testing.assert_close(together.weight[i], alone.weight[0], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(together.mean[i], alone.mean[0])


def test_a_batch_is_the_literal_one(features):
    """The batch of a sampler has the loss of one built pair by pair, with repeated texts and no counts."""
    config, rows = ScaleLossConfig(temperature=0.5), features.pool[:12]
    pair = AdapterPair(features.dim, AdapterConfig(), 1, generator=torch.Generator().manual_seed(0))
    sampler = sampler_of(features, [rows], [0], replace(SHORT, min_steps=1, mixing=0.0))
    units = next(sampler.epoch())
    ours = scale_loss(sampler.batch(pair, units, config), features.relations, config)
    total = torch.zeros(1)
    relations = features.relations
    for group in range(relations.n_groups):
        members = relations.combination[group][relations.valid[group]]
        chosen = [p for p in features.pairs if p[0] in set(rows) and p[2] in members]
        order = [list(units.index[0]).index(p[0]) for p in chosen] if relations.n_groups > 1 else None
        if order is not None:
            chosen = [chosen[i] for i in np.argsort(order)]
        else:
            chosen = [features.pairs[i] for i in units.index[0]]
        images = pair.image(features.images[0, [p[0] for p in chosen]][None])
        source = features.prompts if order is not None else features.sentences
        texts = pair.text(source[[p[2] if order is not None else p[1] for p in chosen]][None])
        label = torch.tensor([list(members).index(p[2]) for p in chosen])[None, None]
        alone = type(relations).of_groups(
            [list(range(len(members)))],
            relations.concept[group][: len(members)].tolist(),
            relations.cls[group][: len(members)].tolist(),
        )
        total += scale_loss(Batch((images @ texts.mT)[:, None], label, label), alone, config)
    torch.testing.assert_close(ours, total, rtol=1e-4, atol=1e-4)


def test_every_unit_once_an_epoch_dealt_evenly():
    order = Order([np.arange(10), np.arange(9)], [0, 1], 1, TrainingConfig(max_batch=4, min_steps=2))
    steps = list(order.epoch())
    assert len(steps) == 3
    for run, n in ((0, 10), (1, 9)):
        seen = np.concatenate([s.index[run][s.there[run]] for s in steps])
        assert sorted(seen) == list(range(n))
        assert np.ptp([s.there[run].sum() for s in steps]) <= 1


def test_mixing_keeps_the_combination_and_stays_in_the_training_set(features):
    if not features.task.multi_label:
        pytest.skip("where all samples share the prompts there is nothing to mix")
    rows = features.pool[:20]
    sampler = sampler_of(features, [rows], [0], TrainingConfig(mixing=1.0))
    own = {(s, c) for i, s, c in features.pairs if i in set(rows)}
    mixed = False
    for units in sampler.epoch():
        pairs = features.pairs[units.index[0][units.there[0]]]
        texts = units.text[0][units.there[0]]
        assert {(int(t), int(c)) for t, c in zip(texts, pairs[:, 2], strict=True)} <= own
        mixed |= bool((texts != pairs[:, 1]).any())
    assert mixed


def test_draws_are_stratified_and_whole_subjects(features):
    rows = draw(features, 0.5, seed=3)
    assert set(rows) <= set(features.pool)
    inside, outside = set(features.subjects[rows]), set(features.subjects[np.setdiff1d(features.pool, rows)])
    assert not inside & outside
    shares = features.labels[rows].sum(0) / features.labels[features.pool].sum(0)
    assert (abs(shares - 0.5) < 0.25).all()
    assert draw(features, 1, 0).tolist() == features.pool.tolist()
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        draw(features, 0, 0)


def test_validation_is_carved_from_the_draw_alone(features):
    rows = draw(features, 0.4, seed=1)
    train, held = carve(features, rows, 0.25, seed=0)
    assert set(train) | set(held) <= set(rows) and len(held) and not features.test[held].any()
    assert not set(features.subjects[train]) & set(features.subjects[held])
    with pytest.raises(InputError, match="two patients"):
        carve(features, rows[:1], 0.25, 0)


def test_training_learns_what_zero_shot_does_not_know(features):
    test = features.pool  # of what it learnt from, so that the noise of a small test does not matter
    truth = features.labels[test]
    before = evaluate(features.task, truth, zero_shot(features, test))
    config = TrainingConfig(epochs=60, max_batch=32)
    pair = train_adapters(features, [Run(features.pool, 0)], config=config)
    after = evaluate(features.task, truth, adapted_outputs(features, pair, [test])[0])
    probe = train_probes(features, [features.pool], [0], ProbeConfig(True, 1e-2), config)
    probed = evaluate(features.task, truth, probe.outputs(features, [test])[0])
    metric = "auc" if features.task.multi_label else "macro_f1"  # order, or the choice within a group
    for report in (after, probed):
        assert report["combination"][metric] > before["combination"][metric] + 0.1


def test_weighting_raises_the_recall_of_a_rare_label(features):
    labels = features.labels.copy()
    positives = np.flatnonzero(labels[:, 0])
    drop = positives[6:]
    labels[drop, 0], labels[drop, 1] = 0, 1
    rare = features.with_labels(labels, features.pairs)
    found = []
    for weighted in (False, True):
        probe = train_probes(rare, [rare.pool], [0], ProbeConfig(weighted, 1e-2), TrainingConfig(epochs=20))
        found.append(probe.outputs(rare, [rare.pool])[0].combination[:, 0].mean())
    assert found[1] > found[0]


def test_bad_runs_are_refused(features):
    with pytest.raises(InputError, match="no runs"):
        train_adapters(features, [])
    with pytest.raises(InputError, match="no training sample"):
        train_adapters(features, [Run(np.zeros(0, dtype=int), 0)])
