from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from gftlib.bird.instances import collect, describe, read_meta, region_of, write_meta
from gftlib.datasets.sa_med2d import CLASSES, PAIRS, Problems, SAMed2D
from gftlib.errors import InputError, MissingError


@pytest.fixture
def folder(tmp_path):
    """Three slices of a case; the first mask has two pieces."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    pairs = {}
    for index, shift in ((1, 0), (2, 1), (3, 14)):
        stem = f"ct_00--A--c1--z_{index:04d}"
        Image.new("L", (80, 40)).save(tmp_path / f"images/{stem}.png")
        pixels = np.zeros((40, 80), np.uint8)
        pixels[4 + shift : 24 + shift, 8:28] = 255
        pixels[16:18, 30:34] = 255
        Image.fromarray(pixels).save(tmp_path / f"masks/{stem}--0001_000.png")
        pairs[f"images/{stem}.png"] = [f"masks/{stem}--0001_000.png"]
    (tmp_path / PAIRS).write_text(json.dumps(pairs))
    (tmp_path / CLASSES).write_text(json.dumps({"A": {"left_kidney": "0001", "spleen": "0002"}}))
    return tmp_path


def first(folder):
    data = SAMed2D(folder)
    return data, next(data.entries())


def test_one_file_is_one_instance_round_all_of_its_pieces(folder):
    meta, _, problems = describe(*first(folder))
    (instance,) = meta.instances
    assert (instance.label, instance.name) == ("left_kidney", "left kidney")
    assert instance.box == (8 / 80, 4 / 40, 34 / 80, 24 / 40) and instance.area == 408 / 3200
    assert (meta.size, meta.orientation, meta.region, meta.case) == ((40, 80), "axial", "abdomen", "A--c1")
    assert not problems


def test_or_each_piece_is_one(folder):
    meta, _, _ = describe(*first(folder), rule="components", least=0)
    assert [i.box for i in meta.instances] == [(0.1, 0.1, 0.35, 0.6), (0.375, 0.4, 0.425, 0.45)]
    meta, _, _ = describe(*first(folder), rule="components", least=0.01)
    assert len(meta.instances) == 1


def test_near_duplicates_are_left_out(folder):
    problems = Problems()
    data = SAMed2D(folder)
    kept = list(collect(data, data.entries(), problems=problems))
    assert [meta.id[-4:] for meta in kept] == ["0001", "0003"] and problems.counts == {
        "near-duplicate slice": 1
    }
    assert len(list(collect(data, data.entries(), overlap=1.0))) == 3


def test_threads_give_the_same_in_the_same_order(folder):
    data = SAMed2D(folder)
    assert list(collect(data, data.entries(), workers=3)) == list(collect(data, data.entries()))


def test_what_is_wrong_is_reported_and_skipped(folder):
    stem = "ct_00--A--c1--z_0001"
    pairs = json.loads((folder / PAIRS).read_text())
    extra = [f"masks/{stem}--0002_{k:03d}.png" for k in range(4)]
    pairs[f"images/{stem}.png"] += extra
    (folder / PAIRS).write_text(json.dumps(pairs))
    Image.new("L", (80, 41), 255).save(folder / extra[1])
    Image.new("L", (80, 40), 0).save(folder / extra[2])
    (folder / extra[3]).write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "images/ct_00--A--c1--z_0003.png").unlink()
    problems = Problems()
    data = SAMed2D(folder)
    meta = next(collect(data, data.entries(), overlap=1.0, problems=problems))
    list(collect(data, data.entries(), problems=problems))
    assert set(problems.counts) >= {
        "missing mask", "shape of mask differs from image", "empty mask", "unreadable mask", "missing image",
    }  # fmt: skip
    # A class whose mask was skipped may still be there: it must not be asked for as absent.
    assert [i.name for i in meta.instances] == ["left kidney"] and meta.present == ("left_kidney", "spleen")


def test_known_defects_binary_images_and_inverted_masks(folder):
    names = {"Brain_PTM": ("mr_00", 0), "ichallenge_adam_task2": ("fundus_photography", 0)}
    pairs = {}
    for dataset, (prefix, _) in names.items():
        stem = f"{prefix}--{dataset}--c1--2d_none"
        pixels = np.zeros((40, 80), np.uint8)
        pixels[10:20, 20:60] = 255
        Image.fromarray(pixels).save(folder / f"images/{stem}.png")
        Image.fromarray(255 - pixels).save(folder / f"masks/{stem}--0000_000.png")
        pairs[f"images/{stem}.png"] = [f"masks/{stem}--0000_000.png"]
    (folder / PAIRS).write_text(json.dumps(pairs))
    (folder / CLASSES).write_text(json.dumps({name: {"disc": 0} for name in names}))
    problems = Problems()
    data = SAMed2D(folder)
    (meta,) = collect(data, data.entries(), problems=problems)
    assert meta.dataset == "ichallenge_adam_task2" and meta.instances[0].box == (0.25, 0.25, 0.75, 0.5)
    assert problems.counts == {"known defect (binary image)": 1}


def test_meta_information_round_trips(folder, tmp_path):
    data = SAMed2D(folder)
    metas = list(collect(data, data.entries()))
    assert write_meta(tmp_path / "m.jsonl", metas) == len(metas) == 2
    assert list(read_meta(tmp_path / "m.jsonl")) == metas


def test_a_line_that_is_none_is_named(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(InputError, match=r"m\.jsonl, line 1"):
        list(read_meta(tmp_path / "m.jsonl"))
    with pytest.raises(MissingError):
        list(read_meta(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("modality", "names", "region"),
    [
        ("ct", ["liver", "left kidney", "aorta"], "abdomen"),
        ("ct", ["lung upper lobe left", "heart"], "chest"),
        ("mr", ["edema", "lateral ventricle"], "brain"),
        ("fundus", ["optic disc"], "retina"),
        ("dermoscopy", ["nevus"], "skin"),
        ("pet", ["lesion"], None),
    ],
)
def test_region(modality, names, region):
    assert region_of(modality, tuple(names)) == region


def test_the_demonstration_data(shared_data):
    data = SAMed2D(shared_data("samed2d_demo"))
    metas = {meta.id: meta for meta in collect(data, data.entries(), least=0)}
    assert sum(len(meta.instances) for meta in metas.values()) == 30
    for meta in metas.values():
        for mask in (folder := data.root / "masks").glob(f"{meta.id}_*.png"):
            rows, cols = np.nonzero(np.asarray(Image.open(folder / mask.name)))
            height, width = meta.size
            box = (
                cols.min() / width,
                rows.min() / height,
                (cols.max() + 1) / width,
                (rows.max() + 1) / height,
            )
            assert any(instance.box == box for instance in meta.instances)
    assert metas["s0619_32"].region == "pelvis" and metas["amos_0006_90"].region == "abdomen"
