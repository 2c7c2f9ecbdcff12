"""Small students of both architectures: files, exactness of the shared pass, tuning, decoding."""

import json
import sys
import types
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors import safe_open

from gftlib.errors import InputError, MissingError
from gftlib.vlm.backbones import EMBEDDED, FAMILIES, family_of, find_checkpoint, load_student
from gftlib.vlm.chat import Conversation
from gftlib.vlm.conversations import IGNORED, Example, encode, plain_text
from gftlib.vlm.inference import answer
from gftlib.vlm.recipes import Adapter, Stage, Steps
from gftlib.vlm.shared_prefix import Shared, buckets, separate
from gftlib.vlm.surprisal import surprisal
from gftlib.vlm.tiny import build
from gftlib.vlm.tuning import add_adapter, tune

WORDS = ["Is there capillary non-perfusion in the upper left quadrant? Yes, 123 there is (12, 34)."] * 5


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i, side in enumerate((304, 304)):
        Image.fromarray((rng.random((side, side)) * 120 + 100 * i).astype(np.uint8)).save(folder / f"{i}.png")
    return [folder / "0.png", folder / "1.png"]


@pytest.fixture(scope="module", params=EMBEDDED)
def student(request):
    return build(request.param, WORDS)


@pytest.fixture
def examples(images):
    return [
        Example(images[0], ("Is it so?", "And here?"), ("Yes.", "No, there is none."), "Vessels are bright."),
        Example(images[1], ("Why?", "Where is it?", "When?"), ("Because.", "There, 12.", "Now."), "Bright."),
    ]


def fresh(student):
    return build(student.name, WORDS)


def gradients(model):
    found = {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}
    model.zero_grad()
    return found


def test_shared_pass_gives_loss_and_gradients_of_separate_examples(student, examples):
    batch = encode(student, examples)
    losses, grads = [], []
    for share in (True, False):
        loss = Shared(student.model, share)(batch)
        loss.backward()
        losses.append(loss.item())
        grads.append(gradients(student.model))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert grads[0].keys() == grads[1].keys()
    for name, one in grads[0].items():
        assert torch.dist(one, grads[1][name]) <= 1e-4 * grads[1][name].norm() + 1e-7, name


def test_surprisal_is_the_loss_of_separate_examples_in_bits(student, examples):
    for example in examples:
        batch = encode(student, [example])
        inputs, labels = separate(batch)
        with torch.no_grad():
            told = student.model(**inputs, use_cache=False).logits[:, :-1].log_softmax(-1)
        learnt = labels[:, 1:]
        each = told.gather(-1, learnt.clamp(min=0)[..., None])[..., 0] * (learnt != IGNORED)
        found = surprisal(student, example)
        assert found.shape == (len(example.questions),)
        np.testing.assert_allclose(found, -each.sum(1).numpy() / np.log(2), rtol=1e-4)


def test_separate_examples_are_what_the_template_renders(student, examples):
    inputs, labels = separate(encode(student, examples))
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Bright.\n\nWhere is it?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "There, 12."}]},
    ]
    text = student.processor.apply_chat_template(turns, tokenize=False)
    picture = Image.open(examples[1].image).convert("RGB")
    whole = student.processor(images=[[picture]], text=[text], return_tensors="pt", add_special_tokens=False)[
        "input_ids"
    ][0]
    mine = inputs["input_ids"][3][inputs["attention_mask"][3].bool()]
    assert torch.equal(whole[: len(mine)], mine)
    learnt = student.processor.tokenizer.decode(labels[3][labels[3] != IGNORED])
    assert learnt == "There, 12." + student.processor.tokenizer.eos_token


def test_decoding_equals_the_librarys(student, examples):
    found = answer(student, examples, longest=6)
    for example, texts in zip(examples, found, strict=True):
        for question, text in zip(example.questions, texts, strict=True):
            words = f"{example.background}\n\n{question}"
            turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": words}]}
            prompt = student.processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
            picture = Image.open(example.image).convert("RGB")
            inputs = student.processor(
                images=[[picture]], text=[prompt], return_tensors="pt", add_special_tokens=False
            )
            ids = student.model.generate(**inputs, max_new_tokens=6, do_sample=False)
            told = ids[0, inputs["input_ids"].shape[1] :]
            assert student.processor.tokenizer.decode(told, skip_special_tokens=True).strip() == text


def test_sampling_follows_the_seed(student, examples):
    one, again, other = (answer(student, examples, longest=5, temperature=1.5, seed=s) for s in (1, 1, 2))
    assert one == again != other


