"""Profiles: every setting of a run in one YAML file of ``profiles/``: ``smoke``, ``phantom`` or ``paper``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from gftlib import paths
from gftlib.errors import InputError, MissingError, did_you_mean
from gftlib.sections import (
    AgentSettings,
    AttributionSettings,
    BirdSettings,
    ChestSettings,
    DialogueSettings,
    GraphSettings,
    GroundingSettings,
    HostedSettings,
    OctaCohort,
    ScaleSettings,
    ScanCohort,
    SkinSettings,
    Staging,
    Strict,
    TuningSettings,
)

PROFILES = ("smoke", "phantom", "paper")


class Profile(Strict):
    """All settings of one profile."""

    name: Literal["smoke", "phantom", "paper"]
    seed: int = Field(ge=0)
    octa: OctaCohort
    graph: GraphSettings
    skin: SkinSettings
    chest: ChestSettings
    scale: ScaleSettings
    staging: Staging
    attribution: AttributionSettings
    dialogue: DialogueSettings
    tuning: TuningSettings
    agent: AgentSettings
    hosted: HostedSettings
    scans: ScanCohort
    bird: BirdSettings
    grounding: GroundingSettings


def profile_path(name: str) -> Path:
    """Return the YAML file of a profile.

    Raises:
        InputError: If there is no profile of that name.
    """
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}{did_you_mean(name, PROFILES)}")
    return paths.root() / "profiles" / f"{name}.yaml"


def load_profile(name: str) -> Profile:
    """Read and check the profile ``name``.

    Raises:
        InputError: If the name is unknown, or the file breaks the schema.
        MissingError: If the file is not there.
    """
    path = profile_path(name)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path.name} must hold names and values, found {type(content).__name__}")
    return Profile.checked(content, path.name)
