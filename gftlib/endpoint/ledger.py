"""The record of what a paid endpoint was asked, what it answered and what that cost: one JSON line an event.

The file is only ever appended to, and its state is the fold of its lines: a run that is killed at any moment
continues from the same file. Money is counted at its worst: what was sent and never heard of again counts as
spent, at its estimate.

Events: ``sent`` (with the estimate), ``unpaid`` (refused before any work), ``paid`` (answered, not usable),
``answer`` (final, one a key), ``batch`` (a batch job was started, or has ended).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from gftlib.errors import GftError, InputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such lock; one run a record is then the user's care.
    fcntl = None

log = logging.getLogger(__name__)


class BudgetError(GftError):
    """The next request could cost more than is left of ``max_usd``."""


class Ledger:
    """The state of a record, and, inside ``with``, the only way to append to it.

    Attributes:
        answers: The final answer event of each key.
        batches: The last batch job of each batch file, by the file's digest.
        ended: The batch jobs whose answers are all in the record.
        input_tokens: All input tokens paid for.
        output_tokens: All output tokens paid for.
    """

    def __init__(self, path: Path | str, max_usd: float | None = None, secrets: Sequence[str] = ()) -> None:
        """Read the record at ``path``, if there is one.

        Args:
            path: The JSON lines file.
            max_usd: Most that may be spent over the whole life of the record; None for no limit.
            secrets: Texts that never reach the file (keys); those under 8 characters are no secrets ("none").

        Raises:
            InputError: If a line, other than a torn last one, is not a valid event.
        """
        self.path = Path(path)
        self.max_usd = max_usd
        self._secrets = [secret for secret in secrets if len(secret) >= 8]
        self._stream: IO[str] | None = None
        self._load()

    def _load(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, str] = {}
        self.ended: set[str] = set()
        self.input_tokens = self.output_tokens = 0
        self._settled = 0.0
        self._pending: dict[str, float] = {}
        for event in self._events():
            self._apply(event)

    def __repr__(self) -> str:
        """Show the file and the sums, never the secrets."""
        return f"Ledger({self.path}, {len(self.answers)} answers, {self.spent:.4f} USD)"

    @property
    def spent(self) -> float:
        """US dollars spent at worst."""
        return self._settled + math.fsum(self._pending.values())

    def __enter__(self) -> Ledger:
        """Lock the record, mend a torn last line, open it for appending.

        Raises:
            InputError: If another run holds the record.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self.path, "a+", encoding="utf-8")
        if fcntl is not None:
            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._stream.close()
                raise InputError(
                    f"another run is writing {self.path}: wait for it, or use another record"
                ) from None
        self._mend()
        # Another run may have written since.
        self._load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the record, which frees its lock."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def reserve(self, key: str, usd: float) -> None:
        """Note that a request is about to be sent.

        Args:
            key: Of the request.
            usd: What it could cost at most.

        Raises:
            BudgetError: If that is more than is left; nothing is noted then.
        """
        self.check(usd)
        self.write(event="sent", key=key, usd=usd)

    def check(self, usd: float) -> None:
        """Raise `BudgetError` if spending so much more could pass ``max_usd``."""
        if self.max_usd is not None and self.spent + usd > self.max_usd:
            raise BudgetError(
                f"stopped before spending more than max_usd={self.max_usd}: {self.spent:.4f} USD are spent "
                f"or in flight and what comes next could cost {usd:.4f}; raise max_usd to continue"
            )

    def in_flight(self, key: str) -> bool:
        """Return whether the request was sent and nothing was heard of it since."""
        return key in self._pending

    def write(self, **event: Any) -> None:
        """Append one event and take it into the state."""
        if self._stream is None:
            raise InputError(f"{self.path} is not open: write inside `with ledger:`")
        line = self.redact(json.dumps(event, ensure_ascii=False))
        self._stream.write(line + "\n")
        self._stream.flush()
        self._apply(json.loads(line))

    def redact(self, text: str) -> str:
        """Return the text with every secret blotted out."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def _apply(self, event: dict[str, Any]) -> None:
        kind, key = event["event"], event.get("key", "")
        if kind == "batch":
            self.batches[event["file"]] = event["job"]
            if event.get("ended"):
                self.ended.add(event["job"])
            return
        before = self._pending.pop(key, 0.0)
        if kind == "sent":
            # The last word on an earlier sending never came: it may have been paid for.
            self._settled += before
            self._pending[key] = event["usd"]
        elif kind in ("paid", "answer"):
            self._settled += event["usd"]
            self.input_tokens += event["tokens"][0]
            self.output_tokens += event["tokens"][1]
            if kind == "answer":
                self.answers.setdefault(key, event)

    def _events(self) -> Iterator[dict[str, Any]]:
        if not self.path.is_file():
            return
        with open(self.path, encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    event = json.loads(line)
                    known = event["event"] in ("sent", "unpaid", "paid", "answer", "batch")
                except (json.JSONDecodeError, TypeError, KeyError):
                    known = False
                if known:
                    yield event
                elif line.endswith("\n"):
                    raise InputError(f"{self.path}, line {number}: not an event of this record")

    def _mend(self) -> None:
        """Complete or cut off a last line that a killed run left without its end."""
        data = self.path.read_bytes()
        if not data or data.endswith(b"\n"):
            return
        start = data.rfind(b"\n") + 1
        try:
            json.loads(data[start:])
        except ValueError:
            log.warning("%s: the last line is torn and is cut off", self.path)
            self._stream.truncate(start)
        else:
            self._stream.write("\n")
            self._stream.flush()
