"""The frozen image and text encoders: CLIP, MONET and MedCLIP behind one interface (SCALE, section 2.3.1)."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gftlib.errors import InputError, MissingError, did_you_mean
from gftlib.scale import clip, medclip
from gftlib.scale.compact_tokenizer import CompactTokenizer
from gftlib.scale.transforms import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    MEDCLIP_MEAN,
    MEDCLIP_STD,
    ImageTransform,
)

Name = Literal["clip", "monet", "medclip"]
_SUFFIXES = (".pt", ".bin", ".safetensors")
_WANTED = ["*.json", "*.safetensors", "*.txt"]
HUB_IDS = {"clip": "openai/clip-vit-large-patch14", "monet": "chanwkim/monet"}


class Encoder(nn.Module, ABC):
    """A pair of encoders into one embedding space.

    Args:
        model: The backbone.
        transform: From an image to the backbone's input.
        dim: Width of the joint embedding space.
    """

    def __init__(self, model: nn.Module, transform: ImageTransform, dim: int) -> None:
        """Freeze the backbone in evaluation mode."""
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.transform = transform
        self.dim = dim

    @property
    def logit_scale(self) -> float:
        """What the backbone multiplies cosines with, within CLIP's bounds [1, 100]."""
        return float(self.model.logit_scale.detach().exp().clamp(1, 100))

    def fingerprint(self) -> str:
        """Return a digest of weights, transform and text handling: what an embedding depends on."""
        digest = hashlib.sha256(
            json.dumps([type(self).__name__, self.transform.key(), self.text_key()]).encode()
        )
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @abstractmethod
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Return embeddings ``(N, dim)``, not normalised, from transformed images ``(N, 3, S, S)``."""

    @abstractmethod
    def tokens(self, texts: Sequence[str], pad_to: int | None = None) -> tuple[Tensor, ...]:
        """Return what :meth:`encode_tokens` takes, each ``(N, T)``, padded to the longest or ``pad_to``."""

    @abstractmethod
    def encode_tokens(self, *tokens: Tensor) -> Tensor:
        """Return embeddings ``(N, dim)``, not normalised, of tokenised texts."""

    def encode_texts(self, texts: Sequence[str], pad_to: int | None = None) -> Tensor:
        """Return embeddings ``(N, dim)``, not normalised."""
        return self.encode_tokens(*self.tokens(texts, pad_to))

    @abstractmethod
    def pad_length(self, texts: Sequence[str]) -> int | None:
        """Return the token length on which embeddings depend when ``texts`` are encoded together, or None."""

    @abstractmethod
    def text_key(self) -> str:
        """Return what identifies the handling of texts, for the cache."""


class ClipEncoder(Encoder):
    """CLIP or MONET.

    Args:
        model: The open_clip model.
        transform: From an image to its input.
        dim: Width of the joint embedding space.
        tokenizer: From texts to ``(N, context_length)`` identifiers.
    """

    def __init__(
        self,
        model: nn.Module,
        transform: ImageTransform,
        dim: int,
        tokenizer: Callable[[list[str]], Tensor],
    ) -> None:
        """Keep the parts."""
        super().__init__(model, transform, dim)
        self.tokenizer = tokenizer

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Return embeddings ``(N, dim)``, not normalised, from transformed images ``(N, 3, S, S)``."""
        return self.model.encode_image(pixels)

    def tokens(self, texts: Sequence[str], pad_to: int | None = None) -> tuple[Tensor]:
        """Return identifiers, cut at the end of the longest text: nothing after an end is ever read."""
        tokens = self.tokenizer(list(texts)).to(self.model.positional_embedding.device)
        return (tokens[:, : clip.longest(tokens)],)

    def encode_tokens(self, *tokens: Tensor) -> Tensor:
        """Return embeddings ``(N, dim)``, not normalised, of tokenised texts."""
        return clip.encode_tokens(self.model, *tokens)

    def pad_length(self, texts: Sequence[str]) -> int | None:
        """Return None: causal attention never sees padding."""
        return None

    def text_key(self) -> str:
        """Return the vocabulary."""
        return self.tokenizer.dumps() if isinstance(self.tokenizer, CompactTokenizer) else "clip"


