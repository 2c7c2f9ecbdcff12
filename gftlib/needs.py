"""What a profile needs before anything runs, whether it is there, and what to do where it is not."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gftlib import checkpoints
from gftlib.profiles import Profile

GFT = ("01", "02", "03", "04", "05", "06")
DEVICES = {
    "02_staging": "staging",
    "05_lora_tuning": "tuning",
    "06_agent_evaluation": "tuning",
    "07_scale": "scale",
    "09_bird_grounding": "grounding",
}
"""The section whose ``device`` a notebook's networks run on; the others run on the processor alone."""
TOKENIZER = "emilyalsentzer/Bio_ClinicalBERT"
"""Hub id of the vocabulary that MedCLIP reads with (`gftlib.scale.medclip`, which loads torch)."""
MARKS = {
    "derm7pt": ("meta/meta.csv",),
    "padchest-gr": ("master_table.csv", "grounded_reports_*.json"),
    "sa-med2d": (),
    "octa500": (),
}
"""Files by which the folder of a public set is known; a pattern of one name."""


@dataclass(frozen=True)
class Need:
    """One thing that a profile needs.

    Attributes:
        kind: What sort of thing.
        name: Which.
        chapters: Numbers of the notebooks that need it.
        state: Whether it is there; ``left out`` means that the notebooks run without it.
        told: What was found, or what is missing and what to do.
    """

    kind: Literal["data", "weights", "key", "package", "program", "GPU"]
    name: str
    chapters: tuple[str, ...]
    state: Literal["there", "missing", "left out"]
    told: str

    def line(self) -> str:
        """Return it as one line of text."""
        return f"{self.state:<8}  {self.kind:<7}  {self.name} ({', '.join(self.chapters)}): {self.told}"


def needs(profile: Profile) -> list[Need]:
    """Return all that a profile needs, in the order in which one would see to it."""
    return [*_data(profile), *_weights(profile), *_keys(profile), *_packages(profile), *_gpu(profile)]


def gpus(profile: Profile, notebook: str) -> int:
    """Return the number of GPUs, 0 or 1, that a notebook uses under a profile."""
    section = DEVICES.get(notebook)
    return int(section is not None and getattr(profile, section).device.startswith("cuda"))


def unset(text: str) -> str:
    """Return the first variable of ``text`` that the environment lacks, or nothing."""
    found = re.search(r"\$\{?(\w+)", os.path.expandvars(text))
    return found[1] if found else ""


def _data(profile: Profile) -> Iterator[Need]:
    if profile.octa.source == "folder":
        yield from _scans(profile.octa.path)
    if profile.staging.octa500:
        found = _folder("OCTA-500", ("02", "06"), profile.staging.octa500, "octa500")
        # Both ask for it only where its variable is set.
        yield (
            found
            if not unset(profile.staging.octa500)
            else Need("data", found.name, found.chapters, "left out", found.told)
        )
    for section, name, key, chapters in (
        (profile.skin, "Derm7pt", "derm7pt", ("07",)),
        (profile.chest, "PadChest-GR", "padchest-gr", ("07",)),
        (profile.scans, "SA-Med2D-20M", "sa-med2d", ("08", "09")),
    ):
        if section.source == "folder":
            yield _folder(name, chapters, section.path, key)


def _folder(name: str, chapters: tuple[str, ...], text: str, key: str) -> Need:
    if variable := unset(text):
        return Need("data", name, chapters, "missing", f"set {variable}: export {variable}=FOLDER")
    folder = Path(os.path.expandvars(text)).expanduser()
    if not text or not folder.is_dir():
        return Need("data", name, chapters, "missing", f"no folder {str(folder)!r}")
    if lacks := [mark for mark in MARKS[key] if not next(folder.glob(mark), None)]:
        return Need("data", name, chapters, "missing", f"no {lacks[0]} in {folder}")
    return Need("data", name, chapters, "there", f"{folder}; count it by `gftlib check data {key} {folder}`")


def _scans(text: str) -> Iterator[Need]:
    name = "OCTA scans"
    if variable := unset(text):
        yield Need("data", name, GFT, "missing", f"set {variable}: export {variable}=FOLDER")
        return
    where = os.path.expandvars(text)
    folder = Path(where).expanduser()
    images = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
    count = (
        sum(path.suffix.lower() in images for path in folder.iterdir()) if where and folder.is_dir() else 0
    )
    if not count:
        yield Need("data", name, GFT, "missing", f"no scans in {where!r}: PNG, TIFF or JPEG files")
        return
    yield Need("data", name, GFT, "there", f"{count} in {folder}")
    table = folder / "scans.csv"
    advice = f"{table} is needed: scan,subject,stage of each; the page on your own scans tells its columns"
    there = table.is_file()
    yield Need("data", "stages", GFT[1:], "there" if there else "missing", str(table) if there else advice)


def _weights(profile: Profile) -> Iterator[Need]:
    for name, text in (
        ("MONET", profile.skin.encoder),
        ("MedCLIP", profile.chest.encoder),
        ("CLIP", profile.scale.clip),
    ):
        if text:
            found = _checkpoint(name, ("07",), text, hub=name != "MedCLIP")
            yield found
            if name == "MedCLIP" and found.state == "there":
                yield from _medclip_words(Path(os.path.expandvars(text)))
    for name in profile.tuning.students:
        yield _checkpoint(name, ("05", "06"), name)
    for name in profile.grounding.arms:
        # One named by a variable is a BiRD, which is on no hub.
        yield _checkpoint(name, ("09",), name, hub="$" not in name)


