"""What a sentence denies: which of the terms found in a text are said not to be there.

Cues and their reach follow the idea of NegEx (Chapman et al., "A simple algorithm for identifying negated
findings and diseases in discharge summaries"): a cue before a term denies it up to the end of the clause, a
cue after it denies it from behind, and some phrases only compare, suppose or warn and so state nothing. The
lists are ours, written for the short sentences of models that describe a scan.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Status = Literal["stated", "denied", "unstated"]

_FALSE = r"no doubt|not only|not just|not merely|no change|than (?:usual|normal|expected|average)"
_OPEN = r"(?:cannot|can not|can't|not)\s+(?:be\s+)?(?:rule out|ruled out|excluded?)"
_DENY = (
    r"no(?!\s+(?:the|this|it|that)\b)|not|without|none of|neither|nor|never|absence of|absent"
    r"|lack(?:s|ing)?(?: of)?|free (?:of|from)|negative for|rul(?:es?|ed|ing) out|exclud(?:es?|ed|ing)"
    r"|cannot|denies|rather than|instead of|as opposed to|unlike"
    r"|(?:is|are|was|were|do|does|did|can|has|have)n't"
)
_UNSAY = (
    r"than|compared (?:to|with)|relative to|versus|vs|(?<!well )as in|if|whether|risk (?:of|for)|would"
    r"|(?:as|often|usually|typically|commonly) seen in"
    r"|(?:progress\w*|develop\w*|evolv\w*|convert\w*|transition\w*) (?:in)?to(?:wards?)?"
    r"|typical (?:of|for)|characteristic of|unlikely to be"
)
_BEFORE = re.compile(rf"\b(?:(?P<false>{_FALSE})|(?P<open>{_OPEN})|(?P<deny>{_DENY})|(?P<unsay>{_UNSAY}))\b")
_NOT = r"(?:absent|unlikely|excluded|ruled out|improbable|less likely|cannot|isn't|aren't"
_VERBS = r"(?:(?:is|are|was|were|can|could|may|seems?|appears?|has|have|be|been|being|very|rather)\s+)*"
_AFTER = re.compile(
    rf"[\s*_'\"]*(?:\([^)]*\)[\s*_'\"]*)?(?:(?P<open>{_VERBS}{_OPEN}\b)"
    rf"|(?P<deny>{_VERBS}{_NOT}|(?<=\bis )not|(?<=\bare )not)\b"
    r"|:\s*(?:no|none|absent|negative)\s*(?:[.;,\n]|$)))"
)
_ENDS = re.compile(
    r"(?!\s*(?:sign|evidence|finding|feature|lesion))"
    r".*\b(?:suggest(?:s|ing)|indicat(?:es|ing)|support(?:s|ing)|fits|mean(?:s|ing)|points to|which)\b"
)
"""What lies between "no flow in the upper half" and the disease that it speaks for, not against."""
_CLAUSE = re.compile(
    r"[.!?;:]+(?=\s|$)|\n+"
    r"|\b(?:but|however|although|though|while|whereas|yet|therefore|hence)\b"
)
_GLUE = r"[\s,/()\"']*"
_LIST = re.compile(
    rf"{_GLUE}(?:\b(?:or|and|nor|any|other|a|an|the|signs?|evidence|features?|of|for|severe|moderate|mild"
    rf"|early|late|even)\b{_GLUE})*"
)


PLAIN = str.maketrans("‐‑‒–—’‘“”", "-----''\"\"")


@dataclass(frozen=True)
class Term:
    """A term in a text, by its place, and the group of things that it can be listed with."""

    start: int
    end: int
    group: str = ""


def plain(text: str) -> str:
    """Return a text in lower case, dashes and quotation marks in their plain forms, places kept."""
    lower = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
    return lower.translate(PLAIN)


def clauses(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of each clause of a text made `plain`."""
    cuts = [0, *(m.end() for m in _CLAUSE.finditer(text)), len(text)]
    return [(a, b) for a, b in pairwise(cuts) if text[a:b].strip()]


def statuses(text: str, terms: Sequence[Term]) -> list[Status]:
    """Say of each term whether the text states it, denies it, or only speaks of it.

    Args:
        text: Made `plain`.
        terms: In the order of the text, none over another.
    """
    found: list[Status] = []
    spans = clauses(text)
    for number, term in enumerate(terms):
        start = next((a for a, b in spans if a <= term.start < b), 0)
        previous = terms[number - 1] if number and terms[number - 1].start >= start else None
        own = _before(text, max(start, previous.end if previous else start), term)
        linked = (
            previous and previous.group == term.group and _LIST.fullmatch(text[previous.end : term.start])
        )
        if own is None and linked and found[-1] != "stated":
            own = found[-1]
        found.append(own or _after(text, term))
    return found


def _after(text: str, term: Term) -> Status:
    """Return what the words behind a term make of it."""
    cue = _AFTER.match(text, term.end)
    if cue is None:
        return "stated"
    return "unstated" if cue["open"] else "denied"


def _before(text: str, start: int, term: Term) -> Status | None:
    """Return what the last cue before a term makes of it, or None if there is none that reaches it."""
    status: Status | None = None
    for cue in _BEFORE.finditer(text, start, term.start):
        between = text[cue.end() : term.start]
        # A comma ends a cue's reach, unless a list goes on to the term: "no bulges, tangles or signs of".
        reaches = "," not in between or re.search(r"\b(?:or|nor)\b", between[between.rindex(",") :])
        reaches = reaches and not _ENDS.match(between)
        said: Status = "denied" if cue["deny"] else "unstated"
        status = None if cue["false"] or not reaches else said
    return status
