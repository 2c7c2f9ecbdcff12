from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gftlib.datasets.octa500 import DEEP, check, read, read_labels
from gftlib.errors import InputError, MissingError

DISEASES = ["NORMAL", "DR", "AMD", "normal ", "DR", "CNV"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A set of six 3 mm scans."""
    root = tmp_path / "OCTA-500" / "OCTA_3M"
    images = root / "Projection Maps" / DEEP
    images.mkdir(parents=True)
    numbers = [10301 + i for i in range(len(DISEASES))]
    table = pd.DataFrame({"ID": numbers, "Sex": "F", "OS/OD": "OD", "Age": 50, "Disease": DISEASES})
    table.to_csv(root / "Text labels.csv", index=False)
    for number in numbers:
        Image.fromarray(np.full((304, 304), number % 256, np.uint8)).save(images / f"{number}.bmp")
    return tmp_path / "OCTA-500"


def test_healthy_and_dr_are_read_and_other_diseases_left_out(folder):
    scans = read(folder)
    assert [(scan.scan, scan.label) for scan in scans] == [
        ("10301", 0),
        ("10302", 1),
        ("10304", 0),
        ("10305", 1),
    ]
    assert {scan.field_mm for scan in scans} == {3.0}
    image = scans[1].image()
    assert (image.shape, image.dtype, image[0, 0]) == ((304, 304), np.uint8, 10302 % 256)
    assert read(folder / "OCTA_3M") == scans


def test_the_check_sets_counts_beside_the_published_ones(folder):
    report = check(folder)
    found = {count.name: (count.found, count.expected) for count in report.counts}
    assert found["3mm scans"] == (6, 200)
    assert found["3mm NORMAL"] == (2, 160)
    assert found["3mm DR"] == (2, 29)
    assert found["3mm AMD"] == (1, None)
    assert found["3mm images of them"] == (4, 4)
    assert report.problems == () and not report.ok
    images = folder / "OCTA_3M" / "Projection Maps" / DEEP
    (images / "10301.bmp").unlink()
    Image.new("L", (10, 10)).save(images / "10302.bmp")
    (images / "10304.bmp").write_bytes(b"no image")
    problems = check(folder).problems
    assert "scan 10301 has no image" in problems[0]
    assert "10302.bmp is 10 x 10, not 304 x 304" in problems[1]
    assert "10304.bmp is not a readable image" in problems[2]
    with pytest.raises(MissingError, match="10301"):
        read(folder)


def test_a_set_of_the_published_size_is_as_published(tmp_path):
    root = tmp_path / "OCTA_3mm"
    images = root / DEEP
    images.mkdir(parents=True)
    diseases = ["NORMAL"] * 160 + ["DR"] * 29 + ["AMD"] * 6 + ["CNV"] * 5
    numbers = np.arange(10301, 10501)
    pd.DataFrame({"Patient ID": numbers, "Diagnosis": diseases}).to_csv(root / "labels.csv", index=False)
    Image.new("L", (304, 304)).save(images / "10301.bmp")
    for number in numbers[1:]:
        (images / f"{number}.bmp").hardlink_to(images / "10301.bmp")
    assert check(tmp_path).ok
    assert sum(scan.label for scan in read(tmp_path)) == 29


def test_the_published_spreadsheet_is_read(folder):
    pytest.importorskip("openpyxl")
    root = folder / "OCTA_3M"
    table = pd.read_csv(root / "Text labels.csv")
    (root / "Text labels.csv").unlink()
    table.to_excel(root / "Text labels.xlsx", index=False)
    assert read_labels(root)["disease"].tolist() == ["NORMAL", "DR", "AMD", "NORMAL", "DR", "CNV"]


def test_bad_input_is_named(folder, tmp_path):
    table = folder / "OCTA_3M" / "Text labels.csv"
    table.write_text("Number,Finding\n10301,DR\n")
    with pytest.raises(InputError, match="no column for the disease; it has Number, Finding"):
        read(folder)
    table.write_text("ID,Disease\n10301,DR\n10301,DR\n")
    with pytest.raises(InputError, match="10301 twice"):
        read(folder)
    table.unlink()
    with pytest.raises(MissingError, match="Text labels"):
        read(folder)
    (folder / "OCTA_3M" / "Text labels.xlsx").write_bytes(b"no spreadsheet")
    with pytest.raises(InputError, match="not a readable table"):
        read(folder)
    with pytest.raises(MissingError, match="no OCTA_3M"):
        read(tmp_path)
    with pytest.raises(InputError, match="did you mean '3mm'"):
        read(folder, ["3m"])


def test_an_unknown_projection_is_named(folder):
    with pytest.raises(MissingError, match="no folder 'OCTA\\(DVC\\)'"):
        read(folder, projection="OCTA(DVC)")
