"""Commands of chapter 6: judge explanations, prepare and score the experts' study, tune a hosted model."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gftlib.dialogue_cli import price
from gftlib.profile_option import ProfileName

if TYPE_CHECKING:
    from gftlib.agent import Course
    from gftlib.agent_hosted import HostedArm
    from gftlib.endpoint.client import Estimate
    from gftlib.profiles import Profile

study = typer.Typer(no_args_is_help=True, help="The experts' study: blinded forms, and what came back.")
hosted = typer.Typer(no_args_is_help=True, help="Tune a large hosted model on the dialogues.")

Labels = Annotated[bool, typer.Option("--labels", help="the arm FT: the label of each scan, nothing else")]
Workers = Annotated[int, typer.Option(min=1, help="processes at work at once")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="count and estimate the cost; send nothing")]


def add(app: typer.Typer) -> None:
    """Add the commands to ``gftlib``."""
    app.command("judge")(judge)
    app.add_typer(study, name="study")
    app.add_typer(hosted, name="hosted")


def judge(profile: ProfileName = "smoke", workers: Workers = 1, dry_run: DryRun = False) -> None:
    """Have the explanations of chapter 5's students scored, by rule or by the judge of the profile."""
    from gftlib import agent_evaluation, teaching
    from gftlib.dialogue.judge import HostedJudge
    from gftlib.dialogue.rubric import score_table
    from gftlib.paths import write_json

    settings, course, answers = _answers(profile)
    folder = _folder(settings)
    lesson = teaching.prepare(settings, folder.parent / "04_dialogue", workers)
    given = (course, settings, answers, lesson, folder)
    if dry_run:
        items = agent_evaluation.judge_items(*given, workers)
        typer.echo(f"{len(items)} scans, {sum(len(item.answers) for item in items)} answers")
        if settings.agent.judge == "hosted":
            endpoint = agent_evaluation.judge_endpoint(settings, folder)
            steps = zip(("references", "scores"), HostedJudge().estimate(endpoint, items), strict=True)
            for step, cost in steps:
                typer.echo(_told(step, cost))
        return
    judged = agent_evaluation.judge(*given, workers)
    kept = [judgement.model_dump(mode="json") for judgement in judged.judgements]
    if kept:
        typer.echo(score_table(judged.judgements).round(1).to_string())
    typer.echo(write_json(folder / "judge" / "judgements.json", kept))
    for (scan, _), why in judged.missing.items():
        typer.echo(f"{scan}: {why}", err=True)
    raise typer.Exit(code=1 if judged.missing else 0)


@study.command("write")
def study_write(
    folder: Annotated[Path, typer.Argument(help="gets sheets/, which raters may see, and key.json")],
    profile: ProfileName = "smoke",
    rater: Annotated[
        list[str] | None, typer.Option(help="name or number of a rater; may be repeated")
    ] = None,
) -> None:
    """Write the blinded forms of the experts' study from the answers of chapter 5's students."""
    from gftlib import agent_evaluation
    from gftlib.dialogue.expert_study import blind, write_study

    settings, course, answers = _answers(profile)
    samples = agent_evaluation.study_samples(course, settings, answers)
    raters = rater or agent_evaluation.RATERS
    blinded = blind(samples, settings.seed)
    write_study(blinded, folder, raters)
    count = sum(len(sample.answers) for sample in blinded.sheet.samples)
    typer.echo(f"{len(samples)} scans, {count} answers, {len(raters)} raters: {folder / 'sheets'}")
    typer.echo(f"keep from raters: {folder / 'key.json'}")


@study.command("score")
def study_score(
    folder: Annotated[Path, typer.Argument(help="of `gftlib study write`")],
    answers: Annotated[
        list[Path] | None, typer.Argument(help="files that the forms saved; none: FOLDER/answers*.json")
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="bootstrap resamples of the intervals")] = 1000,
) -> None:
    """Score the models of a study by what its experts answered, and say how far these agree."""
    from gftlib.dialogue.expert_answers import read_answers, score_study
    from gftlib.dialogue.expert_study import read_key, read_sheet
    from gftlib.errors import MissingError
    from gftlib.paths import write_json

    sheet, key = read_sheet(folder / "sheets" / "sheet.json"), read_key(folder / "key.json")
    files = answers or sorted(folder.glob("answers*.json"))
    if not files:
        raise MissingError(f"no answers*.json in {folder}: put there what the raters' forms saved")
    scores = score_study(key, [read_answers(file, sheet) for file in files], resamples)
    typer.echo(scores.models.round(1).to_string())
    kappa: dict[str, dict[str, float] | None] = {}
    for name, cell in scores.kappa.items():
        # Two raters who give one and the same score throughout leave it undefined.
        known = all(math.isfinite(value) for value in (cell.value, cell.low, cell.high))
        kappa[name] = asdict(cell) if known else None
        told = f"{cell.value:.2f} ({cell.low:.2f} to {cell.high:.2f})" if known else "not defined"
        typer.echo(f"weighted kappa, {name}: {told}")
    models = {name: row.to_dict() for name, row in scores.models.iterrows()}
    typer.echo(write_json(folder / "scores.json", {"models": models, "kappa": kappa}))


