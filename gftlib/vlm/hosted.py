"""Tuning of a hosted model through OpenAI's interface (GFT, section 2.5).

Upload, job and waiting can be interrupted at any moment: the next run finds the file by its name on the
server, which holds its digest, and the job by its metadata, so nothing is uploaded or started twice. The
paper tunes with the services' default settings. `gftlib.agent_hosted` asks the result.

Tested against a local server that speaks this interface, not against a paid one. OpenAI has announced that
its tuning service is winding down; models that were tuned remain in use for now. Qwen-VL-max is reached as
chat through its own service's OpenAI-compatible address (`dialect`). That service's tuning has another
interface and is not supported here: a file written by `gftlib.vlm.hosted_files` was never tried with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import openai
from openai.types.fine_tuning import FineTuningJob
from pydantic import BaseModel, ConfigDict, Field

from gftlib.endpoint.client import Endpoint, in_a_loop
from gftlib.endpoint.ledger import BudgetError, Ledger
from gftlib.endpoint.sending import EndpointError, Settings, retrying
from gftlib.errors import InputError, MissingError
from gftlib.paths import read_json, sha256, write_json
from gftlib.vlm.hosted_files import TuningFile, inspect

log = logging.getLogger(__name__)

T = TypeVar("T")
GIVEN_UP = ("failed", "cancelled")
STATE = "job.json"


class HostedTuning(BaseModel):
    """How a hosted model is tuned; ``auto`` leaves a number to the service, as the paper does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suffix: str = Field("gft", max_length=64, description="part of the tuned model's name")
    epochs: int | Literal["auto"] = "auto"
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    seed: int | None = None
    poll_s: float = Field(60.0, ge=0, description="seconds between two looks at the job")
    patience_s: float = Field(86_400.0, ge=0, description="longest wait of one run; the job goes on without")
    usd_per_million: float = Field(0.0, ge=0, description="price of a million training tokens")
    max_usd: float | None = Field(None, ge=0)

    def usd(self, file: TuningFile) -> float:
        """Return what tuning on a file costs, by the estimate of its tokens.

        Raises:
            InputError: If the number of epochs, or the price, is not known.
        """
        if self.epochs == "auto" or not self.usd_per_million:
            raise InputError(
                "a price needs a number of epochs and usd_per_million, or nothing can be counted"
            )
        return file.tokens * self.epochs * self.usd_per_million / 1e6

    def tune(
        self, endpoint: Endpoint, file: Path | str, folder: Path | str, send_images: bool = False
    ) -> str:
        """Tune a model, or go on where a former run stopped.

        Args:
            endpoint: Its settings name the base model and the address; its ``timeout_s`` must allow for the
                upload, and ``allow_images`` be set. Its record is only locked.
            file: Training records, as `gftlib.vlm.hosted_files.write_tuning_file` writes them.
            folder: Keeps ``job.json``: the digest, the identifiers, the tuned model.
            send_images: The images in the file may leave this machine.

        Returns:
            The name of the tuned model.

        Raises:
            InputError: If images would be sent without leave, the file breaks a limit, the folder belongs to
                another file or other settings, or another run is at work.
            MissingError: If the file or the key is not there.
            BudgetError: If the estimate passes ``max_usd``; nothing is sent then.
            EndpointError: If the service refuses, the job fails, or it is not done in time.
        """
        found = inspect(file, endpoint.settings.image_tokens)
        if found.images and not (send_images and endpoint.settings.allow_images):
            raise InputError(
                f"{file} holds {found.images} images, and images leave this machine only with "
                "send_images=True and the endpoint's allow_images=True: set both if the data may be sent"
            )
        if self.max_usd is not None and (usd := self.usd(found)) > self.max_usd:
            raise BudgetError(f"tuning could cost {usd:.2f} USD, more than max_usd={self.max_usd}")
        return in_a_loop(lambda: _run(self, endpoint, found, Path(folder)))

    def body(self, model: str) -> dict[str, Any]:
        """Return what a job is started with, beside its file."""
        numbers = {
            "n_epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate_multiplier": self.learning_rate_multiplier,
        }
        method = {"type": "supervised", "supervised": {"hyperparameters": numbers}}
        seed = {} if self.seed is None else {"seed": self.seed}
        return {"model": model, "suffix": self.suffix, "method": method, **seed}


def job_state(endpoint: Endpoint, folder: Path | str) -> dict[str, Any]:
    """Return what is known of a tuning job, asking the service if it was not finished; nothing is started.

    Args:
        endpoint: As for `HostedTuning.tune`.
        folder: That keeps ``job.json``.

    Returns:
        Its entries: ``job``, ``status``, ``model`` once it is tuned, ``reason`` if it failed.

    Raises:
        MissingError: If nothing was started in the folder, or the key is not there.
        EndpointError: If the service refuses.
    """
    state = Path(folder) / STATE
    if not state.is_file():
        raise MissingError(f"no tuning job in {folder}: nothing was started there")
    known = read_json(state)
    if "job" not in known or "model" in known or known.get("status") in GIVEN_UP:
        return known
    return known | in_a_loop(lambda: _look(endpoint, known["job"]))


