"""What chapter 6 shows: explanations, phrases judged by the oracle, judge, experts' kit, retrieval."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gftlib.agent import Course, pupils, tuned
from gftlib.agent_examination import STAGING
from gftlib.agent_samples import sampled
from gftlib.datasets.images import read_scan
from gftlib.dialogue.examination import MARKING, PRESENCE, STAGE_QUESTION, Phrase, mark_phrases
from gftlib.dialogue.expert_study import Sample, blind, write_study
from gftlib.dialogue.judge import HostedJudge, Judged
from gftlib.dialogue.lessons import ARMS
from gftlib.dialogue.prompts import student_system
from gftlib.dialogue.rubric import Item
from gftlib.dialogue.rule_judge import RuleJudge
from gftlib.endpoint.client import Endpoint
from gftlib.endpoint.messages import data_url
from gftlib.endpoint.profiled import profiled_endpoint
from gftlib.metrics.classification import multiclass
from gftlib.octa.staging_study import METHODS
from gftlib.octa.table_rows import STAGES
from gftlib.paths import read_json
from gftlib.profiles import Profile
from gftlib.results import standing
from gftlib.table_truth import true_lesions
from gftlib.teaching import Lesson, explain_tables
from gftlib.vlm import retrieval
from gftlib.vlm.chat import Conversation

VERDICTS = {"true": "#1b7837", "partly": "#b35806", "false": "#b2182b"}
"""Colour of a phrase by what the oracle says of it."""
SCORES = {
    "kinds/f1": "kind and quadrant, F1",
    "any/f1": "any abnormality, F1",
    "FAZ/box_recall": "FAZ boxes",
    "non-perfusion/box_recall": "non-perfusion boxes",
}
RATERS = ("1", "2")
DEVICE, PUBLIC = "other device", "OCTA-500"
"""Cohorts of Table 2, as chapter 2 names them."""
TALK = (STAGE_QUESTION, PRESENCE[0], MARKING[0])
"""Asked in turn in one conversation."""


def explained_table(scores: Mapping[str, float], ceiling: Mapping[str, float]) -> pd.DataFrame:
    """Return what students explain rightly, mean over seeds and folds, below the table's own statements.

    Args:
        scores: Flat numbers ``<way>/<student>/<arm>/<seed>/<scope>/<score>``.
        ceiling: Of the tables on unseen scans, ``<scope>/<score>``.
    """
    rows: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for key, value in _scored(scores):
        way, student, arm, _, scope, score = key.split("/")[0], *_parts(key)
        if (name := SCORES.get(f"{scope}/{score}")) and (way == "asked" or "box" not in score):
            rows.setdefault((way, student, arm), {}).setdefault(name, []).append(value)
    table = [
        {
            "answers": {"asked": "asked for each", "told": "free explanation"}[way],
            "student": student,
            "tuning": arm,
        }
        | {name: f"{np.mean(values):.2f}" for name, values in found.items()}
        for (way, student, arm), found in rows.items()
    ]
    table.sort(key=lambda row: (row["answers"], row["student"], ARMS.index(row["tuning"])))
    top = {name: f"{ceiling[key]:.2f}" for key, name in SCORES.items() if key in ceiling}
    table.insert(0, {"answers": "–", "student": "the table itself", "tuning": "–"} | top)
    # What words alone can score: the same for all, as all are asked about the same scans.
    naive = {
        SCORES[f"{scope}/f1"]: f"{value:.2f}"
        for key, value in _scored(scores)
        for scope in ("kinds", "any")
        if key.startswith("asked/") and key.endswith(f"/{scope}/naive_f1")
    }
    if naive:
        table.insert(1, {"answers": "–", "student": "every quadrant named", "tuning": "–"} | naive)
    return pd.DataFrame(table).fillna("–")


def table_2(
    moved: Mapping[str, Any], public: Mapping[str, Mapping[str, float]], profile: Profile
) -> pd.DataFrame:
    """Return how students and chapter 2's methods stage scans by other devices (GFT, Table 2).

    Args:
        moved: What `gftlib.dialogue.staging_answers.headline` gives of phantoms by another device.
        public: What `gftlib.dialogue.staging_answers.two_grades` gives of OCTA-500; empty without it.
        profile: Says which run of chapter 2 stands beside.
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for key, entry in moved.items():
        student, _, arm = key.rpartition("/")
        rows[arm, student] = {
            "phantoms, three stages": entry["mean"],
            "phantoms, healthy against DR": entry["pooled"],
        }
    for key, scores in public.items():
        student, _, arm = key.rpartition("/")
        found = {f"{PUBLIC}, {name}": value for name, value in scores.items()}
        rows.setdefault((arm, student), {}).update(found)
    full = standing("02_staging", profile.name)
    parts = {} if full is None else full.results["balanced_accuracy"]
    columns = {DEVICE: "phantoms, three stages", PUBLIC: f"{PUBLIC}, balanced accuracy"}
    for part, column in columns.items():
        for method, name in METHODS.items():
            if method in parts.get(part, {}):
                rows.setdefault(("chapter 2", name), {})[column] = parts[part][method]["mean"]
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(rows, names=["tuning", "model"]) if rows else table.index
    return table


