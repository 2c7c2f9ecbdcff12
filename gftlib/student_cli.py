"""Commands about students: train a small one, ask one, chat with one, make one ready to be served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from gftlib.paths import read_json

if TYPE_CHECKING:
    from gftlib.vlm.backbones import Student
    from gftlib.vlm.chat import Conversation

Image = Annotated[Path, typer.Argument(help="an OCTA scan")]
Name = Annotated[str, typer.Option(help="a student by name, folder or hub id")]
AdapterFolder = Annotated[Path | None, typer.Option(help="folder of an adapter that chapter 5 tuned")]
Device = Annotated[str, typer.Option(help="cpu or cuda")]
Longest = Annotated[int, typer.Option(min=1, help="most tokens of an answer")]


def add(app: typer.Typer) -> None:
    """Add the commands to ``gftlib``."""
    app.command("train-student")(train_student)
    app.command("ask")(ask)
    app.command("chat")(chat)
    app.command("merge")(merge)


def train_student(
    name: Annotated[str, typer.Argument(help="tiny-qwen2.5-vl, tiny-mllama or tiny-bird")],
    folder: Annotated[Path | None, typer.Option(help="receives it; if not given, the package")] = None,
    width: Annotated[float, typer.Option(help="times the embedded one's, in a FOLDER of its own")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="processes that draw phantoms")] = 1,
) -> None:
    """Train an embedded student anew, from nothing, to see and to speak; interrupted, it goes on."""
    from gftlib.dialogue.hearsay import talk
    from gftlib.dialogue.vocabulary import phrases
    from gftlib.errors import InputError
    from gftlib.vlm import sizes
    from gftlib.vlm.backbones import EMBEDDED, TINY_BIRD, WEIGHTS
    from gftlib.vlm.pretraining import pretrain

    if width != 1 and (folder is None or name not in EMBEDDED):
        raise InputError(f"--width is for {' and '.join(EMBEDDED)}, in a folder of its own: give --folder")
    target = folder or WEIGHTS / name
    with Progress(transient=True) as bar:
        task = bar.add_task("steps", total=None)

        def shown(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if name == TINY_BIRD:
            from gftlib.bird.pretraining import pretrain as pretrain_bird

            losses = pretrain_bird(target, workers=workers, progress=shown)
        elif width != 1:
            losses = sizes.pretrain(name, width, target, talk, workers=workers, progress=shown)
        else:
            losses = pretrain(name, target, phrases(), talk, workers=workers, progress=shown)
    typer.echo(f"{target}: {len(losses)} steps, last loss {losses[-1]:.3f}")


def ask(
    image: Image,
    question: Annotated[str, typer.Argument(help="what you want to know")],
    student: Name = "tiny-qwen2.5-vl",
    adapter: AdapterFolder = None,
    device: Device = "cpu",
    longest: Longest = 128,
) -> None:
    """Ask a student one question about a scan."""
    typer.echo(_conversation(image, student, adapter, device, longest).ask(question))


def chat(
    image: Image,
    student: Name = "tiny-qwen2.5-vl",
    adapter: AdapterFolder = None,
    device: Device = "cpu",
    longest: Longest = 128,
) -> None:
    """Talk with a student about a scan; an empty line ends the conversation."""
    conversation = _conversation(image, student, adapter, device, longest)
    while question := typer.prompt(">", default="", show_default=False, prompt_suffix=" ").strip():
        typer.echo(conversation.ask(question))


def merge(
    folder: Annotated[Path, typer.Argument(help="new folder that receives the checkpoint")],
    student: Name = "tiny-qwen2.5-vl",
    adapter: AdapterFolder = None,
) -> None:
    """Write a tuned student as one plain checkpoint, which any server of such models can serve."""
    from gftlib.dialogue.prompts import student_system
    from gftlib.vlm import merging

    merging.check_new(folder)
    typer.echo(merging.merge(_loaded(student, adapter, "cpu"), folder))
    typer.echo(f"Begin every conversation with:\n{student_system(2)}")


def _conversation(image: Path, name: str, adapter: Path | None, device: str, longest: int) -> Conversation:
    from gftlib.datasets.eight_bit import eight_bit_image
    from gftlib.dialogue.prompts import student_system
    from gftlib.vlm.chat import Conversation

    scan = eight_bit_image(image)
    return Conversation(_loaded(name, adapter, device), scan, student_system(2), longest)


def _loaded(name: str, adapter: Path | None, device: str) -> Student:
    from gftlib.errors import GftError, InputError
    from gftlib.vlm.backbones import load_student

    try:
        student = load_student(name, adapter, device)
    except GftError:
        raise
    except (OSError, ValueError, RuntimeError, AssertionError) as error:
        # What transformers, peft and torch say of folders, adapters and devices; its first line says most.
        where = f" with the adapter {adapter}" if adapter else ""
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"student {name!r}{where} cannot be loaded on {device}: {told}") from error
    if adapter is not None and (others := _made_for(adapter, student)):
        raise InputError(f"the adapter {adapter} is of {others}, and {name!r} is {student.family.model_type}")
    return student


def _made_for(adapter: Path, student: Student) -> str:
    """Return which other architecture an adapter of ours was made for; empty if it may be this one's.

    Layers of the small students' languages have the same names and shapes: peft would load one's adapter on
    the other, in part and without a word.
    """
    from gftlib.vlm.backbones import FAMILIES

    noted = read_json(adapter / "adapter_config.json").get("target_modules")
    layers = {family.model_type: f"({family.vision})|({family.language})" for family in FAMILIES.values()}
    del layers[student.family.model_type]
    return ", ".join(name for name, covered in layers.items() if covered == noted)
