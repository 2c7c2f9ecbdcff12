from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import gftlib.octa.resnet as resnet
from gftlib.errors import InputError, MissingError
from gftlib.octa.fitting import Recipe
from gftlib.octa.resnet import ResNetConfig, build, cross_validate_resnet, shrink

CONFIG = ResNetConfig(size=32, recipe=Recipe(epochs=1, batch_size=8, lr=1e-3))


@pytest.fixture(scope="module")
def scans() -> pd.DataFrame:
    number = np.arange(18)
    return pd.DataFrame(
        {"scan": number.astype(str), "subject": number.astype(str), "stage": number % 3, "split": number // 3}
    )


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (18, 40, 40), dtype=np.uint8)


def test_cross_validation_judges_and_a_second_call_trains_nothing(images, scans, tmp_path, monkeypatch):
    foreign = {"shifted": (images[:2], scans.iloc[:2])}
    arguments = {"seeds": (0,), "folds": (1,), "foreign": foreign}
    table = cross_validate_resnet(images, scans, CONFIG, tmp_path, **arguments)
    assert table.groupby("part").size().to_dict() == {"shifted": 2, "test": 3, "valid": 3}
    assert set(table["method"]) == {"resnet18"}
    monkeypatch.setattr(resnet, "fit", None)
    again = cross_validate_resnet(images, scans, CONFIG, tmp_path, **arguments)
    pd.testing.assert_frame_equal(table, again)


def test_scans_are_scaled_one_by_one(images):
    values = shrink(images, 32)
    assert values.shape == (18, 1, 32, 32)
    assert torch.allclose(values.mean((1, 2, 3)), torch.zeros(18), atol=1e-5)
    assert torch.allclose(values.std((1, 2, 3)), torch.ones(18), atol=1e-4)
    assert shrink(np.full((1, 40, 40), 7, np.uint8), 32).abs().max() < 1e-3


def test_augmentation_keeps_the_pixels_and_evaluation_the_image(images):
    values = shrink(images, 32)
    load = resnet._loader(values, "cpu")
    assert torch.equal(load([3, 1], None), values[[3, 1]])
    turned = load(range(18), torch.Generator().manual_seed(0))
    assert torch.allclose(turned.flatten(1).sort(1).values, values.flatten(1).sort(1).values)
    assert not torch.equal(turned, values)


def test_weights_of_a_colour_network_are_taken_over(tmp_path):
    colour = build(CONFIG).state_dict()
    colour["conv1.weight"] = torch.randn(64, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    colour["fc.weight"], colour["fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    path = tmp_path / "imagenet.safetensors"
    save_file(colour, path)
    model = build(replace(CONFIG, weights=path))
    assert torch.allclose(model.conv1.weight, load_file(path)["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(model.layer1[0].conv1.weight, colour["layer1.0.conv1.weight"])


def test_bad_input_is_named(images, scans, tmp_path):
    with pytest.raises(MissingError, match="no weights"):
        build(replace(CONFIG, weights=tmp_path / "none.safetensors"))
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="does not hold a resnet18"):
        build(replace(CONFIG, weights=tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="uint8 are needed"):
        shrink(images.astype(float), 32)
    with pytest.raises(InputError, match="17 images and 18"):
        cross_validate_resnet(images[1:], scans, CONFIG, tmp_path)
    with pytest.raises(InputError, match="at least 32"):
        ResNetConfig(size=8)