def replies_table(replies: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return how each student answered whether something is somewhere, mean over seeds and folds, in %.

    Args:
        replies: Of `gftlib.dialogue.examination.replies`.
    """
    found: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for part, shares in replies.items():
        student, arm, _ = part.removeprefix("asked/").rsplit("/", 2)
        found.setdefault((student, arm), []).append(shares)
    rows = [
        {"student": student, "tuning": arm}
        | {name: f"{100 * np.mean([one[name] for one in each]):.1f} %" for name in each[0]}
        for (student, arm), each in found.items()
    ]
    rows.sort(key=lambda row: (row["student"], ARMS.index(row["tuning"])))
    return pd.DataFrame(rows)


def conversation_html(course: Course, profile: Profile, tuned_in: Path, name: str) -> str:
    """Return a conversation about one scan with a student that sees it alone, as HTML.

    Args:
        course: Where the scan comes from.
        profile: Which students there are; the first one tuned as GFT is asked, else the last of all.
        tuned_in: Folder of chapter 5's results.
        name: Of the scan.
    """
    known = pupils(profile)
    pupil = next((one for one in known if one.arm == "GFT"), known[-1])
    student = tuned(pupil, profile.tuning, tuned_in)
    talk = Conversation(student, course.images[name], student_system(2), profile.agent.longest)
    turns = "".join(
        f"<dt>{html.escape(question)}</dt><dd>{html.escape(talk.ask(question))}</dd>" for question in TALK
    )
    return (
        f"<p>{html.escape(pupil.name)}, {pupil.arm}, about the {course.stages[name]} scan above:</p>"
        f"<dl>{turns}</dl>"
    )


def ceiling(profile: Profile) -> dict[str, float]:
    """Return what tables state rightly of unseen scans, by the run of chapter 4 that fits."""
    full = standing("04_dialogue", profile.name)
    if full is None:
        return {}
    values = full.results["ceiling"]
    return {k.partition("/")[2]: v for k, v in values.items() if k.startswith("unseen/")}


def staged_answers(course: Course, profile: Profile, tuned_in: Path) -> dict[str, dict[str, str]]:
    """Return scan -> ``<student>/<arm>`` -> how its first seed explained the stage."""
    found: dict[str, dict[str, str]] = {}
    for pupil in pupils(profile):
        if pupil.seed == 0 and pupil.fold == profile.dialogue.folds[0]:
            kept = read_json(tuned_in / pupil.folder / f"{STAGING}.json")["answers"]
            for name, (text,) in kept.items():
                found.setdefault(name, {})[f"{pupil.name}/{pupil.arm}"] = text
    return found


def shown_scan(course: Course, answers: Mapping[str, Any]) -> str:
    """Return an unseen scan with lesions, PDR if there is one."""
    order = {stage: k for k, stage in enumerate(("PDR", "NPDR", "healthy"))}
    return min(answers, key=lambda name: (order[course.stages[name]], name))


def phrases_html(course: Course, name: str, answers: Mapping[str, str]) -> str:
    """Return how each student explains one scan (GFT, Fig. 3), claims on a phantom coloured by the oracle."""
    scan = course.scans[name]
    known = scan.spec is not None
    lesions = true_lesions(scan) if known else []
    image = np.round(255 * read_scan(scan.image)).astype(np.uint8)
    caption = f"{course.stages[name]} {'phantom' if known else 'scan'}, unseen"
    colours = ", ".join(f'<b style="color:{colour}">{word}</b>' for word, colour in VERDICTS.items())
    legend = f"Claims that are {colours}:" if known else "What is so is not known of a real scan."
    marked = {model: mark_phrases(text, lesions) if known else [] for model, text in answers.items()}
    turns = "".join(
        f"<dt>{html.escape(model)}</dt><dd>{_coloured(text, marked[model])}</dd>"
        for model, text in answers.items()
    )
    return (
        f'<section><figure><img src="{data_url(image)}" alt="{html.escape(caption)}" width="240">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        f"<p><b>Q</b> {html.escape(STAGE_QUESTION)} {legend}</p><dl>{turns}</dl></section>"
    )


def judge(
    course: Course,
    profile: Profile,
    answers: Mapping[str, Mapping[str, str]],
    lesson: Lesson,
    folder: Path,
    workers: int = 1,
) -> Judged:
    """Have explanations scored 0 to 100 against references that come from label and graph (GFT, Table 3).

    Args:
        course: Where the scans come from.
        profile: Says which judge.
        answers: Of `staged_answers`.
        lesson: Of chapter 4, whose network explains the sampled scans.
        folder: Of chapter 6's results.
        workers: Processes.
    """
    items = judge_items(course, profile, answers, lesson, folder, workers)
    if profile.agent.judge == "offline":
        return RuleJudge().judge(items)
    return HostedJudge().judge(judge_endpoint(profile, folder), items)


def judge_items(
    course: Course,
    profile: Profile,
    answers: Mapping[str, Mapping[str, str]],
    lesson: Lesson,
    folder: Path,
    workers: int = 1,
) -> list[Item]:
    """Return what `judge` is given; arguments as there."""
    names = sampled(course, profile, answers)
    tables = explain_tables(profile, lesson, names, folder / "samples", workers)
    return [Item(tables[name], STAGE_QUESTION, answers[name]) for name in names]


def judge_endpoint(profile: Profile, folder: Path) -> Endpoint:
    """Return the hosted judge's endpoint, its record below the folder of chapter 6; no image is sent."""
    return profiled_endpoint(profile.dialogue.endpoint, folder / "judge", images=False)


def experts_kit(
    course: Course, profile: Profile, answers: Mapping[str, Mapping[str, str]], folder: Path
) -> pd.DataFrame:
    """Write the blinded forms of the expert study to a folder of its own and return what they hold."""
    samples = study_samples(course, profile, answers)
    blinded = blind(samples, profile.seed)
    write_study(blinded, folder / "expert_study" / blinded.sheet.study, RATERS)
    count = sum(len(sample.answers) for sample in blinded.sheet.samples)
    return pd.DataFrame(
        [
            {
                "scans": len(samples),
                "models": count // len(samples),
                "answers to rate": count,
                "raters": len(RATERS),
            }
        ]
    )


def study_samples(course: Course, profile: Profile, answers: Mapping[str, Mapping[str, str]]) -> list[Sample]:
    """Return what experts are shown of `staged_answers`."""
    names = sampled(course, profile, answers)
    return [Sample(name, course.images[name], STAGE_QUESTION, answers[name]) for name in names]


def retrieval_alone(lesson: Lesson, cases: int = 3) -> dict[str, float]:
    """Return how well the labels of the nearest cases stage a scan, without any model.

    Args:
        lesson: Whose tables are pool and query; a scan of the same subject never counts as a case.
        cases: Nearest cases that vote; the nearest wins a tie.
    """
    subjects = dict(zip(lesson.rows["scan"], lesson.rows["subject"].astype(str), strict=True))
    scans = [
        retrieval.Scan(table, subjects[name], lesson.scans[name].image)
        for name, table in lesson.tables.items()
    ]
    pool = retrieval.CasePool(scans, {subjects[name] for name in lesson.tables})
    found = pool.nearest(scans, cases)
    guessed = [_vote([STAGES.index(case.stage) for case in near]) for near in found]
    truth = [STAGES.index(str(scan.table.label)) for scan in scans]
    scores = multiclass(truth, guessed, len(STAGES))
    return {"balanced_accuracy": round(scores.balanced_accuracy, 4), "scans": len(scans)}


def _vote(labels: Sequence[int]) -> int:
    return max(labels, key=lambda label: (labels.count(label), -labels.index(label)))


def _coloured(text: str, phrases: Sequence[Phrase]) -> str:
    parts, last = [], 0
    for phrase in phrases:
        if phrase.start < last:
            continue
        claim = html.escape(text[phrase.start : phrase.end])
        parts += [
            html.escape(text[last : phrase.start]),
            f'<b style="color:{VERDICTS[phrase.verdict]}" title="{phrase.verdict}">{claim}</b>',
        ]
        last = phrase.end
    return "".join([*parts, html.escape(text[last:])])


def _scored(scores: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the scores, without the numbers of scans that stand among them."""
    return ((key, value) for key, value in scores.items() if not key.endswith("/scans"))


def _parts(key: str) -> tuple[str, str, str, str, str]:
    """Return student, arm, seed, scope and score of a key; a hub id holds a slash of its own."""
    rest, scope, score = key.partition("/")[2].rsplit("/", 2)
    student, arm, seed = rest.rsplit("/", 2)
    return student, arm, seed, scope, score


def finding(scores: Mapping[str, float]) -> str:
    """Say what naming kinds and quadrants came to, for each student and arm, mean over seeds and folds."""
    found: dict[str, dict[str, list[float]]] = {}
    for key, value in _scored(scores):
        student, arm, _, scope, score = _parts(key)
        if key.startswith("asked/") and f"{scope}/{score}" == "kinds/f1":
            found.setdefault(student, {}).setdefault(arm, []).append(value)
    told = [
        f"{student}: " + ", ".join(f"{arm} {np.mean(values):.2f}" for arm, values in arms.items())
        for student, arms in found.items()
    ]
    return f"F1 of what lies where, asked one by one. {'; '.join(told) or 'Nothing was scored'}."
