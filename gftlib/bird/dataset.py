"""From a folder of image-mask pairs to the files that tuning and evaluation read, in one call."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gftlib.bird import layouts
from gftlib.bird.captions import Caption, rule_caption
from gftlib.bird.hosted_captions import HostedCaptions, ask, captioned
from gftlib.bird.instances import Rule, collect, read_meta, write_meta
from gftlib.bird.records import RecordConfig, plan, records, tally
from gftlib.datasets.sa_med2d import Problems, SAMed2D
from gftlib.datasets.sa_med2d_names import MIN_AREA
from gftlib.datasets.slices import sample
from gftlib.endpoint.client import Endpoint
from gftlib.errors import InputError
from gftlib.paths import write_json

META, SUMMARY = "meta.jsonl", "summary.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildConfig:
    """What is taken from the set, and how it is asked about.

    Args:
        images: Greatest number of images (BiRD: about 60,000).
        gap: Least distance between slices of one stack.
        overlap: Greatest overlap of masks with a kept slice nearby; 1 keeps all.
        rule: What an instance is, see `gftlib.bird.instances`.
        least: Instances below this share of the image are left out.
        records: Split, turns, negatives, grammar.
    """

    images: int = 60_000
    gap: int = 1
    overlap: float = 0.8
    rule: Rule = "file"
    least: float = MIN_AREA
    records: RecordConfig = field(default_factory=RecordConfig)


def settings_of(config: BuildConfig) -> dict[str, Any]:
    """Return the settings of a build as its summary keeps them."""
    settings = asdict(config)
    settings["records"]["turns"] = {str(n): p for n, p in config.records.turns.items()}
    return settings


def build(
    source: Path | str,
    folder: Path | str,
    config: BuildConfig | None = None,
    teacher: Endpoint | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Build Med-GRIT records from a folder in SA-Med2D's form.

    Written under ``folder``: ``meta.jsonl``, the files of `gftlib.bird.layouts`, and ``summary.json`` last.
    Image paths stay relative to ``source``. The same arguments give the same bytes.

    Args:
        source: The set.
        folder: Where to.
        config: The choices.
        teacher: The endpoint that writes captions; None: by rule.
        workers: Threads that measure masks.

    Returns:
        The summary: settings, turns by split and task, problems.

    Raises:
        InputError: If nothing usable is found.
    """
    config, folder = config or BuildConfig(), Path(folder)
    data, problems = SAMed2D(source), Problems()
    entries = sample(data, config.images, config.records.seed, config.gap, problems)
    metas = collect(data, entries, config.rule, config.least, config.overlap, workers, problems)
    number = write_meta(folder / META, metas)
    if not number:
        raise InputError(f"no usable image under {source}: {'; '.join(problems.lines()) or 'it is empty'}")
    _log.info("measured %d images, %s", number, "; ".join(problems.lines()) or "no problems")
    settled = plan(read_meta(folder / META), config.records)
    caption: Caption = rule_caption
    if teacher is not None:
        caption = ask(captioned(read_meta(folder / META), settled, config.records), teacher)
    found = records(read_meta(folder / META), settled, config.records, caption)
    turns = tally(layouts.write(folder, found))
    about = {"images": number, "turns": turns, "problems": list(problems.lines())}
    summary = about | {"settings": settings_of(config)}
    if teacher is not None and isinstance(caption, HostedCaptions):
        told = {"by the teacher": len(caption.texts), "by rule instead": caption.missing}
        summary["captions"] = {"model": teacher.settings.model} | told
    write_json(folder / SUMMARY, summary)
    return summary
