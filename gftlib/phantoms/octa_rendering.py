"""From flow to an 8-bit en-face scan: blur, speckle, haze, projection, motion lines, shadows, vignetting."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from gftlib.phantoms.octa_config import FACTOR, SCAN_SIZE, Look


def shrink(image: np.ndarray) -> np.ndarray:
    """Return the mean over 4x4 blocks: (1216, 1216) to (304, 304)."""
    part = image.reshape(SCAN_SIZE, FACTOR, SCAN_SIZE, FACTOR)
    # Sums spelt out are several times faster than over short axes.
    part = sum(part[:, :, :, k] for k in range(FACTOR))
    return sum(part[:, k] for k in range(FACTOR)) / np.float32(FACTOR**2)


def _share(mask: np.ndarray) -> np.ndarray:
    """Return the float32 share of marked pixels in 4x4 blocks: counts are exact, so they add up in bytes."""
    rows = mask.reshape(SCAN_SIZE, FACTOR, -1).astype(np.uint8).sum(axis=1, dtype=np.uint8)
    count = rows.reshape(SCAN_SIZE, SCAN_SIZE, FACTOR).sum(axis=2, dtype=np.uint8)
    return count.astype(np.float32) / np.float32(FACTOR**2)


def _clouds(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Return a (304, 304) smooth random field of unit variance with about ``cells`` blobs across."""
    centre = (np.arange(cells + 4) - 1.5) / cells
    basis = np.exp(-0.5 * ((np.linspace(0, 1, SCAN_SIZE)[:, None] - centre) * cells / 0.7) ** 2)
    field = basis @ rng.normal(0, 1, (cells + 4, cells + 4)) @ basis.T
    return (field - field.mean()) / field.std()


def _unresolved(bed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return capillaries out of focus, unit mean: this eye's own bed, turned and flipped, at two depths."""
    turned = np.rot90(bed, rng.integers(1, 4))
    other = np.roll(bed[::-1].T, rng.integers(40, 260, 2), axis=(0, 1))
    # Finer still, and never resolved: a band of noise of about capillary width.
    noise = rng.normal(0, 1, bed.shape)
    band = gaussian_filter(noise, 0.7) - gaussian_filter(noise, 1.6)
    total = (turned + other) * np.maximum(0.75 + 0.45 * band / band.std(), 0.1)
    return total / total.mean()


def render(
    light: np.ndarray, label: np.ndarray, large: np.ndarray, look: Look, rng: np.random.Generator
) -> np.ndarray:
    """Render a scan.

    Args:
        light: (1216, 1216) relative flow brightness of the drawn vessels, in [0, 1].
        label: (1216, 1216) vessel mask.
        large: (1216, 1216) mask of the arterioles and venules.
        look: Device.
        rng: Random generator of this scan.

    Returns:
        (304, 304) uint8.
    """
    flow = shrink(light)
    density, thick = _share(label), _share(large)
    # Tissue between capillaries is perfused too; wide gaps (FAZ, drop-out) are not.
    perfusion = np.clip((gaussian_filter(density, 3.0) - 0.06) / 0.20, 0.0, 1.0)
    bed = np.where(thick > 0, 0.15, density)
    # Superficial vessels project into the deep slab; this eye's own larger ones, mirrored, stand in for them.
    shallow = np.roll(thick[::-1], rng.integers(-25, 26), axis=0)
    signal = (
        look.haze * perfusion * np.exp(0.15 * _clouds(rng, 8))
        + look.texture * perfusion * _unresolved(bed, rng)
        + look.projection * gaussian_filter(shallow, 1.6) * perfusion
        + flow * np.exp(0.12 * _clouds(rng, 18))
    )
    signal = gaussian_filter(signal, look.psf)
    shape = 1 / look.speckle**2
    speckle = gaussian_filter(rng.gamma(shape, 1 / shape, signal.shape), look.grain)
    speckle = 1 + (speckle - 1) * look.speckle / max(speckle.std(), 1e-6)
    noise = gaussian_filter(rng.normal(0, 1, signal.shape), look.grain)
    image = signal * speckle + look.floor * np.exp(0.5 * noise / noise.std())
    image *= _lines(look, rng) * _shade(look, rng)
    image = look.contrast * np.maximum(image, 0) ** look.gamma
    # A soft shoulder: bright vessels saturate gradually, as detectors and viewers do.
    return np.clip(np.rint(255 * np.tanh(image)), 0, 255).astype(np.uint8)


def _lines(look: Look, rng: np.random.Generator) -> np.ndarray:
    """Return the (304, 1) gain of each fast scan: jitter, and a few bright or dim motion lines."""
    gain = 1 + look.line_jitter * rng.normal(0, 1, SCAN_SIZE)
    for _ in range(rng.poisson(look.motion_rate)):
        row, width = rng.integers(0, SCAN_SIZE), rng.integers(1, 4)
        gain[row : row + width] *= rng.choice([0.55, 1.35]) * rng.uniform(0.85, 1.15)
    return gain[:, None]


def _shade(look: Look, rng: np.random.Generator) -> np.ndarray:
    """Return the (304, 304) gain of vignetting and of shadows from floaters and opacities."""
    y, x = np.mgrid[:SCAN_SIZE, :SCAN_SIZE] / (SCAN_SIZE - 1) - 0.5
    cy, cx = rng.normal(0, 0.07, 2)
    gain = 1 - look.vignette * 2 * ((y - cy) ** 2 + (x - cx) ** 2) * rng.uniform(0.6, 1.3)
    gain *= 1 + 0.05 * _clouds(rng, 3)
    for _ in range(rng.poisson(look.shadow_rate)):
        py, px = rng.uniform(-0.5, 0.5, 2)
        size, depth = rng.uniform(0.05, 0.17), rng.uniform(0.2, 0.55)
        gain *= 1 - depth * np.exp(
            -(((y - py) / size) ** 2 + ((x - px) / (size * rng.uniform(0.8, 1.8))) ** 2)
        )
    return np.clip(gain, 0.1, None)
