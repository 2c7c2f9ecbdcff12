"""The learned segmentation: shipped weights, pairs drawn from phantoms, training that can be resumed."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gftlib.errors import InputError, MissingError
from gftlib.octa import segmentation_figures, segmentation_network, segmentation_scores
from gftlib.octa.segmentation import segment_classical
from gftlib.octa.segmentation_pairs import LOOKS, UNRESOLVED, draw_pair, random_look
from gftlib.octa.segmentation_training import (
    Recipe,
    learning_rate,
    step_batch,
    train,
    training_pairs,
    write_weights,
)
from gftlib.phantoms.octa import GENERATOR_VERSION, cohort, generate
from gftlib.phantoms.octa_config import LOOK_A, LOOK_B

TINY = Recipe(seed=3, phantoms=1, pairs=2, features=(4, 4, 4, 4, 4, 4), steps=3, batch=2, patch=32, warm_up=1)


@pytest.fixture(scope="module")
def phantom():
    """A phantom of no cohort that the network was trained on."""
    return generate(cohort(1, 9103)[0])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return folder, train(TINY, folder)


def test_the_shipped_weights_are_those_of_the_recipe():
    header = segmentation_network.read_header()
    assert header["recipe_digest"] == Recipe().digest()
    assert header["generator_version"] == GENERATOR_VERSION
    assert header["seed"] == str(Recipe().seed)
    assert segmentation_network.WEIGHTS.stat().st_size < 5e6


def test_loading_weights_leaves_the_random_state_alone():
    segmentation_network.load_network.cache_clear()
    before = torch.random.get_rng_state()
    assert not segmentation_network.load_network().training
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_held_out_phantom_is_segmented_better_than_by_the_classical_method(phantom):
    image = phantom.image / 255
    learned, classical = segmentation_network.segment_learned(image), segment_classical(image)
    assert learned.shape == (1216, 1216)
    assert learned.dtype == bool
    dice = [segmentation_scores.overlap(mask, phantom.label)["dice"] for mask in (learned, classical)]
    assert dice[0] > dice[1] + 0.05


def test_the_mask_keeps_the_scans_proportion_and_side(phantom):
    image = phantom.image[:150] / 255
    assert segmentation_network.vessel_probability(image).shape == (2, 600, 1216)
    assert segmentation_network.segment_learned(image, size=608).shape == (300, 608)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 64)), "constant"),
        (np.full((64, 64), np.nan), "NaN"),
        (np.zeros((64, 64, 3)), r"shape \(64, 64, 3\)"),
        (np.zeros((8, 64)), "at least 32"),
        (255 * np.eye(64), "divide 8-bit"),
    ],
)
def test_what_is_no_scan_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        segmentation_network.segment_learned(image)


def test_thresholds_are_probabilities_in_order(phantom):
    with pytest.raises(InputError, match="0 < threshold <= certain < 1"):
        segmentation_network.segment_learned(phantom.image / 255, threshold=0.95, certain=0.9)


def test_weights_are_loaded_strictly(tmp_path):
    with pytest.raises(MissingError, match="no weights at"):
        segmentation_network.load_network(tmp_path / "none.safetensors")
    weights = load_file(segmentation_network.WEIGHTS)
    weights.pop(next(name for name in weights if name.endswith("conv.weight")))
    save_file(weights, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="does not hold the weights"):
        segmentation_network.load_network(tmp_path / "part.safetensors")


def test_the_looks_reach_both_devices():
    for name, (low, high) in LOOKS.items():
        assert low <= getattr(LOOK_A, name) <= high
        assert low <= getattr(LOOK_B, name) <= max(high, UNRESOLVED.get(name, (0, 0))[1])
    look = random_look(np.random.default_rng(0))
    assert all(low <= getattr(look, name) <= high for name, (low, high) in LOOKS.items())


def test_a_drawn_scan_is_brighter_on_its_vessels_and_the_same_for_a_seed(phantom):
    for seed in range(3):
        scan, label = draw_pair([phantom.graph], np.random.default_rng(seed))
        assert scan.shape == (304, 304) and scan.dtype == np.uint8
        coarse = label[0].reshape(304, 4, 304, 4).mean((1, 3))
        assert 0.02 < label[0].mean() < 0.8
        assert not (label[1] & ~label[0]).any()
        assert scan[coarse > 0.7].mean() > scan[coarse < 0.1].mean()
    again, _ = draw_pair([phantom.graph], np.random.default_rng(2))
    assert np.array_equal(scan, again)


def test_patches_show_the_part_that_their_label_covers(trained):
    folder, _ = trained
    pairs = training_pairs(TINY, folder)
    scans, labels = step_batch(pairs, TINY, 0)
    assert scans.shape == (2, 1, 32, 32) and labels.shape == (2, 2, 128, 128)
    assert set(labels.unique().tolist()) <= {0.0, 1.0}
    assert (labels[:, 1] <= labels[:, 0]).all()
    # The least favourable shift of a label against its scan is no shift at all.
    rng, scores = np.random.default_rng(0), np.zeros((3, 3))
    for _ in range(40):
        scan, label = pairs.patch(dataclasses.replace(TINY, patch=64, noise=0.0), rng)
        share = label[0].reshape(64, 4, 64, 4).mean((1, 3))
        for i in range(3):
            for j in range(3):
                moved = np.roll(share, (3 * (i - 1), 3 * (j - 1)), (0, 1))
                scores[i, j] += np.corrcoef(scan.ravel(), moved.ravel())[0, 1]
    assert scores.argmax() == 4


def test_training_is_deterministic_and_can_be_resumed(trained, tmp_path):
    folder, network = trained
    (tmp_path / "pairs").mkdir()
    (source,) = folder.glob("pairs-*.npz")
    (tmp_path / source.name).write_bytes(source.read_bytes())
    train(TINY, tmp_path, stop=1)
    again = train(TINY, tmp_path)
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_learning_rate_rises_then_falls_to_nothing():
    recipe = Recipe(steps=100, warm_up=10)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert np.argmax(rates) in (9, 10)
    assert rates[9] == pytest.approx(recipe.lr)
    assert rates[99] < 0.01 * recipe.lr


def test_weights_are_written_with_where_they_come_from(trained, tmp_path):
    _, network = trained
    path = write_weights(network, TINY, tmp_path / "w.safetensors")
    assert segmentation_network.read_header(path)["recipe_digest"] == TINY.digest()
    assert TINY.digest() != Recipe(seed=4).digest()
    stored = load_file(path)
    for name, value in network.state_dict().items():
        assert torch.allclose(stored[name].float(), value.float(), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("wrong", [{"patch": 40}, {"patch": 320}, {"steps": 0}, {"pairs": 0}])
def test_a_recipe_that_cannot_be_trained_is_refused(wrong):
    with pytest.raises(InputError):
        Recipe(**wrong)


def test_overlap_of_two_masks():
    truth, found = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    truth[:2], found[1:3] = True, True
    assert segmentation_scores.overlap(found, truth) == {"area": 0.5, "dice": 0.5, "recall": 0.5}
    with pytest.raises(InputError, match="some truth"):
        segmentation_scores.overlap(found, np.zeros((4, 4), bool))


def test_a_cut_at_an_area_takes_the_most_probable_pixels():
    probability = np.array([[0.9, 0.2], [0.5, 0.5]])
    assert segmentation_scores.cut_at_area(probability, 2).tolist() == [[True, False], [True, False]]
    assert segmentation_scores.cut_at_area(probability, 0).sum() == 0


def test_unknown_sets_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'octa_rossa'"):
        segmentation_scores.measure("rossa")
    with pytest.raises(MissingError, match="does not hold the folders"):
        segmentation_scores.measure("octa_rossa", tmp_path)


def test_the_table_shows_what_was_measured_with_the_shipped_weights():
    table = segmentation_scores.table()
    assert len(table) == 3 * (len(segmentation_scores.HELD_OUT) + len(segmentation_scores.SETS))
    for name in (*segmentation_scores.HELD_OUT, *segmentation_scores.SETS):
        content = segmentation_scores.paths.read_json(segmentation_scores.published(name))
        assert content["weights"]["sha256"] == segmentation_scores.paths.sha256(segmentation_network.WEIGHTS)
    equal = table[table["method"] == "learned, equal area"]["area found"].to_numpy()
    classical = table[table["method"] == "classical"]["area found"].to_numpy()
    assert np.allclose(equal, classical, atol=1e-4)


def test_published_figures_of_a_phantom_are_those_of_its_bytes():
    spec = cohort(segmentation_scores.HELD_OUT_SCANS, segmentation_scores.HELD_OUT_SEED)[0]
    phantom = generate(spec)
    row = segmentation_scores.score_scan(phantom.image / 255, phantom.label)
    content = segmentation_scores.paths.read_json(segmentation_scores.published("phantoms_a"))
    published = content["rows"][spec.scan_id]
    assert set(row) == set(published)
    for key in ("given_area", "classical_dice", "learned_dice", "equal_recall"):
        assert published[key] == pytest.approx(row[key], abs=2e-3)


def test_the_figure_shows_both_masks_with_their_dice(phantom):
    figure = segmentation_figures.compare_figure(phantom.image, phantom.label)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["scan", "true vessels"]
    assert titles[2].startswith("classical: Dice") and titles[3].startswith("learned: Dice")
    assert len(segmentation_figures.compare_figure(phantom.image, phantom.label, None).axes) == 4
