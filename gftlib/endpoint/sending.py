"""How a request is sent until it has an answer: settings, pace, retries, questions asked again."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import re
import time
from collections.abc import Iterator
from typing import Any, Literal

import openai
import tenacity
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gftlib.endpoint.answers import correction, judge
from gftlib.endpoint.ledger import BudgetError, Ledger
from gftlib.endpoint.messages import Request
from gftlib.errors import GftError

log = logging.getLogger(__name__)


class EndpointError(GftError):
    """The endpoint refuses every request: a wrong key, model or address, or no credit."""


class Settings(BaseModel):
    """How an endpoint is used. Prices are US dollars per million tokens; the key is no setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    base_url: str | None = Field(None, description="address; None: OPENAI_BASE_URL, else OpenAI's own")
    temperature: float | None = None
    max_tokens: int = Field(1024, gt=0, description="longest answer")
    token_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    seed: int | None = None
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    extra: dict[str, Any] = Field(default_factory=dict, description="passed on in the body as it is")
    timeout_s: float = Field(120.0, gt=0)
    concurrency: int = Field(8, gt=0)
    requests_per_minute: float | None = Field(None, gt=0)
    max_attempts: int = Field(6, gt=0, description="sendings of one request before it has failed")
    max_reasks: int = Field(2, ge=0, description="further questions after an answer that does not fit")
    backoff_s: float = Field(1.0, ge=0)
    max_wait_s: float = Field(300.0, ge=0, description="longest wait that a server may ask for")
    usd_in: float = Field(0.0, ge=0)
    usd_out: float = Field(0.0, ge=0)
    batch_discount: float = Field(0.5, ge=0, le=1, description="share of the price taken off batch jobs")
    max_usd: float | None = Field(None, ge=0)
    image_tokens: int = Field(1445, ge=0, description="estimate for one image")
    allow_images: bool = Field(False, description="images may leave this machine")

    @model_validator(mode="after")
    def _priced(self) -> Settings:
        if self.max_usd is not None and not self.usd_in + self.usd_out:
            raise ValueError("max_usd needs the prices usd_in and usd_out, or nothing would ever count")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What goes into each request beside the messages, and into its key."""
        chosen = {"temperature": self.temperature, "seed": self.seed}
        limit = {"model": self.model, self.token_field: self.max_tokens}
        return limit | {name: value for name, value in chosen.items() if value is not None} | self.extra

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """Return the price of one answer."""
        return (input_tokens * self.usd_in + output_tokens * self.usd_out) / 1e6


def chat_body(settings: Settings, request: Request) -> dict[str, Any]:
    """Return the body of a chat completion request."""
    body = {"messages": request.body(), **settings.options}
    if request.schema is not None and settings.structured == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif request.schema is not None and settings.structured == "json_schema":
        schema = {"name": request.schema.__name__, "schema": request.schema.model_json_schema()}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def cost(settings: Settings, request: Request, completion: ChatCompletion) -> tuple[float, list[int]]:
    """Return US dollars and [input, output] tokens of an answer: as used, or else as estimated."""
    usage = completion.usage
    if usage is None:
        tokens = [request.tokens(settings.image_tokens), settings.max_tokens]
    else:
        tokens = [usage.prompt_tokens, usage.completion_tokens]
    return settings.usd(*tokens), tokens


class Pace:
    """At most so many sendings a minute, evenly spread; a server's demand to wait holds for all."""

    def __init__(self, per_minute: float | None) -> None:
        """Take the rate; None for no limit."""
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = self._resume = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        clock = asyncio.get_running_loop().time
        at = max(clock(), self._next)
        self._next = at + self._gap
        while (wait := max(at, self._resume) - clock()) > 0:
            await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let nobody have a turn for so long."""
        self._resume = max(self._resume, asyncio.get_running_loop().time() + seconds)


class Run:
    """One run over many requests: its pace, its failures, and the reason to stop, if there is one."""

    def __init__(self, settings: Settings, ledger: Ledger, client: openai.AsyncOpenAI) -> None:
        """Take the settings, an opened ledger and the client."""
        self.settings, self.ledger, self.client = settings, ledger, client
        self.pace = Pace(settings.requests_per_minute)
        self.failed: dict[str, str] = {}
        self.stop: GftError | None = None

    async def work(self, todo: Iterator[tuple[str, Request]]) -> None:
        """Take requests from the shared iterator until there are none, or until the run must stop."""
        for key, request in todo:
            try:
                await self.settle(key, request)
            except BudgetError as error:
                self.stop = self.stop or error
            except (openai.OpenAIError, TimeoutError, ValueError) as error:
                self._note(key, error)
            if self.stop is not None:
                return

    def _note(self, key: str, error: Exception) -> None:
        """Decide what an error that no retry has cured means for the request, and for the run."""
        # Only the redacted words are kept: the error itself holds the request and so the key.
        reason = self.ledger.redact(f"{type(error).__name__}: {error}")[:500]
        fatal = (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)
        if isinstance(error, fatal) or _is_out_of_credit(error):
            self.stop = self.stop or EndpointError(f"the endpoint refuses every request: {reason}")
        elif (
            isinstance(error, openai.APIStatusError)
            and 400 <= error.status_code < 500
            and not is_transient(error)
        ):
            self.ledger.write(
                event="answer", key=key, usd=0.0, tokens=[0, 0], status="rejected", text="", reason=reason
            )
        else:
            self.failed[key] = reason
        log.warning("request %s: %s", key[:12], reason)

    async def settle(self, key: str, request: Request) -> None:
        """Send a request until it has a final answer, and record it."""
        body = chat_body(self.settings, request)
        usd = self.settings.usd(request.tokens(self.settings.image_tokens), self.settings.max_tokens)
        again = retrying(self.settings)
        for ask in range(self.settings.max_reasks + 1):
            completion = await again(self._send, key, ask, body, usd)
            spent, tokens = cost(self.settings, request, completion)
            status, text, reason = judge(completion, request.schema)
            paid = {"key": key, "usd": spent, "tokens": tokens}
            if status != "invalid" or ask == self.settings.max_reasks:
                self.ledger.write(event="answer", status=status, text=text, reason=reason, **paid)
                return
            self.ledger.write(event="paid", **paid)
            body = body | {"messages": [*body["messages"], *correction(completion, reason)]}

    async def _send(self, key: str, ask: int, body: dict[str, Any], usd: float) -> ChatCompletion:
        await self.pace.turn()
        self.ledger.reserve(key, usd)
        # Servers that know the header answer a repeated sending from their own record, unpaid.
        header = {"Idempotency-Key": f"{key}-{ask}"}
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                completion = await self.client.chat.completions.create(**body, extra_headers=header)
        except openai.APIStatusError as error:
            self.ledger.write(event="unpaid", key=key)
            if (wait := asked_wait(error)) <= self.settings.max_wait_s:
                self.pace.pause(wait)
            raise
        if not isinstance(completion, ChatCompletion) or not completion.choices:
            raise ValueError("the body of the answer is no chat completion")
        return completion


def retrying(settings: Settings) -> tenacity.AsyncRetrying:
    """Return the retries of one call: growing random waits, or as long as the server asks, up to a limit."""
    spread = tenacity.wait_random_exponential(multiplier=settings.backoff_s, max=settings.max_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        return max(asked_wait(state.outcome.exception() if state.outcome else None), spread(state))

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(
            lambda error: is_transient(error) and asked_wait(error) <= settings.max_wait_s
        ),
        stop=tenacity.stop_after_attempt(settings.max_attempts),
        wait=wait,
        reraise=True,
    )


def _is_out_of_credit(error: BaseException) -> bool:
    return isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota"


def is_transient(error: BaseException) -> bool:
    """Return whether the same request may succeed later: rate limits, server faults, lost answers."""
    if isinstance(error, openai.APIStatusError):
        again = error.status_code in (408, 409, 429) or error.status_code >= 500
        return again and not _is_out_of_credit(error)
    # A body that is no JSON, or none of ours, is a broken answer of a server or proxy.
    return isinstance(error, (openai.APIConnectionError, openai.APIError, TimeoutError, ValueError))


def asked_wait(error: BaseException | None) -> float:
    """Return the seconds that a server asks to wait, by ``Retry-After`` as a number or a date; else 0."""
    if not isinstance(error, openai.APIStatusError):
        return 0.0
    asked = error.response.headers.get("retry-after", "")
    if re.fullmatch(r"\d+(\.\d+)?", asked):
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0
