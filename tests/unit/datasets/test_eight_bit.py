"""Scans of 16 bits reach students and services as copies of 8, others as they are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gftlib.datasets.eight_bit import eight_bit, eight_bit_image
from gftlib.errors import InputError, MissingError

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


DEEP = {"I;16": RAMP * 257, "I": RAMP.astype(np.int32) * 257, "F": (RAMP / 255).astype(np.float32)}


@pytest.mark.parametrize("pixels", DEEP.values(), ids=DEEP)
def test_deep_scans_are_scaled_not_cut_off(tmp_path: Path, pixels: np.ndarray) -> None:
    file = tmp_path / "scan.tif"
    Image.fromarray(pixels).save(file)
    copy = eight_bit(file, tmp_path / "copies")
    assert copy == tmp_path / "copies" / "scan.png"
    with Image.open(copy) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), RAMP)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_others_stay_as_they_are(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "scan.png"
    Image.new(mode, (4, 4)).save(file)
    assert eight_bit(file, tmp_path / "copies") == file
    assert not (tmp_path / "copies").exists()


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.png"):
        eight_bit(tmp_path / "none.png", tmp_path)
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(InputError, match=r"bad\.png is no readable image"):
        eight_bit(tmp_path / "bad.png", tmp_path)


def test_an_image_is_read_as_its_file_is_shown(tmp_path: Path) -> None:
    Image.fromarray(DEEP["I;16"]).save(tmp_path / "deep.png")
    Image.new("RGB", (4, 4), (10, 20, 30)).save(tmp_path / "colour.png")
    assert np.array_equal(np.asarray(eight_bit_image(tmp_path / "deep.png")), RAMP)
    assert eight_bit_image(tmp_path / "colour.png").getpixel((0, 0)) == (10, 20, 30)