def dialect(model: str) -> dict[str, str]:
    """Return what of `Settings` a hosted model's service needs to differ.

    The OpenAI-compatible address of Qwen's own service knows ``max_tokens`` and JSON mode.
    """
    return {"token_field": "max_tokens", "structured": "json_object"} if model.startswith("qwen") else {}


async def _run(tuning: HostedTuning, endpoint: Endpoint, file: TuningFile, folder: Path) -> str:
    with endpoint.ledger() as ledger:
        async with endpoint.client() as client:
            return await _Job(tuning, endpoint.settings, ledger, client, file, folder / STATE).finish()


async def _look(endpoint: Endpoint, job: str) -> dict[str, Any]:
    async with endpoint.client() as client:
        found: FineTuningJob = await _called(
            endpoint.settings, endpoint.ledger(), lambda: client.fine_tuning.jobs.retrieve(job)
        )
    return {"status": found.status} | ({"model": found.fine_tuned_model} if found.fine_tuned_model else {})


async def _called(settings: Settings, ledger: Ledger, work: Callable[[], Awaitable[T]]) -> T:
    """Do one call with time limit and retries; of an error only the redacted words go on."""

    async def timed() -> T:
        async with asyncio.timeout(settings.timeout_s):
            return await work()

    try:
        return await retrying(settings)(timed)
    except (openai.OpenAIError, TimeoutError, ValueError) as error:
        words = ledger.redact(f"{type(error).__name__}: {error}")[:500]
    # Raised out here: the error itself holds the request and so the key.
    raise EndpointError(f"tuning: {words}")


class _Job:
    """One job, its state on disk."""

    def __init__(
        self,
        tuning: HostedTuning,
        settings: Settings,
        ledger: Ledger,
        client: openai.AsyncOpenAI,
        file: TuningFile,
        state: Path,
    ) -> None:
        self.tuning, self.settings, self.ledger, self.client = tuning, settings, ledger, client
        self.file, self.state = file, state
        self.name = f"gftlib-{file.digest[:32]}.jsonl"
        asked = {"file": file.digest, "base_url": str(client.base_url), **tuning.body(settings.model)}
        self.digest = sha256(json.dumps(asked, sort_keys=True).encode())
        self.known: dict[str, Any] = {"digest": self.digest}

    async def finish(self) -> str:
        """Go on from the state on disk to the tuned model."""
        if self.state.is_file():
            self.known = read_json(self.state)
        if self.known.get("digest") != self.digest:
            raise InputError(
                f"{self.state} belongs to another tuning file, model or settings: use another folder"
            )
        if self.known.get("model"):
            return self.known["model"]
        self._refuse_failed()
        if "job" not in self.known:
            if "upload" not in self.known:
                self._note(upload=await self._call(self._upload))
            self._note(job=await self._call(self._start))
        return await self._wait()

    async def _wait(self) -> str:
        clock = asyncio.get_running_loop().time
        until = clock() + self.tuning.patience_s
        while True:
            job: FineTuningJob = await self._call(
                lambda: self.client.fine_tuning.jobs.retrieve(self.known["job"])
            )
            if job.status == "succeeded" and job.fine_tuned_model:
                self._note(status=job.status, model=job.fine_tuned_model)
                return job.fine_tuned_model
            if job.status in GIVEN_UP:
                reason = job.error.message if job.error else "no reason given"
                self._note(status=job.status, reason=self.ledger.redact(reason or ""))
                self._refuse_failed()
            log.info("tuning job %s: %s", job.id, job.status)
            if clock() >= until:
                raise EndpointError(
                    f"the tuning job {job.id} is {job.status} after {self.tuning.patience_s:g} s of waiting; "
                    "it goes on by itself: run again to wait on"
                )
            await asyncio.sleep(self.tuning.poll_s)

    async def _upload(self) -> str:
        # A run may have died between an upload and its note, and a try whose answer was lost may have come
        # through: look first, each time.
        async for there in self.client.files.list(purpose="fine-tune"):
            if there.filename == self.name and there.bytes == self.file.size:
                return there.id
        content = self.file.path.read_bytes()
        return (await self.client.files.create(file=(self.name, content), purpose="fine-tune")).id

    async def _start(self) -> str:
        async for job in self.client.fine_tuning.jobs.list():
            if (job.metadata or {}).get("gftlib") == self.digest and job.status not in GIVEN_UP:
                return job.id
        body = self.tuning.body(self.settings.model)
        job = await self.client.fine_tuning.jobs.create(
            training_file=self.known["upload"], metadata={"gftlib": self.digest}, **body
        )
        return job.id

    def _note(self, **news: Any) -> None:
        self.known = self.known | news
        write_json(self.state, self.known)

    def _refuse_failed(self) -> None:
        if self.known.get("status") in GIVEN_UP:
            # Starting anew costs money: that is for the user to decide.
            raise EndpointError(
                f"the tuning job {self.known['job']} {self.known['status']}: {self.known['reason']}; remove "
                f"{self.state} to start another one"
            )

    async def _call(self, work: Callable[[], Awaitable[T]]) -> T:
        return await _called(self.settings, self.ledger, work)