@hosted.command("tune")
def hosted_tune(
    profile: ProfileName = "smoke",
    yes_send_images: Annotated[
        bool, typer.Option("--yes-send-images", help="the scans may be sent to the tuning service")
    ] = False,
    dry_run: DryRun = False,
    wait_s: Annotated[float, typer.Option(min=0, help="longest wait; the job goes on without")] = 86_400.0,
    labels: Labels = False,
) -> None:
    """Tune a hosted model on chapter 4's dialogues, or go on where a former run stopped."""
    from gftlib import agent, agent_hosted
    from gftlib.errors import InputError
    from gftlib.profiles import load_profile

    settings = load_profile(profile)
    arm = _arm(labels)
    folder = agent_hosted.hosted_folder(settings, arm)
    file = agent_hosted.tuning_records(agent.open_course(settings), settings, folder, arm)
    tuning = agent_hosted.hosted_tuning(settings.hosted, wait_s)
    try:
        cost = f"about {tuning.usd(file):.2f} USD"
    except InputError:
        cost = "cost not known: give hosted.epochs as a number, and hosted.usd_per_million"
    typer.echo(
        f"{file.records} records, {file.images} images, {file.size / 1e6:.1f} MB, about {file.tokens} tokens "
        f"an epoch, {cost}"
    )
    if dry_run:
        return
    if not yes_send_images:
        raise InputError("the images leave this machine only with --yes-send-images")
    endpoint = agent_hosted.tuning_endpoint(settings.hosted, folder, images=True)
    typer.echo(tuning.tune(endpoint, file.path, folder, send_images=True))


@hosted.command("ask")
def hosted_ask(
    profile: ProfileName = "smoke",
    model: Annotated[str, typer.Option(help="another model than the tuned one, as it came")] = "",
    cases: Annotated[bool, typer.Option(help="show similar taught scans beside each")] = True,
    most: Annotated[int, typer.Option("--scans", min=0, help="scans asked about; 0: all unseen ones")] = 0,
    usd_in: Annotated[float, typer.Option(min=0, help="price of a million tokens asked")] = 0.0,
    usd_out: Annotated[float, typer.Option(min=0, help="price of a million tokens answered")] = 0.0,
    max_usd: Annotated[
        float, typer.Option(min=0, help="most that it may cost; 0: no limit of our own")
    ] = 0.0,
    yes_send_images: Annotated[
        bool, typer.Option("--yes-send-images", help="the scans may be sent to the service")
    ] = False,
    dry_run: DryRun = False,
    workers: Workers = 1,
    labels: Labels = False,
) -> None:
    """Ask the tuned model, or another, for the stage of scans that no one has learnt from, and score it."""
    from gftlib import agent, agent_hosted
    from gftlib.dialogue import staging_answers
    from gftlib.errors import InputError
    from gftlib.paths import atomic_path
    from gftlib.profiles import load_profile

    settings = load_profile(profile)
    arm = _arm(labels)
    folder, course = agent_hosted.hosted_folder(settings, arm), agent.open_course(settings)
    # A model that learnt labels alone has met no case.
    if labels or not cases:
        settings = settings.model_copy(update={"hosted": settings.hosted.model_copy(update={"cases": 0})})
    name = model or agent_hosted.tuned_model(folder)
    prices = {"usd_in": usd_in, "usd_out": usd_out, "max_usd": max_usd or None}
    endpoint = agent_hosted.asking_endpoint(
        settings.hosted, folder, name, prices, images=yes_send_images or dry_run
    )
    scans = course.unseen(most or None)
    requests = agent_hosted.stage_requests(course, settings, scans, workers)
    typer.echo(_told(name, endpoint.dry_run(requests)))
    if dry_run:
        return
    if not yes_send_images:
        raise InputError("the images leave this machine only with --yes-send-images")
    found = agent_hosted.ask_stages(course, scans, requests, endpoint)
    shown = f"{name}, {settings.hosted.cases} cases"
    found = found.assign(student=shown, arm="BS" if model else arm)
    file = folder / f"stages-{endpoint.record.stem}-{settings.hosted.cases}.csv"
    with atomic_path(file) as temporary:
        found.to_csv(temporary, index=False)
    typer.echo(staging_answers.table(staging_answers.headline(found)).T.to_string())
    typer.echo(file)


@hosted.command("status")
def hosted_status(profile: ProfileName = "smoke", labels: Labels = False) -> None:
    """Say what has become of the tuning job; nothing is started or sent."""
    from gftlib import agent_hosted
    from gftlib.profiles import load_profile
    from gftlib.vlm.hosted import job_state

    settings = load_profile(profile)
    folder = agent_hosted.hosted_folder(settings, _arm(labels))
    state = job_state(agent_hosted.tuning_endpoint(settings.hosted, folder), folder)
    told = [f"{name}: {state[name]}" for name in ("job", "status", "reason", "model") if name in state]
    typer.echo("\n".join(told or ["no job was started yet: run `gftlib hosted tune` again"]))


def _arm(labels: bool) -> HostedArm:
    return "FT" if labels else "GFT"


def _answers(name: str) -> tuple[Profile, Course, dict[str, dict[str, str]]]:
    from gftlib import agent, agent_evaluation
    from gftlib.profiles import load_profile

    settings = load_profile(name)
    course = agent.open_course(settings)
    tuned_in = _folder(settings).parent / "05_lora_tuning"
    return settings, course, agent_evaluation.staged_answers(course, settings, tuned_in)


def _folder(settings: Profile) -> Path:
    from gftlib.paths import root

    return root() / "runs" / settings.name / "06_agent_evaluation"


def _told(step: str, cost: Estimate) -> str:
    return (
        f"{step}: {cost.to_ask} requests to send ({cost.answered} are answered), about {cost.input_tokens} "
        f"tokens in, at most {cost.output_tokens} out, {price(cost)}"
    )
