"""Captions by a hosted teacher, from meta information alone (BiRD, section 3, step two).

Only images whose conversation holds a caption are asked about. No image is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gftlib.bird.captions import caption_prompt, rule_caption
from gftlib.bird.instances import ImageMeta
from gftlib.bird.records import Plan, RecordConfig, records
from gftlib.endpoint.client import Endpoint
from gftlib.endpoint.messages import Request

# Coordinates and markup: a caption is words.
_NOT_WORDS = re.compile(r"[<>\[\]{}]|\d\.\d")


@dataclass(frozen=True)
class HostedCaptions:
    """A teacher of captions for `gftlib.bird.records.records`; what it lacks is written by rule.

    Args:
        texts: Caption by id of the image.
        missing: Why an image has none.
    """

    texts: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def __call__(self, meta: ImageMeta) -> str:
        """Return the caption of an image."""
        return self.texts.get(meta.id) or rule_caption(meta)


def captioned(metas: Iterable[ImageMeta], settled: Plan, config: RecordConfig) -> list[ImageMeta]:
    """Return the images whose conversation will hold a caption."""
    noted: list[ImageMeta] = []

    def note(meta: ImageMeta) -> str:
        noted.append(meta)
        return ""

    for _ in records(metas, settled, config, note):
        pass
    return noted


def ask(metas: Sequence[ImageMeta], endpoint: Endpoint) -> HostedCaptions:
    """Ask for captions; what was answered before is not asked again.

    Args:
        metas: See `captioned`.
        endpoint: With its record of answers.

    Returns:
        The captions; an answer that holds numbers of boxes or markup is left out.
    """
    found = HostedCaptions()
    outcomes = endpoint.ask([Request.of(caption_prompt(meta)) for meta in metas])
    for meta, outcome in zip(metas, outcomes, strict=True):
        text = " ".join(outcome.text.split())
        if outcome.status != "ok":
            found.missing[meta.id] = f"{outcome.status}: {outcome.reason}"
        elif not text or _NOT_WORDS.search(text):
            found.missing[meta.id] = "the answer is empty or holds coordinates or markup"
        else:
            found.texts[meta.id] = text
    return found
