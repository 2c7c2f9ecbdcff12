"""CoOp cut and shared against the 77-token text, gradients included; LoRA and full tuning on a copy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scale_data import exclusive_task, multi_task

from gftlib.datasets.class_concepts import ClassConceptData
from gftlib.errors import InputError
from gftlib.scale import tiny, tuning
from gftlib.scale.baselines import Job, Setting, method
from gftlib.scale.coop import ContextTexts, CoopConfig, coop_outputs, names, train_coop
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.features import embed, sentences_of, texts_of
from gftlib.scale.losses import ScaleLossConfig, scale_loss
from gftlib.scale.outputs import zero_shot
from gftlib.scale.sampling import TrainingConfig, sampler_of
from gftlib.scale.tuning import TuningConfig, tune

SHORT = TrainingConfig(epochs=1, max_batch=8, min_steps=1)


def make_data(task, n=10, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros((n, len(task)), np.uint8)
    for columns in [list(range(len(task)))] if task.multi_label else task.groups().values():
        labels[np.arange(n), np.array(columns)[rng.integers(0, len(columns), n)]] = 1
    return ClassConceptData(
        task=task,
        labels=labels,
        subjects=np.arange(n).astype(str),
        split=np.where(np.arange(n) % 3 == 0, "test", "train"),
        texts=[
            [(f"{task.prompts[h]} number {i % 2}", int(h)) for h in np.flatnonzero(row)]
            for i, row in enumerate(labels)
        ],
        images=rng.integers(0, 256, (n, 40, 40, 3), dtype=np.uint8),
    )


@pytest.fixture(scope="module", params=[("clip", False), ("clip", True), ("medclip", True)])
def parts(request):
    name, several = request.param
    data = make_data(multi_task() if several else exclusive_task())
    texts = [*data.task.prompts, *names(data.task), *(t for row in data.texts for t, _ in row)]
    encoder = tiny.build(name, texts)
    return data, encoder, embed(data, EmbeddingCache(encoder))


def naive(encoder, texts, context):
    """CoOp as published: every label's whole text of 77 tokens through the encoder."""
    model = encoder.model
    tokens = encoder.tokenizer(texts)
    words = model.token_embedding(tokens)
    m = len(context)
    whole = torch.cat([words[:, :1], context.expand(len(texts), -1, -1), words[:, 1 : 77 - m]], 1)
    hidden = model.transformer(whole + model.positional_embedding, attn_mask=model.attn_mask)
    end = tokens.argmax(-1) + m
    return model.ln_final(hidden)[torch.arange(len(texts)), end] @ model.text_projection


def test_shared_prefix_and_cut_equal_77_tokens_with_their_gradients():
    task = exclusive_task()
    encoder = tiny.build("clip", names(task))
    ours = ContextTexts(encoder, names(task), CoopConfig(context=16), seeds=[0, 1])
    weights = torch.randn(2, len(task) + 1, encoder.dim)
    out = ours()
    (out * weights).sum().backward()
    for run in range(2):
        context = ours.context[run].detach().clone().requires_grad_()
        expected = torch.nn.functional.normalize(naive(encoder, names(task), context), dim=-1)
        (expected * weights[run]).sum().backward()
        torch.testing.assert_close(out[run], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.context.grad[run], context.grad, rtol=1e-3, atol=1e-5)


def test_bert_context_stands_between_start_and_name():
    task = multi_task()
    encoder = tiny.build("medclip", names(task))
    empty = ContextTexts(encoder, names(task), CoopConfig(context=0), seeds=[0])
    with torch.no_grad():
        plain = torch.nn.functional.normalize(encoder.encode_texts(names(task)), dim=-1)
        torch.testing.assert_close(empty()[0], plain, rtol=1e-4, atol=1e-5)


def test_coop_learns_only_its_context(parts):
    data, encoder, features = parts
    before = encoder.fingerprint()
    rows = [features.pool, features.pool[:4]]
    config = CoopConfig(context=2, learning_rate=1e-2)
    texts = train_coop(features, encoder, rows, [0, 1], config, SHORT)
    start = ContextTexts(encoder, names(data.task), config, [0, 1]).context
    assert texts.context.shape[:2] == (2, 2) and not torch.allclose(texts.context, start)
    assert encoder.fingerprint() == before
    outputs = coop_outputs(features, texts, [features.pool, features.pool])
    assert outputs[0].combination.shape == (len(features.pool), len(data.task))


