"""Chapter 8 from end to end: the scans of a profile, their records, what is in them and what is not."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from gftlib import results
from gftlib.bird import layouts, tasks
from gftlib.bird.dataset import SUMMARY, BuildConfig, build, settings_of
from gftlib.bird.predictions import ALL_TASKS
from gftlib.bird.question_only import QuestionOnly
from gftlib.bird.records import SIZES, Record, RecordConfig
from gftlib.bird.score_tables import Numbers, summary
from gftlib.boxes import BoxFormat
from gftlib.datasets.sa_med2d_names import MODALITIES
from gftlib.endpoint.profiled import profiled_endpoint
from gftlib.errors import InputError, MissingError
from gftlib.paths import atomic_path, read_json, root
from gftlib.phantoms.scans import write_cohort
from gftlib.profiles import Profile

T = TypeVar("T")
NOTEBOOK = "08_bird_dataset"
COLUMNS = ("id", "modality", "dataset", "case", "split", "size", *ALL_TASKS)
NOT_THERE = "questions for what is not there"
# BiRD, sections 3 and 5.
PAPER = {
    "images": "60k",
    "questions and answers": "270k",
    "in the training set": "240k",
    "in the test set": "30k",
    "test share of images": "about 12 %",
    "cases in both sets": "0",
    "modalities": "8",
    NOT_THERE: "0",
}


@dataclass(frozen=True)
class Made:
    """A built set of records.

    Args:
        source: The scans and masks.
        folder: The records, see `gftlib.bird.dataset.build`.
        summary: What the build counted and left out.
        scoring: How answers to them are scored.
    """

    source: Path
    folder: Path
    summary: dict[str, Any]
    scoring: tasks.Scoring

    def records(self, splits: Sequence[str] = layouts.SPLITS) -> Iterator[Record]:
        """Yield the records of splits from disk."""
        for split in splits:
            yield from layouts.read(self.folder / f"{split}.jsonl")


def scans(profile: Profile, workers: int = 1) -> Path:
    """Return the folder of a profile's scans; phantoms are drawn where they are not there yet.

    Raises:
        MissingError: If the set is to be read from a folder that is not there.
    """
    asked = profile.scans
    if asked.source == "phantom":
        folder = root() / "runs" / profile.name / "cohorts" / "scans"
        return write_cohort(folder, asked.images, profile.seed, workers=workers)
    folder = Path(os.path.expandvars(asked.path)).expanduser()
    if "$" in str(folder) or not folder.is_dir():
        raise MissingError(f"scans.path: no folder {asked.path!r}; set its environment variable or write it")
    return folder


def build_config(profile: Profile) -> BuildConfig:
    """Return the settings of the build."""
    asked = profile.bird
    return BuildConfig(
        images=asked.images,
        gap=asked.gap,
        overlap=asked.overlap,
        rule=asked.instances,
        records=RecordConfig(
            seed=profile.seed,
            test_share=asked.test_share,
            negatives=asked.negatives,
            box_format=BoxFormat(asked.box_format),
        ),
    )


def prepare(profile: Profile, folder: Path, workers: int = 1) -> Made:
    """Build the records of a profile's scans.

    Args:
        profile: Sections ``scans`` and ``bird``; where captions are hosted, the teacher of ``dialogue``.
        folder: Of the run; the records go to ``records`` in it.
        workers: Processes that draw, threads that measure.
    """
    source, config = scans(profile, workers), build_config(profile)
    teacher = None
    if profile.bird.captions == "hosted":
        teacher = profiled_endpoint(profile.dialogue.endpoint, folder / "captions", images=False)
    about = build(source, folder / "records", config, teacher, workers)
    return Made(source, folder / "records", about, scoring(profile))


def opened(profile: Profile) -> Made:
    """Return what chapter 8 built for a profile.

    Raises:
        MissingError: If it has not been run for the profile.
        InputError: If it was run with other settings.
    """
    folder = root() / "runs" / profile.name / NOTEBOOK / "records"
    if not (folder / SUMMARY).is_file():
        raise MissingError(f"no records in {folder}: run notebook {NOTEBOOK} with this profile")
    about = read_json(folder / SUMMARY)
    hosted = profile.bird.captions == "hosted"
    if about["settings"] != settings_of(build_config(profile)) or ("captions" in about) != hosted:
        raise InputError(
            f"the records in {folder} are of other settings: run notebook {NOTEBOOK} with this profile"
        )
    return Made(scans(profile), folder, about, scoring(profile))


def scoring(profile: Profile) -> tasks.Scoring:
    """Return how answers to the questions of a profile are scored."""
    return tasks.Scoring(
        BoxFormat(profile.bird.box_format),
        leave_out=(),  # modalities of one category are not asked for ROC in the first place
        resamples=profile.bird.resamples,
        seed=profile.seed,
        java=profile.bird.java,
    )


def write_rows(made: Made, path: Path) -> Path:
    """Write one row an image to ``predictions.csv``: split, size, and the number of turns of each task."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for record in made.records():
            told = Counter(turn.task for turn in record.turns)
            known = (record.id, record.modality, record.dataset, record.case, record.split, record.size)
            writer.writerow([*known, *(told[task] for task in ALL_TASKS)])
    return path


