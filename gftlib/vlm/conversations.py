"""From an image and its questions to tensors: one prefix an image, one branch a pair.

Every conversation about an image begins alike: the image, and the background knowledge. That is the prefix.
A branch is one question with its answer. Both are cut out of the text that the model's own chat template
renders, so a student is taught in the very words in which it is asked later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gftlib.errors import InputError, MissingError
from gftlib.vlm.backbones import Student

IGNORED = -100
"""Label of a token that is not learnt."""
QUESTION, ANSWER = "QUESTION-GOES-HERE", "ANSWER-GOES-HERE"


@dataclass(frozen=True)
class Example:
    """What is asked, or taught, about one image.

    Attributes:
        image: The image, or its file.
        questions: Questions.
        answers: The answer of each; empty where they are to be found.
        background: Text that precedes every question.
    """

    image: Path | Image.Image
    questions: tuple[str, ...]
    answers: tuple[str, ...] = ()
    background: str = ""


@dataclass(frozen=True)
class Batch:
    """Prefixes of images and the branches that follow them.

    Attributes:
        prefix: Inputs of the model for the prefixes, as its processor makes them; padded on the right.
        ids: Tokens of the branches, (b, n), padded on the right.
        mask: Whether a token of the branches is there, (b, n).
        labels: ``ids`` where a token is learnt, else -100, (b, n).
        owner: Position of the prefix of each branch, (b,).
    """

    prefix: dict[str, Tensor]
    ids: Tensor
    mask: Tensor
    labels: Tensor
    owner: Tensor = field(repr=False)

    def rows(self, rows: Sequence[int]) -> Batch:
        """Return some of the branches, without the padding that only others need."""
        chosen = torch.as_tensor(rows, device=self.owner.device)
        width = int(self.mask[chosen].sum(1).max())
        ids, mask, labels = (t[chosen, :width] for t in (self.ids, self.mask, self.labels))
        return Batch(self.prefix, ids, mask, labels, self.owner[chosen])

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""
        prefix = {name: value.to(device) for name, value in self.prefix.items()}
        return Batch(prefix, *(t.to(device) for t in (self.ids, self.mask, self.labels, self.owner)))


def encode(student: Student, examples: Sequence[Example]) -> Batch:
    """Turn examples into tensors.

    Args:
        student: Whose processor and template are used.
        examples: Of which each has at least one question.

    Raises:
        InputError: If there is no question, answers are missing or an image cannot be read.
        MissingError: If an image file is not there.
    """
    tokenizer = student.processor.tokenizer
    starts, branches, owner = [], [], []
    for position, example in enumerate(examples):
        answers = example.answers or ("",) * len(example.questions)
        if not example.questions or len(answers) != len(example.questions):
            raise InputError(f"{example.image}: {len(example.questions)} questions, {len(answers)} answers")
        start, middle, end = _frame(student, example.background)
        starts.append(start)
        for question, answer in zip(example.questions, answers, strict=True):
            asked = tokenizer.encode(question + middle, add_special_tokens=False)
            told = tokenizer.encode(answer + end, add_special_tokens=False) if example.answers else []
            branches.append((asked, told))
            owner.append(position)
    images = [[read_image(example.image)] for example in examples]
    prefix = student.processor(
        images=images, text=starts, return_tensors="pt", padding=True, padding_side="right",
        add_special_tokens=False,
    )  # fmt: skip
    width = max(len(asked) + len(told) for asked, told in branches)
    ids = torch.full((len(branches), width), tokenizer.pad_token_id)
    labels = torch.full_like(ids, IGNORED)
    mask = torch.zeros_like(ids)
    for row, (asked, told) in enumerate(branches):
        stop = len(asked) + len(told)
        ids[row, :stop] = torch.tensor(asked + told)
        labels[row, len(asked) : stop] = ids[row, len(asked) : stop]
        mask[row, :stop] = 1
    return Batch(dict(prefix), ids, mask, labels, torch.tensor(owner))


def read_image(path: Path | Image.Image) -> Image.Image:
    """Read an image as RGB.

    Raises:
        InputError: If it cannot be read.
        MissingError: If it is not there.
    """
    if isinstance(path, Image.Image):
        return path.convert("RGB")
    if not path.is_file():
        raise MissingError(f"no image {path}")
    try:
        return Image.open(path).convert("RGB")
    except OSError as error:
        raise InputError(f"{path} is no readable image: {error}") from None


def plain_text(student: Student, text: str) -> str:
    """Return a text that a user wrote, if it holds no token by which the model marks turns or images.

    Raises:
        InputError: If it holds one.
    """
    known = [*student.processor.tokenizer.all_special_tokens, student.processor.image_token]
    if found := [token for token in known if token in text]:
        raise InputError(f"a question must not hold the control token {found[0]!r}")
    return text


def _frame(student: Student, background: str) -> tuple[str, str, str]:
    """Return what stands before a question, between it and its answer, and after the answer."""
    lead = f"{background}\n\n" if background else ""
    content: list[dict[str, Any]] = [{"type": "image"}, {"type": "text", "text": lead + QUESTION}]
    turns = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]},
    ]
    text = student.processor.apply_chat_template(turns, tokenize=False)
    start, _, rest = text.partition(QUESTION)
    middle, _, end = rest.partition(ANSWER)
    # Some templates end a turn with a new line, which the model never has to write.
    return start, middle, end.rstrip("\n")
