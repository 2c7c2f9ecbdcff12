"""The learned segmentation beside the classical one, on a scan whose vessels are known."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from gftlib import plots
from gftlib.octa.segmentation import segment_classical
from gftlib.octa.segmentation_network import segment_learned
from gftlib.octa.segmentation_scores import overlap
from gftlib.phantoms.octa import generate
from gftlib.phantoms.octa_cohort import cohort

AGREEMENT = {"found": "#FFFFFF", "missed": plots.COLOURS["vessel"], "added": plots.COLOURS["ica"]}
"""Colours of vessel pixels in both masks, in the true one only, in the found one only."""


SEED = 9103
"""Of the phantom that is shown: of no cohort, and none that the network learnt from."""


def phantom_figure() -> Figure:
    """Show both segmentations on a phantom, whatever scans a run has: only a phantom's vessels are known."""
    scan = generate(cohort(1, SEED)[0])
    return compare_figure(scan.image, scan.label)


def compare_figure(
    image: NDArray[np.generic],
    truth: NDArray[np.bool_],
    part: tuple[float, float, float] | None = (0.0, 0.0, 0.5),
) -> Figure:
    """Show a scan, its true mask and how far both segmentations agree with it.

    Args:
        image: Scan, shape (H, W): uint8, or floats in [0, 1].
        truth: True vessel mask, longer side 1216 pixels.
        part: Upper, left and side of the square shown, as fractions of the field; None for all of it.

    Returns:
        The figure: scan, truth, classical, learned; agreement white, missed orange, added blue.
    """
    image = np.asarray(image)
    scan = image / 255 if image.dtype == np.uint8 else image
    size = max(truth.shape)
    masks = {
        "classical": segment_classical(scan, size=size),
        "learned": segment_learned(scan, size=size),
    }
    with plots.style():
        figure, axes = plots.panels(2, 2, aspect=1.05)
        plots.show_image(axes[0, 0], _cut(scan, part), "scan")
        plots.show_image(axes[0, 1], _cut(truth, part), "true vessels")
        for panel, (name, mask) in zip(axes[1], masks.items(), strict=True):
            dice = overlap(mask, truth)["dice"]
            _agreement(panel, _cut(mask, part), _cut(truth, part), f"{name}: Dice {dice:.2f}")
        handles = [
            Patch(facecolor=colour, edgecolor="black", label=name) for name, colour in AGREEMENT.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return figure


def _cut(image: NDArray[np.generic], part: tuple[float, float, float] | None) -> NDArray[np.generic]:
    """Return the shown square of an image."""
    if part is None:
        return image
    height, width = image.shape[:2]
    top, left, side = round(part[0] * height), round(part[1] * width), round(part[2] * max(height, width))
    return image[top : top + side, left : left + side]


def _agreement(axes: Axes, found: NDArray[np.bool_], truth: NDArray[np.bool_], title: str) -> None:
    """Show where two masks agree and where they do not."""
    plots.show_image(axes, found & truth, title)
    plots.tint(axes, truth & ~found, AGREEMENT["missed"], 1.0)
    plots.tint(axes, found & ~truth, AGREEMENT["added"], 1.0)
