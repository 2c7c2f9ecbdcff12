"""BiRD's own architecture as a student, so that what tunes and asks students does the same with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import transformers

from gftlib.bird.model import BirdModel
from gftlib.bird.model_config import IMAGE_TOKEN, SPECIAL_TOKENS, BirdConfig, tiny
from gftlib.bird.processor import BirdProcessor, image_processor
from gftlib.boxes import BoxFormat
from gftlib.errors import MissingError
from gftlib.vlm.backbones import TINY_BIRD, Family, Student
from gftlib.vlm.tiny import byte_pairs

FAMILY = Family(
    "bird",
    "BirdModel",
    BoxFormat.QWEN_VL,
    r".*vision\.transformer\.resblocks\.\d+\.mlp\.c_(fc|proj)|.*resampler\.project_(in|out)",
    r".*language_model\.model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)",
)
_CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_HIDDEN = ("<img>", "</img>", IMAGE_TOKEN)


def build_tiny(texts: Iterable[str], seed: int = 0, image_size: int = 112, tokens: int = 1024) -> Student:
    """Return a small BiRD with random weights and a tokenizer of its own.

    Args:
        texts: What it is to read and write.
        seed: Of the weights.
        image_size: Side of its images, pixels; a multiple of 14.
        tokens: Most entries of its vocabulary, marks aside.
    """
    vocabulary, merges = byte_pairs(texts, tokens)
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=None,
        pad_token=_CHAT[0],
        eos_token=_CHAT[2],
        extra_special_tokens=[_CHAT[1], *_HIDDEN],
    )
    # Names and boxes are part of an answer: as special tokens they would be left out of what is read back.
    tokenizer.add_tokens([token for token in SPECIAL_TOKENS if token not in _HIDDEN])
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    place = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    config = tiny(len(tokenizer), place, image_size, bos_token_id=None, **ends)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BirdModel(config).eval()
    processor = BirdProcessor(image_processor(image_size), tokenizer, config.queries)
    return Student(TINY_BIRD, FAMILY, model, processor)


def save(student: Student, folder: Path | str) -> Path:
    """Write weights (safetensors), settings and processor of a BiRD."""
    folder = Path(folder)
    student.model.save_pretrained(folder)
    student.processor.save_pretrained(folder)
    return folder


def load(folder: Path | str, device: str = "cpu", dtype: str = "float32") -> Student:
    """Load what `save` wrote.

    Args:
        folder: Where it is.
        device: ``cpu``, ``cuda``, ``cuda:1``.
        dtype: Of the weights: ``float32`` or ``bfloat16``.

    Raises:
        MissingError: If there is no BiRD in the folder.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise MissingError(f"no BiRD in {folder}: there is no config.json")
    # Without it transformers' own readers of the folder warn of an unknown architecture.
    transformers.AutoConfig.register(BirdConfig.model_type, BirdConfig, exist_ok=True)
    model = BirdModel.from_pretrained(folder, dtype=getattr(torch, dtype)).to(device).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = BirdProcessor(image_processor(model.config.image_size), tokenizer, model.config.queries)
    return Student(folder.name, FAMILY, model, processor)
