"""What an answer claims: which abnormality in which quadrant, stated or denied.

The sentences of a student are read by rule, with the words of the teacher and their nearest kin; what the
rule does not know is no claim, so it counts neither for nor against a student.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gftlib.boxes import QUADRANTS
from gftlib.octa.places import QUADRANT_WORDS
from gftlib.octa.signs import FindingKind
from gftlib.vlm.negation import Term, clauses, plain, statuses

TERMS: dict[FindingKind, str] = {
    "non-perfusion": r"non-?perfusion|drop-?out|without capillary flow|perfusion loss|loss of capillar\w+",
    "FAZ enlargement": r"enlargement of the (?:faz|foveal avascular zone)"
    r"|enlarged (?:faz|foveal avascular zone)|widening of the (?:faz|foveal avascular zone)"
    r"|(?:faz|foveal avascular zone) (?:that )?is (?:markedly )?(?:enlarged|larger)",
    "dilated vessels": r"focal(?:ly)? (?:vessel )?dilat\w+|vessel dilation|dilated vessel\w*"
    r"|uneven, dilated vessel calibre|local widening of a vessel|microaneurysms?|beading",
    "tortuous vessels": r"tortuo\w+|abnormal winding|winding course|winding of the larger vessels",
    "dense tangle": r"(?:dense )?tangles?(?: of vessels)?|knots? of crowded\w*|cluster of closely packed"
    r"|neovasculari[sz]ation|neovascular tufts?",
}
"""How each kind of finding may be called."""
_KINDS = {f"k{i}": kind for i, kind in enumerate(TERMS)}
_TERM = re.compile("|".join(rf"(?P<{name}>\b(?:{TERMS[kind]}))" for name, kind in _KINDS.items()))
_WORDS = {words: name for name, words in QUADRANT_WORDS.items()}
_PLACE = re.compile(rf"all (?:four )?quadrants|{'|'.join(_WORDS)}")
_YES = re.compile(r"\s*(?:yes\b|there is\b|there are\b)", re.IGNORECASE)
_NO = re.compile(r"\s*(?:no\b|none\b|not\b|there (?:is|are) (?:no|none)\b)", re.IGNORECASE)


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

    A term's places are those that follow it, up to the next term that has its own; terms without any take
    those that stand before them in the clause ("the upper left quadrant shows ...").
    """
    low = plain(text)
    found = []
    matches = list(_TERM.finditer(low))
    verdicts = statuses(low, [Term(m.start(), m.end()) for m in matches])
    for start, end in clauses(low):
        inside = [(m, v) for m, v in zip(matches, verdicts, strict=True) if start <= m.start() < end]
        for position, (match, verdict) in enumerate(inside):
            stop = inside[position + 1][0].start() if position + 1 < len(inside) else end
            places, last = _places(low, match.end(), stop)
            if not places and inside:
                places, _ = _places(low, start, inside[0][0].start())
            if not places:
                # "capillary drop-out and vessel dilation in the upper left quadrant"
                places, _ = _places(low, match.end(), end)
            if verdict != "unstated":
                kind = _KINDS[str(match.lastgroup)]
                found.append(Claim(kind, places, verdict == "stated", match.start(), max(match.end(), last)))
    return found


def affirms(text: str, kind: FindingKind, quadrant: str) -> bool | None:
    """Read the answer to whether a kind is in a quadrant: yes, no, or None if it does not say."""
    if _NO.match(text):
        return False
    if _YES.match(text):
        return True
    told = [c for c in claims(text) if c.kind == kind and (not c.quadrants or quadrant in c.quadrants)]
    return told[0].stated if told else None


def named(found: Sequence[Claim], kind: FindingKind) -> set[str]:
    """Return the quadrants in which a kind is stated to be."""
    return {q for claim in found if claim.kind == kind and claim.stated for q in claim.quadrants}


def _places(text: str, start: int, end: int) -> tuple[tuple[str, ...], int]:
    """Return the quadrants named in part of a text, and where the last name ends."""
    names, last = set(), start
    for match in _PLACE.finditer(text, start, end):
        names |= {_WORDS[match[0]]} if match[0] in _WORDS else set(QUADRANTS)
        last = match.end()
    return tuple(q for q in QUADRANTS if q in names), last
