"""The Batch API path of `gftlib.endpoint`: half the price, an answer within a day, and the same record.

Each batch file lies in a folder under the digest of its content until its answers are in the record, and
its job carries that digest: whenever a run is killed, the next one finds the job, so nothing is paid twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import openai
from openai.types import Batch
from openai.types.chat import ChatCompletion

from gftlib.endpoint.answers import judge
from gftlib.endpoint.client import Endpoint, Outcome
from gftlib.endpoint.ledger import Ledger
from gftlib.endpoint.messages import Request
from gftlib.endpoint.sending import EndpointError, chat_body, cost, retrying
from gftlib.errors import InputError
from gftlib.paths import atomic_path, sha256

log = logging.getLogger(__name__)

URL = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


async def run_batches(
    endpoint: Endpoint,
    requests: Sequence[Request],
    folder: Path | str,
    poll_s: float = 60.0,
    max_requests: int = 50_000,
    max_bytes: int = 190_000_000,
) -> list[Outcome]:
    """Ask all requests that have no answer yet through batch jobs, then directly whatever these left open.

    Args:
        endpoint: Settings and record.
        requests: All requests; answered ones are not asked again.
        folder: Where batch files wait for their answers.
        poll_s: Seconds between two looks at the jobs.
        max_requests: Most requests in one file (the service's limit).
        max_bytes: Most bytes in one file (just under the service's limit).

    Returns:
        The outcomes of all requests, in order.

    Raises:
        InputError: As `Endpoint.run`; or if the folder holds a batch file with other requests than these.
        MissingError: As `Endpoint.run`.
        BudgetError: As `Endpoint.run`; a file is only uploaded if all of it can be paid for.
        EndpointError: If the service refuses a file or a job, or a job fails; or as `Endpoint.run`.
    """
    folder = Path(folder)
    keyed = dict(zip(endpoint.keys(requests), requests, strict=True))
    with endpoint.ledger() as ledger:
        if any(key not in ledger.answers for key in keyed) or any(folder.glob("*.jsonl")):
            async with endpoint.client() as client:
                jobs = _Jobs(endpoint, ledger, client, keyed)
                jobs.write(folder, max_requests, max_bytes)
                await jobs.finish_all(folder, poll_s)
    return await endpoint.run(requests)


class _Jobs:
    """The batch jobs of one run."""

    def __init__(
        self, endpoint: Endpoint, ledger: Ledger, client: openai.AsyncOpenAI, keyed: Mapping[str, Request]
    ) -> None:
        self.settings, self.ledger, self.client, self.keyed = endpoint.settings, ledger, client, keyed
        self.discount = 1 - endpoint.settings.batch_discount

    def write(self, folder: Path, max_requests: int, max_bytes: int) -> None:
        """Write batch files for the requests that are neither answered nor in a waiting file."""
        folder.mkdir(parents=True, exist_ok=True)
        waiting = {key for file in folder.glob("*.jsonl") for key in self._keys(file)}
        todo = (key for key in self.keyed if key not in waiting and key not in self.ledger.answers)
        for lines in _chunks(map(self._line, todo), max_requests, max_bytes):
            content = b"".join(lines)
            with atomic_path(folder / f"{sha256(content)}.jsonl") as temporary:
                temporary.write_bytes(content)

    def _line(self, key: str) -> bytes:
        body = chat_body(self.settings, self.keyed[key])
        return json.dumps({"custom_id": key, "method": "POST", "url": URL, "body": body}).encode() + b"\n"

    def _keys(self, file: Path) -> list[str]:
        with open(file, encoding="utf-8") as stream:
            keys = [json.loads(line)["custom_id"] for line in stream]
        if strange := [key for key in keys if key not in self.keyed]:
            raise InputError(
                f"{file} waits for answers to {len(strange)} requests that are not among these: run the "
                "former requests to their end first, or remove the file"
            )
        return keys

    async def finish_all(self, folder: Path, poll_s: float) -> None:
        """Finish the jobs of all files of a folder at once."""
        try:
            await asyncio.gather(*(self.finish(file, poll_s) for file in sorted(folder.glob("*.jsonl"))))
            return
        except openai.OpenAIError as error:
            words = self.ledger.redact(f"batch job: {type(error).__name__}: {error}")[:500]
        # Raised out here: the error itself holds the request and so the key.
        raise EndpointError(words)

    async def finish(self, file: Path, poll_s: float) -> None:
        """Start the job of a file unless it was started before, wait for its end, record its answers."""
        keys = self._keys(file)
        again = retrying(self.settings)
        job = await again(self._job, file, keys)
        while job.status not in ENDED:
            await asyncio.sleep(poll_s)
            job = await again(self.client.batches.retrieve, job.id)
        log.info("batch %s: %s", job.id, job.status)
        for output in filter(None, (job.output_file_id, job.error_file_id)):
            content = await again(self.client.files.content, output)
            for line in content.text.splitlines():
                self._record(line)
        for key in keys:
            if self.ledger.in_flight(key):
                self.ledger.write(event="unpaid", key=key)
        # In this order: a file that outlived the end of its job would be uploaded, and paid for, again.
        file.unlink()
        self.ledger.write(event="batch", file=file.stem, job=job.id, ended=True)
        if job.status == "failed":
            # The direct path would ask the same at twice the price: that is for the user to decide.
            reasons = "; ".join(error.message or "" for error in (job.errors and job.errors.data) or [])
            raise EndpointError(self.ledger.redact(f"the batch job {job.id} failed: {reasons}"))

    async def _job(self, file: Path, keys: Sequence[str]) -> Batch:
        digest = file.stem
        if (noted := self.ledger.batches.get(digest)) and noted not in self.ledger.ended:
            return await self.client.batches.retrieve(noted)
        # A run may have died between starting the job and noting it.
        async for job in self.client.batches.list():
            if (job.metadata or {}).get("gftlib") == digest and job.id not in self.ledger.ended:
                break
        else:
            job = await self._start(file, keys)
        self.ledger.write(event="batch", file=digest, job=job.id)
        return job

    async def _start(self, file: Path, keys: Sequence[str]) -> Batch:
        usd = {}
        for key in keys:
            if not self.ledger.in_flight(key):
                tokens = self.keyed[key].tokens(self.settings.image_tokens)
                usd[key] = self.settings.usd(tokens, self.settings.max_tokens) * self.discount
        self.ledger.check(sum(usd.values()))
        for key, most in usd.items():
            self.ledger.reserve(key, most)
        upload = await self.client.files.create(file=file, purpose="batch")
        return await self.client.batches.create(
            input_file_id=upload.id, endpoint=URL, completion_window="24h", metadata={"gftlib": file.stem}
        )

    def _record(self, line: str) -> None:
        """Record one line of an output or error file; what is not final is left for the direct path."""
        answer = json.loads(line)
        key, response = answer["custom_id"], answer.get("response") or {}
        if not self.ledger.in_flight(key):
            return
        body = response.get("body") or {}
        if response.get("status_code") != 200 or not body.get("choices"):
            self.ledger.write(event="unpaid", key=key)
            return
        completion = ChatCompletion.model_validate(body)
        status, text, reason = judge(completion, self.keyed[key].schema)
        usd, tokens = cost(self.settings, self.keyed[key], completion)
        paid = {"key": key, "usd": usd * self.discount, "tokens": tokens}
        if status == "invalid":
            self.ledger.write(event="paid", **paid)
        else:
            self.ledger.write(event="answer", status=status, text=text, reason=reason, **paid)


def _chunks(lines: Iterator[bytes], max_requests: int, max_bytes: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and (len(chunk) == max_requests or size + len(line) > max_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield chunk
