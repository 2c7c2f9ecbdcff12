"""The profile's device reaches encoders and trainings; a GPU, where there is one, learns what a CPU does."""

from __future__ import annotations

import pytest
import torch
from scale_data import exclusive_task, multi_task
from test_coop_and_tuning import make_data

from gftlib import needs
from gftlib.profiles import load_profile
from gftlib.scale import study, tiny, use_cases
from gftlib.scale.baselines import Job, Setting, method
from gftlib.scale.coop import names
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.features import embed
from gftlib.scale.losses import ScaleLossConfig, stack
from gftlib.scale.sampling import TrainingConfig
from gftlib.scale.use_cases import UseCase


def on(device: str):
    profile = load_profile("smoke")
    return profile.model_copy(update={"scale": profile.scale.model_copy(update={"device": device})})


def test_the_device_of_the_profile_reaches_every_training(features):
    use = UseCase("medclip", None, None, features, features, "", "")
    for device in ("cpu", "cuda"):
        setting = study._setting(use, on(device).scale)
        assert {c.device for c in (setting.training, setting.coop, setting.tuning)} == {device}
        assert needs.gpus(on(device), "07_scale") == (device == "cuda")


def test_the_device_of_the_profile_reaches_the_encoders(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(study, "open_use_case", lambda *_, **more: asked.append(more["device"]))
    study._open("medclip", on("cuda"), tmp_path)
    monkeypatch.setattr(use_cases, "load_encoder", lambda *_, device: asked.append(device))
    use_cases._encoder("clip", {"clip": "somewhere"}, "cuda")
    assert asked == ["cuda", "cuda"]


def test_what_is_moved_is_the_same(features):
    moved = features.to("cpu")
    assert moved.labels is features.labels and torch.equal(moved.sentences, features.sentences)
    for name in ("combination", "valid", "concept", "cls"):
        assert torch.equal(getattr(moved.relations, name), getattr(features.relations, name))
    assert stack([ScaleLossConfig()] * 2, "cpu").temperature.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "name", ["linear_probe", "clip_adapter", "info_nce", "scale", "coop", "lora", "full"]
)
@pytest.mark.parametrize("several", [False, True])
def test_a_gpu_learns_what_a_cpu_learns(name, several):
    data = make_data(multi_task() if several else exclusive_task())
    texts = [*data.task.prompts, *names(data.task), *(t for row in data.texts for t, _ in row)]
    encoder = tiny.build("medclip" if several else "clip", texts)
    found = {}
    for device in ("cpu", "cuda"):
        config = TrainingConfig(epochs=2, device=device)
        features = embed(data, EmbeddingCache(encoder.to(device)))
        setting = Setting(features, config, encoder, data, config, config)
        for candidate in method(name).candidates(several):
            job = Job(candidate, features.pool, features.pool, 0)
            (outputs,) = method(name).train(setting, [job])
            found.setdefault(device, []).append(torch.as_tensor(outputs.combination).float())
    for cpu, gpu in zip(found["cpu"], found["cuda"], strict=True):
        torch.testing.assert_close(cpu, gpu, rtol=2e-2, atol=5e-2)
