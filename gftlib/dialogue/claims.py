"""What an answer claims: which abnormality in which quadrant, stated or denied.

The sentences of a student are read by rule, with the words of the teacher and their nearest kin; what the
rule does not know is no claim, so it counts neither for nor against a student.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.finding_words import Mention, mentions
from gftlib.dialogue.place_words import PlaceGroup, place_groups, quadrants_named
from gftlib.octa.signs import FindingKind
from gftlib.vlm.negation import plain

_YES = re.compile(r"\s*(?:yes\b|there is\b|there are\b)", re.IGNORECASE)
_NO = re.compile(r"\s*(?:no\b|none\b|not\b|there (?:is|are) (?:no|none)\b)", re.IGNORECASE)
_ONLY = re.compile(r"\bonly\b", re.IGNORECASE)
_CUT = re.compile(
    r"[.!?;]+(?=\s|$)|\n+|\b(?:however|although|though|while|whereas|yet)\b"
    # "all quadrants but the upper left", "but not in the upper left" go on.
    r"|\bbut\b(?!\s+(?:for\s+|not\s+)?(?:in\s+)?the\s)"
)
_APART = re.compile(r"[,:]|\band\b|\bor\b")
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|can|shows?|seen|present|noted|lies?)\b")
_BULLET = re.compile(r"\s*[-*•]\s")


@dataclass(frozen=True)
class Claim:
    """One abnormality that an answer speaks of.

    Attributes:
        kind: Which.
        quadrants: Where; empty if it does not say.
        stated: Said to be there; else said not to be.
        start: Where its words begin in the answer.
        end: Where its words, or those of its places, end.
    """

    kind: FindingKind
    quadrants: tuple[str, ...]
    stated: bool
    start: int
    end: int


def claims(text: str) -> list[Claim]:
    """Return what an answer states or denies; what it merely speaks of is left out.

    The places of a term are those behind it ("a tangle in the upper left"), else those that lead its sentence
    ("the upper left shows", "upper left: "), else those of the list it stands in, else those of the heading
    above its line. Places that are set apart ("not in the lower right") are denied.
    """
    low, groups = plain(text), place_groups(text)
    found: list[Claim] = []
    heading: frozenset[str] = frozenset()
    terms = mentions(low)
    for start, end in _sentences(low):
        said = [term for term in terms if start <= term.start < end]
        places = [group for group in groups if start <= group.start < end]
        if said:
            above = heading if _BULLET.match(low, start) else frozenset()
            found += _Sentence(low, said, places, above).claims()
        elif places:
            titled = low[start:end].rstrip(" *_\n").endswith(":")
            heading = frozenset(q for one in places for q in one.quadrants) if titled else frozenset()
    return found


def affirms(text: str, kind: FindingKind, quadrant: str) -> bool | None:
    """Read the answer to whether a kind is in a quadrant: yes, no, or None if it does not say.

    A yes that goes on to name other quadrants does not say it of this one.
    """
    if _NO.match(text):
        return False
    if _YES.match(text):
        places = quadrants_named(text)
        if not quadrant or not places or quadrant in places:
            return True
        return False if _ONLY.search(text) else None
    told = [c for c in claims(text) if c.kind == kind and (not c.quadrants or quadrant in c.quadrants)]
    told.sort(key=lambda claim: not claim.quadrants)
    return told[0].stated if told else None


def named(found: Sequence[Claim], kind: FindingKind) -> set[str]:
    """Return the quadrants in which a kind is stated to be."""
    return {q for claim in found if claim.kind == kind and claim.stated for q in claim.quadrants}


def _sentences(low: str) -> list[tuple[int, int]]:
    cuts = [0, *(m.end() for m in _CUT.finditer(low)), len(low)]
    return [(a, b) for a, b in pairwise(cuts) if low[a:b].strip()]


class _Sentence:
    """The terms and places of one sentence, and which belong together."""

    def __init__(
        self, low: str, terms: list[Mention], groups: list[PlaceGroup], heading: frozenset[str]
    ) -> None:
        self.low, self.terms, self.heading = low, terms, heading
        self.behind: dict[Mention, list[PlaceGroup]] = {term: [] for term in terms}
        self.leading: list[PlaceGroup] = []
        self.apart: set[str] = set()
        opened = bool(groups) and groups[0].start < terms[0].start
        for position, group in enumerate(groups):
            following = groups[position + 1].start if position + 1 < len(groups) else len(low)
            self._attach(group, groups[:position], following, opened)

    def _attach(self, group: PlaceGroup, earlier: Sequence[PlaceGroup], following: int, opened: bool) -> None:
        before = [term for term in self.terms if term.end <= group.start]
        if group.spared:
            return
        if not before:
            if group.denied:
                self.apart |= set(group.quadrants)
            else:
                self.leading.append(group)
            return
        leads = any(group.end <= term.start < following for term in self.terms)
        last = max(item.end for item in (before[-1], *earlier))
        if leads and not group.denied and _APART.search(self.low, last, group.start):
            leads = opened or not group.placed
        else:
            leads = False
        if leads:
            self.leading.append(group)
        else:
            self.behind[before[-1]].append(group)

    def claims(self) -> list[Claim]:
        """Return what the sentence states and denies."""
        found = []
        for position, term in enumerate(self.terms):
            if term.verdict == "unstated":
                continue
            stated = term.verdict == "stated"
            away = [group for group in self.behind[term] if group.denied and stated]
            out = self.apart | {q for group in away for q in group.quadrants}
            places = self._places(position, stated) - out
            ends = [group.end for group in self.behind[term] if group not in away]
            found.append(Claim(term.kind, _ordered(places), stated, term.start, max([term.end, *ends])))
            found += [Claim(term.kind, g.quadrants, False, g.start, g.end) for g in away]
        return found

    def _places(self, position: int, stated: bool) -> set[str]:
        term = self.terms[position]
        own = _union(self.behind[term], not stated)
        leading = [group for group in self.leading if group.end <= term.start]
        return own or _union(leading[-1:]) or self._shared(position) or set(self.heading)

    def _shared(self, position: int) -> set[str]:
        """Return the places of the next term of a list: "drop-out and vessel dilation in the upper left"."""
        for one, other in pairwise(self.terms[position:]):
            if _VERB.search(self.low, one.end, other.start) or self.behind[one]:
                return set()
            if self.behind[other]:
                return _union(self.behind[other])
        return set()


def _union(groups: Sequence[PlaceGroup], denied: bool = False) -> set[str]:
    return {q for group in groups if denied or not group.denied for q in group.quadrants}


def _ordered(quadrants: set[str]) -> tuple[str, ...]:
    return tuple(q for q in QUADRANTS if q in quadrants)
