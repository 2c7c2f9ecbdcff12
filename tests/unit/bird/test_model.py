"""BiRD's architecture: shapes, what is trained, what is saved, and the paper's size on the meta device."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM

from gftlib.bird import student as students
from gftlib.bird.assembling import assemble
from gftlib.bird.model import BirdModel
from gftlib.bird.model_config import IMAGE_TOKEN, BirdConfig, open_clip_vision, paper, tiny
from gftlib.bird.processor import image_processor
from gftlib.bird.resampler import Resampler, sinusoids
from gftlib.errors import InputError, MissingError
from gftlib.vlm.conversations import Example, encode
from gftlib.vlm.inference import answer
from gftlib.vlm.shared_prefix import Shared

IMAGE_ID = 299


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return BirdModel(tiny(300, IMAGE_ID, eos_token_id=1, pad_token_id=0)).eval()


@pytest.fixture(scope="module")
def inputs():
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 290, (2, 24), generator=rng)
    ids[:, 3:19] = IMAGE_ID
    return {"input_ids": ids, "pixel_values": torch.randn(2, 3, 112, 112, generator=rng)}


@pytest.fixture(scope="module")
def student():
    return students.build_tiny(
        ["Where is the liver? A large liver in the upper left part."] * 3, image_size=56
    )


def test_position_codes_meet_where_the_places_do():
    # The centre of a 2 x 2 block of the finer grid is the centre of a cell of the coarser one.
    coarse, line = sinusoids(2, 8), sinusoids(4, 8, 0.5)
    assert coarse.shape == (4, 8) and line.shape == (16, 8)
    np.testing.assert_allclose(coarse[1], [np.sin(1), np.sin(0.01), np.cos(1), np.cos(0.01), 0, 0, 1, 1])
    np.testing.assert_allclose(sinusoids(6, 8, 1 / 3)[1 * 6 + 4], coarse[1], atol=1e-12)
    assert len(np.unique(sinusoids(5, 16).round(9), axis=0)) == 25
    with pytest.raises(InputError, match="multiple of 4"):
        sinusoids(2, 6)


def test_the_resampler_tells_places_apart():
    torch.manual_seed(0)
    resampler = Resampler(4, 3, 6, 8, 2).eval()
    patches = torch.randn(1, 9, 6)
    tokens = resampler(patches)
    assert tokens.shape == (1, 4, 8)
    assert not torch.allclose(tokens, resampler(patches[:, torch.randperm(9)]), atol=1e-4)
    with pytest.raises(InputError, match="not a square number"):
        Resampler(5, 3, 6, 8, 2)
    with pytest.raises(InputError, match="do not divide"):
        Resampler(4, 3, 6, 8, 3)


def test_the_answer_depends_on_the_image_and_only_after_it(model, inputs):
    with torch.no_grad():
        one = model(**inputs).logits
        other = model(inputs["input_ids"], inputs["pixel_values"].flip(0)).logits
    assert one.shape == (2, 24, 300)
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 19:], other[:, 19:], atol=1e-4)


def test_the_queries_take_the_places_of_the_placeholders(model, inputs):
    with torch.no_grad():
        embeds = model.get_input_embeddings()(inputs["input_ids"]).clone()
        embeds[:, 3:19] = model.image_tokens(inputs["pixel_values"])
        wanted = model.language_model(inputs_embeds=embeds).logits
        torch.testing.assert_close(model(**inputs).logits, wanted)


def test_a_cache_changes_nothing(model, inputs):
    ids = inputs["input_ids"]
    with torch.no_grad():
        whole = model(**inputs).logits[:, -4:]
        first = model(ids[:, :20], inputs["pixel_values"], use_cache=True)
        rest = model(
            ids[:, 20:],
            attention_mask=torch.ones_like(ids),
            position_ids=torch.arange(20, 24).expand(2, -1),
            past_key_values=first.past_key_values,
            use_cache=True,
        )
    torch.testing.assert_close(rest.logits, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("unfrozen", [False, True])
def test_resampler_and_language_model_learn_and_the_tower_as_asked(inputs, unfrozen):
    config = tiny(300, IMAGE_ID, eos_token_id=1, pad_token_id=0)
    config.train_vision = unfrozen
    model = BirdModel(config).train()
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    graded = {
        name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert graded == {"resampler", "language_model"} | ({"vision"} if unfrozen else set())
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == graded


def test_what_is_saved_is_what_is_loaded(model, inputs, tmp_path):
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    loaded = BirdModel.from_pretrained(tmp_path)
    assert {name for name, p in loaded.named_parameters() if not p.requires_grad} == {
        f"vision.{name}" for name, _ in loaded.vision.named_parameters()
    }
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(**inputs).logits, model(**inputs).logits)


def test_placeholders_must_fit_the_images(model, inputs):
    with pytest.raises(InputError, match=r"1 images need 16 placeholder tokens \(16 each\), found 32"):
        model(inputs["input_ids"], inputs["pixel_values"][:1])
    with pytest.raises(InputError, match="images need input_ids"):
        model(inputs_embeds=torch.zeros(1, 2, 192), pixel_values=inputs["pixel_values"])


def test_generation_sees_the_image_once(model, inputs):
    mask = torch.ones_like(inputs["input_ids"])
    found = model.generate(
        **inputs, attention_mask=mask, max_new_tokens=3, do_sample=False, eos_token_id=None
    )
    ids = inputs["input_ids"]
    with torch.no_grad():
        for _ in range(3):
            following = model(ids, inputs["pixel_values"]).logits[:, -1:].argmax(-1)
            ids = torch.cat([ids, following], 1)
    assert torch.equal(found, ids)


def test_the_paper_s_model_has_the_size_that_qwen_vl_states():
    with torch.device("meta"):
        model = BirdModel(paper())
    parts = (model.vision, model.resampler, model.language_model)
    vision, resampler, language = (sum(p.numel() for p in part.parameters()) for part in parts)
    # Qwen-VL: tower 1.9B, adapter 0.08B, language model 7.7B, 9.6B in all.
    assert round(vision / 1e9, 1) == 1.8 and round(language / 1e9, 1) == 7.7
    assert 9.6e9 < vision + resampler + language < 9.7e9
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes["vision.positional_embedding"] == (32 * 32 + 1, 1664)
    assert shapes["resampler.queries"] == (256, 4096) and shapes["resampler.project_in.weight"] == (
        4096,
        1664,
    )
    assert shapes["language_model.lm_head.weight"] == (151936, 4096)
    assert model.resampler.attention.num_heads == 32 and len(model.vision.transformer.resblocks) == 48
    # The tower is open_clip's, name by name, but for what makes one embedding of an image.
    with torch.device("meta"):
        whole = open_clip.model._build_vision_tower(**open_clip_vision("ViT-bigG-14", 448))
    theirs = {name: tuple(p.shape) for name, p in whole.named_parameters()}
    unused = {"proj", "ln_post.weight", "ln_post.bias"}
    ours = {name: tuple(p.shape) for name, p in model.vision.named_parameters()}
    assert ours == {name: shape for name, shape in theirs.items() if name not in unused}


def test_unknown_towers_are_named():
    with pytest.raises(InputError, match="no model 'ViT-bigG-15'; did you mean 'ViT-bigG-14'"):
        open_clip_vision("ViT-bigG-15", 448)
    with pytest.raises(InputError, match="no vision transformer"):
        open_clip_vision("RN50", 224)
    with pytest.raises(InputError, match="multiple of 14"):
        tiny(10, 9, 100)


def test_pretrained_parts_become_one_model(inputs):
    config = tiny(300, IMAGE_ID)
    torch.manual_seed(1)
    wanted = config.vision_config
    tower = open_clip.model._build_vision_tower(wanted["embed_dim"], wanted["vision_cfg"])
    language = AutoModelForCausalLM.from_config(config.text_config)
    model = assemble(config, tower, language).eval()
    assert model.language_model is language and not any(p.is_meta for p in model.parameters())
    assert not any(b.is_meta for b in model.buffers())
    assert model.vision.conv1.weight is not None and torch.equal(
        model.vision.conv1.weight, tower.conv1.weight
    )
    assert not model.vision.conv1.weight.requires_grad and model.resampler.queries.requires_grad
    assert torch.isfinite(model(**inputs).logits).all()
    with pytest.raises(InputError, match="does not fit"):
        assemble(tiny(300, IMAGE_ID, image_size=56), tower, language)


def test_images_keep_their_whole_extent():
    image = Image.fromarray(np.dstack([np.full((40, 90), v, np.uint8) for v in (255, 0, 128)]))
    pixels = image_processor(56)(image, return_tensors="pt")["pixel_values"][0]
    assert pixels.shape == (3, 56, 56)
    mean, deviation = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    wanted = (np.array([1, 0, 128 / 255]) - mean) / deviation
    np.testing.assert_allclose(pixels.mean((1, 2)), wanted, atol=0.01)
    assert image_processor().size["height"] == 448


def test_a_student_is_taught_and_asked_as_any_other(student, tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8))
    box = "<ref>liver</ref><box>(1,2),(3,4)</box>"
    lessons = [Example(image, ("Where is the <ref>liver</ref>?", "What?"), (box, "A liver."))]
    batch = encode(student, [*lessons, Example(image, ("Where?",), ("Here.",))])
    assert int((batch.prefix["input_ids"] == student.model.config.image_token_id).sum()) == 2 * 16
    assert box in student.processor.tokenizer.decode(batch.ids[0], skip_special_tokens=True)
    shared, apart = (Shared(student.model, share)(batch).item() for share in (True, False))
    assert shared == pytest.approx(apart, rel=1e-5)
    asked = [Example(image, ("Where?", "Who?"))]
    said = answer(student, asked, longest=5)
    assert len(said[0]) == 2
    students.save(student, tmp_path / "bird")
    loaded = students.load(tmp_path / "bird")
    assert answer(loaded, asked, longest=5) == said
    assert loaded.processor.image_token == IMAGE_TOKEN and isinstance(loaded.model.config, BirdConfig)
    with pytest.raises(MissingError, match="no BiRD"):
        students.load(tmp_path)
