"""A tokenizer for small CLIP models: the table of embeddings holds only what their captions use."""

from __future__ import annotations

import json

from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor


class CompactTokenizer:
    """open_clip's tokenizer with only the byte pairs that a small model knows.

    Identifier 0 is padding and 1 any unknown pair; the end of text stays the highest, as CLIP's pooling
    needs.

    Args:
        known: Identifiers of open_clip's tokenizer, ascending.
        context_length: Length that texts are padded or cut to.
    """

    def __init__(self, known: list[int], context_length: int) -> None:
        """Take open_clip's tokenizer, whose byte pairs come with its package."""
        self._full = SimpleTokenizer(context_length=context_length)
        self.known = known
        self._index = {full: compact for compact, full in enumerate(known, start=2)}

    @classmethod
    def of_texts(cls, texts: list[str], context_length: int) -> CompactTokenizer:
        """Return the tokenizer that knows exactly the byte pairs of ``texts``."""
        ids = SimpleTokenizer(context_length=context_length)(texts)
        return cls(sorted(set(ids.unique().tolist()) - {0}), context_length)

    @property
    def vocab_size(self) -> int:
        """Number of identifiers."""
        return len(self.known) + 2

    def __call__(self, texts: list[str]) -> Tensor:
        """Return ``(len(texts), context_length)`` identifiers."""
        full = self._full(texts)
        return full.apply_(lambda i: 0 if i == 0 else self._index.get(int(i), 1))

    def dumps(self) -> str:
        """Return what :meth:`loads` reads."""
        return json.dumps({"known": self.known, "context_length": self._full.context_length})

    @classmethod
    def loads(cls, text: str) -> CompactTokenizer:
        """Return the tokenizer that :meth:`dumps` wrote."""
        return cls(**json.loads(text))
