"""Equation 1 and the blending: hand-computed, against plain loops, stacked against single."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.errors import InputError
from gftlib.scale.adapters import Adapter, AdapterConfig, AdapterPair


def _adapter(**choices) -> Adapter:
    adapter = Adapter(2, AdapterConfig(reduction=1, alpha_range="free", alpha=0.25, **choices))
    with torch.no_grad():
        adapter.down.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.0]]))
        adapter.up.copy_(torch.tensor([[1.0, -3.0], [5.0, 1.0]]))
    return adapter


def test_equation_1_by_hand():
    # f W1 = (1 + 2, -1) -> ReLU (3, 0); times W2 -> (3, -9); blended 0.25 (3, -9) + 0.75 (1, 1)
    out = _adapter()(torch.tensor([[1.0, 1.0]]))
    assert out.tolist() == [[1.5, -1.5]]


def test_trailing_relu_of_clip_adapter_by_hand():
    assert _adapter(trailing_relu=True)(torch.tensor([[1.0, 1.0]])).tolist() == [[1.5, 0.75]]


@pytest.mark.parametrize(
    ("choice", "learnable", "start"), [("unit", True, 0.2), ("free", True, 0.2), ("fixed", False, 0.2)]
)
def test_alpha_starts_where_declared(choice, learnable, start):
    adapter = Adapter(8, AdapterConfig(alpha_range=choice))
    assert adapter.alpha.item() == pytest.approx(start, abs=1e-6)
    assert adapter.raw_alpha.requires_grad is learnable


def test_unit_alpha_stays_inside_the_blend_and_free_alpha_does_not():
    for choice, inside in (("unit", True), ("free", False)):
        adapter = Adapter(4, AdapterConfig(alpha_range=choice))
        with torch.no_grad():
            adapter.raw_alpha.add_(3)
        assert (0 < adapter.alpha.item() < 1) is inside


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), scale=st.floats(0.1, 50))
def test_direction_does_not_depend_on_the_length_of_the_embedding(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    pair = AdapterPair(12, AdapterConfig(), generator=generator)
    f = torch.randn(5, 12, generator=generator)
    torch.testing.assert_close(pair.image(f), pair.image(scale * f), rtol=1e-4, atol=1e-5)


def test_branches_without_an_adapter_only_normalise():
    torch.manual_seed(0)
    pair = AdapterPair(6, AdapterConfig(branches=("image",)))
    f = torch.randn(3, 6)
    torch.testing.assert_close(pair.text(f), torch.nn.functional.normalize(f, dim=-1))
    assert not torch.allclose(pair.image(f), pair.text(f))


def test_two_readings_of_two_adapters():
    for per_branch, expected in ((1, 2), (2, 4)):
        pair = AdapterPair(6, AdapterConfig(adapters_per_branch=per_branch))
        assert sum(isinstance(m, Adapter) for m in pair.modules()) == expected


def test_stacked_runs_equal_single_runs():
    config, f = AdapterConfig(adapters_per_branch=2), torch.randn(3, 4, 5, 8)
    stacked = AdapterPair(8, config, runs=3, generator=[torch.Generator().manual_seed(s) for s in range(3)])
    out = stacked.image(f)
    for run in range(3):
        alone = AdapterPair(8, config, generator=torch.Generator().manual_seed(run))
        torch.testing.assert_close(out[run], alone.image(f[run]), rtol=1e-5, atol=1e-6)


def test_stacked_runs_may_start_from_different_alphas():
    starts = torch.tensor([0.1, 0.5, 0.9])
    adapter = Adapter(4, AdapterConfig(), runs=3, alpha=starts)
    torch.testing.assert_close(adapter.alpha, starts)


def test_gradients_reach_every_parameter():
    pair = AdapterPair(8, AdapterConfig())
    pair(torch.randn(3, 8), torch.randn(4, 8)).sum().backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in pair.parameters())


@pytest.mark.parametrize(
    "bad",
    [
        {"reduction": 0},
        {"alpha": 1.5},
        {"alpha_range": "units"},
        {"branches": ("images",)},
        {"adapters_per_branch": 0},
    ],
)
def test_bad_choices_are_refused(bad):
    with pytest.raises(InputError):
        AdapterConfig(**bad)


def test_one_generator_for_each_run():
    with pytest.raises(InputError, match="1 generators for 2 runs"):
        Adapter(4, AdapterConfig(), runs=2, generator=[torch.Generator()])
