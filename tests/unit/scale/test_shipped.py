"""The embedded encoders: made by the declared recipe, small, and usable as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gftlib.datasets import derm7pt, padchest_locations
from gftlib.phantoms import chest, skin
from gftlib.scale import recipes, tiny
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.features import embed
from gftlib.scale.outputs import zero_shot

NAMES = ("clip", "monet", "medclip")


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_were_made_by_the_declared_recipe(name):
    about = tiny.header(name)
    assert about["recipe"] == recipes.fingerprint(name)
    assert about["seed"] == str(recipes.SEED)


def test_the_weights_are_small():
    sizes = [path.stat().st_size for path in tiny.FOLDER.rglob("*.safetensors")]
    assert len(sizes) == len(NAMES)
    assert max(sizes) < 5e6 and sum(sizes) < 15e6


def test_a_recipe_that_differs_has_another_digest():
    whole = recipes.RECIPES["clip"]
    for other in (recipes._reduced(whole, 0.5, None), recipes._reduced(whole, 1.0, 1)):
        assert recipes.fingerprint("clip", whole) != recipes.fingerprint("clip", other)
    assert recipes.fingerprint("medclip", whole) != recipes.fingerprint("clip", whole)


@pytest.mark.parametrize(
    ("name", "draw"), [("clip", skin.as_data), ("monet", skin.as_data), ("medclip", chest.as_data)]
)
def test_zero_shot_scores_of_a_few_phantoms_are_finite_and_differ(name, draw):
    features = embed(draw(n=20, seed=3), EmbeddingCache(tiny.load(name)))
    scores = zero_shot(features, np.arange(20)).combination
    assert np.isfinite(scores).all()
    assert (scores.std(axis=0) > 0).all()  # images are told apart
    assert scores.std(axis=1).min() > 0  # and so are prompts


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_never_meets_a_combination(name):
    phrases = [c.concept for t in (derm7pt.task(), padchest_locations.task()) for c in t.combinations]
    for kind in recipes.RECIPES[name].kinds:
        if kind == "general":
            captions = [text for i in range(20) for text in recipes.general(i)[1]]
        else:
            module, spec = {
                "skin": (skin, skin.cohort(8, recipes.SEED)),
                "chest": (chest, chest.cohort(8, recipes.SEED)),
            }[kind]
            rng = np.random.default_rng(0)
            captions = [module.neutral_caption(module.generate(s), rng) for s in spec]
        assert not [text for text in captions if any(phrase in text for phrase in phrases)]


def test_mirrored_views_are_other_embeddings_of_the_same_samples():
    data, cache = chest.as_data(n=20, seed=3), EmbeddingCache(tiny.load("medclip"))
    plain, mirrored = (embed(data, cache, 1, flips, seed=2026) for flips in (False, True))
    assert torch.equal(plain.images[0], mirrored.images[0])
    assert not torch.allclose(plain.images[1], mirrored.images[1], atol=1e-3)
