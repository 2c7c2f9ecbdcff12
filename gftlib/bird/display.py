"""A record as a reader sees it: the image with its boxes, questions and answers below (BiRD, Figure 2).

All words of a record are escaped: what a model or a file wrote is shown, never run.
"""

from __future__ import annotations

import html
from pathlib import Path

from PIL import Image, ImageDraw

from gftlib.bird.records import Record
from gftlib.datasets.sa_med2d import SAMed2D
from gftlib.endpoint.messages import data_url, plain_image
from gftlib.plots import COLOURS

WORDS = {
    "VG": "visual grounding",
    "ROC": "referring object classification",
    "RC": "referring captioning",
    "MIA": "medical image analysis",
    "NEG": "negative: not in the image",
}
_ORDER = ("npdr", "ica", "healthy", "pdr", "faz", "vessel")


def box_colours(record: Record) -> dict[str, str]:
    """Return a colour for each name that a record has boxes of."""
    names = dict.fromkeys(turn.name for turn in record.turns if turn.boxes)
    return {name: COLOURS[_ORDER[i % len(_ORDER)]] for i, name in enumerate(names)}


def boxes_of(record: Record) -> dict[str, list[tuple[float, ...]]]:
    """Return the different boxes that a record speaks of, by name."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for turn in record.turns:
        for box in turn.boxes:
            kept = found.setdefault(turn.name, [])
            kept += [] if box in kept else [box]
    return found


def drawn(record: Record, source: Path) -> Image.Image:
    """Return the image of a record with its boxes drawn in.

    Args:
        record: The record.
        source: Root of the set.
    """
    image = plain_image(Path(SAMed2D(source).file(record.image))).convert("RGB")
    pen = ImageDraw.Draw(image)
    colours = box_colours(record)
    for name, boxes in boxes_of(record).items():
        for x0, y0, x1, y1 in boxes:
            corners = (x0 * image.width, y0 * image.height, x1 * image.width - 1, y1 * image.height - 1)
            pen.rectangle(corners, outline=colours[name], width=2)
    return image


def conversation_html(record: Record, source: Path) -> str:
    """Return a record as HTML.

    Args:
        record: The record.
        source: Root of the set.
    """
    colours = box_colours(record)
    picture = data_url(drawn(record, source))
    named = ", ".join(colours) or "nothing"
    rows = "".join(
        f'<tr><td style="white-space:nowrap">{html.escape(WORDS[turn.task])}</td>'
        f'<td style="text-align:left">{html.escape(turn.question)}</td>'
        f'<td style="text-align:left">{html.escape(turn.answer)}</td></tr>'
        for turn in record.turns
    )
    legend = " ".join(
        f'<span style="color:{colour};font-weight:600">&#9632;</span> {html.escape(name)}'
        for name, colour in colours.items()
    )
    return (
        f'<figure><img src="{picture}" width="300" alt="{html.escape(f"Image with boxes of {named}")}">'
        f"<figcaption>{html.escape(record.id)}: {legend}</figcaption></figure>"
        f"<table><thead><tr><th>task</th><th>question</th><th>answer</th></tr></thead>{rows}</table>"
    )
