"""LLaVA-Med's question-and-answer files, so that any model without grounding can be the baseline.

A line of a question file is ``{question_id, image, text, gpt4_answer, domain, type, ...}``, with ``<image>``
after the question; of an answer file ``{question_id, text, ...}``. BiRD (Figure 1) appends a sentence on size
and origin to each question that LLaVA-Med is asked of Med-GRIT, so that it may answer in pixels; boxes in
questions and reference answers are put in pixels too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gftlib.bird.predictions import Prediction
from gftlib.bird.questions import Turn
from gftlib.bird.records import Record
from gftlib.boxes import BoxFormat, format_box, format_boxes
from gftlib.errors import InputError, MissingError
from gftlib.paths import atomic_path

IMAGE = "<image>"
# LLaVA-Med's own five domains; the modalities that have one.
DOMAINS = MappingProxyType({"x_ray": "chest_xray", "mr": "mri", "ct": "ct_scan"})
ALL_DOMAINS = ("chest_xray", "mri", "ct_scan", "histology", "gross")
_SENTENCE = (
    "The image size is [{width}, {height}], and the origin of the coordinate system is located in the upper "
    "left corner of the image."
)


@dataclass(frozen=True)
class Question:
    """One line of a question file.

    Args:
        question_id: A number, or a text.
        image: Name of the image file.
        text: The question without the image's mark.
        answer: The reference answer (there GPT-4's).
        type: ``conversation`` or ``detailed_description`` there; a task of Med-GRIT in ours.
        extra: Whatever else the line holds, kept as it is.
    """

    question_id: int | str
    image: str
    text: str
    answer: str
    type: str = "conversation"
    extra: Mapping[str, Any] = field(default_factory=dict)


def size_sentence(size: tuple[int, int]) -> str:
    """Return the sentence that tells a model without grounding how coordinates are meant.

    Args:
        size: (height, width), pixels.
    """
    return _SENTENCE.format(width=size[1], height=size[0])


def questions(
    records: Iterable[Record], box_format: BoxFormat = BoxFormat.QWEN_VL, sentence: bool = True
) -> Iterator[Question]:
    """Yield every turn of records as a question for a model that knows no box grammar.

    Args:
        records: The records.
        box_format: The format that they are written in.
        sentence: Whether the sentence on size and origin is appended.
    """
    for record in records:
        domain = {name: name == DOMAINS.get(record.modality) for name in ALL_DOMAINS}
        for number, turn in enumerate(record.turns):
            text = _plain(turn.question, turn, record, box_format)
            text = f"{text} {size_sentence(record.shape)}" if sentence else text
            answer = _plain(turn.answer, turn, record, box_format)
            extra = {"domain": domain, "pair_id": record.id}
            yield Question(f"{record.id}#{number}", record.image, text, answer, turn.task, extra)


def _plain(text: str, turn: Turn, record: Record, box_format: BoxFormat) -> str:
    """Return a text of a record with its boxes in pixels and without marks round names."""
    size, pixel = record.shape, BoxFormat.PIXEL_XYXY
    if turn.task == "VG" and text == turn.answer:
        return format_boxes(turn.boxes, pixel, [turn.name] * len(turn.boxes), size)
    for box in turn.boxes:
        text = text.replace(
            format_box(box, box_format, None, size),
            format_box(box, pixel, None, size),
        )
    for mark in ("<ref>", "</ref>", "<|object_ref_start|>", "<|object_ref_end|>"):
        text = text.replace(mark, "")
    return text


def write_questions(path: Path | str, asked: Iterable[Question]) -> int:
    """Write a question file, atomically; return the number of lines."""
    count = 0
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for one in asked:
            line = dict(one.extra) | {
                "question_id": one.question_id,
                "image": one.image,
                "text": f"{one.text}\n{IMAGE}",
                "gpt4_answer": one.answer,
                "type": one.type,
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_questions(path: Path | str) -> list[Question]:
    """Read a question file, such as ``llava_med_eval_qa50_qa.jsonl`` (BiRD's LLaVa-Med-qa0.2k).

    Raises:
        MissingError: If there is no such file.
        InputError: If a line lacks a field or two lines share an id.
    """
    found = []
    for line, where in _lines(path):
        number, image, text, answer = _fields(line, ("question_id", "image", "text", "gpt4_answer"), where)
        named = {"question_id", "image", "text", "gpt4_answer", "type"}
        extra = {key: value for key, value in line.items() if key not in named}
        plain = str(text).replace(IMAGE, "").strip()
        kind = str(line.get("type", "conversation"))
        found.append(Question(number, str(image), plain, str(answer), kind, extra))
    _unique([one.question_id for one in found], path)
    return found


def write_answers(path: Path | str, answers: Mapping[int | str, str], model: str) -> int:
    """Write an answer file as LLaVA-Med's scripts do, atomically; return the number of lines.

    Args:
        path: Where to.
        answers: Text by question id.
        model: The name of the model.
    """
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for number, text in answers.items():
            line = {"question_id": number, "text": text, "model_id": model, "metadata": {}}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    return len(answers)


def read_answers(path: Path | str) -> dict[int | str, str]:
    """Read an answer file: text by question id.

    Raises:
        MissingError: If there is no such file.
        InputError: If a line lacks a field or two lines share an id.
    """
    found = [(_fields(line, ("question_id", "text"), where)) for line, where in _lines(path)]
    _unique([number for number, _ in found], path)
    return {number: str(text) for number, text in found}


def predictions(
    asked: Sequence[Question], answers: Mapping[int | str, str], task: str | None = None
) -> list[Prediction]:
    """Join questions and answers to what `gftlib.bird.tasks.evaluate` scores.

    Boxes in them are in pixels (`BoxFormat.PIXEL_XYXY`).

    Args:
        asked: The questions.
        answers: By question id.
        task: The task of all of them; None: each question's type is its task. LLaVA-Med's own are MIA.

    Raises:
        InputError: If a question has no answer.
    """
    if missing := [one.question_id for one in asked if one.question_id not in answers]:
        raise InputError(f"{len(missing)} of {len(asked)} questions have no answer, first: {missing[0]!r}")
    return [
        Prediction(
            str(one.question_id), one.image, one.text, one.answer, answers[one.question_id], task or one.type
        )
        for one in asked
    ]


def _lines(path: Path | str) -> Iterator[tuple[dict[str, Any], str]]:
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    with open(path, encoding="utf-8") as stream:
        for number, text in enumerate(stream, 1):
            where = f"{path}, line {number}"
            if not text.strip():
                continue
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise InputError(f"{where} is not JSON: {error}") from error
            if not isinstance(line, dict):
                raise InputError(f"{where} is no JSON object")
            yield line, where


def _fields(line: Mapping[str, Any], names: Sequence[str], where: str) -> list[Any]:
    if missing := [name for name in names if name not in line]:
        raise InputError(f"{where} lacks {', '.join(missing)}: it is no line of LLaVA-Med's files")
    return [line[name] for name in names]


def _unique(ids: Sequence[int | str], path: Path | str) -> None:
    if len(set(ids)) < len(ids):
        twice = next(one for i, one in enumerate(ids) if one in ids[:i])
        raise InputError(f"{path}: the question_id {twice!r} occurs twice")
