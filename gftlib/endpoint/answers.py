"""What a model's answer is worth: fit for its schema, refused, cut off, or to be asked again."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from openai.types.chat import ChatCompletion
from pydantic import BaseModel, ValidationError

Status = Literal["ok", "refused", "cut_off", "invalid", "rejected", "failed"]


class Verdict(NamedTuple):
    """What an answer is: its status, its text, and why where it is not ``"ok"``."""

    status: Status
    text: str
    reason: str


def judge(completion: ChatCompletion, schema: type[BaseModel] | None) -> Verdict:
    """Return what an answer is worth; the text of one that does not fit its schema is not kept."""
    choice = completion.choices[0]
    text = choice.message.content or ""
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Verdict("refused", choice.message.refusal or text, "the model or its filter refused")
    if choice.finish_reason == "length":
        return Verdict("cut_off", text, "the answer is longer than max_tokens")
    if schema is None:
        return Verdict("ok", text, "") if text else Verdict("invalid", "", "the answer is empty")
    try:
        schema.model_validate_json(unfenced(text))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        return Verdict("invalid", "", "; ".join(f"{_place(d['loc'])}{d['msg']}" for d in details[:5]))
    return Verdict("ok", text, "")


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) + ": " if location else ""


def unfenced(text: str) -> str:
    """Return JSON without the code fence that some models put around it."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    return fenced[1] if fenced else text


def correction(completion: ChatCompletion, reason: str) -> list[dict[str, Any]]:
    """Return the two turns that ask again: the answer as it was, and what is wrong with it."""
    text = completion.choices[0].message.content or ""
    words = f"This does not fit what was asked for ({reason}). Answer again, with the corrected JSON alone."
    return [{"role": "assistant", "content": text}, {"role": "user", "content": words}]
