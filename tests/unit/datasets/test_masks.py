from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage

from gftlib.datasets.masks import CELLS, components, image_size, measure_mask, read_mask
from gftlib.errors import InputError, MissingError


def png(pixels: np.ndarray, kinds: list[int]) -> bytes:
    """Encode 8-bit grey with a given PNG filter on each row."""
    height, width = pixels.shape
    lines = []
    for r in range(height):
        kind, out = kinds[r % len(kinds)], bytearray()
        for c in range(width):
            left = int(pixels[r, c - 1]) if c else 0
            up = int(pixels[r - 1, c]) if r else 0
            corner = int(pixels[r - 1, c - 1]) if r and c else 0
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda v: abs(guess - v))
            out.append((int(pixels[r, c]) - (0, left, up, (left + up) // 2, paeth)[kind]) % 256)
        lines.append(bytes([kind]) + bytes(out))
    data = zlib.compress(b"".join(lines))

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    # The stream in two chunks, as large files have it.
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", data[:7])
        + chunk(b"IDAT", data[7:])
        + chunk(b"IEND", b"")
    )


masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.sampled_from([0, 0, 1, 255])
)


@settings(deadline=None, max_examples=60)
@given(pixels=masks, kinds=st.lists(st.integers(0, 4), min_size=1, max_size=5), invert=st.booleans())
def test_every_filter_is_undone_and_measured_as_numpy_does(tmp_path_factory, pixels, kinds, invert):
    path = tmp_path_factory.mktemp("m") / "m.png"
    path.write_bytes(png(pixels, kinds))
    assert np.array_equal(np.asarray(Image.open(path)), pixels)  # the encoder above is right
    measure, mask = read_mask(path, invert)
    truth = (pixels != 0) != invert
    assert np.array_equal(mask, truth)
    assert measure.size == pixels.shape and measure.area == truth.sum()
    assert measure_mask(path, invert).box == measure.box
    if truth.any():
        rows, cols = np.nonzero(truth)
        assert measure.box == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
    else:
        assert measure.box is None


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "I;16"])
def test_other_modes_give_the_same_measure(tmp_path, mode):
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:9, 11:30] = 255
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 200)
    elif mode == "RGBA":
        image = Image.fromarray(np.dstack([pixels] * 3 + [np.full_like(pixels, 255)]))
    else:
        image = Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "m.png")
    measure = measure_mask(tmp_path / "m.png")
    assert (measure.box, measure.area, measure.size) == ((11, 5, 30, 9), 76, (30, 40))


def test_grid_is_the_share_of_each_cell(tmp_path):
    pixels = np.zeros((CELLS * 4, CELLS * 2), np.uint8)
    pixels[:4, :2] = 255
    pixels[4:6, :2] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    grid = measure_mask(tmp_path / "m.png").grid
    assert grid[0, 0] == 255 and grid[1, 0] == 127 and grid.sum() == 382


def test_components_are_eight_connected_and_sorted_by_area():
    mask = np.zeros((10, 12), bool)
    mask[1, 1] = mask[2, 2] = True
    mask[5:8, 4:9] = True
    assert components(mask, (1, 1, 9, 8)) == [((4, 5, 9, 8), 15), ((1, 1, 3, 3), 2)]


@settings(deadline=None, max_examples=150)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_components_are_scipys(mask):
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    wanted = [
        ((cols.start, rows.start, cols.stop, rows.stop), int((labels == k).sum()))
        for k, (rows, cols) in enumerate(ndimage.find_objects(labels), 1)
    ]
    found = components(mask, (0, 0, mask.shape[1], mask.shape[0]))
    assert len(found) == n and found == sorted(wanted, key=lambda item: (-item[1], item[0]))


def test_damaged_and_missing_files_are_named(tmp_path):
    path = tmp_path / "m.png"
    whole = png(np.full((9, 9), 255, np.uint8), [1])
    path.write_bytes(whole[:60])
    with pytest.raises(InputError, match=r"m\.png is damaged"):
        measure_mask(path)
    path.write_bytes(b"not an image")
    with pytest.raises(InputError, match="not a readable image"):
        measure_mask(path)
    with pytest.raises(InputError, match="not an image"):
        image_size(path)
    for read in (measure_mask, image_size):
        with pytest.raises(MissingError, match=r"no file .*none\.png"):
            read(tmp_path / "none.png")


def test_image_size_of_png_and_jpeg(tmp_path):
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (31, 17)).save(tmp_path / name)
        assert image_size(tmp_path / name) == (17, 31)
