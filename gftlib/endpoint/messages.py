"""What is asked of a model: messages of text and images, and the key that names a question by its content."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel

from gftlib.errors import InputError, MissingError

Part = str | Path | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Message:
    """One turn of a conversation.

    Attributes:
        role: Who speaks.
        parts: In order. A ``str`` is text; a ``Path``, a PIL image or a uint8 array (H, W) or (H, W, 3) is an
            image.
    """

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Request:
    """One question to a model.

    Attributes:
        messages: The conversation so far.
        schema: What the answer must be, as JSON; None for free text.
        tag: Tells apart questions of the same content that should each be asked.
    """

    messages: tuple[Message, ...]
    schema: type[BaseModel] | None = None
    tag: str = ""

    @classmethod
    def of(
        cls,
        prompt: str,
        *images: Part,
        system: str = "",
        schema: type[BaseModel] | None = None,
        tag: str = "",
    ) -> Request:
        """Return the common case: an optional system text, then images and a prompt in one user turn."""
        first = (Message("system", (system,)),) if system else ()
        return cls((*first, Message("user", (*images, prompt))), schema, tag)

    @property
    def image_count(self) -> int:
        """Number of images in all turns."""
        return sum(not isinstance(part, str) for message in self.messages for part in message.parts)

    def key(self, options: Mapping[str, Any]) -> str:
        """Return the SHA-256 of all that decides the answer: the messages, the schema, the model's options.

        Images count by their pixels, so a changed file name or metadata asks nothing again.

        Raises:
            InputError: If an image cannot be read.
            MissingError: If an image file is not there.
        """
        turns = [[message.role, *map(_content_key, message.parts)] for message in self.messages]
        schema = self.schema.model_json_schema() if self.schema else None
        content = {"turns": turns, "schema": schema, "tag": self.tag, "options": dict(options)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def body(self) -> list[dict[str, Any]]:
        """Return the messages as the chat interface takes them, images as data URLs without metadata."""
        return [{"role": m.role, "content": _content(m.parts)} for m in self.messages]

    def tokens(self, per_image: int) -> int:
        """Return a cautious estimate of the input tokens: three bytes of text a token."""
        texts = [part for message in self.messages for part in message.parts if isinstance(part, str)]
        schema = json.dumps(self.schema.model_json_schema()) if self.schema else ""
        size = sum(len(text.encode()) for text in (*texts, schema))
        return math.ceil(size / 3) + 8 * len(self.messages) + per_image * self.image_count


def _content(parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": data_url(part)}}
        for part in parts
    ]


def _content_key(part: Part) -> list[str]:
    if isinstance(part, str):
        return ["text", part]
    image = plain_image(part)
    head = f"{image.mode} {image.size}".encode()
    return ["image", hashlib.sha256(head + image.tobytes()).hexdigest()]


def plain_image(image: Part) -> Image.Image:
    """Return an image as bare pixels, grey or RGB, upright, without any metadata.

    Raises:
        InputError: If it is no readable image, or an array of another type or shape.
        MissingError: If the file is not there.
    """
    if isinstance(image, Path):
        if not image.is_file():
            raise MissingError(f"no image {image}")
        return _from_file(image, image.stat().st_mtime_ns)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
            raise InputError(f"an image array must be uint8 (H, W) or (H, W, 3): {image.dtype} {image.shape}")
        return Image.fromarray(np.ascontiguousarray(image))
    return _bare(image)


# One scan is asked about many times.
@lru_cache(maxsize=64)
def _from_file(path: Path, modified: int) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return _bare(opened)
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path} is not a readable image: {error}") from error


def _bare(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    pixels = upright if upright.mode in ("L", "RGB") else upright.convert("RGB")
    # Made anew from pixels: a copy would carry comments, EXIF and profiles along.
    return Image.frombytes(pixels.mode, pixels.size, pixels.tobytes())


def data_url(image: Part) -> str:
    """Return an image as a PNG data URL without metadata; errors as `plain_image`."""
    buffer = io.BytesIO()
    plain_image(image).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
