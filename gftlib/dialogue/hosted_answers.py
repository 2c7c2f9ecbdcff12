"""What a hosted teacher must return, checked while it can still be asked again: count, words, places."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from gftlib.dialogue.questions import NAMES
from gftlib.dialogue.records import Kind, NamedBox, Pair, Words
from gftlib.dialogue.wording import without_article
from gftlib.octa.places import Quadrant
from gftlib.octa.table_rows import ScanTable

LEAKS = {
    "the overlay": r"over-?la(?:y|id)\w*|heat-?\s?maps?|saliency|highlight\w*"
    r"|colou?r(?:ed)?[- ](?:map|coded|scale)\w*",
    "the notes": r"\btables?\b|\bnotes\b|\bground[- ]truth\b|\blabel(?:l?ed|s)?\b"
    r"|\bprovided\s+(?:data|information)\b",
    "the network": r"\b(?:nodes?|graphs?|attributions?|integrated\s+gradients?|neural)\b"
    r"|\bimportance\s+(?:scores?|shares?|values?)|\bprobabilit\w+|\bconfidence\b|\bz-?\s?scores?\b",
    "an identifier": r"\bF\d+\b|\b(?:vessel|ica|faz)-\d+\b",
    "a raw number": r"\d*\.\d+|\d+\s*(?:%|percent\b|mm\b|µm|um\b|px\b|pixels?\b)|\b\d{3,}\b",
}
"""What no pair may mention, as patterns."""
_LEAKS = {what: re.compile(pattern, re.IGNORECASE) for what, pattern in LEAKS.items()}


def leak(text: str) -> str | None:
    """Return what a text mentions though it must not, or None."""
    return next((what for what, pattern in _LEAKS.items() if pattern.search(text)), None)


def _tight(text: str) -> str:
    if what := leak(text):
        raise ValueError(f"mentions {what}; rewrite it without")
    return text


Said = Annotated[Words, AfterValidator(_tight)]


class HostedPair(BaseModel):
    """One pair as a hosted teacher writes it; findings are named by their identifiers."""

    model_config = ConfigDict(extra="forbid")

    question: Said
    answer: Said
    kind: Kind
    quadrant: Quadrant | None
    findings: list[str]


class HostedAnswer(BaseModel):
    """The pairs of one scan; the schema of a request fixes their number and the known findings."""

    model_config = ConfigDict(extra="forbid")

    pairs: list[HostedPair]


def answer_schema(count: int, findings: Collection[str]) -> type[HostedAnswer]:
    """Return the schema of exactly ``count`` different pairs that name none but these findings."""
    return _schema(count, frozenset(findings))


@lru_cache(maxsize=4096)
def _schema(count: int, findings: frozenset[str]) -> type[HostedAnswer]:
    def sound(pairs: list[HostedPair]) -> list[HostedPair]:
        if unknown := sorted({name for pair in pairs for name in pair.findings} - findings):
            raise ValueError(
                f"there is no finding {unknown[0][:20]}; known: {', '.join(sorted(findings)) or 'none'}"
            )
        if len({pair.question.strip().casefold() for pair in pairs}) < len(pairs):
            raise ValueError("two questions are alike")
        return pairs

    kind = Annotated[list[HostedPair], Field(min_length=count, max_length=count), AfterValidator(sound)]
    return create_model("Dialogue", __base__=HostedAnswer, pairs=(kind, ...))


def known_boxes(table: ScanTable) -> dict[str, NamedBox]:
    """Return identifier -> box of what an answer may point at: the findings, and the FAZ as "FAZ"."""
    boxes = {f.id: NamedBox(name=without_article(NAMES[f.kind]), xyxy=f.box) for f in table.findings}
    if table.faz is not None:
        boxes["FAZ"] = NamedBox(name="foveal avascular zone", xyxy=table.faz.box)
    return boxes


def to_pairs(answer: HostedAnswer, table: ScanTable) -> tuple[Pair, ...]:
    """Return the pairs as records, findings replaced by their boxes."""
    boxes = known_boxes(table)
    return tuple(
        Pair(
            question=pair.question,
            answer=pair.answer,
            kind=pair.kind,
            quadrant=pair.quadrant,
            boxes=tuple(boxes[name] for name in dict.fromkeys(pair.findings)),
        )
        for pair in answer.pairs
    )
