"""One voice about one scan: what its table says, in varied words, never a number of it.

Every answer is a function of the table; the generator only picks among wordings. So what a student is taught
is true to the graph, which is not always true to the eye: `gftlib.dialogue.scoring` measures how far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.questions import NAMES, QUESTIONS, SEEN
from gftlib.dialogue.wording import listed, quadrant_words, without_article
from gftlib.octa.places import RING_WORDS, in_words
from gftlib.octa.table_rows import ScanTable

if TYPE_CHECKING:
    import numpy as np

    from gftlib.octa.findings import Finding
    from gftlib.octa.places import Quadrant
    from gftlib.octa.signs import FindingKind


class Speaker:
    """Says what the table of one scan holds."""

    def __init__(self, table: ScanTable, rng: np.random.Generator) -> None:
        """Take the table and the source of variety."""
        self.table, self.rng = table, rng

    def pick(self, wordings: Sequence[str], **words: str) -> str:
        """Return one of the wordings, filled in."""
        return wordings[int(self.rng.integers(len(wordings)))].format(**words)

    def ask(self, what: str, **words: str) -> str:
        """Return a question of `QUESTIONS`."""
        return self.pick(QUESTIONS[what], **words)

    def of(self, kind: FindingKind, quadrant: Quadrant | None = None) -> list[Finding]:
        """Return the findings of a kind, in one quadrant if it is given; the first weighs most."""
        return [
            f for f in self.table.findings if f.kind == kind and (quadrant is None or quadrant in f.quadrants)
        ]

    def quadrants_of(self, kind: FindingKind) -> tuple[Quadrant, ...]:
        """Return all quadrants in which a kind is found."""
        return tuple(q for q in QUADRANTS if self.of(kind, q))

    def kinds(self, quadrant: Quadrant | None = None) -> list[FindingKind]:
        """Return the kinds found, those of the weightiest findings first."""
        return list(
            dict.fromkeys(f.kind for f in self.table.findings if quadrant is None or quadrant in f.quadrants)
        )

    def evidence(self, most: int = 3) -> str:
        """Return the weightiest findings with their places as one clause; empty if there is none."""
        clauses = [f"{self.pick(SEEN[kind])} in {in_words(self.quadrants_of(kind))}" for kind in self.kinds()]
        return listed(clauses[:most])

    def describe(self, quadrant: Quadrant) -> str:
        """Describe one quadrant: its findings, then its vessel density."""
        place, kinds = quadrant_words(quadrant), self.kinds(quadrant)
        if not kinds:
            seen = self.pick(
                (
                    "The {place} shows no focal abnormality",
                    "Nothing abnormal stands out in the {place}",
                    "No abnormality is seen in the {place}",
                ),
                place=place,
            )
        else:
            things = listed([self.pick(SEEN[kind]) for kind in kinds])
            seen = self.pick(
                (
                    "The {place} shows {things}",
                    "In the {place} there is {things}",
                    "{things} can be seen in the {place}",
                ),
                place=place,
                things=things,
            )
        return f"{seen[0].upper()}{seen[1:]}. {self.density(quadrant)}"

    def density(self, quadrant: Quadrant) -> str:
        """Say how dense the vessels of a quadrant are, compared with healthy eyes."""
        words = self.table.quadrants[quadrant].words
        return self.pick(
            (
                "Its vessel network is {words}.",
                "Here the vessels are {words}.",
                "Its vessels are {words}.",
            )
            if words != "as usual"
            else ("Its vessel density is as usual.", "The vessel network is as dense as usual."),
            words=words,
        )

    def faz_size(self) -> str:
        """Say how large the FAZ is."""
        if self.table.faz is None:
            return "No foveal avascular zone can be delineated in this scan."
        found = self.of("FAZ enlargement")
        words = self.table.faz.words[0]
        if found:
            size = "markedly enlarged" if found[0].degree == "marked" else "enlarged"
            return self.pick(
                ("Yes, the FAZ is {size}.", "It is larger than in a healthy eye: the FAZ is {size}."),
                size=size,
            )
        return self.pick(
            (
                "No, the FAZ is not enlarged; its size is {words}.",
                "The FAZ is not enlarged: its size is {words}.",
            ),
            words=words,
        )

    def faz_shape(self) -> str:
        """Say how the FAZ is shaped."""
        if self.table.faz is None:
            return "No foveal avascular zone can be delineated, so it has no shape to describe."
        _, shape, outline = self.table.faz.words
        return self.pick(
            (
                "Its shape is {shape} and its outline is {outline}.",
                "The FAZ is {shape}, its contour {outline}.",
            ),
            shape=shape,
            outline=outline,
        )

    def faz_place(self) -> str:
        """Say which quadrants the FAZ reaches."""
        if self.table.faz is None:
            return "No foveal avascular zone can be delineated in this scan."
        return self.pick(
            ("It reaches into {place}.", "The FAZ extends into {place}."),
            place=in_words(self.table.faz.quadrants),
        )

    def where(self, kind: FindingKind) -> str:
        """Say whether and where a kind of finding is."""
        quadrants = self.quadrants_of(kind)
        if not quadrants:
            return self.pick(
                ("No, there is no {thing}.", "No {thing} is seen."), thing=without_article(NAMES[kind])
            )
        return self.pick(
            ("Yes, there is {thing} in {place}.", "Yes: {thing} in {place}.", "{place} show it: {thing}."),
            thing=self.pick(SEEN[kind]),
            place=in_words(quadrants),
        ).replace("show it", "shows it" if len(quadrants) == 1 else "show it")

    def ring(self) -> str:
        """Say how far from the FAZ the weightiest non-perfusion lies."""
        found = self.of("non-perfusion")
        if not found:
            return "There is no capillary non-perfusion in this scan."
        return self.pick(
            ("The main area lies {ring}, around {clock} o'clock.", "It is {ring}, at about {clock} o'clock."),
            ring=RING_WORDS[found[0].place.ring],
            clock=str(found[0].place.clock),
        )
