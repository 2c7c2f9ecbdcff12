"""What a notebook's ``parameters`` cell may hold, one class a notebook.

papermill passes misspelt names and ill-typed values on without a word, so the cell after the parameters
builds one of these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from gftlib import paths
from gftlib.profiles import Profile, ProfileName, load_profile
from gftlib.sections import Strict


class Parameters(Strict):
    """Base of what a notebook's ``parameters`` cell may hold."""

    notebook: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]  # of the profile, that the notebook's results depend on
    # Key in results.json, and the function that makes its value from its one file predictions.*.
    headline: ClassVar[tuple[str, str]]
    # Part of the package whose shipped weights the notebook's networks begin from.
    begins_from: ClassVar[str] = ""

    profile: ProfileName
    out: str = Field(description="folder of the results; empty: runs/<profile>/<notebook>")

    @classmethod
    def from_notebook(cls, names: Mapping[str, Any]) -> Self:
        """Build the parameters from a notebook's ``globals()``, as papermill may have changed them.

        Every plain literal (text, number, list, dict) counts as a parameter, so that a misspelt one is found.

        Raises:
            InputError: As :meth:`gftlib.sections.Strict.checked`.
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
        """Return the folder that receives the results: of scans of one's own another than the book's runs."""
        if self.out:
            return Path(self.out)
        return paths.root() / "runs" / ("own" if getattr(self, "image", "") else self.profile) / self.notebook

    @classmethod
    def weights(cls) -> list[Path]:
        """Return the shipped weights that the notebook's networks begin from."""
        folder = Path(__file__).parent / cls.begins_from / "weights"
        return sorted(folder.rglob("*.safetensors")) if cls.begins_from else []

    def upstream(self, notebook: str) -> Path:
        """Return where another notebook of the same profile leaves its results."""
        return paths.root() / "runs" / self.profile / notebook


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


class StagingParameters(Parameters):
    """Parameters of chapter 2."""

    notebook: ClassVar[str] = "02_staging"
    sections: ClassVar[tuple[str, ...]] = ("octa", "graph", "staging")
    headline: ClassVar[tuple[str, str]] = ("balanced_accuracy", "gftlib.octa.staging_study:headline")
    begins_from: ClassVar[str] = "octa"

    workers: int = Field(ge=1, description="processes at work at once")


class AttributionParameters(Parameters):
    """Parameters of chapter 3."""

    notebook: ClassVar[str] = "03_attribution"
    sections: ClassVar[tuple[str, ...]] = ("octa", "graph", "staging", "attribution")
    headline: ClassVar[tuple[str, str]] = ("lesions", "gftlib.octa.attribution_study:headline")

    workers: int = Field(ge=1, description="processes at work at once")


class DialogueParameters(Parameters):
    """Parameters of chapter 4."""

    notebook: ClassVar[str] = "04_dialogue"
    sections: ClassVar[tuple[str, ...]] = ("octa", "graph", "staging", "attribution", "dialogue")
    headline: ClassVar[tuple[str, str]] = ("ceiling", "gftlib.dialogue.scoring:ceiling")

    workers: int = Field(ge=1, description="processes at work at once")


class TuningParameters(Parameters):
    """Parameters of chapter 5."""

    notebook: ClassVar[str] = "05_lora_tuning"
    sections: ClassVar[tuple[str, ...]] = (*DialogueParameters.sections, "tuning", "agent")
    headline: ClassVar[tuple[str, str]] = ("staging", "gftlib.dialogue.staging_answers:headline")
    begins_from: ClassVar[str] = "vlm"

    workers: int = Field(ge=1, description="processes at work at once, a student each")


class AgentParameters(Parameters):
    """Parameters of chapter 6."""

    notebook: ClassVar[str] = "06_agent_evaluation"
    sections: ClassVar[tuple[str, ...]] = TuningParameters.sections
    headline: ClassVar[tuple[str, str]] = ("explained", "gftlib.dialogue.scoring:ceiling")
    begins_from: ClassVar[str] = "vlm"

    workers: int = Field(ge=1, description="processes at work at once, a student each")


class ScaleParameters(Parameters):
    """Parameters of chapter 7."""

    notebook: ClassVar[str] = "07_scale"
    sections: ClassVar[tuple[str, ...]] = ("skin", "chest", "scale")
    headline: ClassVar[tuple[str, str]] = ("protocol", "gftlib.scale.predictions:summarise")
    begins_from: ClassVar[str] = "scale"

    use_case: Literal["both", "monet", "medclip"] = Field(description="both, or one of them")
    workers: int = Field(ge=1, description="processes at work at once, one a use case")


class BirdDatasetParameters(Parameters):
    """Parameters of chapter 8."""

    notebook: ClassVar[str] = "08_bird_dataset"
    sections: ClassVar[tuple[str, ...]] = ("scans", "bird")
    headline: ClassVar[tuple[str, str]] = ("counts", "gftlib.bird.dataset_study:headline")

    workers: int = Field(ge=1, description="processes at work at once")


class BirdGroundingParameters(Parameters):
    """Parameters of chapter 9."""

    notebook: ClassVar[str] = "09_bird_grounding"
    sections: ClassVar[tuple[str, ...]] = (*BirdDatasetParameters.sections, "grounding")
    headline: ClassVar[tuple[str, str]] = ("scores", "gftlib.bird.tuning_study:headline")
    begins_from: ClassVar[str] = "vlm"

    workers: int = Field(ge=1, description="processes at work at once, a tuning each")


class ResultsParameters(Parameters):
    """Parameters of chapter 10, which reads published runs and depends on no setting."""

    notebook: ClassVar[str] = "10_results"
    sections: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[tuple[str, str]] = ("counts", "gftlib.collected:headline")

    workers: int = Field(ge=1, description="as in every chapter; nothing here takes long")


NOTEBOOKS: dict[str, type[Parameters]] = {
    cls.notebook: cls
    for cls in (
        GraphConstruction,
        StagingParameters,
        AttributionParameters,
        DialogueParameters,
        TuningParameters,
        AgentParameters,
        ScaleParameters,
        BirdDatasetParameters,
        BirdGroundingParameters,
        ResultsParameters,
    )
}
