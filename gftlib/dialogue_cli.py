"""``gftlib dialogue``: have the dialogues of a cohort written, and count what is in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gftlib.profile_option import ProfileName

if TYPE_CHECKING:
    from gftlib.endpoint.client import Estimate

app = typer.Typer(no_args_is_help=True, help="Dialogues about scans, from the tables of their graphs.")


@app.command()
def build(
    profile: ProfileName = "smoke",
    workers: Annotated[int, typer.Option(min=1, help="processes at work at once")] = 1,
    out: Annotated[str, typer.Option(help="folder of the corpus; empty: runs/<profile>/04_dialogue")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="count and estimate the cost; ask nothing")
    ] = False,
    yes_send_images: Annotated[
        bool, typer.Option("--yes-send-images", help="the scans may be sent to the hosted teacher")
    ] = False,
    poll_s: Annotated[float, typer.Option(help="seconds between two looks at batch jobs")] = 60.0,
) -> None:
    """Have the dialogues of a profile written; a second call asks only for what is missing."""
    from gftlib import teaching
    from gftlib.dialogue import corpus, taught
    from gftlib.paths import root
    from gftlib.profiles import load_profile

    settings = load_profile(profile)
    wanted = settings.dialogue
    folder = Path(out) if out else root() / "runs" / profile / "04_dialogue"
    sent, missing = wanted.teacher == "hosted" and wanted.send_images, 0
    for fold in wanted.folds:
        lesson, place = (
            teaching.prepare(settings, folder, workers, fold=fold),
            taught.fold_place(folder, wanted, fold),
        )
        pupils = lesson.pupils(sent, workers)
        if dry_run:
            typer.echo(
                f"fold {fold}: {len(pupils)} scans, {len(pupils)} + {len(pupils) * wanted.pairs} pairs"
            )
            costs = corpus.estimate(pupils, wanted, folder) if wanted.teacher == "hosted" else []
            for stage, cost in enumerate(costs, start=1):
                typer.echo(_told(stage, cost))
            continue
        made = corpus.build(pupils, wanted, place, settings.seed, yes_send_images, poll_s, folder)
        pairs = sum(len(dialogue.pairs) for dialogue in (*made.first, *made.second))
        typer.echo(f"{pairs} pairs about {len(pupils)} scans in {place}")
        for name, why in made.missing.items():
            typer.echo(f"{name}: {why}", err=True)
        missing += len(made.missing)
    raise typer.Exit(code=1 if missing else 0)


@app.command()
def stats(files: Annotated[list[Path], typer.Argument(help="files of dialogues, JSON lines")]) -> None:
    """Count what dialogues hold, as JSON."""
    from gftlib.dialogue.records import read_dialogues
    from gftlib.dialogue.scoring import corpus_statistics

    dialogues = [dialogue for path in files for dialogue in read_dialogues(path)]
    typer.echo(json.dumps(corpus_statistics(dialogues), indent=1))


def price(cost: Estimate) -> str:
    """Return what a run may cost in words; a price of nothing was not given."""
    return f"at most {cost.usd:.2f} USD" if cost.usd or not cost.to_ask else "and no price was given"


def _told(stage: int, cost: Estimate) -> str:
    return (
        f"stage {stage}: {cost.to_ask} requests to send ({cost.answered} are answered), {cost.images} images,"
        f" about {cost.input_tokens} tokens in, at most {cost.output_tokens} out, {price(cost)}"
    )
