"""Small students of another width: what is multiplied, what stays, and that they learn as the others do."""

import numpy as np
import pytest
from test_pretraining import RECIPE
from typer.testing import CliRunner

from gftlib.cli import app
from gftlib.dialogue.hearsay import talk
from gftlib.errors import InputError
from gftlib.vlm import sizes
from gftlib.vlm.backbones import EMBEDDED, load_student
from gftlib.vlm.eye_test import FILE
from gftlib.vlm.sizes import pretrain, resized


def sizes_of(student):
    text, vision = student.model.config.text_config, student.model.config.vision_config
    heads = getattr(vision, "num_heads", None) or vision.attention_heads
    return np.array(
        [
            (text.hidden_size, text.num_attention_heads, text.num_key_value_heads),
            (text.intermediate_size, vision.hidden_size, heads),
        ]
    )


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("width", [0.5, 1.5])
def test_widths_and_heads_are_multiplied_and_all_else_stays(name, width):
    small, other = load_student(name), resized(name, width)
    np.testing.assert_array_equal(sizes_of(other), width * sizes_of(small))
    text = other.model.config.text_config
    assert text.num_hidden_layers == small.model.config.text_config.num_hidden_layers
    assert text.hidden_size // text.num_attention_heads == 32
    assert other.processor.tokenizer.get_vocab() == small.processor.tokenizer.get_vocab()
    assert {key for key, _ in other.model.named_parameters()} == {
        key for key, _ in small.model.named_parameters()
    }
    gates = [weight for key, weight in other.model.named_parameters() if key.endswith("_gate")]
    assert all(float(weight) == 1 for weight in gates)
    assert bool(gates) == (name == "tiny-mllama")


def test_weights_are_drawn_from_the_seed_alone():
    first, again, other = (
        next(resized("tiny-qwen2.5-vl", 0.5, seed).model.parameters()) for seed in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_half_a_head_and_unknown_students_are_refused():
    with pytest.raises(InputError, match=r"width 0\.25: num_attention_heads would be 1\.5, not 6; try 0\.5"):
        resized("tiny-qwen2.5-vl", 0.25)
    with pytest.raises(InputError, match="no small student 'qwen'; known: tiny-qwen2"):
        resized("qwen", 0.5)


def test_one_is_trained_like_an_embedded_student(tmp_path, monkeypatch):
    def drawn(scans, workers=1, seed=0):
        return list(np.random.default_rng(seed).integers(0, 255, (scans, 112, 112)).astype(np.uint8))

    monkeypatch.setattr(sizes, "neutral_images", drawn)
    losses = pretrain("tiny-qwen2.5-vl", 0.5, tmp_path, talk, RECIPE)
    assert len(losses) > 1
    assert np.isfinite(losses).all()
    made = load_student(str(tmp_path))
    np.testing.assert_array_equal(sizes_of(made), sizes_of(resized("tiny-qwen2.5-vl", 0.5)))
    assert (tmp_path / FILE).is_file()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize("arguments", [["tiny-qwen2.5-vl"], ["tiny-bird", "--folder", "x"]])
def test_the_packaged_weights_are_not_overwritten_by_another_width(arguments):
    done = CliRunner().invoke(app, ["train-student", *arguments, "--width", "0.5"])
    assert isinstance(done.exception, InputError)
    assert "in a folder of its own: give --folder" in str(done.exception)
