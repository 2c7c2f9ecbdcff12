"""Dialogues as a reader sees them: beside their scan, key features and locations marked (GFT, Fig. 2).

All words of a record are escaped: what a model or a file wrote is shown, never run.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from gftlib.dialogue.questions import NAMES, SEEN, STAGE_WORDS
from gftlib.dialogue.records import Pair
from gftlib.dialogue.wording import without_article
from gftlib.endpoint.messages import Part, data_url

FEATURE, LOCATION = "#7a2da0", "#12703a"
"""Purple and green, as in the figure."""
_LOCATIONS = (
    r"(?:the )?(?:(?:upper|lower) (?:left|right)(?:, | and )?)+ ?quadrants?|all four quadrants"
    r"|(?:upper|lower|left|right) half|close to the FAZ|away from the FAZ|near the image margin"
    r"|\d{1,2} o(?:'|&#x27;)clock"
)
_TERMS = sorted(
    {without_article(t) for t in (*NAMES.values(), *(w for ws in SEEN.values() for w in ws))}
    | set(STAGE_WORDS.values()),
    key=len,
    reverse=True,
)
_MARKED = re.compile(
    rf"(?P<feature>{'|'.join(re.escape(html.escape(t)) for t in _TERMS)})|(?P<location>{_LOCATIONS})",
    re.IGNORECASE,
)


def marked(text: str) -> str:
    """Return a text as HTML, escaped, key features and locations in colour."""

    def span(found: re.Match[str]) -> str:
        colour = FEATURE if found["feature"] else LOCATION
        return f'<span style="color:{colour};font-weight:600">{found[0]}</span>'

    return _MARKED.sub(span, html.escape(text))


def dialogue_html(title: str, pairs: Sequence[Pair], images: Sequence[tuple[str, Part]] = ()) -> str:
    """Return questions and answers as HTML, the images above them.

    Args:
        title: Heading.
        pairs: What is shown.
        images: Caption and image; a box of a pair is named, not drawn.
    """
    figures = "".join(
        f'<figure style="display:inline-block;margin:4px"><img src="{data_url(image)}" '
        f'alt="{html.escape(caption)}" width="240"><figcaption>{html.escape(caption)}</figcaption></figure>'
        for caption, image in images
    )
    turns = "".join(
        f"<dt><b>Q</b> {html.escape(pair.question)}</dt><dd><b>A</b> {marked(pair.answer)}{_boxed(pair)}</dd>"
        for pair in pairs
    )
    return f"<section><h4>{html.escape(title)}</h4>{figures}<dl>{turns}</dl></section>"


def _boxed(pair: Pair) -> str:
    shown = (f"{html.escape(box.name)} ({', '.join(f'{v:.2f}' for v in box.xyxy)})" for box in pair.boxes)
    return f" <small>[{'; '.join(shown)}]</small>" if pair.boxes else ""
