from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gftlib.datasets.sa_med2d import CLASSES, PAIRS, SAMed2D, check
from gftlib.datasets.sa_med2d_names import MODALITIES, modality_of
from gftlib.errors import InputError
from gftlib.phantoms.scans import SOURCES, ScanConfig, config_hash, draw_case, write_cohort

SMALL = ScanConfig(side=64, slices=3)
VOLUMES = ("ct", "mr", "pet")


def test_the_difficulty_is_frozen():
    # Set before any model was trained. Whoever changes it raises VERSION and redraws every cohort.
    assert config_hash(ScanConfig()) == "8416001394a00a53"


def test_every_modality_of_table_3_has_a_phantom():
    assert list(SOURCES) == list(MODALITIES)
    assert [m for m, source in SOURCES.items() if len(source.labels) == 1] == ["pet", "fundus"]
    assert tuple(m for m, source in SOURCES.items() if source.sliced) == VOLUMES


@pytest.mark.parametrize("modality", list(SOURCES))
def test_images_and_instances(modality):
    config = ScanConfig(side=128, slices=4)
    scans = draw_case(modality, 1, seed=5, config=config)
    assert scans
    for scan in scans:
        assert modality_of(scan.prefix) == modality
        assert (scan.axis is None) == (modality not in VOLUMES)
        assert scan.image.dtype == np.uint8 and scan.image.std() > 8
        colour = modality in ("endoscopy", "dermoscopy", "fundus")
        assert scan.image.ndim == (3 if colour else 2)
        taken = Counter(label for label, _ in scan.instances)
        assert set(taken) <= set(SOURCES[modality].labels)
        for _, mask in scan.instances:
            assert mask.dtype == bool and mask.shape == scan.image.shape[:2]
            assert mask.mean() >= config.least
    assert len({scan.index for scan in scans}) == len(scans)


@pytest.mark.parametrize("modality", list(SOURCES))
def test_same_seed_same_bytes(modality):
    first, again = (draw_case(modality, 2, seed=7, config=SMALL) for _ in range(2))
    other = draw_case(modality, 2, seed=8, config=SMALL)
    assert [s.image.tobytes() for s in first] == [s.image.tobytes() for s in again]
    assert [m.tobytes() for s in first for _, m in s.instances] == [
        m.tobytes() for s in again for _, m in s.instances
    ]
    assert [s.image.tobytes() for s in first] != [s.image.tobytes() for s in other]


def test_a_lesion_is_seen_where_its_mask_is():
    for modality, label, brighter in (
        ("pet", "tumor_lesion", True),
        ("fundus", "optic_disc", True),
        ("ultrasound", "cyst", False),
    ):
        found = []
        for number in range(12):
            for scan in draw_case(modality, number, config=SMALL):
                grey = scan.image.mean(axis=2) if scan.image.ndim == 3 else scan.image
                found += [grey[m].mean() - grey[~m].mean() for name, m in scan.instances if name == label]
        assert found and (np.array(found) > 0).mean() == float(brighter)


def test_the_liver_lies_on_the_left_of_the_image_and_overlaps_no_organ():
    scans = draw_case("ct", 0, config=ScanConfig(side=128, slices=8))
    sides = [
        np.nonzero(m)[1].mean() < 64 for scan in scans for label, m in scan.instances if label == "liver"
    ]
    assert sides and all(sides)
    for scan in scans:
        organs = [m for label, m in scan.instances if label != "liver_tumor"]
        assert np.sum(organs, axis=0).max() == 1


def test_two_sequences_of_a_head_are_one_case():
    scans = draw_case("mr", 0, config=SMALL)
    assert len({scan.prefix for scan in scans}) == 2


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("scans") / "cohort", images=3, seed=1, config=SMALL)


def test_the_cohort_is_written_in_the_grammar(cohort):
    report = check(cohort)
    assert report.ok, report.lines()
    data = SAMed2D(cohort)
    entries = list(data.entries())
    assert {e.name.modality for e in entries} == set(MODALITIES)
    assert set(json.loads((cohort / CLASSES).read_text())) == {source.dataset for source in SOURCES.values()}
    entry = next(e for e in entries if e.name.modality == "x_ray")
    drawn = draw_case("x_ray", 0, seed=1, config=SMALL)[0]
    masks = {m.path: np.asarray(Image.open(cohort / m.path)) for m in entry.masks}
    assert set(np.unique(list(masks.values()))) == {0, 255}
    assert np.array_equal(np.asarray(Image.open(cohort / entry.image)), drawn.image)
    truth = sorted(m.tobytes() for _, m in drawn.instances)
    assert sorted((m > 0).tobytes() for m in masks.values()) == truth


def test_a_cut_off_run_goes_on(cohort, tmp_path):
    folder = write_cohort(tmp_path / "again", images=2, seed=1, config=SMALL)
    kept = folder / "cases" / "fundus" / "00001.json"
    before = {p: p.stat().st_mtime_ns for p in (folder / "images").glob("*.png")}
    kept.unlink()
    (folder / PAIRS).unlink()
    for path in before:
        if "retina--case_00001" in path.name:
            path.unlink()
    write_cohort(folder, images=3, seed=1, config=SMALL)
    for path, time in before.items():
        assert path.exists() and ("retina--case_00001" in path.name or path.stat().st_mtime_ns == time)
    for name in (PAIRS, CLASSES):
        assert (folder / name).read_bytes() == (cohort / name).read_bytes()
    for path in (cohort / "images").glob("*.png"):
        assert (folder / "images" / path.name).read_bytes() == path.read_bytes()


def test_fresh_processes_write_the_same_cohort(cohort, tmp_path, monkeypatch):
    # A forked copy of a process with threads may hang.
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    folder = write_cohort(tmp_path / "spread", images=3, seed=1, config=SMALL, workers=2)
    files = sorted(p.relative_to(cohort) for p in cohort.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert all((folder / name).read_bytes() == (cohort / name).read_bytes() for name in files)


def test_another_cohort_is_not_mixed_in(cohort):
    with pytest.raises(InputError, match="holds a cohort of other settings"):
        write_cohort(cohort, images=3, seed=2, config=SMALL)
    with pytest.raises(InputError, match="other settings"):
        write_cohort(cohort, images=3, seed=1, config=replace(SMALL, slices=2))


def test_bad_settings():
    with pytest.raises(InputError, match="side must be"):
        ScanConfig(side=100)
    with pytest.raises(InputError, match="images must be 1"):
        write_cohort("unused", images=0)
    with pytest.raises(InputError, match="did you mean 'fundus'"):
        draw_case("fundos", 0)
