"""``gftlib bird``: records from image-mask pairs, and the scores of a model that answered them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Med-GRIT records, and how well a model answers them.")


@app.command()
def build(
    source: Annotated[Path, typer.Argument(help="a folder in SA-Med2D's form")],
    folder: Annotated[Path, typer.Argument(help="receives the records")],
    images: Annotated[int, typer.Option(min=1, help="most images")] = 60_000,
    workers: Annotated[int, typer.Option(min=1, help="threads that measure masks")] = 1,
) -> None:
    """Build the records of a folder of images and masks, captions by rule."""
    from gftlib.bird.dataset import BuildConfig
    from gftlib.bird.dataset import build as build_records

    made = build_records(source, folder, BuildConfig(images=images), workers=workers)
    for split, turns in made["turns"].items():
        typer.echo(f"{split}: " + ", ".join(f"{task} {count}" for task, count in turns.items()))
    for problem in made["problems"]:
        typer.echo(problem)
    typer.echo(f"{made['images']} images in {folder}")


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="JSON lines {id, image, question, annotation, response}")],
    task: Annotated[str, typer.Option(help="of lines that name none: VG, ROC, RC, MIA")] = "",
    box_format: Annotated[str, typer.Option(help="how the model writes boxes")] = "qwen_vl",
    java: Annotated[bool, typer.Option(help="try METEOR and SPICE, which need Java")] = True,
) -> None:
    """Score answers by the definitions of BiRD's tables, by modality, with n and interval in every cell."""
    from gftlib.bird import predictions, tasks
    from gftlib.bird.score_tables import main_scores, modality_table, summary
    from gftlib.boxes import BoxFormat

    scoring = tasks.Scoring(box_format=BoxFormat(box_format), java=java)
    scores = tasks.evaluate(predictions.read(file, task or None), scoring)
    for name, numbers in main_scores(summary(scores)).items():
        typer.echo(name)
        typer.echo(modality_table({name: numbers}).to_string(header=False))
