"""The sections of a profile: every setting of every chapter, with its type, range and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gftlib.errors import InputError, did_you_mean


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
