"""Places in free text: the quadrants that a phrase names, and whether it says that they are spared.

Read are two-word names in either order ("upper left", "top-left", "left upper"), what they share ("upper left
and right", "upper and lower left"), halves ("left half", "upper quadrants"), codes ("UL") and all four.
Nasal and temporal are no places: they need the side of the eye.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from gftlib.boxes import QUADRANTS
from gftlib.vlm.negation import plain

_ROWS = {"upper": "U", "superior": "U", "top": "U", "lower": "L", "inferior": "L", "bottom": "L"}
_COLUMNS = {"left": "L", "right": "R"}
_ROW, _COLUMN = (rf"(?:{'|'.join(words)})" for words in (_ROWS, _COLUMNS))
_AND = r"\s*(?:and|or|&|/)\s*(?:the\s+)?"
_PART = (
    r"(?:half|halves|sides?|parts?|portions?|hemispheres?|hemifields?"
    r"|quadrants?|regions?|areas?|retina|field)"
)
_NAME = re.compile(
    rf"\b{_ROW}(?:{_AND}{_ROW})?[\s-]*{_COLUMN}\b(?:{_AND}{_COLUMN}\b(?![\s-]*{_ROW}))?"
    rf"|\b{_COLUMN}(?:{_AND}{_COLUMN})?[\s-]+{_ROW}\b(?:{_AND}{_ROW}\b(?![\s-]*{_COLUMN}))?"
    rf"|\b(?:{_ROW}(?:{_AND}{_ROW})?|{_COLUMN}(?:{_AND}{_COLUMN})?)[\s-]+{_PART}\b"
    rf"(?!\s+of\s+(?:the\s+)?(?:{_ROW}|{_COLUMN}))"
    r"|\b(?:all|every|each)(?: of)?(?: the)?(?: four)? quadrants?\b|\ball four\b|\beverywhere\b"
    r"|(?<!of )(?<!of the )\bfour quadrants\b"
    r"|\bthroughout(?=\s*[.,;:]|\s*$|\s+(?:the\s+)?(?:whole\s+|entire\s+)?(?:scan|image|retina|network))"
)
_CODE = re.compile(rf"\b(?:{'|'.join(QUADRANTS)})\b")
"""Read in capitals only, so that "they'll" names no place."""
_IN = re.compile(
    r"\b(?:in|into|within|at|of|across|over|along|to|from|affecting|involving|near|inside|on)"
    r"\s+(?:the\s+|both\s+)*$"
)
_GLUE = re.compile(r"[\s,/&()]*(?:\b(?:quadrants?|and|or|as well as|both|the|in|also|of)\b[\s,/&()]*)*")
_SUBJECT = re.compile(
    r"\s*(?:quadrant\s+)?(?:shows?|has|have|contains?|exhibits?|displays?|reveals?|demonstrates?|is|remains"
    r"|appears|looks|seems)\b"
)
_NOT = re.compile(
    r"(?:\b(?:not|spar(?:es?|ing)|except(?:ing)?(?: for)?|excluding|apart from|other than|save(?: for)?"
    r"|rather than|instead of|unlike|outside)|(?:quadrants?|everywhere|four),?\s+but(?: for| not)?)"
    r"(?:\s+(?:seen|found|present|visible))?\s+(?:in\s+)?(?:the\s+|both\s+)*$"
)
_SPARED = re.compile(
    r"(?:\s+quadrants?)?\s+(?:(?:is|are|remains?|appears?|looks?|seems?)\s+(?:(?!no)\w+\s+){0,2}?"
    r"(?:spared|normal|unremarkable|unaffected|uninvolved|clear|healthy|intact|preserved)\b"
    r"|shows?\s+(?:nothing|no\s+(?:\w+\s+)?(?:abnormalit|finding|lesion|sign)))"
)


@dataclass(frozen=True)
class PlaceGroup:
    """Places that a text names in one breath.

    Attributes:
        quadrants: Which.
        start: Where the first name begins.
        end: Where the last name ends.
        placed: A preposition stands before it.
        denied: It is set apart: "not in", "except", "sparing".
        spared: It is said to be normal, whatever the abnormality.
    """

    quadrants: tuple[str, ...]
    start: int
    end: int
    placed: bool
    denied: bool
    spared: bool


def place_groups(text: str) -> list[PlaceGroup]:
    """Return the places that a text names, those listed together as one."""
    low = plain(text)
    names = sorted([*_NAME.finditer(low), *_CODE.finditer(text)], key=lambda match: match.start())
    cuts = [0, *(k for k, two in enumerate(pairwise(names), start=1) if not _joined(low, *two)), len(names)]
    return [_group(low, names[a:b]) for a, b in pairwise(cuts) if a < b]


def quadrants_named(text: str) -> frozenset[str]:
    """Return all quadrants that a text names, but those that it sets apart."""
    groups = place_groups(text)
    away = {q for one in groups if one.denied for q in one.quadrants}
    return frozenset(q for one in groups if not one.denied for q in one.quadrants) - away


def _joined(low: str, one: re.Match[str], other: re.Match[str]) -> bool:
    """Return whether two names are of one list; "in the upper left, the lower right shows" is none."""
    between = low[one.end() : other.start()]
    whole = max(len(_quadrants(name[0])) for name in (one, other)) == len(QUADRANTS)
    if whole or not _GLUE.fullmatch(between):
        return False
    apart = not re.search(r"\bin\b", between) and _SUBJECT.match(low, other.end())
    return not (apart and _IN.search(low[: one.start()]))


def _group(low: str, names: list[re.Match[str]]) -> PlaceGroup:
    named = {quadrant for name in names for quadrant in _quadrants(name[0])}
    start, end = names[0].start(), names[-1].end()
    before = low[:start]
    return PlaceGroup(
        tuple(q for q in QUADRANTS if q in named),
        start,
        end,
        _IN.search(before) is not None,
        _NOT.search(before) is not None,
        _SPARED.match(low, end) is not None,
    )


def _quadrants(name: str) -> list[str]:
    if name in QUADRANTS:
        return [name]
    rows = {letter for word, letter in _ROWS.items() if word in name} or {"U", "L"}
    columns = {letter for word, letter in _COLUMNS.items() if word in name} or {"L", "R"}
    return [q for q in QUADRANTS if q[0] in rows and q[1] in columns]
