"""The small pictures of the landing page: phantoms, and the structure that experts see in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gftlib import paths
from gftlib.octa.graph import OctaGraph, build_graph
from gftlib.phantoms.scans import draw_case
from gftlib.phantoms.skin import cohort, generate

SIDE = 320
CROP = (0.22, 0.68)
"""Part of the OCTA scan that is shown: enough to tell areas apart."""
COLOURS = {"vessel": "#ffb86b", "ica": "#56b4e9", "faz": "#f0e442"}
SHADES = ("#56b4e9", "#e69f00", "#cc79a7", "#009e73", "#f0e442")


def write_overview(folder: Path) -> list[Path]:
    """Write the pictures of the landing page.

    Args:
        folder: Where to write; the names are ``octa``, ``octa_graph``, ``skin``, ``scan`` and ``scan_masks``.

    Returns:
        The WebP files.
    """
    scan = np.asarray(Image.open(paths.root() / "data/octa/scans/NPDR.png").convert("L"))
    mask = np.asarray(Image.open(paths.root() / "data/octa/masks/NPDR.png").convert("L")) > 0
    lesion = next(spec for spec in cohort(40) if spec.diagnosis == "melanoma")
    body = max(draw_case("ct", 0), key=lambda slice_: len(slice_.instances))
    drawn = {
        "octa": _octa(scan),
        "octa_graph": _graph(scan, build_graph(mask, scan)),
        "skin": Image.fromarray(generate(lesion).image),
        "scan": _square(body.image),
        "scan_masks": _masks(body.image, [mask for _, mask in body.instances]),
    }
    written = []
    for name, picture in drawn.items():
        written.append(folder / f"{name}.webp")
        with paths.atomic_path(written[-1]) as temporary:
            picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(
                temporary, "WEBP", quality=82
            )
    return written


def _octa(scan: np.ndarray) -> Image.Image:
    low, high = (round(edge * scan.shape[0]) for edge in CROP)
    shown = Image.fromarray(scan[low:high, low:high]).resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC)
    return shown.convert("RGB")


def _graph(scan: np.ndarray, graph: OctaGraph) -> Image.Image:
    """Draw centrelines, and a dot for each vessel segment, area and FAZ, on the faded scan."""
    picture = Image.fromarray((np.asarray(_octa(scan)) * 0.35).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    scale = picture.width / ((CROP[1] - CROP[0]) * graph.shape[0])
    origin = CROP[0] * graph.shape[0]

    def at(place: np.ndarray) -> tuple[float, float]:
        row, column = (np.asarray(place, float) - origin) * scale
        return float(column), float(row)

    for segment in range(len(graph.vessel)):
        pen.line([at(pixel) for pixel in graph.path(segment)], fill="#e8e8e8", width=3)
    for kind, places, radius in (
        ("ica", graph.ica_pos, 6),
        ("vessel", graph.vessel_pos, 6),
        ("faz", graph.faz_pos, 16),
    ):
        for place in places:
            x, y = at(place)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=COLOURS[kind])
    return picture


def _square(image: np.ndarray) -> Image.Image:
    """Return the largest central square, in colours."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return Image.fromarray(image[top : top + side, left : left + side]).convert("RGB")


def _masks(image: np.ndarray, masks: list[np.ndarray]) -> Image.Image:
    """Tint each instance, and frame the largest with its box."""
    picture = np.asarray(_square(image)).astype(float) * 0.6
    shown = [np.asarray(_square(mask.astype(np.uint8) * 255))[..., 0] > 0 for mask in masks]
    for mask, shade in zip(shown, SHADES, strict=False):
        colour = np.array(Image.new("RGB", (1, 1), shade))[0, 0]
        picture[mask] = 0.35 * picture[mask] + 0.65 * colour
    largest = max(shown, key=np.count_nonzero)
    rows, columns = np.nonzero(largest)
    tinted = Image.fromarray(picture.astype(np.uint8))
    box = (columns.min(), rows.min(), columns.max(), rows.max())
    ImageDraw.Draw(tinted).rectangle(box, outline="#ffffff", width=2)
    return tinted
