import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from gftlib import checkpoints, needs
from gftlib.profiles import load_profile

VARIABLES = (
    "OCTA_DATA",
    "OCTA500",
    "DERM7PT_DATA",
    "PADCHEST_GR_DATA",
    "SA_MED2D_DATA",
    "MEDCLIP_WEIGHTS",
    "BIRD_START",
    "OPENAI_API_KEY",
    "TEACHER_MODEL",
    "HOSTED_MODEL",
)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """An environment without any variable, cache or GPU."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return monkeypatch


def state(profile, name):
    (found,) = {need.state: need for need in needs.needs(profile) if need.name == name}.values()
    return found.state, found.told


def test_the_small_profiles_need_nothing_from_elsewhere(bare):
    for name in ("smoke", "phantom", "phantom-llama"):
        assert {need.state for need in needs.needs(load_profile(name))} <= {"there", "left out"}


def test_students_of_another_width_are_to_be_made(bare, tmp_path):
    bare.chdir(tmp_path)
    told = [need for need in needs.needs(load_profile("phantom-sizes")) if need.state == "missing"]
    assert len(told) == 2
    assert all("runs/students/" in need.line() for need in told)


def test_every_variable_of_the_full_profile_is_asked_for(bare):
    told = "\n".join(need.line() for need in needs.needs(load_profile("paper")))
    assert [name for name in VARIABLES if name not in told] == []


def test_what_the_full_profile_lacks_is_missing_and_what_it_can_do_without_is_left_out(bare):
    paper = load_profile("paper")
    for name in ("OCTA scans", "Derm7pt", "PadChest-GR", "SA-Med2D-20M", "MedCLIP", "OPENAI_API_KEY", "CUDA"):
        assert state(paper, name)[0] == "missing", name
    for name in ("OCTA-500", "HOSTED_MODEL"):
        assert state(paper, name)[0] == "left out", name


def test_data_are_known_by_their_files(bare, tmp_path):
    paper = load_profile("paper")
    bare.setenv("DERM7PT_DATA", str(tmp_path / "nowhere"))
    assert "no folder" in state(paper, "Derm7pt")[1]
    bare.setenv("DERM7PT_DATA", str(tmp_path))
    assert state(paper, "Derm7pt") == ("missing", f"no meta/meta.csv in {tmp_path}")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "meta.csv").touch()
    assert state(paper, "Derm7pt")[0] == "there"


def test_scans_need_their_stages(bare, tmp_path):
    paper = load_profile("paper")
    bare.setenv("OCTA_DATA", str(tmp_path))
    assert "no scans" in state(paper, "OCTA scans")[1]
    (tmp_path / "a.png").touch()
    assert state(paper, "OCTA scans")[0] == "there"
    assert state(paper, "stages")[0] == "missing"
    (tmp_path / "scans.csv").touch()
    assert state(paper, "stages")[0] == "there"


def test_a_key_is_never_told(bare):
    bare.setenv("OPENAI_API_KEY", "sk-very-secret")
    told = [need.line() for need in needs.needs(load_profile("paper"))]
    assert not [line for line in told if "secret" in line]
    assert state(load_profile("paper"), "OPENAI_API_KEY")[0] == "there"


def test_a_gpu_too_small_for_the_weights_is_missing(bare):
    class Card:
        total_memory = 16 * 2**30

    bare.setattr(torch.cuda, "is_available", lambda: True)
    bare.setattr(torch.cuda, "get_device_properties", lambda _: Card)
    bare.setattr(torch.cuda, "get_device_name", lambda _: "a card")
    paper = load_profile("paper")
    assert state(paper, "memory for llama-3.2-11b-vision")[0] == "missing"
    assert state(paper, "memory for qwen2.5-vl-7b")[0] == "there"


def test_a_bird_needs_room_for_gradients_and_moments(bare):
    paper = load_profile("paper")
    (bird,) = (name for name in paper.grounding.arms if "$" in name)
    bare.setenv(bird.strip("${}"), "owner/bird")
    bare.setattr(needs.checkpoints, "memory", lambda name, dtype, *_: {"float32": 4, "bfloat16": 2}[dtype])
    sizes = {name: size for name, chapters, size in needs.tuned_students(paper) if chapters == ("09",)}
    assert sizes.pop(bird) == 16
    assert set(sizes.values()) == {2}


@pytest.mark.parametrize(
    ("profile", "notebook", "count"),
    [("paper", "05_lora_tuning", 1), ("paper", "01_graph_construction", 0), ("smoke", "05_lora_tuning", 0)],
)
def test_notebooks_ask_for_a_gpu_where_their_profile_has_one(profile, notebook, count):
    assert needs.gpus(load_profile(profile), notebook) == count


def test_weights_are_found_whole_or_not_at_all(bare, tmp_path):
    assert checkpoints.find(str(tmp_path)) == checkpoints.Found(None, f"no weights in {tmp_path}")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"a": np.zeros((3, 5), np.float32)}, tmp_path / "model-1.safetensors")
    assert "1 of 2 parts are not in" in checkpoints.find(str(tmp_path)).told
    save_file({"b": np.zeros(7, np.float32)}, tmp_path / "model-2.safetensors")
    assert checkpoints.find(str(tmp_path)).folder == tmp_path
    assert checkpoints.memory(str(tmp_path), "bfloat16") == 2 * 22
    assert checkpoints.memory(str(tmp_path), "bfloat16", four_bit=True) == 11


def test_weights_of_the_hub_are_looked_for_in_its_cache(bare, tmp_path):
    told = checkpoints.find("owner/model").told
    assert told == "download them: hf download owner/model"
    snapshot = tmp_path / "hub" / "models--owner--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    (snapshot / "config.json").write_text("{}")
    assert checkpoints.find("owner/model").folder is None
    (snapshot / "model.safetensors").touch()
    assert checkpoints.find("owner/model").folder == snapshot


def test_packaged_weights_that_are_gone_say_how_they_are_made(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    (tmp_path / "tiny-mllama").mkdir()
    assert checkpoints.find("tiny-mllama").told == "make them: gftlib train-student tiny-mllama"


def test_a_misspelt_student_is_no_hub_id():
    assert checkpoints.find("qwen2.5-vl-8b").told == "no file or folder 'qwen2.5-vl-8b'"
