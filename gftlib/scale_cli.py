"""``gftlib scale``: chapter 7's grid as jobs of their own, for who has many machines."""

from __future__ import annotations

from typing import Annotated

import typer

from gftlib.profile_option import ProfileName

app = typer.Typer(no_args_is_help=True, help="Chapter 7's grid, one job at a time.")

Name = Annotated[str, typer.Argument(help="use case: monet (skin) or medclip (chest)")]


@app.command()
def embed(use_case: Name, profile: ProfileName = "smoke") -> None:
    """Make a use case's embeddings, which all of its cells share."""
    _run_part(use_case, None, profile)


@app.command()
def cells(
    use_case: Name,
    method: Annotated[str, typer.Argument(help="one of the profile's `scale.methods`")],
    profile: ProfileName = "smoke",
) -> None:
    """Compute one method at every fraction on every draw; notebook 07 goes on from its cells."""
    typer.echo(f"{_run_part(use_case, method, profile)} cells of {method} on {use_case}")


def _run_part(use_case: str, method: str | None, profile: str) -> int:
    from gftlib.errors import InputError, did_you_mean
    from gftlib.paths import root
    from gftlib.profiles import load_profile
    from gftlib.scale.study import USE_CASES, run_part

    if use_case not in (known := USE_CASES["both"]):
        raise InputError(f"unknown use case {use_case!r}{did_you_mean(use_case, known)}")
    return run_part(use_case, method, load_profile(profile), root() / "runs" / profile / "07_scale")
