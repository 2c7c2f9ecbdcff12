"""Answers without the image: what the questions alone give away, the floor of every score.

Learnt from the training records: where a name mostly is, what the asked-about region with the most similar
box is called, and the most common answer to the same words. Questions for what is not there are no part of
what it learns from: the students it is compared with are not taught them either.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gftlib.bird.instances import Box
from gftlib.bird.predictions import Prediction, asked
from gftlib.bird.questions import NEGATIVE, Turn, Writer
from gftlib.bird.records import Record
from gftlib.boxes import BoxFormat
from gftlib.errors import InputError
from gftlib.metrics.grounding import iou_matrix

_MOST = 500  # training boxes of a name that are compared with each other


@dataclass(frozen=True)
class QuestionOnly:
    """What was learnt from training records.

    Args:
        places: The box that overlaps most others of its name by IoU above 0.5.
        regions: (N, 4) unit boxes and N answers, for ROC and for RC.
        texts: The most common answer to each question without a region in it or in its answer.
        kinds: The most common answer to each kind of such questions.
        box_format: How answers write boxes.
    """

    places: dict[str, Box]
    regions: dict[str, tuple[NDArray[np.float64], list[str]]]
    texts: dict[str, str]
    kinds: dict[str, str]
    box_format: BoxFormat

    @classmethod
    def fit(
        cls,
        records: Iterable[Record],
        box_format: BoxFormat = BoxFormat.QWEN_VL,
        negatives: bool = False,
    ) -> QuestionOnly:
        """Learn from training records.

        Args:
            records: The records.
            box_format: How their answers write boxes.
            negatives: Whether questions for what is not there are learnt too. Without them a question whether
                something is there has only ever been answered by yes.

        Raises:
            InputError: If there are none.
        """
        boxes: dict[str, list[Box]] = defaultdict(list)
        regions: dict[str, list[tuple[Box, str]]] = defaultdict(list)
        texts: dict[str, Counter[str]] = defaultdict(Counter)
        kinds: dict[str, Counter[str]] = defaultdict(Counter)
        for record in records:
            for turn in record.turns:
                if turn.task == NEGATIVE and not negatives:
                    continue
                if turn.task == "VG":
                    boxes[turn.name].extend(turn.boxes)
                elif turn.task in ("ROC", "RC"):
                    regions[turn.task].append((turn.boxes[0], turn.answer))
                else:
                    texts[turn.question][turn.answer] += 1
                    kinds[turn.kind][turn.answer] += 1
        if not (boxes or regions or kinds):
            raise InputError("no training record: there is nothing to learn answers from")
        return cls(
            {name: _central(found) for name, found in boxes.items()},
            {
                task: (np.array([b for b, _ in found]), [a for _, a in found])
                for task, found in regions.items()
            },
            {text: counts.most_common(1)[0][0] for text, counts in texts.items()},
            {kind: counts.most_common(1)[0][0] for kind, counts in kinds.items()},
            box_format,
        )

    def answer(self, turn: Turn, size: tuple[int, int]) -> str:
        """Return the answer to a question; empty where training holds nothing like it.

        Args:
            turn: The question; its answer and, for what is to be found, its boxes are not looked at.
            size: (height, width) of the image, for formats in pixels.
        """
        if turn.kind == "VG":
            place = self.places.get(turn.name)
            return "" if place is None else Writer(self.box_format).grounded(turn.name, [place], size)
        if turn.task in self.regions:
            known, answers = self.regions[turn.task]
            return answers[int(iou_matrix(np.array([turn.boxes[0]]), known)[0].argmax())]
        return self.texts.get(turn.question, self.kinds.get(turn.kind, ""))

    def predictions(self, records: Iterable[Record]) -> list[Prediction]:
        """Answer every question of records."""
        return [
            replace(one, response=self.answer(record.turns[number], record.shape))
            for record, number, one in asked(records)
        ]


def _central(boxes: list[Box]) -> Box:
    some = np.array(boxes[:_MOST])
    return tuple(some[int((iou_matrix(some, some) > 0.5).sum(axis=0).argmax())].tolist())
