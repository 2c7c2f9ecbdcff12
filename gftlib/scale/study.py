"""Chapter 7 from end to end: each use case's whole protocol, in steps that are kept and never done twice."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from gftlib.errors import InputError, MissingError, did_you_mean
from gftlib.paths import read_json, sha256, write_json
from gftlib.processes import process_pool
from gftlib.profiles import Profile
from gftlib.scale import predictions, tables
from gftlib.scale.baselines import Setting
from gftlib.scale.embeddings import EmbeddingCache
from gftlib.scale.features import embed
from gftlib.scale.measures import MEASURES, Plan
from gftlib.scale.outputs import Outputs, zero_shot
from gftlib.scale.protocol import Cell, ProtocolConfig, report_of, run, run_method
from gftlib.scale.sampling import TrainingConfig
from gftlib.scale.use_cases import UseCase, UseCaseName, open_use_case
from gftlib.sections import ScaleSettings
from gftlib.sources import digest, source_files

logger = logging.getLogger(__name__)

USE_CASES: dict[str, tuple[UseCaseName, ...]] = {
    "both": ("monet", "medclip"),
    "monet": ("monet",),
    "medclip": ("medclip",),
}
SHEET = 4  # images shown of each use case


@dataclass(frozen=True, eq=False)
class Study:
    """What was measured of one use case.

    Args:
        name: The use case.
        labels: The truth of the test, ``(N, H)``.
        cells: Of the protocol.
        measured: By name, see ``gftlib.scale.measures.MEASURES``.
        table_1: Zero-shot accuracy at both levels; empty where there are no criteria.
        counts: Positive samples of each combination.
        sheet: Training images, each with the names of what it holds.
    """

    name: UseCaseName
    labels: np.ndarray
    cells: list[Cell]
    measured: dict[str, Any]
    table_1: pd.DataFrame
    counts: dict[str, int]
    sheet: list[tuple[np.ndarray, list[str]]]


def run_studies(
    use_case: Literal["both", "monet", "medclip"], profile: Profile, folder: Path | str, workers: int = 1
) -> dict[str, Study]:
    """Run the use cases, side by side if there are workers; what is kept in ``folder`` is not done again.

    Args:
        use_case: Both, or one of them.
        profile: Sections ``skin``, ``chest`` and ``scale``, and the seed.
        folder: Of the run; gets ``predictions.npz``.
        workers: Processes at work at once.
    """
    folder, names = Path(folder), USE_CASES[use_case]
    one = partial(run_study, profile=profile, folder=folder)
    if workers > 1 and len(names) > 1:
        with process_pool(min(workers, len(names))) as pool:
            studies = list(pool.map(one, names))
    else:
        studies = [one(name) for name in names]
    labels, cells, kept = (
        {s.name: getattr(s, part) for s in studies} for part in ("labels", "cells", "counts")
    )
    predictions.write(folder / "predictions.npz", labels, cells, {n: list(c) for n, c in kept.items()})
    return {study.name: study for study in studies}


def run_study(name: UseCaseName, profile: Profile, folder: Path) -> Study:
    """Run one use case; see :func:`run_studies`."""
    use, own = _open_with_results(name, profile, folder)
    setting, config = _setting(use, profile.scale), _protocol(profile)
    cells = [*run(setting, config, own / "cells"), _zero_shot_clip(use)]
    chest = profile.chest
    mirrored = None
    if name == "medclip" and chest.flips and chest.views:
        cache = EmbeddingCache(use.encoder, folder / name / "data")
        mirrored = partial(embed, use.data, cache, chest.views, True, profile.seed)
    settings = profile.scale
    plan = Plan(
        use, setting, config, own / "cells", settings.default_fraction, settings.default_draws, mirrored
    )
    measured = {}
    for part, measure in MEASURES.items():
        path = own / f"{part}.json"
        if not path.is_file():
            write_json(path, measure(plan))
            logger.info("%s: %s measured", name, part)
        measured[part] = read_json(path)
    return Study(
        name,
        use.features.labels[use.features.test],
        cells,
        measured,
        tables.table_1(use.features) if name == "monet" else pd.DataFrame(),
        use.data.counts(),
        _sheet(use),
    )


def run_part(name: UseCaseName, method: str | None, profile: Profile, folder: Path) -> int:
    """Do a part of :func:`run_study` ahead, as a job of its own: a cluster has many machines.

    Args:
        name: The use case.
        method: Whose cells to compute, one of the profile's; None: the embeddings, which all jobs share.
        profile: As for :func:`run_studies`, which later finds here what it would compute.
        folder: Of the run.

    Returns:
        The number of cells.

    Raises:
        InputError: If the profile does not have the method.
    """
    if method is not None and method not in profile.scale.methods:
        raise InputError(
            f"profile {profile.name} has no method {method!r}" + did_you_mean(method, profile.scale.methods)
        )
    use, own = _open_with_results(name, profile, folder)
    if method is None:
        return 0
    return len(run_method(_setting(use, profile.scale), _protocol(profile), method, own / "cells"))


def _open_with_results(name: UseCaseName, profile: Profile, folder: Path) -> tuple[UseCase, Path]:
    """Return a use case and the folder of its results."""
    use = _open(name, profile, folder / name / "data")
    return use, folder / name / _key(use, profile)[:12]


def _open(name: UseCaseName, profile: Profile, folder: Path) -> UseCase:
    own = profile.skin if name == "monet" else profile.chest
    encoders = {name: own.encoder, "clip": profile.scale.clip}
    return open_use_case(
        name,
        own.samples,
        folder,
        None if own.source == "phantom" else _expanded(own.path),
        {which: _expanded(where) for which, where in encoders.items() if where},
        profile.chest.views if name == "medclip" else 0,
        seed=profile.seed,
        device=profile.scale.device,
    )


def _setting(use: UseCase, settings: ScaleSettings) -> Setting:
    return use.setting(
        TrainingConfig(epochs=settings.epochs, device=settings.device),
        coop=TrainingConfig(epochs=settings.coop_epochs, device=settings.device),
        tuning=TrainingConfig(epochs=settings.tuned_epochs, max_batch=32, device=settings.device),
    )


def _protocol(profile: Profile) -> ProtocolConfig:
    s = profile.scale
    return ProtocolConfig(
        methods=tuple(s.methods),
        fractions=tuple(s.fractions),
        draws=s.draws,
        seed=profile.seed,
        search_draws=s.search_draws,
        full_draws=s.full_draws,
        ablation_fractions=tuple(s.ablation_fractions),
        coop_draws=s.coop_draws,
        tuned=tuple(s.tuned_fractions),
        tuned_draws=s.tuned_draws,
    )


def _zero_shot_clip(use: UseCase) -> Cell:
    """Return the cell of the original CLIP, which is not trained."""
    rows = np.flatnonzero(use.general.test)
    outputs = Outputs(**zero_shot(use.general, rows).arrays())
    report = report_of(use.general.task, use.general.labels[rows], outputs, 0.5)
    return Cell("zero_shot_clip", 0.0, 0, outputs, report, {"threshold": 0.5})


def _sheet(use: UseCase) -> list[tuple[np.ndarray, list[str]]]:
    rows = np.flatnonzero(use.data.split != "test")[:SHEET]
    held = [np.flatnonzero(use.data.labels[i]) for i in rows]
    names = [[use.data.task.combinations[h].concept for h in own] for own in held]
    return [(np.array(use.data.image(int(i))), own) for i, own in zip(rows, names, strict=True)]


def _key(use: UseCase, profile: Profile) -> str:
    """Return what a use case's results depend on: seed, settings, code, embeddings, labels, pairs, split."""
    section = {"monet": "skin", "medclip": "chest"}[use.name]
    settings = profile.model_dump(include={"seed", section, "scale"})
    f = use.features
    arrays = (f.images, f.prompts, f.negative, f.sentences, f.labels, f.pairs, f.test)
    made = b"".join(np.ascontiguousarray(x).tobytes() for x in arrays)
    code = digest(source_files(["gftlib.scale.study"]))
    parts = [settings, code, sha256(made), f.subjects.tolist()]
    return sha256(json.dumps(parts, sort_keys=True).encode())


def _expanded(path: str) -> str:
    """Put environment variables in place.

    Raises:
        MissingError: If one is not set.
    """
    found = os.path.expandvars(path)
    if "$" in found:
        raise MissingError(f"the environment variable in {path!r} is not set")
    return found
