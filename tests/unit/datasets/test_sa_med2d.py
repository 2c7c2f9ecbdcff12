from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gftlib.datasets import json_stream
from gftlib.datasets.json_stream import stream_object
from gftlib.datasets.sa_med2d import CLASSES, PAIRS, Problems, SAMed2D, check
from gftlib.datasets.sa_med2d_names import (
    MODALITIES,
    MaskName,
    display_name,
    image_stem,
    mask_stem,
    modality_of,
    parse_demo_image,
    parse_demo_mask,
    parse_image,
    parse_mask,
)
from gftlib.errors import InputError, MissingError

CARD = "mr_t1--BraTS2021--BraTS2021_00218--z_0141"


def test_the_data_cards_own_examples():
    name = parse_image(CARD)
    assert (name.modality, name.dataset, name.case, name.axis, name.index) == (
        "mr", "BraTS2021", "BraTS2021_00218", "z", 141,
    )  # fmt: skip
    flat = parse_image("x_ray--covid_19_ct_cxr--16660_5_1--2d_none")
    assert (flat.modality, flat.case, flat.axis, flat.index) == ("x_ray", "16660_5_1", None, None)
    assert parse_mask("ct_00--CAD_PE--001--x_0125--0000_002") == MaskName(
        "ct_00--CAD_PE--001--x_0125", "0000", 2
    )


@pytest.mark.parametrize(
    ("prefix", "modality"),
    [
        ("x_ray", "x_ray"),
        ("fundus_photography", "fundus"),
        ("mr_t1ce", "mr"),
        ("pet_00", "pet"),
        ("ct_00", "ct"),
    ],
)
def test_prefixes_with_their_two_traps(prefix, modality):
    assert modality_of(prefix) == modality
    assert parse_image(f"{prefix}--d--c--2d_none").modality == modality


def test_an_unknown_prefix_is_refused():
    with pytest.raises(InputError, match="unknown modality 'x_00'"):
        modality_of("x_00")


parts = st.text(st.sampled_from("abcXYZ019_.-"), min_size=1, max_size=12).filter(
    lambda s: "--" not in s and not s.startswith("-") and not s.endswith("-")
)


@given(
    st.sampled_from(["ct_00", "x_ray", "fundus_photography", "mr_flair"]),
    parts,
    parts,
    st.none() | st.tuples(st.sampled_from("xyz"), st.integers(0, 99999)),
    st.integers(0, 9999),
    st.integers(0, 999),
)
def test_names_round_trip(prefix, dataset, case, cut, label, instance):
    axis, index = cut or (None, None)
    stem = image_stem(prefix, dataset, case, axis, index)
    name = parse_image(stem)
    assert (name.prefix, name.dataset, name.case, name.axis, name.index) == (
        prefix,
        dataset,
        case,
        axis,
        index,
    )
    assert parse_mask(mask_stem(stem, label, instance)) == MaskName(stem, f"{label:04d}", instance)


def test_a_separator_in_a_part_is_refused():
    with pytest.raises(InputError, match="separator"):
        image_stem("ct_00", "a--b", "c")


def test_sequences_and_frames_of_a_patient_are_one_case():
    t1, t2 = parse_image(CARD), parse_image(CARD.replace("mr_t1", "mr_t2").replace("141", "077"))
    assert t1.case_key == t2.case_key and t1.volume != t2.volume
    first = parse_image("mr_00--ACDC--patient001_frame01--x_0006")
    last = parse_image("mr_00--ACDC--patient001_frame12--x_0002")
    assert first.case_key == last.case_key == "ACDC--patient001"


def test_demo_names_need_the_image_to_be_read():
    image = parse_demo_image("s0114_111")
    assert (image.modality, image.dataset, image.index) == ("ct", "Totalsegmentator_dataset", 111)
    assert parse_demo_mask("s0114_111_rib_left_9_000", "s0114_111").label == "rib_left_9"
    assert parse_demo_image("amos_0507_31").modality == "mr" and parse_demo_image("a_1").modality == "unknown"
    with pytest.raises(InputError):
        parse_demo_mask("s0114_11_rib_000", "s0114_111")