class MedClipEncoder(Encoder):
    """MedCLIP.

    Args:
        model: The model.
        transform: From an image to its input.
        dim: Width of the joint embedding space.
        tokenizer: Of transformers.
    """

    def __init__(
        self, model: medclip.MedClip, transform: ImageTransform, dim: int, tokenizer: Callable[..., Any]
    ) -> None:
        """Keep the parts."""
        super().__init__(model, transform, dim)
        self.tokenizer = tokenizer

    def tokens(self, texts: Sequence[str], pad_to: int | None = None) -> tuple[Tensor, Tensor]:
        """Return identifiers and attention mask, padded to the longest text or to ``pad_to``."""
        out = self.tokenizer(
            list(texts),
            return_tensors="pt",
            truncation=True,
            max_length=medclip.MAX_TOKENS if pad_to is None else pad_to,
            padding="longest" if pad_to is None else "max_length",
        )
        device = self.model.logit_scale.device
        return out["input_ids"].to(device), out["attention_mask"].to(device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Return embeddings ``(N, dim)``, not normalised, from transformed images ``(N, 3, S, S)``."""
        return self.model.encode_image(pixels)

    def encode_tokens(self, *tokens: Tensor) -> Tensor:
        """Return embeddings ``(N, dim)``, not normalised, of tokenised texts."""
        return self.model.encode_text(*tokens)

    def pad_length(self, texts: Sequence[str]) -> int | None:
        """Return the longest length if padding is averaged over, so that a text's embedding depends on it."""
        return self.tokens(texts)[0].shape[1] if self.model.text_model.average_padding else None

    def text_key(self) -> str:
        """Return the vocabulary and whether padding is averaged over."""
        vocabulary = hashlib.sha256(
            json.dumps(self.tokenizer.get_vocab(), sort_keys=True).encode()
        ).hexdigest()
        return f"{vocabulary} {self.model.text_model.average_padding}"


def load_encoder(
    name: Name, source: Path | str | None = None, average_padding: bool = True, device: str = "cpu"
) -> Encoder:
    """Load a published encoder, frozen.

    Args:
        name: ``"clip"``, ``"monet"`` or ``"medclip"``.
        source: A local folder or file (see :func:`gftlib.scale.clip.load` and
            :func:`gftlib.scale.medclip.load`), or a hub id. None: the published hub id; MedCLIP has none.
        average_padding: For MedCLIP, see :class:`gftlib.scale.medclip.MedClipText`.
        device: Where it works; embeddings that are kept are on the CPU.

    Raises:
        InputError: If ``name`` is unknown or the weights do not fit.
        MissingError: If the weights are not there.
    """
    if name not in ("clip", "monet", "medclip"):
        raise InputError(f"unknown encoder {name!r}{did_you_mean(name, ('clip', 'monet', 'medclip'))}")
    if source is None and name == "medclip":
        raise InputError("MedCLIP needs the path of its published checkpoint; it has no hub id")
    path = _local(source if source is not None else HUB_IDS[name], hub=name != "medclip")
    if name == "medclip":
        model, tokenizer, config = medclip.load(path, average_padding)
        size = model.vision_model.model.config.image_size
        transform, dim = published_transform(name, size), config.get("dim", medclip.DIM)
        return MedClipEncoder(model, transform, dim, tokenizer).to(device)
    model, config = clip.load(path)
    transform = published_transform(name, config["vision_cfg"]["image_size"])
    return ClipEncoder(model, transform, config["embed_dim"], _clip_tokenizer(path, config)).to(device)


def published_transform(name: Name, size: int) -> ImageTransform:
    """Return the preprocessing of an encoder's authors: MONET takes ImageNet's statistics, not CLIP's."""
    mean, std, fit = {
        "clip": (CLIP_MEAN, CLIP_STD, "crop"),
        "monet": (IMAGENET_MEAN, IMAGENET_STD, "crop"),
        "medclip": (MEDCLIP_MEAN, MEDCLIP_STD, "pad"),
    }[name]
    return ImageTransform(size, mean, std, fit)


def _clip_tokenizer(path: Path, config: dict[str, Any]) -> Callable[[list[str]], Tensor]:
    file = path / "compact_tokenizer.json"
    if path.is_dir() and file.is_file():
        return CompactTokenizer.loads(file.read_text(encoding="utf-8"))
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=config["text_cfg"]["context_length"])


def _local(source: Path | str, hub: bool) -> Path:
    """Return a local path, fetching a hub id's files if ``source`` is no path.

    Raises:
        MissingError: If there is no such path and it is no hub id, or the hub has none of that name.
    """
    path = Path(source)
    if path.exists():
        return path
    if not hub or isinstance(source, Path) or path.is_absolute() or path.suffix in _SUFFIXES:
        raise MissingError(f"there are no weights at {source}: no such file or folder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        found = Path(snapshot_download(source, allow_patterns=_WANTED))
        if any(found.glob("*.safetensors")):
            return found
        return Path(snapshot_download(source, allow_patterns=[*_WANTED, "*.bin"]))
    except (HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError) as error:
        raise MissingError(
            f"there are no weights at {source!r}: no such file or folder, and no hub id that can be fetched"
        ) from error
