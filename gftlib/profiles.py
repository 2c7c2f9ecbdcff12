"""Profiles: every setting of a run in one YAML file of ``profiles/``, or what differs from another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

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

ProfileName = Literal["smoke", "phantom", "phantom-llama", "phantom-sizes", "paper"]
PROFILES: tuple[str, ...] = get_args(ProfileName)
EXTENDS = "extends"
"""Entry that names the profile from which a file's own settings differ."""


class Profile(Strict):
    """All settings of one profile."""

    name: ProfileName
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
    own = _content(path)
    base = _content(profile_path(str(own.pop(EXTENDS)))) if EXTENDS in own else {}
    # Within a section an entry takes the place of the other's as a whole.
    for section, entries in own.items():
        both = isinstance(entries, dict) and isinstance(base.get(section), dict)
        base[section] = {**base[section], **entries} if both else entries
    profile = Profile.checked(base, path.name)
    folds, trained = profile.dialogue.folds, profile.staging.folds
    if len(set(folds)) < len(folds) or not set(folds) <= set(trained):
        raise InputError(
            f"{path.name}: dialogue.folds {folds} must be some of staging.folds {trained}, each once"
        )
    if strangers := [arm for arm in profile.tuning.experiments if arm not in profile.tuning.arms]:
        raise InputError(f"{path.name}: tuning.experiments names {strangers[0]!r}, which tuning.arms lacks")
    return profile


def profile_files(name: str) -> list[Path]:
    """Return the file of a profile and the one that it extends, if any; errors as `load_profile`."""
    path = profile_path(name)
    own = _content(path)
    return [path, profile_path(str(own[EXTENDS]))] if EXTENDS in own else [path]


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError(f"no file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path.name} must hold names and values, found {type(content).__name__}")
    return content
