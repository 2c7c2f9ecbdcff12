"""The offline teacher: dialogues from a scan's table by rule, without a model or a network.

Same records as the hosted teacher of the paper (GFT, section 2.4), varied wording, the same bytes for the
same seed and scan. The stage is the label, the one truth that the paper gives its teacher, or the predicted
class, as its public code does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from gftlib.dialogue.composing import BUILDERS, diagnosis
from gftlib.dialogue.questions import ONE_WORD, PLAN
from gftlib.dialogue.records import Dialogue, Pair
from gftlib.dialogue.speaker import Speaker
from gftlib.errors import InputError
from gftlib.octa.places import Record
from gftlib.octa.table_rows import ScanTable

LONGEST = sum(PLAN.values())


class OfflineTeacher(Record):
    """How the offline teacher speaks.

    Attributes:
        seed: Of the wordings.
        stage: ``true``: the label (the paper); ``predicted``: the network's class (its public code).
        explained: Stage 1 explains the key features (the paper), or answers in one word (its public code).
        count: Stage 2 pairs a scan.
    """

    seed: int = 0
    stage: Literal["true", "predicted"] = "true"
    explained: bool = True
    count: int = LONGEST

    def first(self, table: ScanTable, image: str) -> Dialogue:
        """Return the stage 1 dialogue: one pair on the diagnosis.

        Args:
            table: Of the scan.
            image: Relative path of the scan.

        Raises:
            InputError: If the label is needed and not known.
        """
        voice, stage = self._voice(table, 1), table.stage(self.stage)
        if self.explained:
            pair = Pair(question=voice.ask("stage"), answer=diagnosis(voice, stage), kind="diagnosis")
        else:
            pair = Pair(question=voice.pick(ONE_WORD), answer=stage, kind="diagnosis")
        return Dialogue(id=table.scan, image=image, stage=1, teacher="offline", pairs=(pair,))

    def second(self, table: ScanTable, image: str) -> Dialogue:
        """Return the stage 2 dialogue; arguments and errors as `first`.

        Raises:
            InputError: Also if ``count`` is not 1 to 30.
        """
        if not 1 <= self.count <= LONGEST:
            raise InputError(f"count is {self.count}: a scan has 1 to {LONGEST} pairs")
        voice, stage = self._voice(table, 2), table.stage(self.stage)
        pairs = [pair for kind in PLAN for pair in BUILDERS[kind](voice, stage)]
        order = voice.rng.permutation(len(pairs))[: self.count]
        chosen = tuple(pairs[i] for i in order)
        return Dialogue(id=table.scan, image=image, stage=2, teacher="offline", pairs=chosen)

    def teach(self, scans: Iterable[tuple[ScanTable, str]], stage: Literal[1, 2]) -> Iterator[Dialogue]:
        """Yield the dialogues of (table, relative image path) in one stage."""
        speak = self.first if stage == 1 else self.second
        return (speak(table, image) for table, image in scans)

    def _voice(self, table: ScanTable, stage: int) -> Speaker:
        name = int.from_bytes(hashlib.sha256(table.scan.encode()).digest()[:8], "big")
        return Speaker(table, np.random.default_rng([self.seed, stage, name]))
