"""From a transformers ``CLIPModel``, the format of MONET on the hub, to open_clip's class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gftlib.errors import InputError


def config_from_transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a transformers ``CLIPConfig`` in JSON; values left out are the class's own defaults.

    Raises:
        InputError: If it is not the configuration of a CLIP.
    """
    if config.get("model_type") != "clip":
        raise InputError(f"config.json is of type {config.get('model_type')!r}, 'clip' needed")
    from transformers import CLIPConfig

    full = CLIPConfig.from_dict(dict(config))
    vision, text = full.vision_config, full.text_config
    return {
        "embed_dim": full.projection_dim,
        "quick_gelu": text.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size,
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            "patch_size": vision.patch_size,
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
            "layers": text.num_hidden_layers,
        },
    }


_PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_WHOLE = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "logit_scale": "logit_scale",
}


def state_from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a transformers ``CLIPModel`` as open_clip does; q, k and v become one matrix."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith("position_ids"):
            continue  # a constant that older transformers stored
        if name in _WHOLE:
            out[_WHOLE[name]] = value
        elif name == "visual_projection.weight":
            out["visual.proj"] = value.T.contiguous()
        elif name == "text_projection.weight":
            out["text_projection"] = value.T.contiguous()
        else:
            _rename_block(name, state, out)
    return out


def _rename_block(name: str, state: Mapping[str, Tensor], out: dict[str, Tensor]) -> None:
    tower, _, rest = name.partition(".encoder.layers.")
    layer, _, part = rest.partition(".")
    prefix = ("visual." if tower == "vision_model" else "") + f"transformer.resblocks.{layer}."
    stem, _, kind = part.rpartition(".")
    if stem in _PARTS:
        out[f"{prefix}{_PARTS[stem]}.{kind}"] = state[name]
    elif stem == "self_attn.q_proj":
        three = [state[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
        out[f"{prefix}attn.in_proj_{kind}"] = torch.cat(three)
    elif stem not in ("self_attn.k_proj", "self_attn.v_proj"):
        out[name] = state[name]  # left as it is, so that check_keys names it
