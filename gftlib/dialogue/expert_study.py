"""The expert study: blinded sheets and their key (GFT, sections 3 and 4.2).

The paper shows two ophthalmologists 48 answers, those of six models to eight samples, shuffled; they rank
them and score accuracy, localisation and helpfulness, region by region. Here the answers to one sample stand
together, so that they can be ranked; their order and the order of samples are drawn for each rater. Codes of
answers are drawn over the whole study, so that they tell neither model nor sample; what they stand for is in
the key alone, a file that raters must not get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from gftlib.dialogue.expert_form import form
from gftlib.dialogue.rubric import masked
from gftlib.endpoint.messages import Part, data_url
from gftlib.errors import InputError
from gftlib.octa.places import Record
from gftlib.paths import atomic_path, read_json, sha256, write_json

STEP = 5
"""Points are given in steps of five, from 0 to 100: the categories of the weighted kappa."""

T = TypeVar("T", bound=Record)
Code = Annotated[str, Field(pattern=r"^A\d+$")]


@dataclass(frozen=True, eq=False)
class Sample:
    """One scan with a question, and what each model answered.

    Attributes:
        scan: Its name; it never reaches a sheet.
        image: The raw scan.
        question: What was asked.
        answers: Model -> answer; the same models in every sample.
    """

    scan: str
    image: Part
    question: str
    answers: Mapping[str, str]


class BlindAnswer(Record):
    """An answer under its code."""

    code: Code
    text: str


class SheetSample(Record):
    """A sample as raters see it: number, question, answers."""

    number: int
    question: str
    answers: Annotated[tuple[BlindAnswer, ...], Field(min_length=1)]


class Sheet(Record):
    """All samples, blinded, in the order of their numbers and codes.

    Attributes:
        study: What holds sheet, key and answers together; a digest of the content and the seed.
        samples: The samples.
    """

    version: Literal["1"] = "1"
    study: str
    samples: Annotated[tuple[SheetSample, ...], Field(min_length=1)]


class KeyEntry(Record):
    """What a code stands for."""

    scan: str
    model: str


class Key(Record):
    """The key that lifts the blinding."""

    version: Literal["1"] = "1"
    study: str
    codes: dict[Code, KeyEntry]


class Blinded(NamedTuple):
    """A blinded study: its sheet, its key, and the number of each sample -> its image as a data URL."""

    sheet: Sheet
    key: Key
    images: dict[int, str]


def blind(samples: Sequence[Sample], seed: int) -> Blinded:
    """Blind a study.

    Args:
        samples: In any order; eight of six models in the paper.
        seed: Of codes and order.

    Raises:
        InputError: If there are no samples, they are not of the same models, or two are alike.
    """
    models = sorted(samples[0].answers) if samples else []
    if not models:
        raise InputError("an expert study needs at least one sample with answers")
    for sample in samples:
        if sorted(sample.answers) != models:
            raise InputError(f"sample {sample.scan} has answers of {sorted(sample.answers)}, not of {models}")
    if len({(sample.scan, sample.question) for sample in samples}) < len(samples):
        raise InputError("two samples have the same scan and question")
    urls = [data_url(sample.image) for sample in samples]
    content = [[s.scan, s.question, sorted(s.answers.items())] for s in samples]
    study = sha256(repr((seed, content, urls)).encode())[:16]
    rng = np.random.default_rng([seed, int(study, 16)])
    order = rng.permutation(len(samples))
    codes = iter(rng.permutation(len(samples) * len(models)) + 1)
    width = len(str(len(samples) * len(models)))
    sheets, key = [], {}
    for number, index in enumerate(order, start=1):
        sample, answers = samples[index], []
        for model in models:
            code = f"A{next(codes):0{width}d}"
            answers.append(BlindAnswer(code=code, text=masked(sample.answers[model], models)))
            key[code] = KeyEntry(scan=sample.scan, model=model)
        by_code = tuple(sorted(answers, key=lambda answer: answer.code))
        sheets.append(SheetSample(number=number, question=masked(sample.question, models), answers=by_code))
    sheet = Sheet(study=study, samples=tuple(sheets))
    images = {number: urls[index] for number, index in enumerate(order, start=1)}
    return Blinded(sheet, Key(study=study, codes=dict(sorted(key.items()))), images)


def presented(sheet: Sheet, rater: str) -> Sheet:
    """Return the sheet in the order in which one rater sees it."""
    rng = np.random.default_rng(int(sha256(f"{sheet.study}\n{rater}".encode())[:16], 16))
    samples = [
        sample.model_copy(
            update={"answers": tuple(sample.answers[i] for i in rng.permutation(len(sample.answers)))}
        )
        for sample in sheet.samples
    ]
    return sheet.model_copy(update={"samples": tuple(samples[i] for i in rng.permutation(len(samples)))})


def write_study(blinded: Blinded, folder: Path | str, raters: Sequence[str]) -> None:
    """Write a study: ``sheet.json``, ``form-<rater>.html`` for each rater, and apart from them the key.

    Args:
        blinded: What `blind` returned.
        folder: Gets what raters may see in ``sheets/`` and ``key.json`` beside it.
        raters: Names or numbers of the raters, two in the paper; letters, digits, ``-`` and ``_``.

    Raises:
        InputError: If a rater's name is unfit or occurs twice, or if the folder holds the key of another
            study, without which that study's answers could never be read.
    """
    folder, raters = Path(folder), [str(rater) for rater in raters]
    if unfit := [r for r in raters if not r.replace("-", "").replace("_", "").isalnum() or not r.isascii()]:
        raise InputError(f"the rater's name {unfit[0]!r} must be of letters, digits, - and _")
    if not raters or len(set(raters)) < len(raters):
        raise InputError("a study needs at least one rater, each with a name of their own")
    sheet, key = blinded.sheet, blinded.key
    if (folder / "key.json").is_file() and (other := read_key(folder / "key.json").study) != sheet.study:
        raise InputError(f"{folder} holds the key of the study {other}: take another folder, or remove it")
    write_json(folder / "sheets" / "sheet.json", sheet.model_dump(mode="json"))
    for rater in raters:
        page = form(_shown(presented(sheet, rater)), blinded.images, sheet.study, rater, STEP)
        with atomic_path(folder / "sheets" / f"form-{rater}.html") as temporary:
            temporary.write_text(page, encoding="utf-8")
    write_json(folder / "key.json", key.model_dump(mode="json"))


def read_sheet(path: Path | str) -> Sheet:
    """Read ``sheet.json``; errors as `gftlib.paths.read_json`, and InputError if it is no sheet."""
    return _read(Sheet, path)


def read_key(path: Path | str) -> Key:
    """Read ``key.json``; errors as `read_sheet`."""
    return _read(Key, path)


def _read(kind: type[T], path: Path | str) -> T:
    # This tells a file that is not there, or no JSON; as JSON again, because tuples are lists there.
    read_json(path)
    try:
        return kind.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} is no {kind.__name__.lower()}: {where}: {first['msg']}") from None


def _shown(sheet: Sheet) -> list[tuple[int, str, list[tuple[str, str]]]]:
    return [(s.number, s.question, [(a.code, a.text) for a in s.answers]) for s in sheet.samples]