def headline(path: Path) -> dict[str, Any]:
    """Return all counts of a set of records from its ``predictions.csv``."""
    rows = pd.read_csv(path, keep_default_na=False)
    counts: dict[str, Any] = {"cases in both sets": _in_both(rows)}
    for split, part in rows.groupby("split"):
        turns = part[list(ALL_TASKS[:-1])].sum(axis=1)
        counts[str(split)] = {
            "images": len(part),
            "cases": part["case"].nunique(),
            "tasks": {task: int(part[task].sum()) for task in ALL_TASKS},
            "turns": {str(n): int(k) for n, k in sorted(turns.value_counts().items())},
            "modalities": {
                str(name): {"images": len(group), **{task: int(group[task].sum()) for task in ALL_TASKS}}
                for name, group in part.groupby("modality")
            },
        }
    train = rows[rows["split"] == "train"]
    for size, share in SIZES.items():
        inside = train[train["size"].map(SIZES) <= share]
        counts.setdefault("sizes", {})[size] = {
            "images": len(inside),
            "turns": int(inside[list(ALL_TASKS[:-1])].to_numpy().sum()),
            "modalities": {str(name): len(group) for name, group in inside.groupby("modality")},
        }
    return counts


def _in_both(rows: pd.DataFrame) -> int:
    train, test = (set(rows.loc[rows["split"] == split, "case"]) for split in layouts.SPLITS)
    return len(train & test)


def overview(runs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Put the counts of runs beside what the paper says of its set.

    Args:
        runs: Name -> what `headline` returned.
    """
    columns = {"paper": PAPER} | {name: _told(counts) for name, counts in runs.items()}
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    # What the paper lacks comes last.
    order = [*(row for row in rows if row != NOT_THERE), NOT_THERE]
    return pd.DataFrame(columns).reindex(order).fillna("")


def _told(counts: Mapping[str, Any]) -> dict[str, str]:
    train, test = counts["train"], counts["test"]
    asked = [sum(n for task, n in one["tasks"].items() if task != ALL_TASKS[-1]) for one in (train, test)]
    images = train["images"] + test["images"]
    names = {*train["modalities"], *test["modalities"]}
    told: dict[str, str] = {
        "images": _spaced(images),
        "questions and answers": _spaced(sum(asked)),
        "in the training set": _spaced(asked[0]),
        "in the test set": _spaced(asked[1]),
        "test share of images": f"{100 * test['images'] / images:.1f} %",
        "cases in both sets": str(counts["cases in both sets"]),
        "modalities": str(len(names)),
    }
    for task in ALL_TASKS:
        name = NOT_THERE if task == ALL_TASKS[-1] else f"{task} questions"
        told[name] = _spaced(train["tasks"][task] + test["tasks"][task])
    return told


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def beside(key: str, value: T, profile: Profile) -> dict[str, T]:
    """Return a value of this run, and that of the full-size run to show beside it if there is one.

    Args:
        key: In ``results.json``.
        value: Of this run.
        profile: Of this run.
    """
    full = results.beside(NOTEBOOK, profile.name)
    return {"this run": value} | ({"published run": full.results[key]} if full else {})


def largest(runs: Mapping[str, T]) -> tuple[str, T]:
    """Return the run that figures show, of those that `beside` gave: the published one, if there is one."""
    about, value = list(runs.items())[-1]
    return about if about == "this run" else f"{about}, phantoms", value


def left_out(made: Made) -> pd.DataFrame:
    """Return what did not become a record, and why."""
    rows = [line.split(" x ", 1) for line in made.summary["problems"]]
    return pd.DataFrame(
        [(int(n), why.split(", first: ")[0]) for n, why in rows], columns=["files", "left out because"]
    )


def without_the_image(made: Made) -> dict[str, Numbers]:
    """Score the answers to the test questions of someone who never sees an image.

    Returns:
        As `gftlib.bird.score_tables.summary`.
    """
    known = QuestionOnly.fit(made.records(["train"]), made.scoring.box_format)
    test = list(made.records(["test"]))
    sizes = {record.image: record.shape for record in test}
    scored = tasks.evaluate(known.predictions(test), replace(made.scoring, sizes=sizes))
    return summary(scored)


def examples(made: Made) -> list[Record]:
    """Return one training record of each modality, in the order of the paper's tables.

    The first that asks of at least two names with boxes, else the first.
    """
    first: dict[str, Record] = {}
    rich: dict[str, Record] = {}
    for record in made.records(["train"]):
        first.setdefault(record.modality, record)
        if len({turn.name for turn in record.turns if turn.boxes}) > 1:
            rich.setdefault(record.modality, record)
    return [rich.get(name, first[name]) for name in MODALITIES if name in first]


def telling(records: Sequence[Record]) -> Record:
    """Return the record that asks of the most different tasks."""
    return max(records, key=lambda record: len({turn.task for turn in record.turns}))
