"""Asking the students of chapter 9: test questions, LLaVA-Med's protocol, and what they knew before.

What a student said is kept and not asked for again, as long as the questions, its weights and the decoding
stay the same; how it is read and scored may change in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.bird import llava_med, tasks
from gftlib.bird.arm_names import FOUND, RIGHT
from gftlib.bird.arms import Course
from gftlib.bird.predictions import asked, boxes_told
from gftlib.bird.pretraining import neutral
from gftlib.bird.questions import Writer
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
from gftlib.vlm.tuning_state import weights_digest


def balanced(records: Sequence[Record], most: int, seed: int) -> tuple[Record, ...]:
    """Return at most ``most`` records, as many of each modality, in an order that the seed alone decides."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda one: hashed(seed, one.id)):
        groups.setdefault(record.modality, []).append(record)
    share = -(-most // max(1, len(groups)))
    turns = [(rank, name) for name in sorted(groups) for rank in range(min(share, len(groups[name])))]
    chosen = sorted(sorted(turns)[:most], key=lambda turn: turn[1])
    return tuple(groups[name][rank] for rank, name in chosen)


def ask(
    student: Student, course: Course, names: Sequence[str], settings: GroundingSettings, folder: Path
) -> dict[str, str]:
    """Ask the test questions of some tasks; return the answers by the id of the question.

    Args:
        student: Who is asked.
        course: Whose test records are asked about.
        names: The tasks.
        settings: How answers are decoded.
        folder: Where the answers are kept.
    """
    ids: list[str] = []
    examples = []
    for record in course.test:
        turns = [(n, turn) for n, turn in enumerate(record.turns) if turn.task in names]
        if turns:
            ids += [f"{record.id}#{n}" for n, _ in turns]
            examples.append(Example(course.image(record), tuple(turn.question for _, turn in turns)))
    told = _told(student, examples, settings, folder / "answers.json")
    return dict(zip(ids, (text for texts in told for text in texts), strict=True))


def as_records_write(
    student: Student, course: Course, answers: Mapping[str, str], box_format: BoxFormat
) -> dict[str, str]:
    """Return the answers of a student as it came, its boxes written as the records write theirs.

    Nobody has taught it their grammar: asked where something is, it answers in its own, such as pixels of the
    resized image. Its boxes are read so and written anew behind the name that was asked for. Nothing else of
    such an answer is kept; answers without a box, and all other answers, stay as they are.

    Args:
        student: Who was asked.
        course: Whose test records it was asked about.
        answers: By the id of the question.
        box_format: The grammar of the records.
    """
    writer, found = Writer(box_format), dict(answers)
    for record, number, one in asked(course.test):
        turn = record.turns[number]
        if turn.kind == "VG" and one.id in answers:
            boxes = boxes_told(answers[one.id], student.family.boxes, record.shape, **student.pixels)
            if len(boxes):
                found[one.id] = writer.grounded(turn.name, boxes.tolist(), record.shape)
    return found


def general(student: Student, course: Course, settings: GroundingSettings, folder: Path) -> dict[str, float]:
    """Ask neutral questions about test scans: what a student could say before it was tuned.

    Args:
        student: Who is asked.
        course: Whose test images it is asked about.
        settings: How many images, and how answers are decoded.
        folder: Where the answers are kept.

    Returns:
        The share of right answers in words, the recall of boxes at an IoU of 0.5, and the number of each.
    """
    images = [course.image(record) for record in course.test[:: max(1, len(course.test) // settings.general)]]
    examples = neutral(student, images[: settings.general])
    told = _told(student, examples, settings, folder / "general.json")
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

    Writes ``questions.jsonl`` and ``answers.jsonl`` to a folder, reads both back and scores what was read, by
    the same slots as the students that answer in the records' grammar.

    Args:
        student: Who is asked.
        course: Whose test records are asked about.
        settings: How answers are decoded.
        folder: Receives the files, and what is kept.
        scoring: How the records' own answers are scored; boxes here are in pixels.
    """
    plain = list(llava_med.questions(course.test, scoring.box_format))
    llava_med.write_questions(folder / "questions.jsonl", plain)
    by_image: dict[str, list[llava_med.Question]] = {}
    for one in plain:
        by_image.setdefault(one.image, []).append(one)
    files = {record.image: course.image(record) for record in course.test}
    examples = [Example(files[name], tuple(one.text for one in group)) for name, group in by_image.items()]
    told = _told(student, examples, settings, folder / "answers.json")
    ids = [one.question_id for group in by_image.values() for one in group]
    texts = dict(zip(ids, (text for answers in told for text in answers), strict=True))
    llava_med.write_answers(folder / "answers.jsonl", texts, student.name)
    read = llava_med.predictions(
        llava_med.read_questions(folder / "questions.jsonl"),
        llava_med.read_answers(folder / "answers.jsonl"),
    )
    sizes = {record.image: record.shape for record in course.test}
    names = tasks.class_names([one for _, _, one in asked(course.test)])
    scoring = replace(scoring, box_format=BoxFormat.PIXEL_XYXY, sizes=sizes, names=names)
    return summary(tasks.evaluate(read, scoring))


def _told(
    student: Student, examples: Sequence[Example], settings: GroundingSettings, file: Path
) -> Sequence[Sequence[str]]:
    questions = hashlib.sha256()
    for one in examples:
        image = one.image
        shown = image.name if isinstance(image, Path) else hashlib.sha256(image.tobytes()).hexdigest()
        questions.update(json.dumps([shown, one.questions, one.background]).encode())
    key = {
        "questions": questions.hexdigest(),
        "weights": weights_digest(student.model),
        "precision": str(next(student.model.parameters()).dtype),
        "images": settings.decoded,
        "longest": settings.longest,
    }
    return kept(
        file, key, lambda: answer(student, examples, images=settings.decoded, longest=settings.longest)
    )


def kept(file: Path, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """Return what ``make`` gives, or what an earlier call with the same key left in a file."""
    wanted = json.loads(json.dumps(dict(key)))
    if file.is_file() and (found := read_json(file))["key"] == wanted:
        return found["made"]
    made = make()
    write_json(file, {"key": wanted, "made": made})
    return made
