"""Embeddings computed once per image, augmented view and text, and kept on disk by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from gftlib.errors import InputError
from gftlib.paths import atomic_path, sha256
from gftlib.scale.encoders import Encoder
from gftlib.scale.transforms import View

BATCH = 32


class EmbeddingCache:
    """The embeddings of one encoder: a file of rows, each found by the digest of what it is made from.

    Args:
        encoder: The frozen encoder.
        folder: Where the file lies; None keeps everything in memory.
    """

    def __init__(self, encoder: Encoder, folder: Path | str | None = None) -> None:
        """Read what is there for this very encoder."""
        self.encoder = encoder
        self.computed = 0  # rows that had to be computed
        name = encoder.fingerprint()[:32]
        self._path = None if folder is None else Path(folder) / f"{name}.safetensors"
        self._rows: dict[str, np.ndarray] = {}
        if self._path is not None and self._path.is_file():
            stored = load_file(self._path)
            keys = (bytes(key).hex() for key in stored["keys"])
            self._rows = dict(zip(keys, stored["values"], strict=True))

    def images(
        self,
        count: int,
        image: Callable[[int], np.ndarray],
        views: Callable[[int], Sequence[View | None]] = lambda _: (None,),
    ) -> torch.Tensor:
        """Return image embeddings ``(views, count, dim)`` float32, not normalised.

        Args:
            count: Number of images.
            image: Gives image ``i`` as uint8.
            views: Gives the views of image ``i``, as many of each; None is the image itself.
        """
        keys, pending = [], {}
        for i in range(count):
            pixels = np.ascontiguousarray(image(i))
            content = sha256(repr(pixels.shape).encode() + pixels.tobytes())
            for view in views(i):
                mark = "" if view is None else json.dumps(asdict(view))
                key = sha256(f"image {content} {mark}".encode())
                keys.append(key)
                if key not in self._rows and key not in pending:
                    pending[key] = self.encoder.transform(pixels, view)
                if len(pending) == BATCH:
                    self._encode_images(pending)
        self._encode_images(pending)
        self._write()
        return self._table(keys).view(count, len(keys) // count, -1).transpose(0, 1).contiguous()

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return text embeddings ``(len(texts), dim)`` float32, not normalised.

        Where padding is part of the embedding (MedCLIP), all of ``texts`` are padded to the longest of them.

        Raises:
            InputError: If there is no text.
        """
        if not texts:
            raise InputError("no text to encode")
        unique = list(dict.fromkeys(texts))
        length = self.encoder.pad_length(unique)
        keys = {text: sha256(f"text {length} {text}".encode()) for text in unique}
        missing = [text for text in unique if keys[text] not in self._rows]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            with torch.inference_mode():
                values = self.encoder.encode_texts(part, length).float().cpu().numpy()
            self._keep([keys[text] for text in part], values)
        if missing:
            self._write()
        return self._table([keys[text] for text in texts])

    def _encode_images(self, pending: dict[str, torch.Tensor]) -> None:
        if not pending:
            return
        weight = next(self.encoder.model.parameters())
        with torch.inference_mode():
            pixels = torch.stack(list(pending.values())).to(weight.device, weight.dtype)
            values = self.encoder.encode_images(pixels).float().cpu().numpy()
        self._keep(list(pending), values)
        pending.clear()

    def _keep(self, keys: list[str], values: np.ndarray) -> None:
        self._rows.update(zip(keys, values, strict=True))
        self.computed += len(keys)

    def _table(self, keys: list[str]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self._rows[key] for key in keys]).astype(np.float32))

    def _write(self) -> None:
        if self._path is None or not self.computed:
            return
        keys = np.frombuffer(bytes.fromhex("".join(self._rows)), dtype=np.uint8).reshape(-1, 32)
        with atomic_path(self._path) as temporary:
            save_file({"keys": keys.copy(), "values": np.stack(list(self._rows.values()))}, temporary)