def _medclip_words(place: Path) -> Iterator[Need]:
    """The published checkpoint comes without the vocabulary of its text model."""
    folder = place if place.is_dir() else place.parent
    if not any((folder / name).is_file() for name in ("tokenizer_config.json", "vocab.txt")):
        there = checkpoints.cached(TOKENIZER, "vocab.txt")
        told = f"{TOKENIZER} in the hub's local cache" if there else f"download it: hf download {TOKENIZER}"
        yield Need("weights", "MedCLIP's vocabulary", ("07",), "there" if there else "missing", told)


def _checkpoint(name: str, chapters: tuple[str, ...], text: str, hub: bool = True) -> Need:
    if variable := unset(text):
        told = f"set {variable}: export {variable}=FOLDER; or take it out of the profile"
        return Need("weights", name, chapters, "missing", told)
    found = checkpoints.find(os.path.expandvars(text), hub)
    return Need("weights", name, chapters, "there" if found.folder else "missing", found.told)


def hosted(profile: Profile) -> dict[str, tuple[str, ...]]:
    """Return which parts of a profile ask a hosted model, and the notebooks they belong to."""
    asked = {
        "teacher": (profile.dialogue.teacher, ("04",)),
        "judge": (profile.agent.judge, ("06",)),
        "captions": (profile.bird.captions, ("08",)),
    }
    return {part: chapters for part, (who, chapters) in asked.items() if who == "hosted"}


def _keys(profile: Profile) -> Iterator[Need]:
    parts = hosted(profile)
    if not parts:
        return
    chapters = tuple(sorted({number for numbers in parts.values() for number in numbers}))
    there = bool(os.environ.get("OPENAI_API_KEY"))
    told = "is set" if there else "set it; a local server without keys takes any word"
    yield Need("key", "OPENAI_API_KEY", chapters, "there" if there else "missing", told)
    for text, what in (
        (profile.dialogue.endpoint.model, "model"),
        (profile.dialogue.endpoint.base_url, "address"),
    ):
        if variable := unset(text):
            told = f"name the {what} that is asked: export {variable}=NAME"
            yield Need("key", variable, chapters, "missing", told)
    if variable := unset(profile.hosted.model):
        told = f"`gftlib hosted tune` alone needs it: export {variable}=NAME"
        yield Need("key", variable, ("06",), "left out", told)


def _packages(profile: Profile) -> Iterator[Need]:
    if profile.tuning.optimizer == "adamw_8bit" or profile.tuning.four_bit:
        there = importlib.util.find_spec("bitsandbytes") is not None
        told = "is installed" if there else 'uv pip install --editable ".[gpu]"'
        yield Need("package", "bitsandbytes", ("05", "06"), "there" if there else "missing", told)
    if profile.bird.java:
        there = shutil.which("java") is not None and importlib.util.find_spec("pycocoevalcap") is not None
        told = (
            "METEOR can be run; SPICE needs Stanford CoreNLP too"
            if there
            else "METEOR and SPICE are left out"
        )
        yield Need("program", "Java, pycocoevalcap", ("08", "09"), "there" if there else "left out", told)


def _gpu(profile: Profile) -> Iterator[Need]:
    chapters = tuple(notebook[:2] for notebook in DEVICES if gpus(profile, notebook))
    if not chapters:
        return
    import torch

    if not torch.cuda.is_available():
        told = "torch sees none: run where there is one, or write `device: cpu` into the profile"
        yield Need("GPU", "CUDA", chapters, "missing", told)
        return
    memory = torch.cuda.get_device_properties(0).total_memory
    yield Need("GPU", torch.cuda.get_device_name(0), chapters, "there", f"{memory / 2**30:.0f} GiB of memory")
    for name, chapters, size in tuned_students(profile):
        if size:
            state = "there" if size < memory else "missing"
            held = "weights, gradients and moments" if _is_bird(name) else "the weights alone"
            rest = "activations come" if _is_bird(name) else "what learns, and activations, come"
            told = f"{size / 2**30:.1f} GiB for {held}; {rest} on top"
            yield Need("GPU", f"memory for {name}", chapters, state, told)


def tuned_students(profile: Profile) -> list[tuple[str, tuple[str, ...], int]]:
    """Return every student that is tuned on a GPU: name, chapters, bytes that it takes (0: unknown).

    Of one with an adapter these are its weights; of a BiRD, all of which learns, gradients and moments too.
    """
    tuning, grounding, found = profile.tuning, profile.grounding, []
    if tuning.device.startswith("cuda"):
        for name in tuning.students:
            size = checkpoints.memory(name, tuning.dtype, tuning.four_bit)
            found.append((name, ("05", "06"), size))
    if grounding.device.startswith("cuda"):
        for name in grounding.arms:
            dtype, copies = ("float32", 4) if _is_bird(name) else (grounding.dtype, 1)
            size = 0 if unset(name) else copies * checkpoints.memory(os.path.expandvars(name), dtype)
            found.append((name, ("09",), size))
    return found


def _is_bird(name: str) -> bool:
    """Return whether a student is a BiRD, named by a variable; all its weights learn, in full precision."""
    return "$" in name
