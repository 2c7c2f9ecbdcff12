"""CLIP models in open_clip's class, from any of the three formats they are published in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from open_clip.model import CLIP
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gftlib.errors import InputError, MissingError
from gftlib.paths import read_json
from gftlib.scale.clip_conversion import config_from_transformers, state_from_transformers

VIT_L_14: dict[str, Any] = {
    "embed_dim": 768,
    "quick_gelu": True,  # OpenAI's weights, and MONET's made from them, were trained with QuickGELU
    "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 12},
}
CONTEXT_LENGTH = 77
_BUFFERS = {"input_resolution", "context_length", "vocab_size"}
_WEIGHT_FILES = (
    "open_clip_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
)


def build(config: Mapping[str, Any]) -> CLIP:
    """Build a CLIP from an open_clip configuration; under ``torch.device("meta")`` no memory is taken."""
    return CLIP(
        config["embed_dim"],
        config["vision_cfg"],
        config["text_cfg"],
        quick_gelu=config.get("quick_gelu", False),
    )


def load(path: Path | str) -> tuple[CLIP, dict[str, Any]]:
    """Load a CLIP and its open_clip configuration from a local folder or file.

    Args:
        path: One of: a folder with ``open_clip_config.json`` (open_clip's format); a folder with a
            transformers ``config.json`` of type ``clip`` (the format of MONET and CLIP on the hub); a
            ``.pt``, ``.bin`` or ``.safetensors`` file with OpenAI's key names, taken as ViT-L/14.

    Raises:
        MissingError: If there is no such path or no weights in the folder.
        InputError: If the key names or shapes are not those of the configuration.
    """
    path = Path(path)
    if path.is_file():
        config, state = VIT_L_14, read_state(path)
    elif (path / "open_clip_config.json").is_file():
        config = read_json(path / "open_clip_config.json")["model_cfg"]
        state = read_state(weight_file(path))
    elif (path / "config.json").is_file():
        config = config_from_transformers(read_json(path / "config.json"))
        state = state_from_transformers(read_state(weight_file(path)))
    else:
        raise MissingError(f"no CLIP at {path}: a folder with config.json or open_clip_config.json is needed")
    state = {name: value for name, value in state.items() if name not in _BUFFERS}
    with torch.device("meta"):
        check_keys(build(config), state, str(path))
    model = build(config)
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model, dict(config)


def weight_file(folder: Path) -> Path:
    """Return the weights in ``folder``, safetensors before pickled tensors.

    Raises:
        MissingError: If there are none.
    """
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise MissingError(f"no weights in {folder}; one of {', '.join(_WEIGHT_FILES)} is needed")


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict without executing anything that the file may hold.

    Raises:
        InputError: If the file is damaged or no state dict of tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read: it is damaged, holds more than tensors, or is no file of weights; "
            "fetch it again"
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} holds no state dict of tensors")
    return dict(state)


def check_keys(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Compare key names and shapes with those of ``model``, which may be on the meta device.

    Raises:
        InputError: If any is missing, unexpected or of another shape; the message names the first.
    """
    wanted = model.state_dict()
    if missing := sorted(set(wanted) - set(state)):
        raise InputError(f"{where}: {len(missing)} weights are missing, first {missing[0]!r}")
    if extra := sorted(set(state) - set(wanted)):
        raise InputError(f"{where}: {len(extra)} weights are not of this model, first {extra[0]!r}")
    for name, value in wanted.items():
        if value.shape != state[name].shape:
            raise InputError(
                f"{where}: {name} has shape {tuple(state[name].shape)}, not {tuple(value.shape)}"
            )


def longest(tokens: Tensor) -> int:
    """Return the length up to the last end of text; CLIP marks the end with its highest identifier."""
    return int(tokens.argmax(-1).max()) + 1


def encode_tokens(model: CLIP, tokens: Tensor) -> Tensor:
    """Return text embeddings ``(N, dim)``, not normalised, of identifiers ``(N, T)`` of any length T.

    Attention is causal and the embedding is read at the end of the text, so that cutting ``tokens`` at
    :func:`longest` changes nothing but the time.
    """
    return encode_embedded(model, model.token_embedding(tokens), tokens.argmax(-1))


def encode_embedded(model: CLIP, words: Tensor, end: Tensor) -> Tensor:
    """Return text embeddings ``(N, dim)`` from word embeddings ``(N, T, width)``, read at ``end``."""
    length = words.shape[1]
    hidden = words + model.positional_embedding[:length]
    hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
    at_end = hidden[torch.arange(len(hidden), device=hidden.device), end]
    return model.ln_final(at_end) @ model.text_projection
