"""The Derm7pt reader on a tiny fabricated folder in the original layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gftlib.datasets import derm7pt
from gftlib.errors import InputError, MissingError

COLUMNS = (
    "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,regression_structures,"
    "dots_and_globules,blue_whitish_veil,vascular_structures,location,clinic,derm,notes"
)
ROWS = (
    "1,clark nevus,0,typical,absent,absent,absent,regular,absent,absent,back,A/a.jpg,NEL/Nel001.png,",
    "2,melanoma (in situ),6,atypical,irregular,diffuse irregular,combinations,irregular,present,dotted,"
    "back,A/b.jpg,NEL/Nel002.png,",
    "3,melanoma metastasis,1,absent,absent,localized irregular,absent,absent,absent,within regression,"
    "scalp,A/c.jpg,NEL/Nel003.png,revisi\xf3n",
    "4,basal cell carcinoma,0,absent,absent,absent,absent,absent,absent,arborizing,"
    "face,A/d.jpg,NEL/Nel004.png,",
)


def make(folder: Path, rows=ROWS, splits=((0,), (2,), (1, 3)), columns: str = COLUMNS) -> Path:
    (folder / "meta").mkdir(parents=True)
    (folder / "images" / "nel").mkdir(parents=True)
    table = "\n".join((columns, *rows)) + "\n"
    (folder / "meta" / "meta.csv").write_bytes(table.encode("latin-1"))
    for name, indices in zip(("train", "valid", "test"), splits, strict=True):
        text = "indexes\n" + "".join(f"{i}\n" for i in indices)
        (folder / "meta" / f"{name}_indexes.csv").write_text(text)
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[25:35, 25:55] = 200
    for i in range(1, len(rows) + 1):
        Image.fromarray(pixels).save(folder / "images" / "nel" / f"NEL{i:03d}.PNG")
    return folder


def test_the_task_has_28_expressions_read_by_their_score():
    task = derm7pt.task()
    assert [len(rows) for rows in task.groups().values()] == [3, 2, 8, 5, 3, 3, 4]
    assert task.classes == ("nevus", "melanoma")
    assert len(task.group_classes) == 14
    for criterion in derm7pt.CRITERIA:
        assert sum(e.count for e in derm7pt.EXPRESSIONS if e.criterion == criterion) == derm7pt.N_CASES
    melanoma = {(c.group, c.concept) for c in task.combinations if c.cls == "melanoma"}
    assert len(melanoma) == 11
    # SCALE, Table 1.
    assert ("pigmentation", "diffuse irregular pigmentation") in melanoma
    assert ("pigmentation", "diffuse regular pigmentation") not in melanoma
    assert ("vascular_structures", "vascular structures within regression") not in melanoma


def test_prompts_of_both_readings():
    both = derm7pt.task().index("pigmentation", "diffuse regular pigmentation")
    assert derm7pt.task().prompts[both] == (
        "A photo of a skin lesion with diffuse regular pigmentation, which indicates a nevus."
    )
    assert (
        derm7pt.task("concept").prompts[both] == "A photo of a skin lesion with diffuse regular pigmentation."
    )
    with pytest.raises(InputError, match="unknown prompt style"):
        derm7pt.task("class")


def test_labels_splits_texts_and_images(tmp_path):
    data = derm7pt.load(make(tmp_path / "d"))
    assert data.subjects.tolist() == ["1", "2", "3", "4"]
    assert data.split.tolist() == ["train", "test", "valid", "test"]
    named = [c.concept for c, held in zip(data.task.combinations, data.labels[1], strict=True) if held]
    assert named == [
        "atypical pigment network",
        "present blue-whitish veil",
        "dotted vascular structures",
        "diffuse irregular pigmentation",
        "irregular streaks",
        "irregular dots and globules",
        "regression structures with blue and white areas",
    ]
    assert [len(texts) for texts in data.texts] == [7, 7, 7, 7]
    assert data.texts[3][2] == (data.task.prompts[6], 6)
    assert data.image(0).shape == (10, 30, 3)
    assert (data.image(0) == 200).all()
    assert data.notes == ()


def test_what_cannot_be_used_is_listed(tmp_path):
    rows = (ROWS[0], ROWS[1].replace("atypical", "odd"), ROWS[2].replace("Nel003", "Nel999"), ROWS[3])
    data = derm7pt.load(make(tmp_path / "d", rows, splits=((0,), (2,), (1,))))
    assert data.subjects.tolist() == ["1"]
    assert data.notes == (
        "case 2 skipped: unknown pigment_network 'odd'",
        "case 3 skipped: no image 'NEL/Nel999.png'",
        "case 4 skipped: it is in no split",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": (ROWS[0], ROWS[0])}, "case_num '1' is there twice"),
        ({"columns": COLUMNS.replace("streaks", "streak")}, "no column 'streaks'"),
        ({"splits": ((0,), (0,), (1, 3))}, "valid_indexes.csv: position 0 is in two splits"),
        ({"splits": ((0, 0), (2,), (1, 3))}, "twice in this one"),
        ({"splits": ((0,), (2,), (1, 4))}, "row positions from 0 to 3"),
        ({"splits": ((0,), (2,), (1.5, 3))}, "row positions from 0 to 3"),
        ({"splits": ((0,), (2,), ("one", 3))}, "row positions from 0 to 3"),
        ({"rows": (ROWS[0].replace("NEL/Nel001.png", "../../secret.png"), *ROWS[1:])}, "leaves its folder"),
        ({"splits": ((), (), ())}, "no usable case"),
    ],
)
def test_broken_folders_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        derm7pt.load(make(tmp_path / "d", **change))


def test_missing_tables_and_unreadable_images(tmp_path):
    with pytest.raises(MissingError, match=r"meta\.csv"):
        derm7pt.load(tmp_path)
    folder = make(tmp_path / "d")
    (folder / "images" / "nel" / "NEL001.PNG").write_text("no picture")
    with pytest.raises(InputError, match="not a readable image"):
        derm7pt.load(folder).image(0)
    with pytest.raises(InputError, match="too few to cut a border"):
        derm7pt.load(folder, border=30).image(1)


def test_check_puts_counts_beside_the_published_ones(tmp_path):
    report = derm7pt.check(make(tmp_path / "d"))
    counts = {count.name: (count.found, count.expected) for count in report.counts}
    assert counts["cases"] == (4, 1011)
    assert counts["cases in test"] == (2, 395)
    assert counts["melanoma"] == (2, 252)
    assert counts["vascular_structures: arborizing"] == (1, None)
    assert len(counts) == 33
    assert not report.ok
    assert any("MISMATCH" in line for line in report.lines())


@pytest.mark.parametrize(
    ("diagnosis", "expected"),
    [("melanoma (0.76 to 1.5 mm)", True), ("Melanoma", True), ("melanosis", False), ("clark nevus", False)],
)
def test_melanoma_grouping(diagnosis, expected):
    assert derm7pt.is_melanoma(diagnosis) is expected
