"""The PadChest-GR reader on a tiny fabricated folder in the original layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gftlib.datasets import padchest_gr
from gftlib.datasets.padchest_locations import LOCATIONS, PRINTED, UMLS, coarse_locations, task
from gftlib.errors import InputError, MissingError


def finding(sentence, labels=(), locations=(), abnormal=True, boxes=()):
    return {
        "sentence_en": sentence,
        "sentence_es": "-",
        "abnormal": abnormal,
        "labels": list(labels),
        "locations": list(locations),
        "boxes": [list(box) for box in boxes],
    }


def study(name, *findings):
    return {"StudyID": name, "ImageID": f"{name}.png", "findings": list(findings)}


STUDIES = [
    study(
        "s1",
        finding("Heart enlarged.", ["cardiomegaly"], ["loc cardiac"], boxes=[(0.3, 0.4, 0.7, 0.8)]),
        finding("No pneumothorax.", abnormal=False),
    ),
    study(
        "s2",
        finding(
            "Left effusion.",
            ["pleural effusion"],
            ["loc left", "loc costophrenic angle", "loc pleural"],
            boxes=[(0.6, 0.6, 0.9, 0.9), (0.9, 0.6, 0.6, 0.9)],
        ),
    ),
    study(
        "s3", finding("Collapse and fluid.", ["atelectasis", "pleural effusion"], ["loc right lower lobe"])
    ),
    study("s4", finding("Nodule.", ["nodule"], ["loc left"])),
]


def make(folder: Path, studies=STUDIES, patients=("p1", "p2", "p3", "p4"), splits=None, table=None) -> Path:
    images = folder / "Padchest_GR_files" / "PadChest_GR"
    images.mkdir(parents=True)
    (folder / "grounded_reports_20240819.json").write_text(json.dumps(studies), encoding="utf-8")
    splits = splits or ["train", "test", "validation", "train"]
    rows = [f"s{i + 1},s{i + 1}.png,{p},{s}" for i, (p, s) in enumerate(zip(patients, splits, strict=True))]
    header = "StudyID,ImageID,PatientID,split"
    (folder / "master_table.csv").write_text("\n".join([header, *(table or rows), rows[0]]) + "\n")
    for i in range(len(patients)):
        values = np.linspace(0, 4000, 30 * 40).reshape(30, 40).astype(np.uint16)
        Image.fromarray(values).save(images / f"s{i + 1}.png")
    return folder


def test_the_printed_list():
    assert len(PRINTED) == 12
    assert sum(p.count for p in PRINTED) == 882
    twelve = task()
    assert twelve.multi_label
    assert twelve.classes == ("atelectasis", "cardiomegaly", "consolidation", "pleural effusion")
    assert len(twelve.concepts) == 10
    # "left lower lobe" is a concept of two classes: SCALE's C_l.
    assert (twelve.concept_index == twelve.concepts.index("left lower lobe")).sum() == 2
    assert twelve.prompts[0] == "Atelectasis left lower lobe."
    assert {p.location for p in PRINTED} == set(LOCATIONS)
    named = {word for rule in LOCATIONS.values() for option in rule for word in option}
    assert named - set(UMLS) == {"loc retrocardiac", "loc bilateral costophrenic angle"}


@pytest.mark.parametrize(
    ("strings", "expected"),
    [
        (["loc lower lobe", "loc left"], ["left lower lobe"]),
        (["loc lower lung field", "loc right"], ["right lower lobe"]),
        ([" LOC Left lower lobe "], ["left lower lobe"]),
        (["loc lower lobe"], []),
        (["loc left"], []),
        (["loc costophrenic angle", "loc bilateral"], ["bilateral costophrenic angle"]),
        (["loc left", "loc right", "loc pleural"], ["left pleural", "right pleural"]),
        (["loc left", "loc pleural", "loc costophrenic angle"], ["left costophrenic angle", "left pleural"]),
        (["loc retrocardiac", "loc cardiac"], ["retrocardiac", "cardiac"]),
        ([], []),
    ],
)
def test_coarse_locations(strings, expected):
    assert coarse_locations(strings) == expected
    assert coarse_locations(strings, "first") == expected[:1]


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="'all' or 'first'"):
        coarse_locations([], "nearest")


def test_labels_texts_boxes_and_images(tmp_path):
    data = padchest_gr.load(make(tmp_path / "p"), split="official", min_cases=1)
    names = [f"{c.cls} {c.concept}" for c in data.task.combinations]
    assert names == [
        "atelectasis right lower lobe",
        "cardiomegaly cardiac",
        "pleural effusion left costophrenic angle",
        "pleural effusion left pleural",
    ]
    assert data.labels.tolist() == [[0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]]
    assert data.subjects.tolist() == ["p1", "p2", "p3"]
    assert data.split.tolist() == ["train", "test", "valid"]
    assert data.texts[0] == [("Heart enlarged.", 1), ("No pneumothorax.", -1)]
    assert data.texts[1] == [("Left effusion.", 2), ("Left effusion.", 3)]
    # The effusion in a lobe is no printed combination; its sentence still names the atelectasis.
    assert data.texts[2] == [("Collapse and fluid.", 0)]
    assert data.boxes[1] == [(2, (0.6, 0.6, 0.9, 0.9)), (3, (0.6, 0.6, 0.9, 0.9))]
    assert any("box [0.9, 0.6, 0.6, 0.9] is left out" in note for note in data.notes)
    image = data.image(0)
    assert (image.dtype, image.shape, image.min(), image.max()) == (np.uint8, (30, 40), 0, 255)


def test_the_first_location_alone(tmp_path):
    data = padchest_gr.load(make(tmp_path / "p"), multiple="first", min_cases=1)
    assert "left pleural" not in data.task.concepts


def test_rare_combinations_are_removed_and_listed(tmp_path):
    studies = [
        STUDIES[0],
        study("s2", finding("Large heart.", ["cardiomegaly"], ["loc cardiac"])),
        STUDIES[2],
    ]
    data = padchest_gr.load(make(tmp_path / "p", studies, ("p1", "p2", "p3"), ["train"] * 3), min_cases=2)
    assert [c.concept for c in data.task.combinations] == ["cardiac"]
    assert len(data) == 2
    assert "atelectasis right lower lobe removed: 1 cases, 2 needed" in data.notes


def test_the_stratified_split_is_by_patient(tmp_path):
    heart = finding("Large heart.", ["cardiomegaly"], ["loc cardiac"])
    studies = [study(f"s{i + 1}", heart) for i in range(20)]
    patients = [f"p{i // 2}" for i in range(20)]
    folder = make(tmp_path / "p", studies, patients, ["train"] * 20)
    data = padchest_gr.load(folder)
    test = set(data.subjects[data.split == "test"].tolist())
    assert len(test) in (1, 2)
    assert not test & set(data.subjects[data.split == "train"].tolist())
    again = padchest_gr.load(folder)
    assert again.split.tolist() == data.split.tolist()


def test_what_cannot_be_used_is_listed(tmp_path):
    twice = [*STUDIES, STUDIES[0], {"ImageID": "x"}, study("s9", STUDIES[0]["findings"][0])]
    twice[1] = {**STUDIES[1], "ImageID": "gone.png"}
    twice[2] = study("s3", {**STUDIES[2]["findings"][0], "sentence_en": None})
    data = padchest_gr.load(make(tmp_path / "p", twice), split="official", min_cases=1)
    assert len(data) == 1
    for note in (
        "study s1 skipped: it is there twice",
        "record 5 skipped: it has no StudyID or ImageID",
        "study s9 skipped: it is not in master_table.csv",
        "study s2 skipped: no image 'gone.png'",
        "study s3: a finding without an English sentence is left out",
    ):
        assert note in data.notes


@pytest.mark.parametrize(
    ("name", "value"), [("labels", 5), ("labels", "pleural effusion"), ("locations", 1.5), ("boxes", 3)]
)
def test_what_is_no_list_is_left_out_and_listed(tmp_path, name, value):
    odd = {**STUDIES[1]["findings"][0], name: value}
    data = padchest_gr.load(
        make(tmp_path / "p", [STUDIES[0], study("s2", odd), *STUDIES[2:]]), split="official", min_cases=1
    )
    assert f"study s2: the {name} {value!r} of a finding are left out: a list is needed" in data.notes
    assert data.subjects.tolist() == (["p1", "p2", "p3"] if name == "boxes" else ["p1", "p3"])


def test_findings_that_are_no_list_do_not_count(tmp_path):
    odd = [{**STUDIES[1], "findings": 5} if s is STUDIES[1] else s for s in STUDIES]
    report = padchest_gr.check(make(tmp_path / "p", odd))
    assert {c.name: c.found for c in report.counts}["positive sentences"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"studies": {"a": 1}}, "must hold a list"),
        ({"splits": ["train", "test", "holdout", "train"]}, "line 4: unknown split 'holdout'"),
        ({"table": ["s1,s1.png,p1,train", "s1,s1.png,p9,train"]}, "two patients or two splits"),
        ({"studies": [STUDIES[3]]}, "no study with a printed combination"),
        ({"studies": [{**STUDIES[0], "ImageID": "../../../x.png"}]}, "leaves its folder"),
        ({"patients": ("p1", "p1", "p3", "p4")}, "subject 'p1' is in both"),
    ],
)
def test_broken_sets_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        padchest_gr.load(make(tmp_path / "p", **change), split="official", min_cases=1)


def test_missing_files_and_unknown_splits(tmp_path):
    with pytest.raises(InputError, match="'stratified' or 'official'"):
        padchest_gr.load(tmp_path, split="random")
    (tmp_path / "master_table.csv").write_text("StudyID,PatientID,split\n")
    with pytest.raises(MissingError, match="grounded_reports"):
        padchest_gr.load(tmp_path)


def test_check_lists_every_mismatch_and_unprinted_locations(tmp_path):
    nodes = [study(f"s{i + 1}", finding("Fluid.", ["pleural effusion"], ["loc cardiac"])) for i in range(10)]
    report = padchest_gr.check(make(tmp_path / "p", nodes, [f"p{i}" for i in range(10)], ["train"] * 10))
    counts = {count.name: count for count in report.counts}
    assert (counts["studies"].found, counts["studies"].expected) == (10, 4555)
    assert (counts["cardiomegaly cardiac"].found, counts["cardiomegaly cardiac"].expected) == (0, 437)
    assert counts["positive sentences"].found == 10
    assert len(report.mismatches) == 16
    assert report.problems == (
        "pleural effusion cardiac has 10 cases but is not among the printed combinations",
    )
