"""The command line, ``gftlib --help``. An error that gftlib raises on purpose ends as one line and code 1."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from gftlib import agent_cli, runner_cli, student_cli, tuning_cli
from gftlib.bird_cli import app as bird
from gftlib.dialogue_cli import app as dialogue
from gftlib.errors import GftError, InputError, did_you_mean
from gftlib.profile_option import ProfileName
from gftlib.scale_cli import app as scale

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
check = typer.Typer(no_args_is_help=True, help="Check settings and data before anything runs.")
cohort = typer.Typer(no_args_is_help=True, help="Make the phantom cohorts.")
app.add_typer(check, name="check")
app.add_typer(cohort, name="cohort")
app.add_typer(dialogue, name="dialogue")
app.add_typer(bird, name="bird")
app.add_typer(scale, name="scale")
student_cli.add(app)
agent_cli.add(app)
runner_cli.add(app, check)
tuning_cli.add(app)

CHECKED = {"octa500": "octa500", "derm7pt": "derm7pt", "padchest-gr": "padchest_gr", "sa-med2d": "sa_med2d"}
"""The sets that ``gftlib check data`` knows, and the module that reads each."""

Workers = Annotated[int, typer.Option(min=1, help="processes at work at once")]


@cohort.command("octa")
def cohort_octa(profile: ProfileName = "smoke", workers: Workers = 1) -> None:
    """Make the OCTA phantoms of a profile; a second call makes only what is missing."""
    from gftlib.octa.cohort import make_cohort
    from gftlib.profiles import load_profile

    folder, specs = make_cohort(load_profile(profile), workers)
    typer.echo(f"{len(specs)} scans in {folder}")


@cohort.command("scans")
def cohort_scans(profile: ProfileName = "smoke", workers: Workers = 1) -> None:
    """Make the scan phantoms of a profile, eight modalities; a second call makes only what is missing."""
    from gftlib.bird.dataset_study import scans
    from gftlib.profiles import load_profile

    typer.echo(scans(load_profile(profile), workers))


@app.command()
def precompile() -> None:
    """Compile the kernels once, so that no first user waits for them."""
    from gftlib.octa.graph import precompile

    precompile()


@app.command()
def graph(
    image: Annotated[str, typer.Argument(help="a scan, or a folder of scans")],
    out: Annotated[Path, typer.Option(help="folder of the graphs")],
    masks: Annotated[str, typer.Option(help="vessel mask, or a folder of masks of the same names")] = "",
    field_mm: Annotated[float, typer.Option(help="width of the scanned field, mm")] = 3.0,
    workers: Workers = 1,
) -> None:
    """Extract the vessel graph of one scan or many; a second call makes only what is missing."""
    from gftlib.octa import scans

    found = scans.find_scans(image, masks)
    with Progress(transient=True) as bar:
        task = bar.add_task("graphs", total=len(found))
        batch = scans.extract(found, out, workers, lambda *_: bar.advance(task), field_mm=field_mm)
    kept = f", {len(batch.skipped)} of them from before" if batch.skipped else ""
    typer.echo(f"{len(batch.graphs)} of {len(found)} graphs in {out}{kept}")
    for name, message in batch.errors.items():
        typer.echo(f"{name}: {message}", err=True)
    raise typer.Exit(code=1 if batch.errors else 0)


@app.command()
def measure(
    name: Annotated[
        str, typer.Argument(help="octa_synthetic_tum, octa_rossa; learned: phantoms_a, phantoms_b")
    ],
    folder: Annotated[Path | None, typer.Argument(help="where its files are; phantoms need none")] = None,
    learned: Annotated[bool, typer.Option(help="the learned segmentation in place of the classical")] = False,
) -> None:
    """Measure a segmentation on a public set that is not shipped, for the book to quote."""
    from gftlib import paths
    from gftlib.errors import InputError

    if learned:
        from gftlib.octa import segmentation_scores

        typer.echo(segmentation_scores.publish(name, folder))
        return
    from gftlib.octa.real_sets import measure_set

    if folder is None:
        raise InputError(f"where is {name}? Give its folder")
    target = paths.root() / "book" / "results" / "real" / f"{name}.json"
    typer.echo(paths.write_json(target, measure_set(name, folder)))


@app.command("train-segmentation")
def train_segmentation(
    folder: Annotated[Path, typer.Argument(help="receives training pairs, checkpoint and weights")],
) -> None:
    """Train the learned segmentation anew, on phantoms; interrupted, it goes on where it was."""
    from gftlib.octa import segmentation_training as training

    recipe = training.Recipe()
    network = training.train(recipe, folder)
    typer.echo(training.write_weights(network, recipe, folder / "segmentation.safetensors"))


@app.command()
def publish(runs: Annotated[Path, typer.Argument(help="runs/<profile>")]) -> None:
    """Copy the finished runs of a full-size profile, with their predictions, into the book."""
    from gftlib import results

    for record in sorted(runs.glob("*/record.json")):
        # What is linked there is another profile's run.
        if not record.parent.is_symlink():
            typer.echo(results.publish(record.parent, runs.name))


@check.command("data")
def check_data(
    name: Annotated[str, typer.Argument(help=", ".join(CHECKED))],
    path: Annotated[Path, typer.Argument(help="folder of the set, as its publishers lay it out")],
) -> None:
    """Check a public set before anything runs on it: files, tables, counts beside the published ones."""
    import importlib

    if name not in CHECKED:
        raise InputError(f"unknown set {name!r}{did_you_mean(name, CHECKED)}")
    report = importlib.import_module(f"gftlib.datasets.{CHECKED[name]}").check(path)
    for line in report.lines():
        typer.echo(line)
    raise typer.Exit(code=0 if report.ok else 1)


@app.command()
def explorer(profile: ProfileName = "smoke") -> None:
    """Write the interactive page of one scan, from what chapters 1 to 3 left in the profile's runs."""
    from gftlib.octa.explorer import write_explorer
    from gftlib.paths import root
    from gftlib.profiles import load_profile

    settings = load_profile(profile)
    typer.echo(write_explorer(settings, root() / "runs" / settings.name / "explorer"))


@app.command()
def stage(runs: Path, target: Path) -> None:
    """Lay out prose and executed notebooks for Jupyter Book."""
    from gftlib import book

    book.stage(runs, target)


@app.command()
def workflow() -> None:
    """Draw what `snakemake book --dag --forceall` prints, from standard input, as SVG."""
    from gftlib.workflow_figure import draw_workflow

    typer.echo(draw_workflow(sys.stdin.read()), nl=False)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app()
    except GftError as error:
        sys.exit(f"gftlib: {error}")


if __name__ == "__main__":
    main()
