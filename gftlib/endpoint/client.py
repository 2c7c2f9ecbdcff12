"""One client for any OpenAI-compatible endpoint: teacher, judge, hosted models and captions speak through it.

`Endpoint.ask` sends many requests at once under a rate limit, retries what can be retried, asks again where
an answer does not fit its schema, and records every answer under the hash of its question: a run that is
killed continues where it stopped, and nothing is asked, or paid for, twice. The key is read from
``OPENAI_API_KEY`` once something is to be sent, the address from ``OPENAI_BASE_URL``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import openai
from pydantic import BaseModel

from gftlib.endpoint.answers import Status, unfenced
from gftlib.endpoint.ledger import Ledger
from gftlib.endpoint.messages import Request
from gftlib.endpoint.sending import EndpointError, Run, Settings
from gftlib.errors import InputError, MissingError

__all__ = ["Endpoint", "EndpointError", "Estimate", "Outcome", "Settings", "in_a_loop"]

T = TypeVar("T")
KEY = "OPENAI_API_KEY"


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Attributes:
        key: The content hash of the request.
        status: ``"ok"``; ``"refused"`` by the model; ``"cut_off"`` at ``max_tokens``; ``"invalid"``: no
            answer fitted the schema; ``"rejected"`` by the server as a bad request; ``"failed"`` after all
            retries, which is the only one that another run asks again.
        text: The answer, or the words of the refusal.
        parsed: The answer as the request's schema, if it has one and the status is ``"ok"``.
        reason: Why, where the status is not ``"ok"``.
    """

    key: str
    status: Status
    text: str = ""
    parsed: BaseModel | None = None
    reason: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a run would ask and, at most, cost (every answer as long as allowed, nothing asked again)."""

    requests: int
    answered: int
    to_ask: int
    images: int
    input_tokens: int
    output_tokens: int
    usd: float


class Endpoint:
    """An endpoint with its settings and its record."""

    def __init__(self, settings: Settings, record: Path | str) -> None:
        """Take the settings and the path of the JSON lines record; nothing is opened or sent yet."""
        self.settings = settings
        self.record = Path(record)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """Return the content hash of each request, and check that they may be sent.

        Raises:
            InputError: If a request has images and ``allow_images`` is not set.
        """
        if not self.settings.allow_images and any(request.image_count for request in requests):
            raise InputError(
                "a request has images, and images leave this machine only with allow_images=True: set it if "
                "the data may be sent to this endpoint"
            )
        return [request.key(self.settings.options) for request in requests]

    def dry_run(self, requests: Sequence[Request], batch: bool = False) -> Estimate:
        """Return what `ask` (or a batch job) would ask and cost at most; nothing is sent or written."""
        keyed = dict(zip(self.keys(requests), requests, strict=True))
        answers = Ledger(self.record).answers
        todo = [request for key, request in keyed.items() if key not in answers]
        tokens = sum(request.tokens(self.settings.image_tokens) for request in todo)
        longest = self.settings.max_tokens * len(todo)
        usd = self.settings.usd(tokens, longest) * (1 - self.settings.batch_discount * batch)
        images = sum(request.image_count for request in todo)
        return Estimate(len(keyed), len(keyed) - len(todo), len(todo), images, tokens, longest, usd)

    def ask(self, requests: Sequence[Request]) -> list[Outcome]:
        """Send all requests without an answer; return the outcomes of all, in order. Errors as `run`."""
        return in_a_loop(lambda: self.run(requests))

    async def run(self, requests: Sequence[Request]) -> list[Outcome]:
        """Do what `ask` does, inside a running event loop.

        Raises:
            InputError: As `keys`; or if the record is damaged or in use.
            MissingError: If something is to be asked and ``OPENAI_API_KEY`` is not set.
            BudgetError: If ``max_usd`` is reached; what was in flight is finished and recorded first.
            EndpointError: If the endpoint refuses every request.
        """
        keys = self.keys(requests)
        keyed = dict(zip(keys, requests, strict=True))
        with self.ledger() as ledger:
            todo = {key: request for key, request in keyed.items() if key not in ledger.answers}
            failed = await self._send(todo, ledger) if todo else {}
        found = ledger.answers
        return [
            _outcome(key, request, found[key]) if key in found else Outcome(key, "failed", reason=failed[key])
            for key, request in zip(keys, requests, strict=True)
        ]

    async def _send(self, todo: Mapping[str, Request], ledger: Ledger) -> dict[str, str]:
        """Send requests by key; return why those have failed that have no answer now."""
        async with self.client() as client:
            run, waiting = Run(self.settings, ledger, client), iter(todo.items())
            await asyncio.gather(*(run.work(waiting) for _ in range(self.settings.concurrency)))
        if run.stop is not None:
            raise run.stop
        return run.failed

    def ledger(self) -> Ledger:
        """Return the record as a ledger that knows the budget and, if there is one, the key to keep out."""
        return Ledger(self.record, self.settings.max_usd, [os.environ.get(KEY, "")])

    def client(self) -> openai.AsyncOpenAI:
        """Return the library's client, its own retries switched off.

        Raises:
            MissingError: If ``OPENAI_API_KEY`` is not set.
        """
        return openai.AsyncOpenAI(
            api_key=_api_key(),
            base_url=self.settings.base_url,
            max_retries=0,
            timeout=self.settings.timeout_s,
        )


def in_a_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, also where this thread already runs a loop, as in a notebook."""
    running = False
    with contextlib.suppress(RuntimeError):
        running = asyncio.get_running_loop() is not None
    if not running:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


def _api_key() -> str:
    key = os.environ.get(KEY, "")
    if not key:
        raise MissingError(f"{KEY} is not set (a local server without keys takes any word, such as none)")
    return key


def _outcome(key: str, request: Request, answer: dict[str, Any]) -> Outcome:
    parsed = None
    if request.schema is not None and answer["status"] == "ok":
        parsed = request.schema.model_validate_json(unfenced(answer["text"]))
    return Outcome(key, answer["status"], answer["text"], parsed, answer["reason"])
