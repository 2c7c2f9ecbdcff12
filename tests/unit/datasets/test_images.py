"""Scans and masks of every kind a user may bring."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from gftlib.datasets.images import read_mask, read_scan, to_grid
from gftlib.errors import InputError, MissingError

RAMP = np.arange(64 * 48).reshape(64, 48) % 256


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_eight_bits_are_exact(tmp_path, suffix):
    scan = read_scan(save(tmp_path / f"scan.{suffix}", RAMP.astype(np.uint8)))
    assert scan.dtype == np.float32 and scan.shape == (64, 48)
    assert (np.rint(scan * 255) == RAMP).all() and scan.max() == 1


@pytest.mark.parametrize(("top", "scale"), [(200, 255), (1000, 1023), (4095, 4095), (60000, 65535)])
def test_sixteen_bits_are_scaled_by_their_depth(tmp_path, top, scale):
    values = (RAMP * top // 255).astype(np.uint16)
    for suffix in ("png", "tif"):
        scan = read_scan(save(tmp_path / f"scan.{suffix}", values))
        assert np.allclose(scan, values / scale, atol=1e-6)


def test_floats_must_lie_in_the_unit_range(tmp_path):
    path = save(tmp_path / "scan.tif", (RAMP / 255).astype(np.float32))
    assert np.allclose(read_scan(path), RAMP / 255)
    for bad in (RAMP.astype(np.float32), np.full((8, 8), np.nan, np.float32)):
        with pytest.raises(InputError, match=r"scan\.tif.*outside"):
            read_scan(save(path, bad))


def test_grey_saved_as_colour_is_grey(tmp_path):
    colour = np.repeat(RAMP.astype(np.uint8)[..., None], 3, axis=2)
    assert (np.rint(read_scan(save(tmp_path / "rgb.png", colour)) * 255) == RAMP).all()
    opaque = np.dstack([colour, np.full(RAMP.shape, 255, np.uint8)])
    assert (np.rint(read_scan(save(tmp_path / "rgba.png", opaque)) * 255) == RAMP).all()
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[:, None], 64, 1)
    path = save(tmp_path / "scan.jpg", np.repeat(smooth[..., None], 3, axis=2), quality=95)
    assert np.abs(read_scan(path) * 255 - smooth).max() < 6


def test_true_colour_is_luminance_with_a_warning(tmp_path, caplog):
    colour = np.zeros((16, 16, 3), np.uint8)
    colour[..., 0] = 200
    with caplog.at_level(logging.WARNING):
        scan = read_scan(save(tmp_path / "red.png", colour))
    assert np.rint(scan * 255).max() == round(0.299 * 200) and "red.png" in caplog.text


def test_palette_and_one_bit_images(tmp_path):
    palette = Image.fromarray(RAMP.astype(np.uint8)).convert("P")
    palette.save(tmp_path / "palette.png")
    assert (np.rint(read_scan(tmp_path / "palette.png") * 255) == RAMP).all()
    bits = save(tmp_path / "bits.png", RAMP > 128)
    assert (read_mask(bits) == (RAMP > 128)).all()


def test_what_is_no_scan_is_refused_by_name(tmp_path):
    with pytest.raises(MissingError, match=r"none\.png"):
        read_scan(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match=r"text\.png"):
        read_scan(tmp_path / "text.png")
    whole = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:1500])
    with pytest.raises(InputError, match=r"cut\.png"):
        read_scan(tmp_path / "cut.png")
    page = Image.fromarray(RAMP.astype(np.uint8))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    with pytest.raises(InputError, match="2 pages"):
        read_scan(tmp_path / "pages.tif")
    see_through = np.zeros((8, 8, 4), np.uint8)
    with pytest.raises(InputError, match="transparent"):
        read_scan(save(tmp_path / "alpha.png", see_through))


def mask_image() -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[20:30] = mask[:, 40:44] = True
    return mask


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (10, 90)])
def test_two_valued_masks(tmp_path, low, high):
    mask = mask_image()
    path = save(tmp_path / "mask.png", np.where(mask, high, low).astype(np.uint8))
    assert (read_mask(path) == mask).all()


def test_a_mask_saved_as_jpeg_is_thresholded(tmp_path):
    mask = mask_image()
    path = save(tmp_path / "mask.jpg", (mask * 255).astype(np.uint8), quality=80)
    assert (read_mask(path) == mask).all()


def test_a_scan_is_no_mask(tmp_path):
    with pytest.raises(InputError, match=r"scan\.png is no mask"):
        read_mask(save(tmp_path / "scan.png", RAMP.astype(np.uint8)))


def test_an_inverted_mask_is_noticed(tmp_path):
    path = save(tmp_path / "mask.png", (~mask_image() * 255).astype(np.uint8))
    with pytest.raises(InputError, match="invert=True"):
        read_mask(path)
    assert (read_mask(path, invert=True) == mask_image()).all()
    with pytest.raises(InputError, match="leave invert out"):
        read_mask(save(path, (mask_image() * 255).astype(np.uint8)), invert=True)


def test_an_empty_mask_is_empty(tmp_path):
    assert not read_mask(save(tmp_path / "mask.png", np.zeros((64, 64), np.uint8))).any()


def test_to_grid_keeps_area_and_proportions():
    mask = mask_image()[:48]
    for method in ("linear", "nearest"):
        grid = to_grid(mask, 256, method)
        assert grid.shape == (192, 256) and grid.dtype == bool
        assert grid.mean() == pytest.approx(mask.mean(), rel=0.02)
        assert (to_grid(grid, 256, method) == grid).all()
    assert (to_grid(mask, 256, "nearest")[::4, ::4] == mask).all()
    fine = np.repeat(np.repeat(mask, 4, 0), 4, 1)
    assert (to_grid(fine, 64) == mask).mean() > 0.99


def test_to_grid_refuses_what_it_cannot_do():
    with pytest.raises(InputError, match="one channel"):
        to_grid(np.zeros((8, 8, 3)))
    with pytest.raises(InputError, match="method"):
        to_grid(np.zeros((8, 8)), 16, "cubic")
