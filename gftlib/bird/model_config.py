"""The settings of BiRD's architecture: those of the paper, and tiny ones of the same parts."""

from __future__ import annotations

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from gftlib.errors import InputError, did_you_mean

IMAGE_TOKEN = "<imgpad>"
# Qwen-VL's marks round an image, a name and a box; the placeholder stands for one token of the image.
SPECIAL_TOKENS = ("<img>", "</img>", IMAGE_TOKEN, "<ref>", "</ref>", "<box>", "</box>")


@strict
class BirdConfig(PreTrainedConfig):
    """Settings of `gftlib.bird.model.BirdModel`.

    Args:
        vision_config: ``embed_dim``, ``vision_cfg`` and perhaps ``quick_gelu`` of an open_clip model.
        text_config: Of any Hugging Face causal language model.
        queries: Tokens that an image becomes; a square number (Qwen-VL: 256).
        head_width: Width of an attention head of the resampler (Qwen-VL: 128).
        image_token_id: The token that each of them stands in for.
        train_vision: Whether the vision tower is trained; in the paper it is frozen.
    """

    model_type: ClassVar[str] = "bird"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2")
    }

    vision_config: dict | None = None
    text_config: dict | PreTrainedConfig | None = None
    queries: int = 256
    head_width: int = 128
    image_token_id: int = 0
    train_vision: bool = False
    tie_word_embeddings: bool = False

    @property
    def image_size(self) -> int:
        """Side of the images, pixels."""
        return self.vision_config["vision_cfg"]["image_size"]

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.image_size // self.vision_config["vision_cfg"]["patch_size"]


def open_clip_vision(name: str, image_size: int) -> dict[str, Any]:
    """Return the vision settings of an open_clip model at another image size.

    Args:
        name: Such as ``ViT-bigG-14``.
        image_size: Side of the images, pixels.

    Raises:
        InputError: If open_clip knows no such model, or it is no plain vision transformer.
    """
    import open_clip

    known = open_clip.get_model_config(name)
    if known is None:
        raise InputError(f"open_clip has no model {name!r}{did_you_mean(name, open_clip.list_models())}")
    vision = known["vision_cfg"]
    if vision.get("timm_model_name") or not isinstance(vision.get("layers"), int):
        raise InputError(f"the tower of {name} is no vision transformer of open_clip's own")
    chosen = {"embed_dim": known["embed_dim"], "vision_cfg": vision | {"image_size": image_size}}
    return chosen | {"quick_gelu": bool(known.get("quick_gelu", False))}


def paper() -> BirdConfig:
    """Return the paper's architecture: ViT-bigG-14 at 448 pixels, 256 queries, Qwen-7B.

    Qwen-7B's layers are those of Qwen2 with as many key-value heads as heads, so that class carries them.
    """
    return BirdConfig(
        vision_config=open_clip_vision("ViT-bigG-14", 448),
        text_config={
            "model_type": "qwen2",
            "vocab_size": 151936,
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": False,
        },
        queries=256,
        image_token_id=151859,
    )


def tiny(vocabulary: int, image_token_id: int, image_size: int = 112, **text: Any) -> BirdConfig:
    """Return a small model of the same parts, for the embedded default.

    Args:
        vocabulary: Tokens of the language model.
        image_token_id: The token that image tokens stand in for.
        image_size: Side of the images, pixels; a multiple of 14.
        **text: Further settings of the language model, such as ``eos_token_id``.

    Raises:
        InputError: If the image size is no multiple of the patch size.
    """
    if image_size < 14 or image_size % 14:
        raise InputError(f"image_size must be a multiple of 14, not {image_size}")
    vision = {"image_size": image_size, "layers": 4, "width": 128, "head_width": 32, "patch_size": 14}
    language = {
        "model_type": "qwen2",
        "vocab_size": vocabulary,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    }
    return BirdConfig(
        vision_config={"embed_dim": 64, "vision_cfg": vision, "quick_gelu": False},
        text_config=language | text,
        queries=16,
        head_width=32,
        image_token_id=image_token_id,
        tie_word_embeddings=True,
    )
