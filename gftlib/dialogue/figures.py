"""Figures of chapter 4: where tables say that something is, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from gftlib import plots
from gftlib.dialogue.scoring import TrueLesion, claim
from gftlib.octa.findings import Finding
from gftlib.octa.places import Box
from gftlib.octa.signs import FindingKind

KINDS: dict[FindingKind, str] = {
    "non-perfusion": plots.LESIONS["vessel tortuosity"],
    "FAZ enlargement": plots.LESIONS["FAZ enlargement"],
    "dilated vessels": plots.LESIONS["microaneurysm"],
    "tortuous vessels": plots.LESIONS["venous beading"],
    "dense tangle": plots.LESIONS["IRMA-like shunt"],
}


class Claims(NamedTuple):
    """One scan, (h, w) uint8, what its table states and what is there, None if that is not known."""

    title: str
    image: np.ndarray
    stated: Sequence[Finding]
    true: Sequence[TrueLesion] | None


def claims_figure(scans: Sequence[Claims]) -> Figure:
    """Show scans with the boxes of their tables above, and the true boxes below where they are known.

    Args:
        scans: One to four.
    """
    with plots.style():
        known = any(scan.true is not None for scan in scans)
        figure, axes = plots.panels(1 + known, len(scans))
        for column, scan in enumerate(scans):
            for row, words in enumerate(("table", "truth")[: 1 + known]):
                plots.show_image(axes[row, column], scan.image, f"{scan.title}: {words}")
            for found in scan.stated:
                _draw(axes[0, column], found.box, KINDS[found.kind], scan.image.shape)
            for lesion in scan.true or ():
                _draw(axes[1, column], lesion.box, KINDS[claim(lesion.kind)], scan.image.shape)
        marks = [Line2D([], [], color=colour, label=kind) for kind, colour in KINDS.items()]
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8)
    return figure


def _draw(axes: Axes, box: Box, colour: str, shape: tuple[int, ...]) -> None:
    (height, width), (x0, y0, x1, y1) = shape[:2], box
    corner = (x0 * width - 0.5, y0 * height - 0.5)
    side = ((x1 - x0) * width, (y1 - y0) * height)
    axes.add_patch(Rectangle(corner, *side, fill=False, edgecolor=colour, linewidth=1.5))
