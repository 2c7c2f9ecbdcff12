"""Contact sheets of phantoms: one row a label, so that a reader can judge what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gftlib.datasets.class_concepts import Box
from gftlib.datasets.derm7pt import EXPRESSIONS
from gftlib.datasets.padchest_locations import PRINTED
from gftlib.errors import InputError
from gftlib.phantoms import chest, skin

Cell = tuple[np.ndarray, Sequence[Box]]


def contact_sheet(rows: Mapping[str, Sequence[Cell]], inch: float = 1.1) -> Figure:
    """Draw rows of images with their boxes.

    Args:
        rows: For each label its cells: ``(H, W[, 3])`` uint8 images with boxes, xyxy in unit coordinates.
        inch: Side of one image in inches.

    Returns:
        The figure; rows that are shorter than the longest end in empty cells.

    Raises:
        InputError: If there is no image.
    """
    columns = max((len(cells) for cells in rows.values()), default=0)
    if not columns:
        raise InputError("a contact sheet needs at least one image")
    figure = Figure(figsize=(inch * columns + 1.6, inch * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (label, cells) in zip(axes, rows.items(), strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, (image, boxes) in zip(line, cells, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            height, width = image.shape[:2]
            for x0, y0, x1, y1 in boxes:
                corner = (x0 * width - 0.5, y0 * height - 0.5)
                size = ((x1 - x0) * width, (y1 - y0) * height)
                axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor="#ffb000", linewidth=0.9))
        line[0].text(-0.06, 0.5, label, ha="right", va="center", fontsize=8, transform=line[0].transAxes)
    return figure


def skin_sheet(
    specs: Sequence[skin.SkinSpec],
    criteria: Sequence[str] | None = None,
    columns: int = 6,
    config: skin.SkinConfig = skin.CONFIG,
) -> Figure:
    """Draw cases of a skin cohort, one row for each expression that is drawn in it.

    Args:
        specs: The cohort.
        criteria: Criteria to show; all seven by default.
        columns: Cases a row.
        config: The generator's settings.
    """
    rows = {}
    for e in EXPRESSIONS:
        if criteria is None or e.criterion in criteria:
            found = [spec for spec in specs if spec.drawn[e.criterion] == e.label][:columns]
            rows[e.phrase] = [(skin.generate(spec, config).image, ()) for spec in found]
    return contact_sheet({label: cells for label, cells in rows.items() if cells})


def chest_sheet(
    specs: Sequence[chest.ChestSpec], columns: int = 6, config: chest.ChestConfig = chest.CONFIG
) -> Figure:
    """Draw patients of a chest cohort, one row for each combination, every second image with its box.

    Args:
        specs: The cohort.
        columns: Patients a row.
        config: The generator's settings.
    """
    rows = {}
    for h, printed in enumerate(PRINTED):
        cells = []
        for k, spec in enumerate([spec for spec in specs if h in spec.drawn][:columns]):
            phantom = chest.generate(spec, config)
            cells.append((phantom.image, [b for i, b in phantom.boxes if i == h] if k % 2 else []))
        rows[f"{printed.finding}\n{printed.location}"] = cells
    return contact_sheet({label: cells for label, cells in rows.items() if cells})
