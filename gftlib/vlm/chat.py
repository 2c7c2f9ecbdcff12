"""A conversation about one image, from the image alone (GFT, Fig. 1: the agent)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from gftlib.errors import InputError
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import plain_text, read_image


@dataclass
class Conversation:
    """Turns about one image; each answer is written with all earlier turns in view.

    Attributes:
        student: Who answers.
        image: The image, or its file.
        background: Text before the first question.
        longest: Most tokens of an answer.
        turns: Questions and answers so far.
    """

    student: Student
    image: Path | Image.Image
    background: str = ""
    longest: int = 128
    turns: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, question: str) -> str:
        """Ask the next question and return its answer.

        Raises:
            InputError: If the question is empty or holds a control token of the model.
            MissingError: If the image is not there.
        """
        if not question.strip():
            raise InputError("an empty question has no answer")
        question = plain_text(self.student, question.strip())
        processor = self.student.processor
        prompt = processor.apply_chat_template(
            self._messages(question), add_generation_prompt=True, tokenize=False
        )
        inputs = processor(
            images=[[read_image(self.image)]], text=[prompt], return_tensors="pt", add_special_tokens=False
        ).to(next(self.student.model.parameters()).device)
        with torch.inference_mode():
            ids = self.student.model.generate(**inputs, max_new_tokens=self.longest, do_sample=False)
        text = processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        self.turns.append((question, text.strip()))
        return self.turns[-1][1]

    def _messages(self, question: str) -> list[dict]:
        lead = f"{self.background}\n\n" if self.background else ""
        messages: list[dict] = []
        for number, (asked, told) in enumerate([*self.turns, (question, "")]):
            content = [{"type": "text", "text": asked if number else lead + asked}]
            if not number:
                content.insert(0, {"type": "image"})
            messages.append({"role": "user", "content": content})
            if told:
                messages.append({"role": "assistant", "content": [{"type": "text", "text": told}]})
        return messages
