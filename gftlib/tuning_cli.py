"""``gftlib tune``: tune the students of a profile on every GPU that ``accelerate launch`` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gftlib.profile_option import ProfileName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gftlib.profiles import Profile

CHAPTERS = {5: "05_lora_tuning", 9: "09_bird_grounding"}


def add(app: typer.Typer) -> None:
    """Add the command to ``gftlib``."""
    app.command("tune")(tune)


def tune(
    profile: ProfileName = "smoke",
    chapter: Annotated[int, typer.Option(help="whose students: 5 or 9")] = 5,
) -> None:
    """Tune the students of a chapter, whose notebook then finds them tuned; interrupted, it goes on."""
    from gftlib.errors import InputError
    from gftlib.profiles import load_profile

    if chapter not in CHAPTERS:
        raise InputError(f"chapter {chapter} tunes no student; known: 5, 9")
    from accelerate import PartialState

    settings = load_profile(profile)
    device = settings.tuning.device if chapter == 5 else settings.grounding.device
    # Made before any weight is loaded: each process gets a GPU of its own.
    state = PartialState(cpu=not device.startswith("cuda"))
    for name in _gft(settings) if chapter == 5 else _bird(settings):
        state.wait_for_everyone()
        if state.is_main_process:
            typer.echo(f"{name}: tuned")


def _gft(settings: Profile) -> Iterator[str]:
    from gftlib import agent
    from gftlib.paths import root

    course = agent.with_truth(agent.open_course(settings), settings)
    folder = root() / "runs" / settings.name / CHAPTERS[5]
    for pupil in agent.pupils(settings):
        if pupil.arm != "BS":
            agent.teach(course, pupil, settings.tuning, folder)
            yield str(pupil.folder)


def _bird(settings: Profile) -> Iterator[str]:
    from gftlib.bird import arms, dataset_study, tuning_study
    from gftlib.paths import root

    course = tuning_study.open_course(dataset_study.opened(settings), settings)
    folder = root() / "runs" / settings.name / CHAPTERS[9]
    for learner in arms.learners(settings.grounding):
        if learner.arm != arms.UNTUNED:
            arms.teach(course, learner, settings.grounding, folder, settings.seed)
            yield str(learner.folder)
