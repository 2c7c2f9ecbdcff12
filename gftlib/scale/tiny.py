"""The embedded encoders: CLIP's and MedCLIP's classes at a size that two CPU cores train in minutes.

They are stored in the formats of the published models, so that both are loaded by the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, PreTrainedTokenizerFast, SwinConfig

from gftlib.errors import InputError, MissingError, did_you_mean
from gftlib.paths import atomic_path, write_json
from gftlib.scale import clip
from gftlib.scale.compact_tokenizer import CompactTokenizer
from gftlib.scale.encoders import (
    ClipEncoder,
    Encoder,
    MedClipEncoder,
    Name,
    load_encoder,
    published_transform,
)
from gftlib.scale.medclip import MAX_TOKENS, MedClip

DIM = 128
FOLDER = Path(__file__).with_name("weights")
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def clip_config(vocab_size: int) -> dict[str, Any]:
    """Return the open_clip configuration of the small CLIP: 64 patches, 3 and 2 layers."""
    return {
        "embed_dim": DIM,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 128, "layers": 3, "width": 128, "patch_size": 16, "head_width": 32},
        "text_cfg": {
            "context_length": clip.CONTEXT_LENGTH,
            "vocab_size": vocab_size,
            "width": 64,
            "heads": 4,
            "layers": 2,
        },
    }


def medclip_config(vocab_size: int) -> dict[str, Any]:
    """Return the configuration of the small MedCLIP: Swin of two stages on 112 pixels, BERT of 3 layers.

    Weights begin near one over the root of the width: 0.02, made for widths of 768, keeps narrow layers close
    to the constant that they start from.
    """
    vision = {
        "image_size": 112,
        "patch_size": 8,
        "embed_dim": 64,
        "depths": [2, 2],
        "num_heads": [2, 4],
        "window_size": 7,
        "use_absolute_embeddings": True,  # so small a Swin would not tell left from right
        "drop_path_rate": 0.0,
        "initializer_range": 0.1,
    }
    text = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": MAX_TOKENS,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.1,
    }
    return {"dim": DIM, "vision": vision, "text": text}


def build(name: Name, texts: list[str], seed: int = 0) -> Encoder:
    """Return a small encoder with random weights that knows the words of ``texts``.

    Args:
        name: ``"clip"``, ``"monet"`` or ``"medclip"``.
        texts: All texts it will meet; a word's row in the table of embeddings is no knowledge of its meaning.
        seed: Of the weights.

    Raises:
        InputError: If ``name`` is unknown.
    """
    if name not in ("clip", "monet", "medclip"):
        raise InputError(f"unknown encoder {name!r}{did_you_mean(name, ('clip', 'monet', 'medclip'))}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "medclip":
            tokenizer = wordpiece(texts)
            config = medclip_config(len(tokenizer))
            model = MedClip(SwinConfig(**config["vision"]), BertConfig(**config["text"]), DIM)
            return MedClipEncoder(model, published_transform(name, 112), DIM, tokenizer)
        words = CompactTokenizer.of_texts(texts, clip.CONTEXT_LENGTH)
        model = clip.build(clip_config(words.vocab_size))
        return ClipEncoder(model, published_transform(name, 128), DIM, words)


def wordpiece(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a WordPiece tokenizer in BERT's layout, built from ``texts``."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1200, special_tokens=_SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    ends = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def save(encoder: Encoder, folder: Path | str, about: dict[str, str] | None = None) -> Path:
    """Write a small encoder in the format of the published one, weights as float16.

    Args:
        encoder: Made by :func:`build`.
        folder: Gets the weights, their configuration and the tokenizer.
        about: Kept in the header of the weights, see :func:`header`.

    Raises:
        InputError: If the encoder is none of these.
    """
    folder = Path(folder)
    state = {n: v.detach().to(torch.float16).contiguous() for n, v in encoder.model.state_dict().items()}
    if isinstance(encoder, ClipEncoder) and isinstance(encoder.tokenizer, CompactTokenizer):
        name = "open_clip_model.safetensors"
        write_json(folder / "open_clip_config.json", {"model_cfg": clip_config(encoder.tokenizer.vocab_size)})
        with atomic_path(folder / "compact_tokenizer.json") as temporary:
            temporary.write_text(encoder.tokenizer.dumps() + "\n", encoding="utf-8")
    elif isinstance(encoder, MedClipEncoder):
        name = "model.safetensors"
        write_json(folder / "medclip.json", medclip_config(len(encoder.tokenizer)))
        encoder.tokenizer.save_pretrained(folder)
    else:
        raise InputError("only small encoders made by gftlib.scale.tiny.build are saved in this format")
    with atomic_path(folder / name) as temporary:
        save_file(state, temporary, metadata=about)
    return folder


def load(name: Name, folder: Path | str = FOLDER) -> Encoder:
    """Load the embedded encoder ``name`` from ``folder``, as a published one is loaded.

    Raises:
        MissingError: If it is not there.
    """
    where = Path(folder) / name
    if not where.is_dir():
        raise MissingError(
            f"no embedded encoder {name!r} under {folder}; `gftlib.scale.recipes.make` makes it"
        )
    return load_encoder(name, where)


def header(name: Name, folder: Path | str = FOLDER) -> dict[str, str]:
    """Return what the header of an embedded encoder's weights says: recipe, seed, loss of each epoch."""
    (path,) = (Path(folder) / name).glob("*.safetensors")
    with safe_open(path, "pt") as stream:
        return stream.metadata() or {}
