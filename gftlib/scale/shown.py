"""What a page of chapter 7 shows: the published full-size run where there is one, beside its own run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gftlib.results import beside
from gftlib.scale import predictions
from gftlib.scale.study import Study
from gftlib.scale.summaries import choices

NOTEBOOK = "07_scale"


@dataclass(frozen=True)
class Shown:
    """The numbers of one use case on a page.

    Args:
        source: Which run ``records`` and ``measured`` are of.
        records: Of the protocol, see :func:`gftlib.scale.summaries.summarize`.
        measured: See ``gftlib.scale.measures.MEASURES``.
        beside: The records of the page's own run, where ``records`` are another's; else empty.
    """

    source: str
    records: list[dict[str, Any]]
    measured: dict[str, Any]
    beside: list[dict[str, Any]]


def shown(studies: Mapping[str, Study], summary: Mapping[str, float], profile: str) -> dict[str, Shown]:
    """Return what to show of each use case.

    Args:
        studies: Of the page's own run.
        summary: Of :func:`gftlib.scale.predictions.summarise`, of the same run.
        profile: Of the page.
    """
    full = beside(NOTEBOOK, profile)
    own_source = f"this run, profile {profile}" + ("" if profile == "paper" else ", phantoms")
    found = {}
    for name, study in studies.items():
        own = predictions.records(summary, name)
        if full is not None and name in full.results["measured"]:
            records = predictions.records(full.results["protocol"], name)
            found[name] = Shown(
                "published full-size run on phantoms", records, full.results["measured"][name], own
            )
        else:
            found[name] = Shown(own_source, own, study.measured, [])
    return found


def results(studies: Mapping[str, Study], summary: Mapping[str, float]) -> dict[str, Any]:
    """Return what a run hands on: the protocol's numbers, its choices, all measured around it, Table 1."""
    return {
        "protocol": dict(summary),
        "choices": {name: choices(study.cells) for name, study in studies.items()},
        "measured": {name: study.measured for name, study in studies.items()},
        "table_1": {name: study.table_1.to_dict() for name, study in studies.items() if len(study.table_1)},
        "counts": {name: study.counts for name, study in studies.items()},
    }