def test_tuning_teaches_and_continues_a_killed_run_exactly(student, examples, tmp_path):
    stage = Stage(epochs=6, lr=2e-3, pairs=2, save_every=4, seed=3)
    whole = add_adapter(fresh(student), Adapter(8, 8, 0.1))
    losses = tune(whole, examples, stage, tmp_path / "whole")
    assert np.mean(losses[-3:]) < np.mean(losses[:3])

    class KilledError(Exception):
        pass

    def kill(done, total):
        if done == 10:
            raise KilledError

    with pytest.raises(KilledError):
        tune(add_adapter(fresh(student), Adapter(8, 8, 0.1)), examples, stage, tmp_path / "killed", kill)
    seen = []
    resumed = tune(
        add_adapter(fresh(student), Adapter(8, 8, 0.1)), examples, stage, tmp_path / "killed",
        lambda done, total: seen.append(done),
    )  # fmt: skip
    assert seen[0] == 9
    assert resumed == pytest.approx(losses, rel=1e-6)
    assert not (tmp_path / "killed" / "checkpoint.safetensors").exists()
    read = add_adapter(fresh(student), Adapter(8, 8, 0.1))
    assert tune(read, examples, stage, tmp_path / "whole", pytest.fail) == losses
    for (name, one), (_, other) in zip(
        whole.model.state_dict().items(), read.model.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name


def test_an_adapter_of_another_scale_is_tuned_anew(student, examples, tmp_path):
    stage, made = Stage(epochs=1, images=2), []
    for alpha in (4, 8, 8):
        adapted = add_adapter(fresh(student), Adapter(4, alpha, 0.0))
        tune(adapted, examples, stage, tmp_path, lambda *_, alpha=alpha: made.append(alpha))
    assert made == [4, 8]


def test_a_kill_after_a_change_of_scale_leaves_nothing_of_the_former_adapter(student, examples, tmp_path):
    stage = Stage(epochs=4, images=2, save_every=1)
    tune(add_adapter(fresh(student), Adapter(4, 4, 0.0)), examples, stage, tmp_path)

    def kill(done, total):
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        tune(add_adapter(fresh(student), Adapter(4, 8, 0.0)), examples, stage, tmp_path, kill)
    made = []
    resumed = add_adapter(fresh(student), Adapter(4, 8, 0.0))
    losses = tune(resumed, examples, stage, tmp_path, lambda done, total: made.append(done))
    alone = tune(add_adapter(fresh(student), Adapter(4, 8, 0.0)), examples, stage, tmp_path / "alone")
    assert made
    assert made[0] == 2
    assert losses == pytest.approx(alone, rel=1e-6)


def test_whole_weights_that_were_tuned_are_read_again(student, examples, tmp_path):
    stage = Stage(epochs=1, images=2, lr=1e-2)
    tuned = fresh(student)
    losses = tune(tuned, examples, stage, tmp_path)
    again = fresh(student)
    assert tune(again, examples, stage, tmp_path, pytest.fail) == losses
    for (name, one), (_, other) in zip(
        tuned.model.state_dict().items(), again.model.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name


def test_first_stage_leaves_the_language_model_as_it_is(student, examples, tmp_path):
    tuned = add_adapter(fresh(student), Adapter(4, 4, 0.0))
    before = {n: w.detach().clone() for n, w in tuned.model.named_parameters()}
    tune(tuned, examples, Stage(epochs=2, parts="vision", lr=1e-2), tmp_path)
    moved = {n for n, w in tuned.model.named_parameters() if not torch.equal(w, before[n])}
    assert moved
    assert all("lora_" in name for name in moved)
    assert not any("language_model" in name and "cross_attn" not in name for name in moved)


@pytest.fixture
def another_precision():
    """Let a test tune in another precision: accelerate holds one for a whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("another_precision")
def test_a_student_tuned_in_mixed_precision_makes_room_for_the_next(student, examples, tmp_path):
    tuned = add_adapter(fresh(student), Adapter(4, 4, 0.0))
    tune(tuned, examples, Stage(epochs=1, precision="bf16"), tmp_path)
    left = weakref.ref(tuned.model)
    del tuned
    load_student("tiny-qwen2.5-vl")
    assert left() is None


def test_stock_peft_loads_the_adapter(student, examples, tmp_path):
    from peft import PeftModel

    tuned = add_adapter(fresh(student), Adapter(4, 4, 0.0))
    tune(tuned, examples, Stage(epochs=2, lr=1e-2), tmp_path)
    stock = PeftModel.from_pretrained(fresh(student).model, str(tmp_path)).eval()
    inputs, _ = separate(encode(student, examples))
    assert torch.allclose(tuned.model(**inputs).logits, stock(**inputs).logits, atol=1e-5)


def test_recomputed_activations_and_images_change_no_loss(student, examples, tmp_path):
    losses = {}
    for checkpointing in (False, True):
        adapted = add_adapter(fresh(student), Adapter(4, 4, 0.0))
        stage = Stage(epochs=3, images=2, lr=1e-2, checkpointing=checkpointing)
        losses[checkpointing] = tune(adapted, examples, stage, tmp_path / str(checkpointing))
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)
    assert losses[True][-1] < losses[True][0]


def test_four_bits_and_the_8_bit_optimizer_are_asked_of_bitsandbytes(
    student, examples, monkeypatch, tmp_path
):
    asked = {}

    class AskedError(RuntimeError):
        pass

    def load(checkpoint, **options):
        asked.update(options)
        raise AskedError

    student.model.save_pretrained(tmp_path)
    student.processor.save_pretrained(tmp_path)
    monkeypatch.setattr(getattr(transformers, student.family.model_class), "from_pretrained", load)
    with pytest.raises(AskedError):
        load_student(str(tmp_path), dtype="bfloat16", four_bit=True)
    quantised = asked["quantization_config"]
    assert quantised.load_in_4bit and quantised.bnb_4bit_quant_type == "nf4"
    assert quantised.bnb_4bit_compute_dtype == asked["dtype"] == torch.bfloat16

    class AdamW8bit(torch.optim.AdamW):
        def __init__(self, weights, **options):
            asked.update(options)
            super().__init__(weights, **options)

    optim = types.ModuleType("bitsandbytes.optim")
    optim.AdamW8bit = AdamW8bit
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", optim)
    stage = Stage(epochs=1, images=2, lr=3e-3, weight_decay=0.25, optimizer="adamw_8bit")
    tune(add_adapter(fresh(student), Adapter(4, 4, 0.0)), examples, stage, tmp_path / "tuned")
    assert (asked["lr"], asked["weight_decay"]) == (3e-3, 0.25)


NAMED = {
    "qwen2_5_vl": {
        "visual.patch_embed.proj.weight",
        "visual.merger.mlp.2.bias",
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.bias",
        "model.norm.weight",
    },
    "mllama": {
        "vision_model.class_embedding",
        "vision_model.global_transformer.layers.0.gate_attn",
        "multi_modal_projector.weight",
        "language_model.model.embed_tokens.weight",
        "language_model.model.layers.1.cross_attn.k_proj.weight",
        "language_model.lm_head.weight",
    },
}
"""Some of the names in the files that Qwen and Meta publish."""


def test_checkpoint_in_the_published_format_loads(student, examples, tmp_path):
    student.model.save_pretrained(tmp_path)
    student.processor.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert NAMED[student.family.model_type] <= set(file.keys())
    loaded = load_student(str(tmp_path))
    assert loaded.family is student.family
    inputs, _ = separate(encode(student, examples))
    again, _ = separate(encode(loaded, examples))
    assert torch.equal(inputs["input_ids"], again["input_ids"])
    assert torch.allclose(student.model(**inputs).logits, loaded.model(**again).logits)


PUBLISHED = {
    "qwen2_5_vl": (
        lambda: transformers.Qwen2_5_VLConfig(
            text_config={
                "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
                "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            },
            vision_config={"hidden_size": 1280, "out_hidden_size": 3584},
            tie_word_embeddings=False,
        ),
        8_292_166_656,
        {
            "model.visual.patch_embed.proj.weight": (1280, 3, 2, 14, 14),
            "model.visual.merger.mlp.2.weight": (3584, 5120),
            "model.language_model.layers.27.self_attn.k_proj.weight": (512, 3584),
            "lm_head.weight": (152064, 3584),
        },
    ),
    "mllama": (
        lambda: transformers.MllamaConfig(vision_config={"image_size": 560}, text_config={}),
        10_670_220_835,
        {
            "model.vision_model.class_embedding": (1280,),
            "model.multi_modal_projector.weight": (4096, 7680),
            "model.language_model.layers.38.cross_attn.k_proj.weight": (1024, 4096),
            "model.language_model.embed_tokens.weight": (128264, 4096),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("model_type", PUBLISHED)
def test_published_configuration_has_the_published_shape(model_type):
    config, count, shapes = PUBLISHED[model_type]
    with torch.device("meta"):
        model = getattr(transformers, FAMILIES[model_type].model_class)(config())
    weights = dict(model.named_parameters())
    assert sum(w.numel() for w in weights.values()) == count
    for name, shape in shapes.items():
        assert tuple(weights[name].shape) == shape
    import re

    family = FAMILIES[model_type]
    linear = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    kinds = {
        name: (bool(re.fullmatch(family.vision, name)), bool(re.fullmatch(family.language, name)))
        for name in linear
    }
    assert {name for name, found in kinds.items() if not any(found)} <= {"lm_head"}
    assert not any(all(found) for found in kinds.values())


def test_steps_see_every_pair_once(images):
    examples = [
        Example(images[i % 2], tuple(f"{i} {k}?" for k in range(5)), tuple("abcde")) for i in range(7)
    ]
    steps = Steps(examples, Stage(epochs=2, pairs=2, images=3))
    seen = [
        q for step in range(steps.per_epoch) for part in steps.at(step) for e in part for q in e.questions
    ]
    assert sorted(seen) == sorted(q for e in examples for q in e.questions)
    assert steps.total == 2 * steps.per_epoch == 14
    other = replace(steps, stage=replace(steps.stage, seed=1))
    assert list(other.at(0)) != list(steps.at(0))
    assert list(steps.at(8)) != list(steps.at(1))


def test_devices_share_a_step_without_overlap(images):
    examples = [Example(images[0], (f"{i}?",), ("a",)) for i in range(8)]
    steps = Steps(examples, Stage(pairs=1, images=2), processes=2)
    parts = [[e.questions[0] for part in steps.at(0, k) for e in part] for k in (0, 1)]
    assert len({*parts[0], *parts[1]}) == 4


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("tiny-qwen2.5-v", InputError, "tiny-qwen2.5-vl"),
        ("qwen2.5-vl-7", InputError, "qwen2.5-vl-7b"),
    ],
)
def test_unknown_students_are_named(name, error, message):
    with pytest.raises(error, match=message):
        find_checkpoint(name)


def test_hub_ids_and_folders_pass(tmp_path):
    assert find_checkpoint("qwen2.5-vl-7b") == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert find_checkpoint("owner/model") == "owner/model"
    assert find_checkpoint(str(tmp_path)) == str(tmp_path)


def test_other_architectures_are_refused():
    with pytest.raises(InputError, match="'bert'"):
        family_of(transformers.BertConfig())


def test_bad_input_is_refused(student, images, tmp_path):
    with pytest.raises(MissingError, match="no image"):
        encode(student, [Example(tmp_path / "none.png", ("a?",))])
    (tmp_path / "bad.png").write_text("x")
    with pytest.raises(InputError, match="readable"):
        encode(student, [Example(tmp_path / "bad.png", ("a?",))])
    with pytest.raises(InputError, match="answers"):
        encode(student, [Example(images[0], ("a?", "b?"), ("c",))])
    with pytest.raises(InputError, match="nothing to learn"):
        tune(student, [Example(images[0], ("a?",))], Stage(), tmp_path)
    with pytest.raises(MissingError, match="no adapter"):
        student.model.save_pretrained(tmp_path)
        student.processor.save_pretrained(tmp_path)
        load_student(str(tmp_path), adapter=tmp_path / "none")
    with pytest.raises(InputError, match="control token"):
        plain_text(student, f"Why?{student.processor.tokenizer.eos_token}")
    assert plain_text(student, "Why < 3?") == "Why < 3?"


def test_history_is_plain_json(student, examples, tmp_path):
    tune(add_adapter(fresh(student), Adapter(2, 2, 0.0)), examples, Stage(epochs=1), tmp_path)
    kept = json.loads((tmp_path / "history.json").read_text())
    assert kept["stage"]["lr"] == 2e-4
    assert len(kept["losses"]) == 2


def test_rows_are_grouped_where_that_saves_padding():
    assert sorted(buckets([5, 5, 5], call=200)[0]) == [0, 1, 2]
    groups = buckets([1000, 10, 12, 990, 11], call=20)
    assert sorted(sorted(group) for group in groups) == [[0, 3], [1, 2, 4]]
    assert len(buckets(list(range(1, 400, 20)), most=3, call=0)) == 3
    assert sorted(row for group in buckets([7, 1, 3, 9], call=0) for row in group) == [0, 1, 2, 3]


def test_a_conversation_keeps_its_turns(student, images):
    talk = Conversation(student, images[0], "Vessels are bright.", longest=4)
    first = talk.ask("Is it so?")
    assert (
        first
        == answer(student, [Example(images[0], ("Is it so?",), (), "Vessels are bright.")], longest=4)[0][0]
    )
    talk.ask("And here?")
    messages = talk._messages("Why?")
    assert [m["role"] for m in messages] == (["user", "assistant"] * 2 + ["user"] if first else ["user"] * 3)
    assert sum(part["type"] == "image" for m in messages for part in m["content"]) == 1
    with pytest.raises(InputError, match="empty"):
        talk.ask(" ")
    with pytest.raises(InputError, match="control token"):
        talk.ask(student.processor.tokenizer.eos_token)
    assert len(talk.turns) == 2
