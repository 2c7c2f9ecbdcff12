"""One look for every figure of the book: sizes, colours, and how a scan is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

# Okabe and Ito's palette: told apart with every kind of colour vision.
COLOURS = {
    "vessel": "#D55E00",
    "ica": "#0072B2",
    "faz": "#F0E442",
    "healthy": "#009E73",
    "npdr": "#E69F00",
    "pdr": "#CC79A7",
    "neutral": "#666666",
}
LESIONS = {
    "capillary non-perfusion": "#0072B2",
    "FAZ enlargement": "#E69F00",
    "microaneurysm": "#D55E00",
    "vessel tortuosity": "#56B4E9",
    "venous beading": "#009E73",
    "IRMA-like shunt": "#CC79A7",
    "neovascular tuft": "#AA4499",
}
WIDTH = 8.0
"""Width of a full figure, inches."""

STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "image.cmap": "gray",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the book's style inside a ``with`` block; nothing outside it changes."""
    with mpl.rc_context(STYLE):
        yield


def panels(
    rows: int, columns: int, *, aspect: float = 1.0, width: float = WIDTH
) -> tuple[Figure, np.ndarray]:
    """Make a grid of axes.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        aspect: Height of a panel over its width.
        width: Width of the figure, inches.

    Returns:
        The figure and its axes, shape (rows, columns).
    """
    size = (width, width / columns * rows * aspect)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    # Closed for pyplot only: otherwise a notebook shows it twice, as the cell's value and on its own.
    plt.close(figure)
    return figure, axes


def this_run(phantoms: bool) -> str:
    """Return the words above a figure of a page's own run."""
    return "phantoms, this run" if phantoms else "own scans, this run"


def show_image(axes: Axes, image: ArrayLike, label: str = "", **options: object) -> Axes:
    """Show an image without ticks, its label above it, values in [0, 255] or [0, 1] as they are."""
    image = np.asarray(image)
    top = 255 if image.dtype == np.uint8 else 1
    axes.imshow(image, vmin=0, vmax=top, interpolation="nearest", **options)
    axes.set_axis_off()
    if label:
        axes.set_title(label, fontsize=9)
    return axes


def tint(axes: Axes, mask: ArrayLike, colour: str, alpha: float = 0.5) -> None:
    """Lay a colour over those pixels of a shown image where ``mask`` holds, shape (H, W)."""
    layer = np.zeros((*np.shape(mask), 4))
    layer[..., :3] = mpl.colors.to_rgb(colour)
    layer[..., 3] = alpha * np.asarray(mask, dtype=float)
    height, width = axes.images[0].get_array().shape[:2]
    axes.imshow(layer, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")


def scale_bar(axes: Axes, width_px: int, field_mm: float, length_mm: float = 0.5) -> None:
    """Draw a scale bar with its length into the lower left corner of a shown image.

    Args:
        axes: Axes that show an image.
        width_px: Width of the image, pixels.
        field_mm: Width of the scanned field, mm.
        length_mm: Length of the bar, mm.
    """
    left, low = 0.05 * width_px, 0.94 * width_px
    axes.plot([left, left + length_mm / field_mm * width_px], [low, low], color="white", linewidth=3)
    axes.text(left, 0.92 * width_px, f"{length_mm} mm", color="white", fontsize=8, va="bottom")
