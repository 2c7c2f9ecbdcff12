"""The judge by rule: the same judgements as the hosted one, from label and table alone, without a model.

It reads what an answer claims (`gftlib.dialogue.claims`) and which stage it gives, and counts. The same
answer always gets the same points. Questions on the diagnosis, on what is seen somewhere and on the five
kinds of abnormality are judged; others, such as comparisons of density, are said to be beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.claims import affirms, claims
from gftlib.dialogue.judge import Judged
from gftlib.dialogue.place_words import quadrants_named
from gftlib.dialogue.questions import NAMES, STAGE_WORDS
from gftlib.dialogue.rubric import Item, Judgement, check_items
from gftlib.octa.places import Quadrant, Record, in_words
from gftlib.octa.signs import FINDING_KINDS, FindingKind
from gftlib.octa.table_rows import STAGES, ScanTable
from gftlib.vlm.labels import parse_label
from gftlib.vlm.negation import plain

Placed = tuple[FindingKind, Quadrant]

STAGE_POINTS = 70
"""Of accuracy, where a stage is asked for or given; the abnormalities have the rest, or else all of it."""
MEETS, REASON, PLACE, LENGTH = 40, 25, 20, 15
"""Of helpfulness: the stage is given where it is asked for, else anything is claimed; an abnormality is named
or denied; a quadrant is named, or none is called for; the answer has a fit length."""
SHORTEST, LONGEST = 4, 120
"""Words of an answer of fit length."""
TOPICS: dict[FindingKind, str] = {
    "non-perfusion": r"non-?perfusion|drop-?out|capillary flow",
    "FAZ enlargement": r"(?:enlarg|widen|how large|size)[^?]*\b(?:faz|avascular zone)"
    r"|(?:faz|avascular zone)[^?]*\b(?:enlarg|large|size)",
    "dilated vessels": r"dilat|uneven calib|local widening",
    "tortuous vessels": r"tortuo|\bwind\b|winding",
    "dense tangle": r"tangle|knots?\b|crowded|closely packed",
}
"""By what a question is known to ask for a kind of finding."""
_OPEN = re.compile(
    r"do you see in|describe|abnormal|look like|finding|what do you see|explain", re.IGNORECASE
)
_BEYOND = re.compile(r"how far|close to the|farther", re.IGNORECASE)
_FAZ = re.compile(r"\bfaz\b|avascular zone", re.IGNORECASE)
_ASKS_STAGE = re.compile(
    r"diagnos|\bstag|retinopathy|classif|\bgrade|(?:this|it|retina|eye|scan) healthy|healthy,? (?:or|npdr)",
    re.IGNORECASE,
)


class RuleJudge(Record):
    """The judge by rule; it has no settings."""

    def judge(self, items: Sequence[Item]) -> Judged:
        """Judge the answers; questions that are beyond the rules are among the missing.

        Raises:
            InputError: If a question occurs twice or has no answers, or a label is not known.
        """
        check_items(items)
        inside = [item for item in items if covers(item.question)]
        found = [self._judged(item, model) for item in inside for model in sorted(item.answers)]
        beyond = {(i.table.scan, i.question): "beyond the rules" for i in items if not covers(i.question)}
        return Judged(tuple(found), beyond)

    def _judged(self, item: Item, model: str) -> Judgement:
        text = item.answers[model]
        said, stage = read(text, item.question), parse_label(text)
        true = STAGES.index(item.table.stage("true"))
        kinds, places = reference_facts(item.table, item.question)
        asks = _ASKS_STAGE.search(item.question) is not None
        staged = asks or stage is not None
        words = len(text.split())
        named = f1(said.kinds, kinds)
        share = STAGE_POINTS * staged
        accuracy = share * (stage == true) + (100 - share) * named
        place = f1(said.placed, places)
        points = {"accuracy": accuracy, "localisation": 100 * place, "helpfulness": 0.0}
        points["helpfulness"] = _helpfulness(said, stage is not None, asks, bool(places), words)
        given = STAGES[stage] if stage is not None else "none"
        return Judgement(
            scan=item.table.scan,
            question=item.question,
            model=model,
            judge="rules",
            reference=reference_text(item.table, item.question),
            reason=f"stage {given}, true {STAGES[true]}; F1 of findings {named:.2f}, of places {place:.2f}",
            **{name: round(value) if words else 0 for name, value in points.items()},
        )


@dataclass(frozen=True)
class Said:
    """What an answer says of abnormalities: those it states, those with a quadrant, those it denies."""

    kinds: frozenset[FindingKind]
    placed: frozenset[Placed]
    denied: frozenset[FindingKind]


def read(text: str, question: str) -> Said:
    """Read an answer; what it leaves to its question ("Yes.", "The upper left.") is taken from there."""
    asked_kinds, asked_places = topics(question)
    own_places, found = _places(text), claims(text)
    if not found:
        # A bare place affirms what is asked about; a bare yes or no needs no place.
        yes = {k for k in asked_kinds if own_places or affirms(text, k, "") is True}
        no = {k for k in asked_kinds if affirms(text, k, "") is False}
        placed = {(k, q) for k in yes - no for q in own_places or asked_places}
        return Said(frozenset(yes - no), frozenset(placed), frozenset(no))
    kinds = frozenset(claim.kind for claim in found if claim.stated)
    asked = () if own_places else sorted(asked_places)
    placed = {(c.kind, q) for c in found if c.stated for q in c.quadrants or asked}
    denied = frozenset(claim.kind for claim in found if not claim.stated)
    return Said(kinds, frozenset(placed), denied - kinds)


def covers(question: str) -> bool:
    """Return whether the rules can judge answers to a question."""
    if _BEYOND.search(question):
        return False
    kinds, _ = topics(question)
    opened = _OPEN.search(question) is not None and _FAZ.search(question) is None
    return bool(kinds) or opened or _ASKS_STAGE.search(question) is not None


def topics(question: str) -> tuple[frozenset[FindingKind], frozenset[Quadrant]]:
    """Return the kinds of abnormality, and the quadrants, that a question names."""
    low = plain(question)
    return frozenset(kind for kind, words in TOPICS.items() if re.search(words, low)), _places(question)


def _places(text: str) -> frozenset[Quadrant]:
    return cast("frozenset[Quadrant]", quadrants_named(text))


def _helpfulness(said: Said, staged: bool, asks: bool, placed: bool, words: int) -> float:
    claimed = bool(said.kinds or said.denied)
    meets = staged if asks else claimed or staged
    located = bool(said.placed) or not placed
    fit = SHORTEST <= words <= LONGEST
    return MEETS * meets + REASON * claimed + PLACE * located + LENGTH * fit


def reference_facts(table: ScanTable, question: str) -> tuple[frozenset[FindingKind], frozenset[Placed]]:
    """Return the abnormalities of a table, and those with their quadrants, that a question asks about."""
    asked_kinds, asked_places = topics(question)
    found = frozenset(
        (finding.kind, quadrant)
        for finding in table.findings
        for quadrant in finding.quadrants
        if (not asked_kinds or finding.kind in asked_kinds) and (not asked_places or quadrant in asked_places)
    )
    return frozenset(kind for kind, _ in found), found


def reference_text(table: ScanTable, question: str) -> str:
    """Return the reference that answers are held against, in words."""
    kinds, places = reference_facts(table, question)
    clauses = [
        f"{NAMES[kind]} in {in_words(tuple(q for q in QUADRANTS if (kind, q) in places))}"
        for kind in FINDING_KINDS
        if kind in kinds
    ]
    return f"{STAGE_WORDS[table.stage('true')]}: {'; '.join(clauses) or 'no abnormality'}."


def f1(named: Collection[object], true: Collection[object]) -> float:
    """Return the F1 of two sets; 1 if both are empty."""
    total = len(named) + len(true)
    return 2 * len(set(named) & set(true)) / total if total else 1.0
