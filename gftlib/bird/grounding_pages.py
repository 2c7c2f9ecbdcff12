"""What chapter 9 shows: this run, or the committed full-size run where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gftlib import results
from gftlib.bird import grounding_tables, tuning_study
from gftlib.bird.arm_names import FULL
from gftlib.bird.dataset_study import Made
from gftlib.bird.grounding_examples import Marked, marked
from gftlib.bird.score_tables import Numbers

NOTEBOOK = "09_bird_grounding"
Scores = Mapping[str, Mapping[str, Numbers]]


@dataclass(frozen=True)
class Page:
    """All numbers of a run that the page shows.

    Attributes:
        predictions: Its file.
        scores: Of `gftlib.bird.tuning_study.headline`.
        java: Of `gftlib.bird.tuning_study.with_java`.
        protocol: Student -> its scores by LLaVA-Med's protocol, untuned.
        general: ``student/arm`` -> what it says to neutral questions.
        losses: ``student/arm`` -> mean loss of the last steps.
        about: Which run it is; says that phantoms are shown.
        seed: Of phantoms that are drawn again; None: the images of the page's own run.
    """

    predictions: Path
    scores: Scores
    java: Scores
    protocol: Mapping[str, Mapping[str, Numbers]]
    general: Mapping[str, Mapping[str, float]]
    losses: Mapping[str, float]
    about: str
    seed: int | None = None

    @classmethod
    def of(cls, predictions: Path, found: Mapping[str, Mapping[str, Any]], made: Made) -> Page:
        """Score a run.

        Args:
            predictions: What `gftlib.bird.tuning_study.write_predictions` wrote.
            found: What `gftlib.bird.tuning_study.tune_and_ask` returned.
            made: The records of chapter 8.
        """
        scores = tuning_study.headline(predictions)
        full = [name for name in scores if name.endswith(f"/{FULL}")]
        return cls(
            predictions,
            scores,
            tuning_study.with_java(predictions, made, full),
            {name.rpartition("/")[0]: one["llava_med"] for name, one in found.items() if "llava_med" in one},
            {name: one["general"] for name, one in found.items()},
            tuning_study.last_losses(found),
            "this run, phantoms" if (made.source / "cohort.json").is_file() else "this run",
        )

    def results(self) -> dict[str, Any]:
        """Return what is kept of the run."""
        return {
            "scores": self.scores,
            "java": self.java,
            "llava_med": self.protocol,
            "general": self.general,
            "losses": self.losses,
        }

    @property
    def student(self) -> str:
        """The full-size arm of the first student, which single figures and tables show."""
        return next((name for name in self.scores if name.endswith(f"/{FULL}")), list(self.scores)[-1])

    @property
    def shown_student(self) -> str:
        """Its name and run."""
        return f"{self.student}, {self.about}"

    def main(self) -> dict[str, Numbers]:
        """Return its scores by modality, those that need Java too where there are any."""
        return {**self.scores[self.student], **self.java.get(self.student, {})}

    def table_1(self) -> pd.DataFrame:
        """Return BiRD's Table 1 beside the run."""
        return grounding_tables.table_1(self.scores, self.java, self.protocol)

    def marked(self, made: Made) -> list[Marked]:
        """Return one grounding question of each modality with its answer."""
        if self.seed is None:
            return marked(self.predictions, self.student, made.source)
        return marked(self.predictions, self.student, seed=self.seed)


def published(profile: str) -> Page | None:
    """Return the full-size run to show beside a page's own, None if there is none."""
    full = results.beside(NOTEBOOK, profile)
    if full is None:
        return None
    kept = full.results
    return Page(
        full.folder / tuning_study.PREDICTIONS,
        kept["scores"],
        kept["java"],
        kept["llava_med"],
        kept["general"],
        kept["losses"],
        full.about,
        full.record.seed,
    )
