"""Commands for who runs a profile: what it lacks, what it will take."""

from __future__ import annotations

from typing import Annotated

import typer

from gftlib.profile_option import PROFILES, ProfileName


def add(app: typer.Typer, check: typer.Typer) -> None:
    """Add the commands to ``gftlib``."""
    check.command("profile")(check_profile)
    app.command("plan")(plan)


def check_profile(
    name: Annotated[str, typer.Argument(help=PROFILES)],
    settings: Annotated[bool, typer.Option("--settings", help="print the checked settings, as JSON")] = False,
) -> None:
    """Say what a profile needs and lacks: data, weights, key, packages, GPU; code 1 if any is missing."""
    from gftlib.needs import needs
    from gftlib.profiles import load_profile

    profile = load_profile(name)
    if settings:
        typer.echo(profile.model_dump_json(indent=1))
        return
    found = needs(profile)
    for need in found:
        typer.echo(need.line())
    missing = sum(need.state == "missing" for need in found)
    typer.echo(f"{name}: {missing} of {len(found)} are missing" if missing else f"{name}: nothing is missing")
    raise typer.Exit(code=1 if missing else 0)


def plan(profile: ProfileName = "smoke") -> None:
    """Tell what a run will take: time and memory of earlier runs, and the price of hosted models at most."""
    from gftlib.planning import lines
    from gftlib.profiles import load_profile

    for line in lines(load_profile(profile)):
        typer.echo(line)
