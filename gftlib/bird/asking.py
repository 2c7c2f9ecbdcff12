"""Asking the students of chapter 9: test questions, LLaVA-Med's protocol, and what they knew before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.bird import llava_med, tasks
from gftlib.bird.arm_names import FOUND, RIGHT
from gftlib.bird.arms import Course
from gftlib.bird.pretraining import neutral
from gftlib.bird.records import Record
from gftlib.bird.score_tables import Numbers, summary
from gftlib.boxes import BoxFormat, parse_boxes
from gftlib.datasets.slices import hashed
from gftlib.metrics.grounding import find_targets
from gftlib.paths import read_json, write_json
from gftlib.sections import GroundingSettings
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example, read_image
from gftlib.vlm.inference import answer


def balanced(records: Sequence[Record], most: int, seed: int) -> tuple[Record, ...]:
    """Return at most ``most`` records, as many of each modality, in an order that the seed alone decides."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda one: hashed(seed, one.id)):
        groups.setdefault(record.modality, []).append(record)
    share = -(-most // max(1, len(groups)))
    chosen = [one for name in sorted(groups) for one in groups[name][:share]]
    return tuple(chosen[:most] if len(groups) > most else chosen)


def ask(
    student: Student, course: Course, names: Sequence[str], settings: GroundingSettings
) -> dict[str, str]:
    """Ask the test questions of some tasks; return the answers by the id of the question.

    Args:
        student: Who is asked.
        course: Whose test records are asked about.
        names: The tasks.
        settings: How answers are decoded.
    """
    ids: list[str] = []
    examples = []
    for record in course.test:
        turns = [(n, turn) for n, turn in enumerate(record.turns) if turn.task in names]
        if turns:
            ids += [f"{record.id}#{n}" for n, _ in turns]
            examples.append(Example(course.image(record), tuple(turn.question for _, turn in turns)))
    told = answer(student, examples, images=settings.decoded, longest=settings.longest)
    return dict(zip(ids, (text for texts in told for text in texts), strict=True))


def general(student: Student, course: Course, settings: GroundingSettings) -> dict[str, float]:
    """Ask neutral questions about test scans: what a student could say before it was tuned.

    Returns:
        The share of right answers in words, the recall of boxes at an IoU of 0.5, and the number of each.
    """
    images = [course.image(record) for record in course.test[:: max(1, len(course.test) // settings.general)]]
    examples = neutral(student, images[: settings.general])
    told = answer(student, examples, images=settings.decoded, longest=settings.longest)
    words: list[bool] = []
    hits: list[bool] = []
    for example, texts in zip(examples, told, strict=True):
        read = _reader(student, example)
        for wanted, text in zip(example.answers, texts, strict=True):
            if not len(targets := read(wanted)):
                words.append(text == wanted)
            else:
                hits += find_targets([read(text)], [targets], 0.5).found.tolist()
    return {
        RIGHT: float(np.mean(words)) if words else 0.0,
        FOUND: float(np.mean(hits)) if hits else 0.0,
        "questions": len(words),
        "boxes": len(hits),
    }


def _reader(student: Student, example: Example) -> Callable[[str], np.ndarray]:
    image = read_image(example.image)
    size = (image.height, image.width)
    return lambda text: parse_boxes(text, student.family.boxes, size, **student.pixels).boxes


def by_llava_med(
    student: Student, course: Course, settings: GroundingSettings, folder: Path, scoring: tasks.Scoring
) -> dict[str, Numbers]:
    """Ask a student that knows no box grammar, by LLaVA-Med's files (BiRD, Figure 1 and Table 1).

    Writes ``questions.jsonl`` and ``answers.jsonl`` to a folder, reads both back and scores what was read.

    Args:
        student: Who is asked.
        course: Whose test records are asked about.
        settings: How answers are decoded.
        folder: Receives the files.
        scoring: How the records' own answers are scored; boxes here are in pixels.
    """
    asked = list(llava_med.questions(course.test, scoring.box_format))
    llava_med.write_questions(folder / "questions.jsonl", asked)
    by_image: dict[str, list[llava_med.Question]] = {}
    for one in asked:
        by_image.setdefault(one.image, []).append(one)
    files = {record.image: course.image(record) for record in course.test}
    examples = [Example(files[name], tuple(one.text for one in group)) for name, group in by_image.items()]
    told = answer(student, examples, images=settings.decoded, longest=settings.longest)
    ids = [one.question_id for group in by_image.values() for one in group]
    texts = dict(zip(ids, (text for answers in told for text in answers), strict=True))
    llava_med.write_answers(folder / "answers.jsonl", texts, student.name)
    read = llava_med.predictions(
        llava_med.read_questions(folder / "questions.jsonl"),
        llava_med.read_answers(folder / "answers.jsonl"),
    )
    sizes = {record.image: record.shape for record in course.test}
    return summary(tasks.evaluate(read, replace(scoring, box_format=BoxFormat.PIXEL_XYXY, sizes=sizes)))


def kept(file: Path, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """Return what ``make`` gives, or what an earlier call with the same key left in a file."""
    wanted = json.loads(json.dumps(dict(key)))
    if file.is_file() and (found := read_json(file))["key"] == wanted:
        return found["made"]
    made = make()
    write_json(file, {"key": wanted, "made": made})
    return made
