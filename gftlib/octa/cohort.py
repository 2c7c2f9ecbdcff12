"""The phantom cohort that a profile's chapters share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gftlib.paths import root, write_json
from gftlib.phantoms.octa import GENERATOR_VERSION, OctaConfig, ScanSpec, cohort
from gftlib.phantoms.octa_files import write_cohort
from gftlib.profiles import Profile


def make_cohort(
    profile: Profile, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> tuple[Path, list[ScanSpec]]:
    """Make the OCTA phantoms of a profile where they are not there yet.

    Args:
        profile: The profile; its ``octa`` section gives the number of scans.
        workers: Processes at work at once.
        progress: Called with (done, total) after each scan.

    Returns:
        The folder of the cohort and its scans, by subject.
    """
    folder = root() / "runs" / profile.name / "cohorts" / "octa"
    specs = cohort(profile.octa.scans, profile.seed)
    made = write_cohort(folder, specs, workers=workers, progress=progress)
    summary = folder / "cohort.json"
    if made or not summary.is_file():
        about = {"scans": len(specs), "version": GENERATOR_VERSION, "settings": OctaConfig().config_hash()}
        write_json(summary, about | {"seed": profile.seed})
    return folder, specs
