"""What a model answered to the questions of a test set.

One JSON line ``{id, image, question, annotation, response}`` an answer, as BiRD's scripts write them, with
the task beside it where one file holds several tasks.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gftlib.bird.layouts import CODES
from gftlib.bird.questions import NEGATIVE, TASKS
from gftlib.bird.records import Record
from gftlib.boxes import BoxFormat, Size, parse_boxes
from gftlib.datasets.sa_med2d_names import parse_image
from gftlib.errors import InputError, MissingError, did_you_mean
from gftlib.paths import atomic_path

ALL_TASKS = (*TASKS, NEGATIVE)
UNKNOWN = "unknown"
_FIELDS = ("id", "image", "question", "annotation", "response")
_TASK_OF = {code: task for task, code in CODES.items()} | {task: task for task in ALL_TASKS}
_MARKS = re.compile(r"<\|(?:im_end|im_start|endoftext)\|>")


@dataclass(frozen=True)
class Prediction:
    """One answer.

    Args:
        id: Of the question, or of its image.
        image: Path or name of the image; its stem tells the modality.
        question: What was asked.
        annotation: The reference answer.
        response: What the model wrote.
        task: One of `ALL_TASKS`.
    """

    id: str
    image: str
    question: str
    annotation: str
    response: str
    task: str

    @property
    def modality(self) -> str:
        """As in `gftlib.datasets.sa_med2d_names.MODALITIES`; `UNKNOWN` for names of another grammar."""
        return modality_of_image(self.image)

    @property
    def case(self) -> str:
        """The patient, as records are split; the image itself for names of another grammar."""
        return case_of_image(self.image)


@lru_cache(maxsize=4096)
def modality_of_image(image: str) -> str:
    """Return the modality that the name of an image tells, `UNKNOWN` if it tells none."""
    try:
        return parse_image(Path(image).stem).modality
    except InputError:
        return UNKNOWN


@lru_cache(maxsize=4096)
def case_of_image(image: str) -> str:
    """Return the case that the name of an image tells, the image itself if it tells none."""
    try:
        return parse_image(Path(image).stem).case_key
    except InputError:
        return image


def boxes_told(response: str, box_format: BoxFormat, size: Size = None, **resize: int) -> NDArray[np.float64]:
    """Return the (N, 4) unit boxes of a whole answer without its chat marks, of all its lines.

    A list of boxes may well be written one a line, or fenced; `cleaned` would keep no box of it.

    Args:
        response: What the model wrote.
        box_format: How it writes boxes.
        size: (height, width) of the image, for formats in pixels.
        **resize: As in `gftlib.boxes.parse_boxes`.
    """
    return parse_boxes(_MARKS.sub("\n", response), box_format, size, **resize).boxes


def cleaned(response: str) -> str:
    """Return an answer without chat marks, and of several lines the first that says something.

    The published script keeps what stands between the first two line breaks; that loses answers which begin
    at once.
    """
    lines = [line.strip() for line in _MARKS.sub("\n", response).splitlines()]
    return next((line for line in lines if line), "")


def asked(records: Iterable[Record]) -> Iterator[tuple[Record, int, Prediction]]:
    """Yield every question of records as an unanswered prediction, with its record and place in it."""
    for record in records:
        for number, turn in enumerate(record.turns):
            yield (
                record,
                number,
                Prediction(f"{record.id}#{number}", record.image, turn.question, turn.answer, "", turn.task),
            )


def write(path: Path | str, predictions: Iterable[Prediction]) -> int:
    """Write one JSON line a prediction, atomically; return their number."""
    count = 0
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for count, prediction in enumerate(predictions, 1):  # noqa: B007
            stream.write(json.dumps(asdict(prediction), ensure_ascii=False) + "\n")
    return count


def read(path: Path | str, task: str | None = None) -> list[Prediction]:
    """Read and check a file of predictions.

    Args:
        path: The file; a task code in its name (``VG``, ``RO``, ``GC``, ``MII``) tells the task.
        task: The task of lines that name none, where the file's name tells it not.

    Raises:
        MissingError: If there is no such file.
        InputError: If it is empty, a line is not a prediction, a task is unknown, or an id occurs twice in a
            task.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    fallback = task or _task_in_name(path.stem)
    with open(path, encoding="utf-8") as stream:
        found = [
            _prediction(line, f"{path}, line {number}", fallback)
            for number, line in enumerate(stream, 1)
            if line.strip()
        ]
    if not found:
        raise InputError(f"{path} holds no predictions")
    (often, times), *_ = Counter((p.task, p.id) for p in found).most_common(1)
    if times > 1:
        raise InputError(f"{path}: {times} predictions of {often[0]} share the id {often[1]!r}")
    return found


def _task_in_name(stem: str) -> str | None:
    codes = {_TASK_OF[part] for part in re.split(r"[^A-Za-z]+", stem) if part in _TASK_OF}
    return codes.pop() if len(codes) == 1 else None


def _prediction(line: str, where: str, fallback: str | None) -> Prediction:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error}") from error
    if not isinstance(fields, dict) or (missing := [name for name in _FIELDS if name not in fields]):
        lacks = f"it lacks {', '.join(missing)}" if isinstance(fields, dict) else "it is no object"
        raise InputError(f"{where} is not a prediction {{{', '.join(_FIELDS)}}}: {lacks}")
    if wrong := [n for n in _FIELDS if not isinstance(fields[n], str) and not (n == "id" and _whole(fields))]:
        raise InputError(f"{where}: {wrong[0]} must be text, not {type(fields[wrong[0]]).__name__}")
    return Prediction(
        **{name: str(fields[name]) for name in _FIELDS}, task=_known_task(fields, where, fallback)
    )


def _whole(fields: Mapping[str, object]) -> bool:
    return isinstance(fields["id"], int) and not isinstance(fields["id"], bool)


def _known_task(fields: Mapping[str, object], where: str, fallback: str | None) -> str:
    task = fields.get("task", fallback)
    if task is None:
        raise InputError(
            f"{where} names no task: give one of {', '.join(ALL_TASKS)} to `read`, or a field 'task'"
        )
    if task not in _TASK_OF:
        raise InputError(f"{where}: unknown task {task!r}{did_you_mean(str(task), _TASK_OF)}")
    return _TASK_OF[str(task)]
