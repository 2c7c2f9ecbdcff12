"""The skin phantoms: published counts, exact truth, reproducible bytes, frozen difficulty."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from gftlib.datasets.derm7pt import CRITERIA, EXPRESSIONS
from gftlib.errors import InputError
from gftlib.phantoms import figures, skin

# The difficulty was set by looks, before any model; a change must be said here and in GENERATOR_VERSION.
FROZEN = "ec818d422b741fd3582de0f67749fe4c97a2e3a0effd807e4667b88df4724b33"
ABSENT = dict.fromkeys(CRITERIA, "absent")


@pytest.fixture(scope="module")
def specs():
    return skin.cohort()


def test_the_difficulty_is_frozen():
    assert skin.CONFIG.config_hash() == FROZEN
    assert skin.SkinConfig(hair=0.0).config_hash() != FROZEN
    with pytest.raises(ValidationError):
        skin.SkinConfig(hairs=0.0)


def test_the_drawing_is_frozen_with_its_settings():
    images = [skin.generate(spec).image.astype(float) for spec in skin.cohort(12)]
    assert np.mean(images) == pytest.approx(141.82, abs=0.3)
    assert np.mean([image.std() for image in images]) == pytest.approx(49.44, abs=0.2)
    assert np.abs(np.diff(images, axis=1)).mean() == pytest.approx(3.55, abs=0.02)


def test_a_full_cohort_has_the_published_counts(specs):
    assert Counter(s.diagnosis for s in specs) == {"melanoma": 252, "nevus": 575, "other": 184}
    assert Counter(s.split for s in specs) == {"train": 413, "valid": 203, "test": 395}
    for e in EXPRESSIONS:
        assert sum(s.recorded[e.criterion] == e.label for s in specs) == e.count
        assert sum(s.drawn[e.criterion] == e.label for s in specs) == e.count


def test_readers_disagree_with_what_is_drawn_as_declared(specs):
    wrong = np.mean([s.drawn[c] != s.recorded[c] for s in specs for c in CRITERIA])
    assert 0.02 < wrong < 0.06
    clean = skin.cohort(config=skin.SkinConfig(disagreement=0.0))
    assert all(s.drawn == s.recorded for s in clean)


def test_the_seven_points_go_with_melanoma(specs):
    points = {(e.criterion, e.label): e.score for e in EXPRESSIONS}
    total = np.array([sum(points[item] for item in s.recorded.items()) for s in specs])
    melanoma = np.array([s.diagnosis == "melanoma" for s in specs])
    assert (total[melanoma] >= 3).mean() > 0.7
    assert (total[~melanoma] < 3).mean() > 0.7


def test_vessels_within_regression_have_a_regression_to_lie_in(specs):
    for spec in specs:
        for labels in (spec.drawn, spec.recorded):
            if labels["vascular_structures"] == "within regression":
                assert labels["regression_structures"] != "absent"


@pytest.mark.parametrize("n", [1, 7, 60])
def test_small_cohorts_scale_the_counts(n):
    small = skin.cohort(n, seed=3)
    assert len(small) == n
    assert len({s.case for s in small}) == n
    assert small == skin.cohort(n, seed=3)
    assert n == 1 or small != skin.cohort(n, seed=4)


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (5, -1)])
def test_impossible_cohorts_are_refused(n, seed):
    with pytest.raises(InputError, match="n >= 1 and seed >= 0"):
        skin.cohort(n, seed)


def test_the_same_spec_gives_the_same_bytes_and_another_seed_does_not(specs):
    spec = specs[11]
    first, second = skin.generate(spec), skin.generate(spec)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.traits == second.traits
    other = skin.generate(replace(spec, key=(1, 11)))
    assert not np.array_equal(other.image, first.image)
    assert (first.image.shape, first.image.dtype) == ((160, 160, 3), np.uint8)


def blank():
    return skin.SkinSpec("x", (0, 5), "nevus", ABSENT, ABSENT, "train")


@pytest.mark.parametrize(
    ("criterion", "label"), [(e.criterion, e.label) for e in EXPRESSIONS if e.label != "absent"]
)
def test_every_expression_is_drawn_where_its_mask_says(criterion, label):
    config = skin.SkinConfig(hair=0, ruler=0, bubbles=0, vignette=0, noise=(0.0, 0.0), strength=(1.0, 1.0))
    phantom = skin.generate(replace(blank(), drawn={**ABSENT, criterion: label}), config)
    assert set(phantom.masks) >= {"lesion", criterion}
    mask = phantom.masks[criterion]
    assert mask.any()
    assert not mask.all()
    beside = skin.generate(blank(), config)
    assert set(beside.masks) == {"lesion"}
    change = np.abs(phantom.image.astype(float) - beside.image).max(axis=2)
    assert change[mask].mean() > 8
    assert change[mask].mean() > 3 * change[beside.masks["lesion"] ^ True].mean()


def test_labels_follow_what_is_on_record_and_captions_name_no_expression():
    data = skin.as_data(14, seed=2)
    assert data.task.name == "skin-phantom"
    specs = skin.cohort(14, seed=2)
    assert np.array_equal(data.truth.sum(axis=0), data.labels.sum(axis=0))
    for row, spec in zip(data.labels, specs, strict=True):
        held = {
            (data.task.combinations[h].group, data.task.combinations[h].concept) for h in np.flatnonzero(row)
        }
        assert held == {(e.criterion, e.phrase) for e in EXPRESSIONS if spec.recorded[e.criterion] == e.label}
    forbidden = (
        "network",
        "veil",
        "vascular",
        "pigment",
        "streak",
        "dot",
        "globule",
        "regress",
        "noma",
        "nevus",
    )
    for caption in data.captions:
        assert not any(word in caption.lower() for word in forbidden)
    assert len(set(data.captions)) > 11
    assert np.array_equal(data.image(3), skin.generate(specs[3]).image)


def test_a_cohort_is_drawn_once_into_a_folder(tmp_path, monkeypatch):
    first = skin.as_data(3, folder=tmp_path)
    monkeypatch.setattr(skin, "generate", None)
    second = skin.as_data(3, folder=tmp_path)
    assert np.array_equal(first.images, second.images)
    assert first.captions == second.captions
    assert len(list(tmp_path.iterdir())) == 2
    next(tmp_path.glob("*.json")).write_text("[]")
    with pytest.raises(InputError, match="delete both"):
        skin.as_data(3, folder=tmp_path)


def test_a_contact_sheet_has_a_row_for_each_expression_drawn(specs):
    figure = figures.skin_sheet(specs, criteria=("blue_whitish_veil",), columns=2)
    assert len(figure.axes) == 4
    assert figure.axes[2].texts[0].get_text() == "present blue-whitish veil"
    with pytest.raises(InputError, match="at least one image"):
        figures.contact_sheet({})
