import numpy as np
import pytest
from PIL import Image
from skimage.draw import line

from gftlib.errors import InputError
from gftlib.octa.segmentation import segment_classical


def scan(noise=0.08):
    """A dark field with noise, a slow gradient and a bright cross of three-pixel lines."""
    rng = np.random.default_rng(0)
    image = 0.2 + 0.2 * np.linspace(0, 1, 152)[None] + noise * rng.standard_normal((152, 152))
    truth = np.zeros((152, 152), bool)
    for start, end in (((10, 20), (140, 120)), ((120, 15), (30, 140))):
        rows, cols = line(*start, *end)
        for shift in (-1, 0, 1):
            truth[rows + shift, cols] = True
    return np.clip(image + 0.4 * truth, 0, 1), truth


def test_bright_lines_are_found_and_noise_is_not():
    image, truth = scan()
    mask = segment_classical(image, size=304)[::2, ::2]
    assert mask[truth].mean() > 0.95
    assert mask[~truth].mean() < 0.1


def test_the_mask_keeps_the_scans_proportion():
    image, _ = scan()
    assert segment_classical(image[:76], size=608).shape == (304, 608)


def test_a_motion_line_is_no_vessel():
    image, _ = scan()
    striped = image.copy()
    striped[70] += 0.4
    plain, found = (segment_classical(each, size=304)[138:144].mean() for each in (image, striped))
    assert found < plain + 0.1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 64)), "constant"),
        (np.full((64, 64), np.nan), "NaN"),
        (np.zeros((64, 64, 3)), r"shape \(64, 64, 3\)"),
        (np.zeros((8, 64)), "at least 32"),
    ],
)
def test_what_is_no_scan_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        segment_classical(image)


def test_real_scans_recall_of_human_labels_beats_their_own_area(shared_data):
    folder = shared_data("octa_rossa")
    for name in ("203.png", "213.png", "221.png"):
        image = np.asarray(Image.open(folder / "image" / name).convert("L"), float) / 255
        label = np.asarray(Image.open(folder / "label" / name).convert("L").resize((1216, 1216), 0)) > 127
        mask = segment_classical(image)
        assert mask[label].mean() > 0.9
        assert mask.mean() < 0.35
