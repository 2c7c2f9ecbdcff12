"""Small students of the published architectures: the embedded default.

Only sizes differ from the published checkpoints. Their files, classes, prompts and special tokens are the
same, so what runs on them runs on the real ones. Their language is as small as they are: a tokenizer made of
the texts they meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tokenizers
import torch
import transformers
from torch import nn
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from gftlib.errors import InputError
from gftlib.vlm.backbones import EMBEDDED, FAMILIES, Student

IMAGE_SIZE = 224
"""Side of the images that small students see, px."""
QWEN_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
LLAMA_TOKENS = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"),
)
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_TEMPLATE = (
    "<|begin_of_text|>{% for message in messages %}"
    "<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|image|>{% else %}{{ part.text }}"
    "{% endif %}{% endfor %}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def byte_pairs(texts: Iterable[str], size: int = 1024) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of byte pairs, cut as Qwen's and Llama's tokenizers cut words.

    Args:
        texts: What the student is to read and write.
        size: Most entries; the 256 bytes are always among them, so any text can be written.
    """
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(alphabet), show_progress=False
    )
    model.train_from_iterator(texts, trainer)
    return model.get_vocab(), [tuple(pair) for pair in _merges(model)]


def build(name: str, texts: Iterable[str], seed: int = 0) -> Student:
    """Return a small student with random weights.

    Args:
        name: One of `EMBEDDED`.
        texts: As in `byte_pairs`.
        seed: Of the weights.

    Raises:
        InputError: If there is no such small student.
    """
    makers = dict(zip(EMBEDDED, (_qwen, _mllama), strict=True))
    if name not in makers:
        raise InputError(f"no small student {name!r}; known: {', '.join(EMBEDDED)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, processor = makers[name](*byte_pairs(texts))
    return Student(name, FAMILIES[model.config.model_type], model.eval(), processor)


def _merges(model: tokenizers.Tokenizer) -> list[list[str]]:
    import json

    return json.loads(model.to_str())["model"]["merges"]


def _qwen(vocab: dict[str, int], merges: list[tuple[str, str]]) -> tuple[nn.Module, Any]:
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        unk_token=None,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        extra_special_tokens=list(QWEN_TOKENS[1:]),
    )
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in QWEN_TOKENS}
    hidden = 192
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 4,
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_heads": 4,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": [1, 3],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    area = IMAGE_SIZE**2
    processor = transformers.Qwen2_5_VLProcessor(
        transformers.Qwen2VLImageProcessor(size={"shortest_edge": area, "longest_edge": area}),
        tokenizer,
        transformers.Qwen2VLVideoProcessor(),
        chat_template=QWEN_TEMPLATE,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config), processor


def _mllama(vocab: dict[str, int], merges: list[tuple[str, str]]) -> tuple[nn.Module, Any]:
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = tokenizers.decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|finetune_right_pad_id|>",
        extra_special_tokens=[*LLAMA_TOKENS, "<|image|>"],
    )
    # The image token is the last one, beyond what the model can write, as in the published checkpoints.
    words = tokenizer.convert_tokens_to_ids("<|image|>")
    hidden = 192
    config = transformers.MllamaConfig(
        vision_config={
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_global_layers": 1,
            "attention_heads": 4,
            "intermediate_size": 320,
            "vision_output_dim": 128 * 3,
            "intermediate_layers_indices": [1, 2],
            "image_size": IMAGE_SIZE,
            "patch_size": 14,
            "max_num_tiles": 1,
            "supported_aspect_ratios": [[1, 1]],
        },
        text_config={
            "vocab_size": words,
            "hidden_size": hidden,
            "intermediate_size": 512,
            "num_hidden_layers": 8,
            "cross_attention_layers": [1, 4, 6],
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        image_token_index=words,
    )
    processor = transformers.MllamaProcessor(
        transformers.MllamaImageProcessor(
            size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, max_image_tiles=1
        ),
        tokenizer,
        chat_template=LLAMA_TEMPLATE,
    )
    model = transformers.MllamaForConditionalGeneration(config)
    # Published gates start at zero, so that a trained language model does not notice the image at first;
    # one that starts from nothing would only learn the longer not to look.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("cross_attn_attn_gate", "cross_attn_mlp_gate")):
                weight.fill_(1.0)
    return model, processor
