"""The students: vision-language models by family, hub id or folder (GFT, section 3).

A family is what the chapters need to know of an architecture: its transformers class, how it writes boxes,
and which of its layers belong to the image and which to the language. Everything else is transformers' own.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gftlib.boxes import BoxFormat
from gftlib.errors import InputError, MissingError, did_you_mean

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Family:
    """An architecture of students.

    Attributes:
        model_type: As in the ``config.json`` of its checkpoints.
        model_class: Name of its class in transformers.
        boxes: How it writes boxes; the grammar it was pre-trained on, if it was.
        vision: Regular expression of the linear layers that see the image, up to their projection.
        language: The same of the language model's layers.
    """

    model_type: str
    model_class: str
    boxes: BoxFormat
    vision: str
    language: str


FAMILIES = {
    family.model_type: family
    for family in (
        Family(
            "qwen2_5_vl",
            "Qwen2_5_VLForConditionalGeneration",
            BoxFormat.QWEN25_ABSOLUTE,
            r".*visual\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(gate|up|down)_proj)|.*visual\.merger\.mlp\.[02]",
            r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)",
        ),
        # Llama's cross-attention layers are its image adapter: its authors trained them, and kept the
        # language model as it was.
        Family(
            "mllama",
            "MllamaForConditionalGeneration",
            BoxFormat.UNIT_XYXY,
            r".*vision_model\..*(self_attn\.[qkvo]_proj|mlp\.fc[12])|.*multi_modal_projector"
            r"|.*language_model\.layers\.\d+\.cross_attn\.[qkvo]_proj",
            r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)",
        ),
    )
}
STUDENTS = {
    "qwen2.5-vl-7b": "Qwen/Qwen2.5-VL-7B-Instruct",
    "llama-3.2-11b-vision": "meta-llama/Llama-3.2-11B-Vision-Instruct",
}
"""Hub id by the name of a student of the paper."""
WEIGHTS = Path(__file__).parent / "weights"
EMBEDDED = ("tiny-qwen2.5-vl", "tiny-mllama")
"""Small models of the same classes, made by ``gftlib train-student``. The weights of the first come with the
project."""
TINY_BIRD = "tiny-bird"
"""The small BiRD, made and shipped like them; what it is stands in `gftlib.bird.student`."""


@dataclass(frozen=True)
class Student:
    """A model that answers questions about an image.

    Attributes:
        name: As it was asked for.
        family: Its architecture.
        model: The model, with its adapter if it has one.
        processor: Turns images and text into its inputs.
    """

    name: str
    family: Family
    model: nn.Module
    processor: Any

    @property
    def pixels(self) -> dict[str, int]:
        """Smallest and largest image area, in pixels, where the family's boxes depend on it."""
        if self.family.boxes is not BoxFormat.QWEN25_ABSOLUTE:
            return {}
        size = self.processor.image_processor.size
        return {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}


def find_checkpoint(name: str) -> str:
    """Return the folder or hub id that a student's name stands for.

    Args:
        name: One of `EMBEDDED`, whose weights are all in the package, one of `STUDENTS`, a folder, or a hub
            id ``owner/model``.

    Raises:
        InputError: If it is none of these.
        MissingError: If the weights of an embedded student are not there.
    """
    if name in EMBEDDED:
        folder = WEIGHTS / name
        if not (folder / "model.safetensors").is_file():
            raise MissingError(
                f"no weights of {name} in {folder}: make them by `gftlib train-student {name}`"
            )
        return str(folder)
    if name in STUDENTS:
        return STUDENTS[name]
    if Path(name).is_dir() or name.count("/") == 1:
        return name
    raise InputError(f"no student {name!r}{did_you_mean(name, [*EMBEDDED, *STUDENTS])}")


def family_of(config: Any) -> Family:
    """Return the family of a transformers configuration.

    Raises:
        InputError: If it is of no known family.
    """
    if config.model_type not in FAMILIES:
        raise InputError(
            f"models of type {config.model_type!r} are no students; known: {', '.join(FAMILIES)}"
        )
    return FAMILIES[config.model_type]


def load_student(
    name: str,
    adapter: Path | str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    four_bit: bool = False,
) -> Student:
    """Load a student, and the adapter that was tuned for it.

    Args:
        name: As in `find_checkpoint`; a hub id is downloaded by transformers, if that may reach its hub.
        adapter: Folder of a peft adapter.
        device: ``cpu``, ``cuda``, ``cuda:1``.
        dtype: Of the weights: ``float32`` or ``bfloat16``.
        four_bit: Quantise the weights to 4 bits by bitsandbytes.

    Raises:
        InputError: If the name or the architecture is unknown.
        MissingError: If weights or adapter are not there.
    """
    import torch
    import transformers

    # A bar for a load of seconds; in a notebook it is a widget, which pages without a network cannot show.
    transformers.utils.logging.disable_progress_bar()
    checkpoint = find_checkpoint(name)
    # A student tuned in mixed precision is part of a cycle, and a large one leaves no room for the next.
    gc.collect()
    family = family_of(transformers.AutoConfig.from_pretrained(checkpoint))
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "attn_implementation": "sdpa"}
    if four_bit:
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    model = getattr(transformers, family.model_class).from_pretrained(checkpoint, **options)
    model = model.to(device) if not four_bit else model
    if adapter is not None:
        model = _with_adapter(model, Path(adapter))
    return Student(name, family, model.eval(), transformers.AutoProcessor.from_pretrained(checkpoint))


def _with_adapter(model: nn.Module, folder: Path) -> nn.Module:
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise MissingError(f"no adapter in {folder}")
    return PeftModel.from_pretrained(model, str(folder))
