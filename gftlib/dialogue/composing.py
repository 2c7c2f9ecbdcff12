"""The pairs of each kind that a scan's table gives rise to, composed by rule."""

from __future__ import annotations

from collections.abc import Callable

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.comparing import HALVES, even, ranked, versus
from gftlib.dialogue.questions import NAMES, NO, PLAN, STAGE_WORDS, YES
from gftlib.dialogue.records import Kind, NamedBox, Pair
from gftlib.dialogue.speaker import Speaker
from gftlib.dialogue.wording import quadrant_words, without_article
from gftlib.octa.places import Quadrant, in_words
from gftlib.octa.signs import FINDING_KINDS, FindingKind

MOST_BOXES = 3
"""Boxes in one answer."""


def diagnosis(voice: Speaker, stage: str) -> str:
    """Name the stage and what supports it."""
    evidence = voice.evidence()
    if stage == "healthy":
        rest = f" There is only {evidence}, which alone is no retinopathy." if evidence else ""
        return (
            voice.pick(
                (
                    "This retina is healthy: there are no signs of diabetic retinopathy.",
                    "The scan is healthy, without the pattern of diabetic retinopathy.",
                )
            )
            + rest
        )
    rest = f", supported by {evidence}." if evidence else ", although no single lesion stands out."
    opening = voice.pick(
        ("The scan shows {name}", "This is {name}", "The findings fit {name}"), name=STAGE_WORDS[stage]
    )
    return opening + rest


def _diagnoses(voice: Speaker, stage: str) -> list[Pair]:
    short = "No, the retina is healthy." if stage == "healthy" else f"Yes, {STAGE_WORDS[stage]}."
    return [
        Pair(question=voice.ask("stage"), answer=diagnosis(voice, stage), kind="diagnosis"),
        Pair(question=voice.ask("retinopathy"), answer=short, kind="diagnosis"),
    ]


def _quadrants(voice: Speaker, stage: str) -> list[Pair]:
    return [
        Pair(
            question=voice.ask("describe", place=quadrant_words(q)),
            answer=voice.describe(q),
            kind="quadrant",
            quadrant=q,
        )
        for q in QUADRANTS
    ]


def _faz(voice: Speaker, stage: str) -> list[Pair]:
    said = {"faz_size": voice.faz_size(), "faz_shape": voice.faz_shape(), "faz_place": voice.faz_place()}
    return [Pair(question=voice.ask(what), answer=answer, kind="FAZ") for what, answer in said.items()]


def _vessels(voice: Speaker, stage: str) -> list[Pair]:
    kinds: tuple[FindingKind, ...] = ("tortuous vessels", "dilated vessels", "dense tangle")
    return [Pair(question=voice.ask(kind), answer=voice.where(kind), kind="vessels") for kind in kinds]


def _perfusion(voice: Speaker, stage: str) -> list[Pair]:
    quadrant = QUADRANTS[int(voice.rng.integers(4))]
    asked = voice.ask("perfusion", place=quadrant_words(quadrant))
    return [
        Pair(question=voice.ask("non-perfusion"), answer=voice.where("non-perfusion"), kind="perfusion"),
        Pair(question=voice.ask("ring"), answer=voice.ring(), kind="perfusion"),
        Pair(question=voice.ask("even"), answer=even(voice), kind="perfusion"),
        Pair(question=asked, answer=voice.density(quadrant), kind="perfusion", quadrant=quadrant),
    ]


def _comparison(voice: Speaker, stage: str) -> list[Pair]:
    order = ranked(voice.table)
    pairs = [
        Pair(
            question=voice.ask(what),
            answer=voice.pick(("The {place}.", "It is the {place}."), place=quadrant_words(q)),
            kind="comparison",
        )
        for what, q in (("densest", order[0]), ("sparsest", order[-1]))
    ]
    a, b = (QUADRANTS[i] for i in voice.rng.permutation(4)[:2])
    halves = (("upper half", "lower half"), ("left half", "right half"))[int(voice.rng.integers(2))]
    for what, one, first, other, second in (
        ("versus", quadrant_words(a), a, quadrant_words(b), b),
        ("halves", halves[0], HALVES[halves[0]], halves[1], HALVES[halves[1]]),
    ):
        answer = versus(voice, one, first, other, second)
        pairs.append(Pair(question=voice.ask(what, place=one, other=other), answer=answer, kind="comparison"))
    return pairs


def _presence(voice: Speaker, stage: str) -> list[Pair]:
    """Ask for what is there and for what is not, half and half where the scan has enough of both."""
    cells: list[tuple[FindingKind, Quadrant]] = [(kind, q) for kind in FINDING_KINDS for q in QUADRANTS]
    shuffled = [cells[i] for i in voice.rng.permutation(len(cells))]
    there = [cell for cell in shuffled if voice.of(*cell)]
    absent = [cell for cell in shuffled if not voice.of(*cell)]
    total = PLAN["presence"]
    positives = there[: max(total // 2, total - len(absent))]
    pairs = []
    for kind, quadrant in positives + absent[: total - len(positives)]:
        place = quadrant_words(quadrant)
        if found := voice.of(kind, quadrant):
            answer = voice.pick(YES, rest=f"{found[0].degree} {without_article(NAMES[kind])} in the {place}")
        else:
            answer = voice.pick(NO, thing=without_article(NAMES[kind]), place=place)
        asked = voice.ask("present", thing=NAMES[kind], place=place)
        pairs.append(Pair(question=asked, answer=answer, kind="presence", quadrant=quadrant))
    return pairs


def _grounding(voice: Speaker, stage: str) -> list[Pair]:
    """Have the FAZ marked, then the weightiest kinds of findings, then what is not there."""
    pairs = []
    if voice.table.faz is not None:
        box = NamedBox(name="foveal avascular zone", xyxy=voice.table.faz.box)
        place = voice.pick(("Here it is.", "The FAZ lies here."))
        asked = voice.ask("mark", thing="the foveal avascular zone")
        pairs.append(Pair(question=asked, answer=place, kind="grounding", boxes=(box,)))
    found = voice.kinds()
    absent = [kind for kind in FINDING_KINDS if kind not in found]
    order = found[: PLAN["grounding"] - len(pairs)] + [absent[i] for i in voice.rng.permutation(len(absent))]
    for kind in order[: PLAN["grounding"] - len(pairs)]:
        pairs.append(_marked(voice, kind))
    return pairs


def _marked(voice: Speaker, kind: FindingKind) -> Pair:
    asked, found = voice.ask("mark", thing=NAMES[kind]), voice.of(kind)
    thing = without_article(NAMES[kind])
    if not found:
        answer = voice.pick(("There is no {thing} to mark.", "None: the scan shows no {thing}."), thing=thing)
        return Pair(question=asked, answer=answer, kind="grounding")
    boxes = tuple(NamedBox(name=thing, xyxy=f.box) for f in found[:MOST_BOXES])
    places = tuple(q for q in QUADRANTS if any(q in f.quadrants for f in found[:MOST_BOXES]))
    answer = voice.pick(("It is in {place}.", "Here, in {place}."), place=in_words(places))
    return Pair(question=asked, answer=answer, kind="grounding", boxes=boxes)


BUILDERS: dict[Kind, Callable[[Speaker, str], list[Pair]]] = {
    "diagnosis": _diagnoses,
    "quadrant": _quadrants,
    "FAZ": _faz,
    "vessels": _vessels,
    "perfusion": _perfusion,
    "comparison": _comparison,
    "presence": _presence,
    "grounding": _grounding,
}
"""Question kind -> the function that returns its pairs, given the voice and the stage."""
