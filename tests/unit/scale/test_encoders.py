"""Encoders in their published formats: key names on the meta device, equality with transformers, cache."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from gftlib.errors import InputError, MissingError
from gftlib.paths import write_json
from gftlib.scale import clip, encoders, medclip, tiny
from gftlib.scale.clip_conversion import config_from_transformers, state_from_transformers
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.encoders import ClipEncoder, load_encoder
from gftlib.scale.transforms import ImageTransform, View, draw_views

TEXTS = ["A photo of a red dot.", "an image", "No finding.", "left lower lobe collapse and more words"]
SMALL_CLIP = {
    "projection_dim": 16,
    "vision_config": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "image_size": 32,
        "patch_size": 8,
    },
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": 600,
        "max_position_embeddings": 20,
        "eos_token_id": 599,
        "bos_token_id": 598,
    },
}


@pytest.fixture(scope="module")
def transformers_clip():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CLIPModel(CLIPConfig(**SMALL_CLIP)).eval()


@pytest.fixture(scope="module", params=["clip", "medclip"])
def encoder(request):
    return tiny.build(request.param, TEXTS, seed=0)


def picture(seed: int, shape=(40, 50, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_full_size_models_have_the_published_key_names():
    with torch.device("meta"):
        state = state_from_transformers(CLIPModel(CLIPConfig(**_vit_l_14())).state_dict())
        clip.check_keys(clip.build(clip.VIT_L_14), state, "ViT-L/14")
        model = medclip.MedClip()
    names = set(model.state_dict())
    assert len(names) == len(_published_names()) and not [n for n in names if n.endswith("position_ids")]
    old = {name: torch.zeros(0, device="meta") for name in _published_names()}
    assert set(medclip.published_state(old, names)) == names


def _published_names() -> set[str]:
    """The key names of MedCLIP's checkpoint, spelt out; without its constants."""
    swin = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    swin += ["layernorm_before", "layernorm_after", "intermediate.dense", "output.dense"]
    bert = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    bert += ["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
    names = {"logit_scale", "vision_model.projection_head.weight", "text_model.projection_head.weight"}
    v, t = "vision_model.model.", "text_model.model."
    parts = [v + "embeddings.patch_embeddings.projection", v + "embeddings.norm", v + "layernorm"]
    parts += [t + "pooler.dense", t + "embeddings.LayerNorm"]
    for stage, depth in enumerate((2, 2, 6, 2)):
        where = f"{v}encoder.layers.{stage}."
        parts += [f"{where}blocks.{b}.{part}" for b in range(depth) for part in swin]
        table = "attention.self.relative_position_bias_table"
        names |= {f"{where}blocks.{b}.{table}" for b in range(depth)}
        if stage < 3:
            names.add(where + "downsample.reduction.weight")
            parts.append(where + "downsample.norm")
    parts += [f"{t}encoder.layer.{layer}.{part}" for layer in range(12) for part in bert]
    names |= {f"{t}embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}
    return names | {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}


def _vit_l_14():
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
    }
    return {"projection_dim": 768, "text_config": text, "vision_config": vision}


@pytest.mark.parametrize("layout", ["transformers", "pickled", "open_clip", "openai"])
def test_a_clip_in_each_published_format_equals_transformers(
    layout, tmp_path, transformers_clip, monkeypatch
):
    state, config = transformers_clip.state_dict(), transformers_clip.config
    ours = config_from_transformers(config.to_dict())
    path = tmp_path
    if layout == "transformers":
        transformers_clip.save_pretrained(tmp_path)
    elif layout == "pickled":
        stale = {"text_model.embeddings.position_ids": torch.arange(20)[None]}
        torch.save({**state, **stale}, tmp_path / "pytorch_model.bin")
        write_json(tmp_path / "config.json", config.to_dict())
    elif layout == "open_clip":
        write_json(tmp_path / "open_clip_config.json", {"model_cfg": ours})
        torch.save(state_from_transformers(state), tmp_path / "open_clip_pytorch_model.bin")
    else:
        path = tmp_path / "weights.pt"
        torch.save({"state_dict": state_from_transformers(state)}, path)
        monkeypatch.setattr(clip, "VIT_L_14", ours)
    model, loaded = clip.load(path)
    assert loaded["embed_dim"] == 16
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tokens = torch.tensor([[598, 5, 9, 599] + [0] * 16, [598, 3, 599] + [0] * 17])
    with torch.no_grad():
        expected = transformers_clip(input_ids=tokens, pixel_values=pixels)
        image, text = model.encode_image(pixels), clip.encode_tokens(model, tokens[:, :4])
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(image, dim=-1), expected.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(unit(text, dim=-1), expected.text_embeds, rtol=1e-4, atol=1e-5)


def test_medclip_in_its_authors_format_with_old_names_and_constants(tmp_path):
    made = tiny.build("medclip", TEXTS, seed=1)
    tiny.save(made, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    back = {"q_proj": "self.query", "k_proj": "self.key", "v_proj": "self.value", "o_proj": "output.dense"}
    back |= {"relative_position_bias.relative_position_bias_table": "self.relative_position_bias_table"}
    back |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    old = {"text_model.model.embeddings.position_ids": torch.arange(77)[None]}
    for name, value in made.model.state_dict().items():
        for new, before in back.items():
            name = name.replace(new, before)
        old[name] = value
        if name.endswith("relative_position_bias_table"):
            old[name.replace("bias_table", "index")] = torch.zeros(49, 49, dtype=torch.int64)
    torch.save(old, tmp_path / "pytorch_model.bin")
    loaded = load_encoder("medclip", tmp_path)
    image = loaded.transform(picture(0))[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_texts(TEXTS), made.encode_texts(TEXTS))
        torch.testing.assert_close(loaded.encode_images(image), made.encode_images(image))
    assert loaded.transform.fit == "pad" and not any(p.requires_grad for p in loaded.parameters())


def test_missing_extra_and_misshapen_weights_are_named(tmp_path):
    made = tiny.build("clip", TEXTS)
    state = {k: v.clone() for k, v in made.model.state_dict().items()}
    for change, message in (
        (lambda s: s.pop("ln_final.weight"), "missing, first 'ln_final.weight'"),
        (lambda s: s.update(extra=torch.zeros(1)), "not of this model, first 'extra'"),
        (lambda s: s.update(text_projection=torch.zeros(2, 2)), r"text_projection has shape \(2, 2\)"),
    ):
        bad = dict(state)
        change(bad)
        with pytest.raises(InputError, match=message):
            clip.check_keys(made.model, bad, "file")
    with pytest.raises(MissingError, match=r"config\.json"):
        clip.load(tmp_path)
    torch.save([1, 2], tmp_path / "list.bin")
    with pytest.raises(InputError, match="no state dict"):
        clip.read_state(tmp_path / "list.bin")
    with pytest.raises(InputError, match="did you mean 'medclip'"):
        load_encoder("medclp")
    with pytest.raises(InputError, match="no hub id"):
        load_encoder("medclip")


@pytest.mark.parametrize("name", ["weights.bin", "weights.pt", "weights.safetensors"])
def test_damaged_weights_are_refused_as_input(name, tmp_path):
    for content in (b"", b"version of something else", b"\0" * 100):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            clip.read_state(tmp_path / name)
    if not name.endswith("safetensors"):
        torch.save({"a": torch.zeros(2)}, tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
        with pytest.raises(InputError, match="cannot be read"):
            clip.read_state(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("medclip", "/no/such/folder"),
        ("medclip", "some/name"),
        ("clip", "/no/such/folder"),
        ("monet", "monet.safetensors"),
        ("clip", "folder/that is/no hub id"),
    ],
)
def test_weights_that_are_not_there_are_missing(name, source):
    with pytest.raises(MissingError, match=r"there are no weights at .*no such file or folder"):
        load_encoder(name, source)


def test_pickled_weights_are_fetched_from_the_hub_where_there_are_no_others(monkeypatch, tmp_path):
    asked = []

    def download(source, allow_patterns):
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert encoders._local("some/name", hub=True) == tmp_path
    assert ["*.bin" in patterns for patterns in asked] == [False, True]
    (tmp_path / "model.safetensors").touch()
    encoders._local("some/name", hub=True)
    assert len(asked) == 3


def test_monet_is_normalised_as_its_authors_do_and_clip_is_not(tmp_path):
    tiny.save(tiny.build("clip", TEXTS), tmp_path)
    one, other = load_encoder("monet", tmp_path), load_encoder("clip", tmp_path)
    assert one.transform.mean == (0.485, 0.456, 0.406) and other.transform.mean[0] == 0.48145466
    assert isinstance(one, ClipEncoder) and one.fingerprint() != other.fingerprint()


def test_a_cut_text_is_the_whole_text(encoder):
    if not isinstance(encoder, ClipEncoder):
        pytest.skip("BERT reads padding only if asked to")
    whole = encoder.tokenizer(TEXTS)
    with torch.no_grad():
        expected = encoder.model.encode_text(whole)
        torch.testing.assert_close(encoder.encode_texts(TEXTS), expected, rtol=1e-4, atol=1e-5)
    assert clip.longest(whole) < whole.shape[1]


def test_padding_is_averaged_as_published_or_left_out():
    made = tiny.build("medclip", TEXTS)
    with torch.no_grad():
        short, long = made.encode_texts(TEXTS[:1]), made.encode_texts(TEXTS[:1], pad_to=30)
        assert not torch.allclose(short, long, atol=1e-4)
        made.model.text_model.average_padding = False
        torch.testing.assert_close(
            made.encode_texts(TEXTS[:1]), made.encode_texts(TEXTS[:1], pad_to=30), rtol=1e-4, atol=1e-5
        )


def test_text_embedding_is_the_mean_of_three_hidden_states():
    made = tiny.build("medclip", TEXTS)
    ids, mask = made.tokens(TEXTS)
    with torch.no_grad():
        out = made.model.text_model.model(ids, mask, output_hidden_states=True).hidden_states
        pooled = sum(out[layer].mean(1) for layer in (1, 2, -1)) / 3
        expected = made.model.text_model.projection_head(pooled)
        torch.testing.assert_close(made.encode_texts(TEXTS), expected, rtol=1e-4, atol=1e-5)


def test_embeddings_are_computed_once_and_found_by_content(encoder, tmp_path):
    images = [picture(0), picture(1), picture(0)]
    views = [None, View.draw(np.random.default_rng(0), flips=True)]
    cache = EmbeddingCache(encoder, tmp_path)
    first = cache.images(3, images.__getitem__, lambda _: views)
    assert first.shape == (2, 3, encoder.dim) and cache.computed == 4  # two images, two views
    torch.testing.assert_close(first[:, 0], first[:, 2])
    texts = cache.texts([*TEXTS, TEXTS[0]])
    again = EmbeddingCache(encoder, tmp_path)
    torch.testing.assert_close(again.images(3, images.__getitem__, lambda _: views), first)
    torch.testing.assert_close(again.texts([*TEXTS, TEXTS[0]]), texts)
    assert again.computed == 0
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        next(other.model.parameters()).add_(1)
    assert EmbeddingCache(other, tmp_path).images(3, images.__getitem__).shape == (1, 3, encoder.dim)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_text_padded_with_longer_ones_is_another_entry():
    cache = EmbeddingCache(tiny.build("medclip", TEXTS))
    alone, among = cache.texts(TEXTS[1:2])[0], cache.texts(TEXTS)[1]
    assert not torch.allclose(alone, among, atol=1e-4)


def test_transforms_by_hand():
    grey = np.zeros((2, 4), np.uint8)
    padded = ImageTransform(4, (0.5,) * 3, (0.5,) * 3, "pad").square(grey + 200)
    assert padded.shape == (4, 4, 3) and padded[0].max() == 0 and padded[1:3].min() == 200
    cropped = ImageTransform(2, fit="crop").square(
        np.arange(8, dtype=np.uint8).reshape(2, 4).repeat(3).reshape(2, 4, 3)
    )
    assert cropped[..., 0].tolist() == [[1, 2], [5, 6]]
    value = ImageTransform(4, (0.5,) * 3, (0.25,) * 3)(np.full((4, 4, 3), 255, np.uint8))
    torch.testing.assert_close(value, torch.full((3, 4, 4), 2.0))


def test_flips_are_a_switch_that_changes_nothing_else():
    rngs = [np.random.default_rng(3) for _ in range(2)]
    pairs = [(View.draw(rngs[0], flips=True), View.draw(rngs[1], flips=False)) for _ in range(20)]
    assert any(a.flip for a, _ in pairs) and not any(b.flip for _, b in pairs)
    assert all((a.angle, a.crop, a.scale) == (b.angle, b.crop, b.scale) for a, b in pairs)


def test_every_image_has_views_of_its_own_and_half_of_them_are_mirrored():
    views = [draw_views(i, 4, flips=True, seed=0) for i in range(100)]
    assert all(one[0] is None and len(one) == 5 for one in views)
    drawn = [view for one in views for view in one[1:]]
    assert len(set(drawn)) == len(drawn) and 0.4 < np.mean([view.flip for view in drawn]) < 0.6
    assert views[3] == draw_views(3, 4, flips=True, seed=0) != draw_views(3, 4, flips=True, seed=1)
    assert views[3][:3] == draw_views(3, 2, flips=True, seed=0)  # more views keep those that were there


def test_a_flipped_view_mirrors_the_picture():
    view = View(True, 1.0, 1.0, 0.0, (0.0, 0.0), 1.0, (0.0, 0.0))
    same = View(False, 1.0, 1.0, 0.0, (0.0, 0.0), 1.0, (0.0, 0.0))
    image = np.zeros((28, 28, 3), np.uint8)
    image[:, :10] = 255
    transform = ImageTransform(28)
    left, right = transform(image, same)[0], transform(image, view)[0]
    assert left[:, 0].mean() > right[:, 0].mean()
