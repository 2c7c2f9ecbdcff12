"""MedCLIP (Wang et al., EMNLP 2022): Swin-T and Bio_ClinicalBERT with linear heads, from its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerBase, SwinConfig, SwinModel

from gftlib.paths import read_json
from gftlib.scale.clip import check_keys, read_state, weight_file

TEXT_HUB_ID = "emilyalsentzer/Bio_ClinicalBERT"
TEXT_VOCABULARY = 28996  # cased BERT's
DIM = 512
LAYERS = (1, 2, -1)  # hidden states that are averaged
MAX_TOKENS = 77
_STALE = ("position_ids", "relative_position_index")  # constants that older transformers kept in checkpoints
_RENAMED = (  # parts of Swin that newer transformers call otherwise; the longer pattern first
    (
        "attention.self.relative_position_bias_table",
        "attention.relative_position_bias.relative_position_bias_table",
    ),
    ("attention.self.query", "attention.q_proj"),
    ("attention.self.key", "attention.k_proj"),
    ("attention.self.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
)


class MedClipVision(nn.Module):
    """Swin with a linear head on its pooled output.

    Args:
        config: The Swin configuration.
        dim: Width of the joint embedding space.
    """

    def __init__(self, config: SwinConfig, dim: int) -> None:
        """Build it with random weights."""
        super().__init__()
        self.model = SwinModel(config)
        self.projection_head = nn.Linear(config.hidden_size, dim, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return ``(N, dim)`` from ``(N, 3, S, S)``."""
        return self.projection_head(self.model(pixels).pooler_output)


class MedClipText(nn.Module):
    """BERT with a linear head on the mean over hidden states 1, 2 and -1 and over tokens.

    Args:
        config: The BERT configuration.
        dim: Width of the joint embedding space.
        average_padding: Average over padding too, as the published code does: the embedding of a text then
            depends on the length that it is padded to. False leaves padding out.
    """

    def __init__(self, config: BertConfig, dim: int, average_padding: bool = True) -> None:
        """Build it with random weights."""
        super().__init__()
        self.model = BertModel(config)
        self.projection_head = nn.Linear(config.hidden_size, dim, bias=False)
        self.average_padding = average_padding

    def forward(
        self, input_ids: Tensor | None, attention_mask: Tensor, inputs_embeds: Tensor | None = None
    ) -> Tensor:
        """Return ``(N, dim)`` from ``(N, T)`` identifiers, or from ``(N, T, hidden)`` word embeddings."""
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            output_hidden_states=True,
        )
        hidden = torch.stack([out.hidden_states[layer] for layer in LAYERS]).mean(0)
        if self.average_padding:
            return self.projection_head(hidden.mean(1))
        weight = attention_mask.to(hidden.dtype).unsqueeze(-1)
        return self.projection_head((hidden * weight).sum(1) / weight.sum(1))


class MedClip(nn.Module):
    """Both towers and the learnable logit scale, laid out as in the published checkpoint.

    Args:
        vision: The Swin configuration; None: Swin-T.
        text: The BERT configuration; None: that of Bio_ClinicalBERT.
        dim: Width of the joint embedding space.
        average_padding: See :class:`MedClipText`.
    """

    def __init__(
        self,
        vision: SwinConfig | None = None,
        text: BertConfig | None = None,
        dim: int = DIM,
        average_padding: bool = True,
    ) -> None:
        """Build it with random weights; under ``torch.device("meta")`` no memory is taken."""
        super().__init__()
        self.vision_model = MedClipVision(vision or SwinConfig(), dim)
        text = text or BertConfig(vocab_size=TEXT_VOCABULARY)
        self.text_model = MedClipText(text, dim, average_padding)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return image embeddings, not normalised."""
        return self.vision_model(pixels)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return text embeddings, not normalised."""
        return self.text_model(input_ids, attention_mask)


def published_state(state: Mapping[str, Tensor], wanted: Container[str]) -> dict[str, Tensor]:
    """Bring a checkpoint of the authors' time to the names of the installed transformers.

    Constants that are no longer stored (``position_ids``, ``relative_position_index``) are dropped and Swin's
    renamed parts renamed; a name that is already right, or unknown, stays.

    Args:
        state: The checkpoint.
        wanted: Names in the model.
    """
    found = {}
    for name, value in state.items():
        if name.endswith(_STALE):
            continue
        new = next((name.replace(old, to) for old, to in _RENAMED if old in name), name)
        found[name if name in wanted or new not in wanted else new] = value
    return found


def load(
    path: Path | str, average_padding: bool = True
) -> tuple[MedClip, PreTrainedTokenizerBase, dict[str, Any]]:
    """Load MedCLIP in the format of its authors' checkpoint.

    Args:
        path: A folder with ``pytorch_model.bin`` or ``model.safetensors``, or that file. A ``medclip.json``
            beside it may give ``vision``, ``text`` and ``dim`` of another size, and tokenizer files another
            vocabulary; without them the published configurations and the tokenizer of
            ``TEXT_HUB_ID`` are taken.
        average_padding: See :class:`MedClipText`.

    Returns:
        The model, its tokenizer, and the configuration found in ``medclip.json`` (or an empty one).

    Raises:
        MissingError: If there are no weights.
        InputError: If key names or shapes are not those of the configuration.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    file = weight_file(path) if path.is_dir() else path
    config = read_json(folder / "medclip.json") if (folder / "medclip.json").is_file() else {}
    with torch.device("meta"):
        empty = _build(config, average_padding)
    state = published_state(read_state(file), empty.state_dict())
    check_keys(empty, state, str(file))
    model = _build(config, average_padding)
    model.load_state_dict({name: value.float() for name, value in state.items()})
    own = (folder / "tokenizer_config.json").is_file() or (folder / "vocab.txt").is_file()
    tokenizer = AutoTokenizer.from_pretrained(folder if own else TEXT_HUB_ID)
    return model, tokenizer, config


def _build(config: Mapping[str, Any], average_padding: bool) -> MedClip:
    vision = SwinConfig(**config["vision"]) if "vision" in config else None
    text = BertConfig(**config["text"]) if "text" in config else None
    return MedClip(vision, text, config.get("dim", DIM), average_padding)
