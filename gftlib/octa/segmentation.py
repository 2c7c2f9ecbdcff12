"""Vessel masks from OCTA scans (GFT, section 2.2: the step before the graph).

The classical method needs no weights and no training: it is the default where a scan comes without a mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold, sato, threshold_otsu
from skimage.morphology import remove_small_objects
from skimage.transform import resize

from gftlib.errors import InputError

GRID = 1216
"""Side of the working grid, pixels: four times GFT's 304-pixel scans."""


def evened(image: NDArray[np.floating], window: float = 25.0) -> NDArray[np.float64]:
    """Remove motion lines and slow changes of brightness and contrast.

    A motion line lifts a whole row (the fast scan axis) above its neighbours, which no vessel does.

    Args:
        image: Grey scan in [0, 1], shape (H, W).
        window: Standard deviation of the Gaussian window, pixels of the scan.

    Returns:
        The scan minus its local mean, over its local standard deviation; shape (H, W).
    """
    image = np.asarray(image, dtype=float)
    rows = np.median(image, axis=1)
    image = image - (rows - ndimage.median_filter(rows, 15))[:, None]
    centred = image - ndimage.gaussian_filter(image, window)
    spread = np.sqrt(ndimage.gaussian_filter(centred**2, window))
    # The floor keeps regions without flow, such as the FAZ, from being amplified into vessels.
    return centred / (spread + 0.02)


def vesselness(
    image: NDArray[np.floating], scales: tuple[float, ...] = (1.0, 1.5, 2.0), brightness: float = 0.5
) -> NDArray[np.float64]:
    """Score each pixel for lying on a bright ridge.

    Args:
        image: Grey scan in [0, 1], shape (H, W).
        scales: Widths of the ridges sought, pixels of the scan (Sato's multi-scale filter).
        brightness: Weight of the evened brightness beside the ridge score: wide vessels have flat tops.

    Returns:
        Scores, shape (H, W); only their order and Otsu's threshold on them matter.
    """
    even = evened(image)
    ridges = sato(even, sigmas=scales, black_ridges=False, mode="reflect")
    return ridges + brightness * ndimage.gaussian_filter(even, 0.7)


def segment_classical(
    image: NDArray[np.floating],
    *,
    size: int = GRID,
    low: float = 0.75,
    high: float = 1.3,
    min_island_px: int = 200,
) -> NDArray[np.bool_]:
    """Segment the vessels of a scan by multi-scale vesselness and hysteresis.

    Args:
        image: Grey scan in [0, 1], shape (H, W); square scans of 200 to 600 pixels are what it is made for.
        size: Longer side of the mask, pixels.
        low: Lower threshold, as a multiple of Otsu's.
        high: Upper threshold: a vessel must pass it somewhere.
        min_island_px: Connected pieces smaller than this are noise, pixels of the mask.

    Returns:
        Vessel mask; its sides keep the proportion of the scan's.

    Raises:
        InputError: If the scan is not a grey image with some contrast.
    """
    image = np.asarray(image, dtype=float)
    if image.ndim != 2 or min(image.shape) < 32:
        raise InputError(f"a grey scan of at least 32 x 32 pixels is needed, found shape {image.shape}")
    if not np.isfinite(image).all() or np.ptp(image) < 1e-3:
        raise InputError("the scan is constant or holds NaN or infinite values: there are no vessels to find")
    score = vesselness(image)
    otsu = threshold_otsu(score)
    shape = tuple(round(side * size / max(image.shape)) for side in image.shape)
    fine = resize(score, shape, order=3, anti_aliasing=False)
    mask = apply_hysteresis_threshold(fine, low * otsu, high * otsu)
    return remove_small_objects(mask, max_size=min_island_px - 1, connectivity=2)