def test_names_for_reading_hold_no_markup():
    assert display_name("hip_left") == "hip left" and display_name("a<box>_b{c}") == "a box b c"


def mask(folder, name, box=(2, 2, 6, 5), size=(8, 10)):
    pixels = np.zeros(size, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    (folder / "masks").mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(folder / "masks" / f"{name}.png")
    return f"masks/{name}.png"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    pairs = {}
    for stem in ("ct_00--A--c1--z_0001", "x_ray--B--c1--2d_none"):
        Image.new("L", (10, 8)).save(tmp_path / f"images/{stem}.png")
        pairs[f"images/{stem}.png"] = [mask(tmp_path, f"{stem}--0001_000")]
    (tmp_path / PAIRS).write_text(json.dumps(pairs))
    (tmp_path / CLASSES).write_text(
        json.dumps({"A": {"liver": "0001", "union_liver_spleen": "0002"}, "B": {"lung": 1}})
    )
    return tmp_path


def relist(folder, change):
    pairs = json.loads((folder / PAIRS).read_text())
    change(pairs)
    (folder / PAIRS).write_text(json.dumps(pairs))


def test_a_sound_folder_checks_clean(folder):
    report = check(folder)
    assert report.ok and report.counts[0].found == 2 and report.counts[1].found == 2
    labels = {e.name.modality: e.masks[0].label for e in SAMed2D(folder).entries()}
    assert labels == {"ct": "liver", "x_ray": "lung"}


def test_the_folder_may_be_the_parent_or_keep_its_jsons_apart(folder):
    (folder / "annotations").mkdir()
    for name in (PAIRS, CLASSES):
        (folder / name).rename(folder / "annotations" / name)
    assert len(list(SAMed2D(folder).entries())) == 2
    outer = folder.parent / "outer"
    outer.mkdir()
    (outer / "SAMed2Dv1").symlink_to(folder)
    assert len(list(SAMed2D(outer).entries())) == 2


def test_without_the_listing_the_folder_is_scanned(folder):
    listed = list(SAMed2D(folder).entries())
    (folder / PAIRS).unlink()
    assert list(SAMed2D(folder).entries()) == listed


def test_what_is_wrong_is_counted_not_fatal(folder):
    ct, xray = "images/ct_00--A--c1--z_0001.png", "images/x_ray--B--c1--2d_none.png"
    wide = mask(folder, "ct_00--A--c1--z_0001--0001_001", size=(8, 11))

    def change(pairs):
        pairs[ct] += [
            wide,
            "masks/ct_00--A--c1--z_0001--0001_002.png",
            "masks/ct_00--A--c1--z_0001--0002_000.png",
        ]
        pairs[ct] += [
            "masks/ct_00--A--c1--z_0001--0009_000.png",
            "masks/odd.png",
            "masks/ct_00--A--c2--z_0001--0001_000.png",
        ]
        pairs["images/nonsense.png"] = []
        pairs["images/ct_00--A--c9--z_0001.png"] = ["masks/ct_00--A--c9--z_0001--0001_000.png"]
        pairs["images/ct_00--A--c8--z_0001.png"] = []

    relist(folder, change)
    (folder / xray).unlink()
    report = check(folder)
    kinds = {line.split(" x ")[1].split(", first")[0]: line[0] for line in report.problems}
    assert kinds == {
        "class id without a name": "1",
        "image name outside the grammar": "1",
        "image without a usable mask": "1",
        "mask listed under another image": "1",
        "mask name outside the grammar": "1",
        "missing image": "2",
        "missing mask": "1",
        "shape of mask differs from image": "1",
        "union of other classes": "1",
    }
    assert not report.ok and any(wide in line for line in report.problems)


def test_known_defects_are_declared_and_applied(folder):
    stems = {
        "ct_00--QUBIQ2020--brain-growth_01--2d_none": 0,
        "mr_00--ACDC--patient001_frame01--x_0006": 3,
        "fundus_photography--ichallenge_adam_task2--A1--2d_none": 1,
    }

    def change(pairs):
        for stem, label in stems.items():
            pairs[f"images/{stem}.png"] = [f"masks/{stem}--{label:04d}_000.png"]

    relist(folder, change)
    names = {"QUBIQ2020": {"a": 0}, "ACDC": {"b": 3}, "ichallenge_adam_task2": {"disc": 1}}
    (folder / CLASSES).write_text(json.dumps(names | {"A": {"liver": 1}, "B": {"lung": 1}}))
    problems = Problems()
    left = {entry.name.dataset: entry for entry in SAMed2D(folder).entries(problems)}
    assert set(left) == {"A", "B", "ichallenge_adam_task2"} and left["ichallenge_adam_task2"].masks[0].invert
    assert sum(n for kind, n in problems.counts.items() if "known defect" in kind) == 2


def test_a_flat_class_map_serves_every_data_set(folder):
    (folder / CLASSES).write_text(json.dumps({"liver": "0001"}))
    assert {m.label for e in SAMed2D(folder).entries() for m in e.masks} == {"liver"}


@pytest.mark.parametrize("content", ['["a"]', '{"A": ["liver"]}', '{"A": {"liver": "one"}}'])
def test_a_class_map_of_another_schema_is_refused(folder, content):
    (folder / CLASSES).write_text(content)
    with pytest.raises(InputError, match=CLASSES):
        SAMed2D(folder)


def test_no_images_folder(tmp_path):
    with pytest.raises(MissingError, match="no images/ under"):
        SAMed2D(tmp_path)


def test_a_path_that_leaves_the_folder_is_refused(folder):
    relist(
        folder,
        lambda pairs: pairs.update(
            {"../../ct_00--A--c1--z_0002.png": ["masks/ct_00--A--c1--z_0002--0001_000.png"]}
        ),
    )
    assert any("unreadable image" in line for line in check(folder).problems)


@pytest.mark.parametrize("chunk", [256, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_streaming_gives_what_json_gives(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    content = {f"images/{i}é.png": [f"masks/{i}_{k}.png" for k in range(i % 3)] for i in range(40)}
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert dict(stream_object(path)) == content
    (tmp_path / "empty.json").write_text(" {} ")
    assert dict(stream_object(tmp_path / "empty.json")) == {}


@pytest.mark.parametrize("text", ["[]", '{"a": ["b"', '{"a": "b"}', '{"a" ["b"]', ""])
def test_a_broken_listing_is_named(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=r"p\.json"):
        list(stream_object(tmp_path / "p.json"))


def test_the_demonstration_data(shared_data):
    data = SAMed2D(shared_data("samed2d_demo"))
    pairs = dict(data.pairs())
    assert len(pairs) == 5 and sum(map(len, pairs.values())) == 30
    problems = Problems()
    entries = {entry.name.stem: entry for entry in data.entries(problems)}
    assert problems.counts == {"image without a usable mask": 1}
    assert [m.label for m in entries["amos_0006_90"].masks] == [
        "aorta",
        "inferior_vena_cava",
        "liver",
        "spleen",
    ]
    assert {m.instance for m in entries["s0619_32"].masks if m.label == "hip_left"} == {0, 1}
    report = check(data.root)
    assert [count.found for count in report.counts] == [4, 30, 1, 2, 4, 24] and len(report.problems) == 1


def test_every_modality_has_its_prefix():
    assert {
        modality_of(p) for p in ("ct_00", "mr_t2", "x_ray", "pet_00", "endoscopy_00", "dermoscopy_00")
    } <= set(MODALITIES)