def test_each_stacked_context_is_the_context_alone(parts):
    _, encoder, features = parts
    rows = [features.pool[:2], features.pool, features.pool[2:4]]
    config, steps = CoopConfig(context=2, learning_rate=1e-2), TrainingConfig(epochs=2, max_batch=3)
    together = train_coop(features, encoder, rows, [0, 1, 2], config, steps)
    for i, own in enumerate(rows):
        alone = train_coop(features, encoder, [own], [i], config, steps)
        torch.testing.assert_close(together.context[i], alone.context[0], rtol=1e-2, atol=1e-4)


def loss_of(encoder, data, rows):
    """SCALE's loss of an encoder on its own embeddings of ``rows``, all in one batch."""
    features, loss = embed(data, EmbeddingCache(encoder)), ScaleLossConfig(reduction="mean")
    sampler = sampler_of(features, [rows], [0], TrainingConfig(min_steps=1, mixing=0.0))
    batch = sampler.batch(tuning._Plain(), next(sampler.epoch()), loss)
    return scale_loss(batch, features.relations, loss).item()


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_tuning_changes_a_copy_and_lowers_the_loss(parts, mode):
    data, encoder, features = parts
    before = encoder.fingerprint()
    config = TuningConfig(mode, rank=2, learning_rate=1e-3, training=replace(SHORT, epochs=3))
    tuned = tune(encoder, data, features, features.pool, config)
    assert encoder.fingerprint() == before
    trained = [n for n, _ in tuned.model.named_parameters() if "lora_" in n]
    assert bool(trained) is (mode == "lora")
    assert loss_of(tuned, data, features.pool) < 0.99 * loss_of(encoder, data, features.pool)
    images = torch.stack([tuned.transform(data.image(i)) for i in range(3)])
    with torch.no_grad():
        assert not torch.allclose(tuned.encode_images(images), encoder.encode_images(images), atol=1e-6)
    with pytest.raises(InputError, match="no training samples"):
        tune(encoder, data, features, features.pool[:0], config)


def test_an_untrained_low_rank_encoder_is_the_frozen_one(parts):
    """Prompts are padded with the sentences in the test, as they were when they were embedded."""
    data, encoder, features = parts
    loss = ScaleLossConfig(logit_scale=features.logit_scale)
    setting = Setting(features, encoder=encoder, data=data, tuning=TrainingConfig(epochs=0), loss=loss)
    (found,) = method("lora").train(setting, [Job({"rank": 2}, features.pool, features.pool, 0)])
    expected = zero_shot(features, features.pool)
    np.testing.assert_allclose(found.combination, expected.combination, atol=1e-3)


def test_a_step_reads_its_texts_as_they_were_embedded():
    data = make_data(multi_task())
    longer = replace(
        data, texts=[[(f"{t} and left and right", h) for t, h in data.texts[0]], *data.texts[1:]]
    )
    encoder = tiny.build("medclip", [t for row in longer.texts for t, _ in row])
    features = embed(longer, EmbeddingCache(encoder))
    rows, loss = np.arange(1, 6), ScaleLossConfig()  # without the longest sentence
    sampler = sampler_of(features, [rows], [0], SHORT)
    units = next(sampler.epoch())
    expected = scale_loss(sampler.batch(tuning._Plain(), units, loss), features.relations, loss).sum()
    task = data.task
    texts = tuning._Texts(
        [*task.prompts, task.negative_prompt], sentences_of(longer), encoder.pad_length(texts_of(longer))
    )
    pixels = {int(i): encoder.transform.square(longer.image(int(i))) for i in rows}
    found = tuning._step(encoder, features, pixels, texts, units, TuningConfig(training=SHORT, loss=loss))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_equal_images_are_seen_in_different_views(parts):
    data, encoder, _ = parts
    equal = replace(data, images=np.repeat(data.images[:1], len(data), axis=0))
    images = embed(equal, EmbeddingCache(encoder), views=1, flips=True).images
    torch.testing.assert_close(images[0, 0], images[0, 1])
    assert not torch.allclose(images[1, 0], images[1, 1], atol=1e-4)


def test_features_of_data(parts):
    data, encoder, features = parts
    assert len(features) == len(data) and features.images.shape == (1, len(data), encoder.dim)
    torch.testing.assert_close(features.images.norm(dim=-1), torch.ones(1, len(data)))
    sample, sentence, combination = features.pairs[0]
    text = data.texts[sample][0][0]
    with torch.no_grad():
        length = encoder.pad_length(
            [*data.task.prompts, data.task.negative_prompt, *(t for r in data.texts for t, _ in r)]
        )
        expected = torch.nn.functional.normalize(encoder.encode_texts([text], length), dim=-1)[0]
    torch.testing.assert_close(features.sentences[sentence], expected, rtol=1e-4, atol=1e-5)
    assert data.labels[sample, combination]
