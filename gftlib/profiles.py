"""What a run is asked to do: profiles (one YAML file each) and notebook parameters, both checked strictly.

A profile holds every setting of every chapter (``profiles/smoke.yaml``, ``phantom.yaml``, ``paper.yaml``);
a notebook's ``parameters`` cell holds only what identifies one run of it. papermill passes misspelt names and
ill-typed values on without a word, so the cell after the parameters builds one of the classes below.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gftlib import paths
from gftlib.errors import InputError, MissingError, did_you_mean

PROFILES = ("smoke", "phantom", "paper")


class Strict(BaseModel):
    """Base of all settings: frozen, no conversion of types, no unknown names."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def checked(cls, values: Mapping[str, Any], where: str) -> Self:
        """Build the settings from ``values``.

        Args:
            values: Names and values, as read from a file or a notebook.
            where: What the values belong to, for the message.

        Raises:
            InputError: On an unknown name (with the nearest valid one), a wrong type or a value out of range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InputError("\n".join(_explain(cls, problem, where) for problem in error.errors())) from None


def _explain(model: type[BaseModel], problem: Any, where: str) -> str:
    *parents, name = [str(part) for part in problem["loc"]]
    place = ".".join([where, *parents])
    if problem["type"] == "extra_forbidden":
        known = model
        for parent in parents:
            known = known.model_fields[parent].annotation
        return f"{place}: unknown name {name!r}{did_you_mean(name, known.model_fields)}"
    if problem["type"] == "missing":
        return f"{place}: {name!r} is missing"
    value = problem["input"]
    hint = "; pass text with papermill's -r, not -p" if problem["type"] == "string_type" else ""
    return f"{place}: {name} = {value!r} ({type(value).__name__}): {problem['msg']}{hint}"


class OctaCohort(Strict):
    """Which OCTA scans the chapters of GFT work on."""

    source: Literal["phantom", "folder"] = Field(description="phantoms made here, or a folder of your own")
    scans: int = Field(ge=6, description="number of phantom scans (GFT, section 3: 1264)")
    path: str = Field(
        description="folder of scans when source is 'folder'; ${NAME} is read from the environment"
    )


class GraphSettings(Strict):
    """Chapter 1: from a vessel mask to the graph (GFT, section 2.2)."""

    field_mm: float = Field(gt=0, le=30, description="width of the scanned field, mm")
    min_spur_px: float = Field(ge=0, description="dead ends that reach less far past the wall are no vessels")
    merge_px: float = Field(ge=0, description="junctions this close along a segment are one, px")
    min_hole_px: int = Field(ge=0, description="background patches of at most so many pixels are filled")
    min_faz_mm: float = Field(gt=0, description="smallest inscribed radius of an FAZ, mm")
    faz_rule: Literal["inscribed", "centre"] = Field(description="'centre' is the public code's rule")


class Profile(Strict):
    """All settings of one profile."""

    name: Literal["smoke", "phantom", "paper"]
    seed: int = Field(ge=0)
    octa: OctaCohort
    graph: GraphSettings


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


class Parameters(Strict):
    """Base of what a notebook's ``parameters`` cell may hold."""

    notebook: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]  # of the profile, that the notebook's results depend on
    # Key in results.json, and the function that makes its value from predictions.csv.
    headline: ClassVar[tuple[str, str]]

    profile: Literal["smoke", "phantom", "paper"]
    out: str = Field(description="folder of the results; empty: runs/<profile>/<notebook>")

    @classmethod
    def from_notebook(cls, names: Mapping[str, Any]) -> Self:
        """Build the parameters from a notebook's ``globals()``, as papermill may have changed them.

        Every plain literal (text, number, list, dict) counts as a parameter, so that a misspelt one is found.

        Raises:
            InputError: As :meth:`Strict.checked`.
        """
        literals = (bool, int, float, str, list, dict)
        private = {"In", "Out"}
        found = {
            name: value
            for name, value in names.items()
            if isinstance(value, literals) and not name.startswith("_") and name not in private
        }
        return cls.checked(found, cls.notebook)

    def settings(self) -> Profile:
        """Return the profile that the notebook was asked to use."""
        return load_profile(self.profile)

    def folder(self) -> Path:
        """Return the folder that receives the results."""
        return Path(self.out) if self.out else paths.root() / "runs" / self.profile / self.notebook


class GraphConstruction(Parameters):
    """Parameters of chapter 1."""

    notebook: ClassVar[str] = "01_graph_construction"
    sections: ClassVar[tuple[str, ...]] = ("octa", "graph")
    headline: ClassVar[tuple[str, str]] = ("exactness", "gftlib.octa.exactness:summarise")

    image: str = Field(
        description="an OCTA scan or a folder of scans of your own; empty: the profile's cohort"
    )
    mask: str = Field(
        description="vessel mask of the scan, or a folder of masks of the same names; may be empty"
    )
    workers: int = Field(ge=1, description="processes at work at once")


NOTEBOOKS: dict[str, type[Parameters]] = {cls.notebook: cls for cls in (GraphConstruction,)}
