"""Chapter 9 from end to end: students tuned, asked, and their answers scored (BiRD, sections 4 and 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.bird import tasks
from gftlib.bird.arm_names import FLOOR, UNTUNED
from gftlib.bird.arms import ARMS, Course, Learner, learners, recipe, teach
from gftlib.bird.asking import as_records_write, ask, balanced, by_llava_med, general
from gftlib.bird.dataset_study import Made
from gftlib.bird.predictions import Prediction, asked
from gftlib.bird.question_only import QuestionOnly
from gftlib.bird.score_tables import Numbers, summary
from gftlib.boxes import BoxFormat
from gftlib.errors import InputError, MissingError
from gftlib.jobs import Progress, run_jobs
from gftlib.paths import atomic_path
from gftlib.profiles import Profile

PREDICTIONS = "predictions.jsonl"
RESAMPLES = 100
"""Of all intervals of the chapter: its headline is computed anew, from the predictions alone, whenever the
book is tested."""
FIELDS = ("id", "image", "task", "question", "annotation", "shape", "boxes", "responses")


def open_course(made: Made, profile: Profile) -> Course:
    """Return what students learn from and are asked about."""
    test = balanced(list(made.records(["test"])), profile.grounding.tested, profile.seed)
    return Course(made.source, tuple(made.records(["train"])), test)


def tune_and_ask(
    made: Made, profile: Profile, folder: Path, workers: int = 1, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Tune every student of a profile and ask each the test questions.

    Args:
        made: The records of chapter 8.
        profile: Its section ``grounding``.
        folder: Of chapter 9's results; a second call makes only what is missing there.
        workers: Processes, a student each; on a GPU one.
        progress: Called with (done, total) students.

    Returns:
        ``student/arm`` -> ``answers`` by question id, ``general`` (see `gftlib.bird.asking.general`),
        ``losses`` of each step, and for untuned students ``llava_med``: scores by LLaVA-Med's protocol.
    """
    course, jobs = open_course(made, profile), learners(profile.grounding)
    # The longest first, so that no process waits for one that began late.
    order = sorted(range(len(jobs)), key=lambda i: -_length(course, jobs[i]))
    shared = (course, profile, folder, made.scoring)
    waiting = [(jobs[i],) for i in order]
    found = run_jobs(_work, shared, waiting, workers, progress, profile.grounding.device)
    by_job = dict(zip(order, found, strict=True))
    return {job.name: by_job[i] for i, job in enumerate(jobs)}


def _length(course: Course, learner: Learner) -> int:
    return 0 if learner.arm == UNTUNED else len(course.lessons(ARMS[learner.arm]))


def _work(shared: tuple[Any, ...], learner: Learner) -> dict[str, Any]:
    course, profile, folder, scoring = shared
    settings, place = profile.grounding, folder / learner.folder
    student, losses = teach(course, learner, settings, folder, profile.seed)
    answers = ask(student, course, learner.asked, settings, place)
    found: dict[str, Any] = {"general": general(student, course, settings, place), "losses": losses}
    if learner.arm == UNTUNED:
        answers = as_records_write(student, course, answers, scoring.box_format)
        # Its scores stand in one table with the headline's.
        scoring = replace(scoring, resamples=RESAMPLES)
        found["llava_med"] = by_llava_med(student, course, settings, place / "llava_med", scoring)
    return found | {"answers": answers}


def write_predictions(
    path: Path, made: Made, profile: Profile, answers: Mapping[str, Mapping[str, str]]
) -> Path:
    """Write one line a test question, with the answer of everyone who was asked.

    Args:
        path: ``predictions.jsonl``.
        made: The records of chapter 8.
        profile: As in `tune_and_ask`.
        answers: ``student/arm`` -> answer by question id; `FLOOR` is added.
    """
    course = open_course(made, profile)
    floor = QuestionOnly.fit(course.train, made.scoring.box_format).predictions(course.test)
    everyone = {FLOOR: {one.id: one.response for one in floor}, **answers}
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for record, _, one in asked(course.test):
            told = {name: texts[one.id] for name, texts in everyone.items() if one.id in texts}
            known = (one.id, one.image, one.task, one.question, one.annotation)
            values = (*known, list(record.shape), made.scoring.box_format, told)
            line = json.dumps(dict(zip(FIELDS, values, strict=True)), ensure_ascii=False)
            stream.write(line + "\n")
    return path


def read_predictions(path: Path) -> tuple[dict[str, list[Prediction]], tasks.Scoring]:
    """Read what `write_predictions` wrote: predictions by ``student/arm``, and how boxes in them are read.

    Raises:
        MissingError: If there is no such file.
        InputError: If a line is not one of its lines, or it is empty.
    """
    if not path.is_file():
        raise MissingError(f"no file {path}")
    found: dict[str, list[Prediction]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    grammar = ""
    with open(path, encoding="utf-8") as stream:
        for number, text in enumerate(stream, 1):
            try:
                line = json.loads(text)
                name, image, task, question, annotation, shape, grammar, told = (line[f] for f in FIELDS)
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise InputError(f"{path}, line {number}: not a question with answers: {error}") from error
            sizes[image] = (shape[0], shape[1])
            for learner, response in told.items():
                one = Prediction(name, image, question, annotation, response, task)
                found.setdefault(learner, []).append(one)
    if not found:
        raise InputError(f"{path} holds no answers")
    # Names that the slots are looked for are those of all questions, not of those that one arm was asked.
    names = tasks.class_names(found.get(FLOOR, []))
    return found, tasks.Scoring(BoxFormat(grammar), sizes, names, (), RESAMPLES, java=False)


def headline(path: Path) -> dict[str, dict[str, Numbers]]:
    """Score everyone's answers from ``predictions.jsonl``; without Java, so the same on every machine.

    Returns:
        ``student/arm`` -> score -> modality or average -> value, low, high, n.
    """
    found, scoring = read_predictions(path)
    return {name: summary(tasks.evaluate(told, scoring)) for name, told in found.items()}


def with_java(path: Path, made: Made, names: Sequence[str]) -> dict[str, dict[str, Numbers]]:
    """Score some students' answers by SPICE and METEOR too, where Java runs; empty if it is not asked for."""
    if not made.scoring.java:
        return {}
    found, scoring = read_predictions(path)
    scoring = replace(scoring, java=True)
    return {name: summary(tasks.evaluate(found[name], scoring)) for name in names if name in found}


def last_losses(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean loss of the last ten steps of each tuned student."""
    return {
        name: round(float(np.mean(one["losses"][-10:])), 4) for name, one in found.items() if one["losses"]
    }


def about_recipe(profile: Profile) -> dict[str, Any]:
    """Return the recipe of BiRD's own weights beside the paper's."""
    stage, settings = recipe(profile.grounding, False, profile.seed), profile.grounding
    paper = ("2e-05", "cosine", "128 dialogues", "2 (its code)", "0.1 (its code)")
    ours = (
        f"{stage.lr:g}",
        stage.schedule,
        f"{settings.images * settings.accumulate} images with up to {settings.pairs} questions",
        f"{settings.epochs:g}",
        f"{settings.weight_decay:g}",
    )
    names = ("highest learning rate", "schedule", "batch", "epochs", "weight decay")
    return {name: {"paper": a, "this run": b} for name, a, b in zip(names, paper, ours, strict=True)}
