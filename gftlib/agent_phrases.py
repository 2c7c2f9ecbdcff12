"""What students say about one scan, as HTML: claims coloured by the oracle (GFT, Fig. 3), and a talk."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gftlib.agent import Course, pupils, tuned
from gftlib.datasets.images import read_scan
from gftlib.dialogue.examination import MARKING, PRESENCE, STAGE_QUESTION, Phrase, mark_phrases
from gftlib.dialogue.prompts import student_system
from gftlib.endpoint.messages import data_url
from gftlib.profiles import Profile
from gftlib.table_truth import true_lesions
from gftlib.vlm.chat import Conversation

VERDICTS = {"true": "#1b7837", "partly": "#b35806", "false": "#b2182b"}
"""Colour of a phrase by what the oracle says of it."""
TALK = (STAGE_QUESTION, PRESENCE[0], MARKING[0])
"""Asked in turn in one conversation."""


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
