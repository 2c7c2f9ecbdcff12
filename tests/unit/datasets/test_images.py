import numpy as np
import pytest
from PIL import Image

from gftlib.datasets import images
from gftlib.datasets.images import read_mask, read_scan, to_grid
from gftlib.errors import InputError, MissingError

GREY = (np.arange(64 * 48).reshape(48, 64) % 251).astype(np.uint8)
BARS = np.repeat([[0, 255, 0, 0]], 48, axis=0).repeat(16, axis=1).astype(np.uint8)


def save(path, array, mode=None):
    Image.fromarray(array).convert(mode).save(path) if mode else Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_eight_bit_scans_in_any_dress_are_the_same(tmp_path, mode):
    np.testing.assert_array_equal(read_scan(save(tmp_path / "x.png", GREY, mode)), GREY)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_depth(tmp_path, suffix):
    deep = GREY.astype(np.uint16) * 257 + 1
    found = read_scan(save(tmp_path / f"x.{suffix}", deep))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, deep / 65535, atol=1e-7)


def test_floats_must_be_fractions(tmp_path):
    fraction = (GREY / 255).astype(np.float32)
    np.testing.assert_array_equal(read_scan(save(tmp_path / "x.tif", fraction)), fraction)
    for bad in (fraction * 255, np.where(GREY == 3, np.nan, fraction)):
        with pytest.raises(InputError, match=r"y\.tif holds NaN or values outside"):
            read_scan(save(tmp_path / "y.tif", bad.astype(np.float32)))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.stack([GREY, GREY // 2, GREY], axis=-1), "colour image"),
        (GREY > 3, "two-valued mask"),
        (np.dstack([GREY, GREY, GREY, GREY]), "partly transparent"),
    ],
)
def test_what_is_no_grey_scan_is_refused_by_name(tmp_path, array, message):
    with pytest.raises(InputError, match=rf"x\.png.*{message}"):
        read_scan(save(tmp_path / "x.png", array))


def test_what_is_no_image_is_refused(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_text("text")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_scan(tmp_path / "x.png")
    with pytest.raises(MissingError, match="no file"):
        read_mask(tmp_path / "none.png")
    whole = save(tmp_path / "y.png", GREY)
    whole.write_bytes(whole.read_bytes()[:-80])
    with pytest.raises(InputError, match="cannot be read"):
        read_scan(whole)
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(InputError, match="too many to read"):
        read_scan(save(tmp_path / "z.png", GREY))


def test_masks_of_any_two_values(tmp_path):
    for array in (BARS, BARS // 255, BARS > 0, BARS // 2 + 10):
        np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", array)), BARS > 0)
    jpeg = read_mask(save(tmp_path / "m.jpg", BARS))
    assert (jpeg != (BARS > 0)).mean() < 0.01


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (GREY, "grey levels"),
        (255 - BARS, "75% of the field are vessels: invert"),
        (0 * BARS, "one value only"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, array, message):
    with pytest.raises(InputError, match=message):
        read_mask(save(tmp_path / "m.png", array))


def test_the_grid_keeps_proportions_and_area():
    mask = BARS > 0
    fine = to_grid(mask, 640)
    assert fine.shape == (480, 640)
    assert abs(fine.mean() - mask.mean()) < 0.01
    assert to_grid(fine, 100) is fine
