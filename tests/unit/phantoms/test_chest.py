"""The chest phantoms: printed counts, boxes, sides, reports, reproducible bytes, frozen difficulty."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from gftlib.datasets.class_concepts import NO_COMBINATION
from gftlib.datasets.padchest_locations import PRINTED
from gftlib.errors import InputError
from gftlib.phantoms import chest, figures
from gftlib.phantoms.chest_cohort import affinity
from gftlib.phantoms.chest_findings import box
from gftlib.phantoms.chest_reports import report, sentence

# The difficulty was set by looks, before any model; a change must be said here and in GENERATOR_VERSION.
FROZEN = "f4d49e096932dc2234266c9200cc07ffec381cacfedbece5ba475fc8beb64454"
INDEX = {(p.finding, p.location): h for h, p in enumerate(PRINTED)}
CLEAN = chest.ChestConfig(device=0.0, noise=(0.0, 0.0), tilt=0.0, strength=(1.0, 1.0))


@pytest.fixture(scope="module")
def specs():
    return chest.cohort()


def patient(*drawn: int, seed: int = 4) -> chest.ChestSpec:
    return chest.ChestSpec("x", (0, seed), tuple(drawn), tuple(drawn), "train")


def test_the_difficulty_is_frozen():
    assert chest.CONFIG.config_hash() == FROZEN
    assert chest.ChestConfig(tilt=0.0).config_hash() != FROZEN


def test_the_drawing_is_frozen_with_its_settings():
    images = [chest.generate(spec).image.astype(float) for spec in chest.cohort(12)]
    assert np.mean(images) == pytest.approx(147.23, abs=0.3)
    assert np.mean([image.std() for image in images]) == pytest.approx(57.14, abs=0.2)
    assert np.abs(np.diff(images, axis=1)).mean() == pytest.approx(3.781, abs=0.02)


def test_a_full_cohort_has_the_printed_counts(specs):
    assert len(specs) == 748
    for labels in ("recorded", "drawn"):
        counts = Counter(h for spec in specs for h in getattr(spec, labels))
        assert [counts[h] for h in range(12)] == [p.count for p in PRINTED]
    assert min(len(spec.recorded) for spec in specs) == 1
    assert Counter(spec.split for spec in specs) == {"train": 636, "test": 112}
    for h, printed in enumerate(PRINTED):
        tested = sum(h in spec.recorded for spec in specs if spec.split == "test")
        assert abs(tested - 0.15 * printed.count) <= max(1, 0.01 * printed.count)


def test_findings_of_one_patient_can_occur_together(specs):
    for spec in specs:
        for found in (spec.drawn, spec.recorded):
            assert all(affinity(a, b) > 0 for a in found for b in found if a != b)
    angle, pleura = (
        INDEX["pleural effusion", "left costophrenic angle"],
        INDEX["pleural effusion", "left pleural"],
    )
    assert affinity(angle, pleura) == 0
    assert affinity(angle, INDEX["pleural effusion", "right pleural"]) > 0


def test_small_and_normal_cohorts():
    small = chest.cohort(30, seed=1, normals=4)
    assert len(small) == 34
    assert [len(spec.recorded) for spec in small[30:]] == [0] * 4
    assert small == chest.cohort(30, seed=1, normals=4)
    with pytest.raises(InputError, match="n >= 2"):
        chest.cohort(1)


def test_the_same_spec_gives_the_same_bytes(specs):
    first, second = chest.generate(specs[5]), chest.generate(specs[5])
    assert first.image.tobytes() == second.image.tobytes()
    assert (first.image.shape, first.image.dtype) == ((224, 224), np.uint8)
    assert not np.array_equal(first.image, chest.generate(replace(specs[5], key=(9, 5))).image)


@pytest.mark.parametrize("h", range(12))
def test_every_combination_is_drawn_on_its_side_and_boxed(h):
    printed = PRINTED[h]
    with_it, without = chest.generate(patient(h), CLEAN), chest.generate(patient(), CLEAN)
    assert without.boxes == []
    side = printed.location.split()[0]
    assert len(with_it.boxes) == (2 if side == "bilateral" else 1)
    for (index, (x0, y0, x1, y1)), region in zip(with_it.boxes, with_it.masks[h], strict=True):
        assert index == h
        rows, columns = np.nonzero(region)
        assert (rows.min() / 224, (rows.max() + 1) / 224) == (y0, y1)
        assert (columns.min() / 224, (columns.max() + 1) / 224) == (x0, x1)
    if side in ("left", "right"):
        # The patient's right is the image's left.
        middle = (with_it.boxes[0][1][0] + with_it.boxes[0][1][2]) / 2
        assert (middle > 0.5) == (side == "left")
    if printed.finding != "cardiomegaly":
        region = np.any(with_it.masks[h], axis=0)
        change = with_it.image.astype(float) - without.image
        assert change[region].mean() > 4


def test_cardiomegaly_is_a_wide_heart():
    def width(phantom: chest.ChestPhantom) -> float:
        return phantom.boxes[0][1][2] - phantom.boxes[0][1][0]

    heart = INDEX["cardiomegaly", "cardiac"]
    widths = [width(chest.generate(patient(heart, seed=s), CLEAN)) for s in range(6)]
    # The rib cage spans 0.72 to 0.84 of the image: more than half of it is a large heart.
    assert np.mean(widths) > 0.39


def test_boxes_of_regions():
    region = np.zeros((10, 20), bool)
    assert box(region) == (0.0, 0.0, 0.0, 0.0)
    region[2:5, 4:10] = True
    assert box(region) == (0.2, 0.2, 0.5, 0.5)


@pytest.mark.parametrize("h", range(12))
def test_sentences_name_finding_and_side_in_many_words(h):
    rng = np.random.default_rng(0)
    wordings = {sentence(h, rng) for _ in range(60)}
    assert len(wordings) >= 5
    side = PRINTED[h].location.split()[0]
    for text in wordings:
        assert "{" not in text and "  " not in text
        assert text[0].isupper() and text.endswith(".")
        if side in ("left", "right"):
            assert side in text.lower()
            assert {"left": "right", "right": "left"}[side] not in text.lower()
        if side == "bilateral":
            assert "bilateral" in text.lower() or "both" in text


def test_reports_hold_each_finding_once():
    pairs = report((3, 8), np.random.default_rng(1))
    assert sorted(h for _, h in pairs if h != NO_COMBINATION) == [3, 8]
    assert [h for _, h in report((), np.random.default_rng(1))] == [NO_COMBINATION]


def test_data_agree_with_the_cohort_and_captions_are_neutral(tmp_path):
    data = chest.as_data(12, seed=2, normals=2, folder=tmp_path)
    specs = chest.cohort(12, seed=2, normals=2)
    assert data.task.name == "chest-phantom"
    assert [tuple(np.flatnonzero(row)) for row in data.labels] == [spec.recorded for spec in specs]
    assert [tuple(np.flatnonzero(row)) for row in data.truth] == [spec.drawn for spec in specs]
    forbidden = ("heart", "cardi", "effusion", "pleura", "atelecta", "consolid", "costo", "fluid", "lobe")
    for caption in data.captions:
        assert not any(word in caption.lower() for word in forbidden)
    memory = chest.as_data(12, seed=2, normals=2)
    assert memory.boxes == data.boxes
    assert memory.captions == data.captions
    assert np.array_equal(memory.images, data.images)


def test_a_contact_sheet_boxes_every_second_image(specs):
    heart = [spec for spec in specs if spec.drawn == (3,)]
    figure = figures.chest_sheet(heart, columns=2)
    assert [len(axis.patches) for axis in figure.axes] == [0, 1]
