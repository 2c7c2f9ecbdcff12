"""The hosted teacher: a model behind an OpenAI-compatible endpoint writes the dialogues (GFT, section 2.4).

Each scan is one request: the table as text and, if images may be sent, the scan with its heatmap and the raw
scan, as in the public code. The answer must have exactly the asked number of pairs and keep to the rules of
`gftlib.dialogue.hosted_answers`; what does not is asked again and never written. The endpoint's record makes
a run resumable: a run that was killed asks for what is missing and pays for nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import Field

from gftlib.dialogue.hosted_answers import HostedAnswer, answer_schema, known_boxes, to_pairs
from gftlib.dialogue.prompts import FEATURE_LINES, TEACHER, teacher_task
from gftlib.dialogue.records import Dialogue
from gftlib.endpoint.batch_jobs import run_batches
from gftlib.endpoint.client import Endpoint, Estimate, Outcome, in_a_loop
from gftlib.endpoint.messages import Part, Request
from gftlib.errors import InputError
from gftlib.octa.places import Record
from gftlib.octa.table_rows import ScanTable
from gftlib.octa.table_text import TextOptions, table_text


@dataclass(frozen=True, eq=False)
class TeacherScan:
    """One scan to write about.

    Attributes:
        table: Its table.
        image: Relative path of the raw scan, as the dialogue is to name it.
        raw: The raw scan to be sent; None if no image is.
        overlay: The scan with its heatmap.
    """

    table: ScanTable
    image: str
    raw: Part | None = None
    overlay: Part | None = None


class HostedTeacher(Record):
    """What the hosted teacher is asked for.

    Attributes:
        stage: 1 diagnosis, 2 regions and vessels.
        count: Pairs a scan: 1 in stage 1 and 30 in stage 2 of the paper; the public code asks for 4.
        explained: Stage 1 explains the key features, or answers in one word.
        send_images: Send overlay and raw scan; the endpoint's ``allow_images`` must be set as well.
        text: What of the table is told.
    """

    stage: Literal[1, 2] = 2
    count: int = Field(30, ge=1, le=60)
    explained: bool = True
    send_images: bool = True
    text: TextOptions = TextOptions()

    def requests(self, scans: Sequence[TeacherScan]) -> list[Request]:
        """Return one request a scan.

        Raises:
            InputError: If two scans share a name, or an image is to be sent and not given.
        """
        names = [scan.table.scan for scan in scans]
        if len(set(names)) < len(names):
            raise InputError("two scans share a name: each dialogue needs its own")
        return [self._request(scan) for scan in scans]

    def _request(self, scan: TeacherScan) -> Request:
        images = (scan.overlay, scan.raw) if self.send_images else ()
        if any(image is None for image in images):
            raise InputError(f"{scan.table.scan}: give overlay and raw scan, or set send_images=False")
        notes = table_text(scan.table, self.text)
        prompt = f"Notes on the scan:\n\n{notes}\n\n{teacher_task(self.stage, self.count, self.explained)}"
        schema = answer_schema(self.count, known_boxes(scan.table))
        system = f"{TEACHER}\n\nFeatures in the notes:\n{FEATURE_LINES}" if self.text.rows else TEACHER
        return Request.of(prompt, *cast("tuple[Part, ...]", images), system=system, schema=schema)

    def estimate(self, endpoint: Endpoint, scans: Sequence[TeacherScan], batch: bool = False) -> Estimate:
        """Return what `teach` would ask and cost at most; nothing is sent."""
        return endpoint.dry_run(self.requests(scans), batch)

    def teach(
        self,
        endpoint: Endpoint,
        scans: Sequence[TeacherScan],
        batches: Path | None = None,
        poll_s: float = 60.0,
    ) -> Taught:
        """Have the dialogues written; what the endpoint's record already holds is not asked again.

        Args:
            endpoint: Settings and record.
            scans: All scans.
            batches: Folder of batch files: ask through batch jobs, at half the price and within a day.
            poll_s: Seconds between two looks at the jobs.

        Raises:
            InputError: As `requests`; or if images are sent without the endpoint's ``allow_images``.
            MissingError: If no key is set.
            BudgetError: If the budget is reached.
            EndpointError: If the endpoint refuses everything.
        """
        requests = self.requests(scans)
        if batches is None:
            outcomes = endpoint.ask(requests)
        else:
            outcomes = in_a_loop(lambda: run_batches(endpoint, requests, batches, poll_s))
        return self._taught(endpoint.settings.model, scans, outcomes)

    def _taught(self, model: str, scans: Sequence[TeacherScan], outcomes: Sequence[Outcome]) -> Taught:
        dialogues, missing = [], {}
        for scan, outcome in zip(scans, outcomes, strict=True):
            if outcome.status != "ok":
                missing[scan.table.scan] = f"{outcome.status}: {outcome.reason}"
                continue
            pairs = to_pairs(cast("HostedAnswer", outcome.parsed), scan.table)
            dialogues.append(
                Dialogue(id=scan.table.scan, image=scan.image, stage=self.stage, teacher=model, pairs=pairs)
            )
        return Taught(tuple(dialogues), missing)


@dataclass(frozen=True)
class Taught:
    """What came of it.

    Attributes:
        dialogues: In the order of the scans, without those that are missing.
        missing: Scan -> why it has no dialogue; "failed" ones are asked again by the next run.
    """

    dialogues: tuple[Dialogue, ...]
    missing: dict[str, str]
