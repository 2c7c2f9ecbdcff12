"""BiRD from pre-trained parts: a CLIP tower of open_clip, any causal language model, a fresh resampler.

The paper starts from Qwen-VL, whose resampler is trained and which grounds in natural images. Its checkpoint
is tied to code of its own, which is not run here; so a model assembled from parts has to learn more than the
paper's had to.
"""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from gftlib.bird.model import BirdModel
from gftlib.bird.model_config import BirdConfig, open_clip_vision
from gftlib.bird.resampler import Resampler
from gftlib.errors import InputError


def assemble(config: BirdConfig, tower: nn.Module, language: PreTrainedModel) -> BirdModel:
    """Put pre-trained parts into one model without a second copy of them.

    Args:
        config: Its settings; those of the language model are taken from ``language``.
        tower: The visual tower of an open_clip model, at the image size of the settings.
        language: The language model.

    Raises:
        InputError: If the tower does not fit the settings.
    """
    settings = BirdConfig.from_dict(config.to_dict() | {"text_config": language.config.to_dict()})
    with torch.device("meta"):
        model = BirdModel(settings)
    used = {
        name: value
        for name, value in tower.state_dict().items()
        if name != "proj" and not name.startswith("ln_post.")
    }
    try:
        model.vision.load_state_dict(used, assign=True)
    except RuntimeError as error:
        raise InputError(f"the CLIP tower does not fit the settings: {error}") from error
    vision, width = settings.vision_config["vision_cfg"]["width"], language.config.hidden_size
    heads = max(1, width // settings.head_width)
    fresh = Resampler(settings.queries, settings.grid, vision, width, heads)
    model.resampler = fresh.to(next(language.parameters()).dtype)
    model.language_model = language
    model.generation_config = language.generation_config
    return model.freeze()


def from_checkpoints(
    clip: str,
    clip_weights: str,
    language: Path | str,
    image_token_id: int,
    image_size: int = 448,
    queries: int = 256,
    dtype: str = "bfloat16",
) -> BirdModel:
    """Load and assemble pre-trained parts.

    Args:
        clip: Name of an open_clip model, ``ViT-bigG-14`` in the paper.
        clip_weights: Its weights: a tag that open_clip knows, or a file.
        language: Folder or hub id of a causal language model (Qwen-7B in the paper).
        image_token_id: The token of its vocabulary that image tokens stand in for.
        image_size: Side of the images, pixels; position embeddings are resized to it.
        queries: Tokens of an image.
        dtype: Of all weights.

    Raises:
        InputError: If open_clip knows no such model.
    """
    vision = open_clip_vision(clip, image_size)
    whole = open_clip.create_model(clip, pretrained=clip_weights, force_image_size=image_size)
    model = AutoModelForCausalLM.from_pretrained(language, dtype=getattr(torch, dtype))
    config = BirdConfig(
        vision_config=vision,
        text_config=model.config,
        queries=queries,
        image_token_id=image_token_id,
    )
    return assemble(config, whole.visual.to(getattr(torch, dtype)), model)
