"""What a class-concept task and its data accept, hold and refuse."""

from __future__ import annotations

import numpy as np
import pytest

from gftlib.datasets.class_concepts import ClassConceptData, ClassConceptTask, Combination
from gftlib.errors import InputError

COMBINATIONS = (
    Combination("colour", "benign", "even", "even colour"),
    Combination("colour", "malign", "uneven", "uneven colour"),
    Combination("shape", "benign", "round", "round shape"),
    Combination("shape", "benign", "even", "even shape"),
    Combination("shape", "malign", "ragged", "ragged shape"),
)


def task(multi_label: bool = False) -> ClassConceptTask:
    return ClassConceptTask(
        "toy", ("benign", "malign"), ("even", "uneven", "round", "ragged"), COMBINATIONS, multi_label
    )


def data(labels=((1, 0, 0, 1, 0), (0, 1, 1, 0, 0), (0, 1, 0, 0, 1)), multi_label=False, **changes):
    rows = np.array(labels, np.uint8)
    values = {
        "task": task(multi_label),
        "labels": rows,
        "subjects": np.array(["a", "b", "c"]),
        "split": np.array(["train", "valid", "test"]),
        "texts": [[(COMBINATIONS[h].prompt, int(h)) for h in np.flatnonzero(row)] for row in rows],
        "images": np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5),
    }
    return ClassConceptData(**(values | changes))


def test_indices_of_a_task():
    toy = task()
    assert toy.groups() == {"colour": [0, 1], "shape": [2, 3, 4]}
    assert toy.group_index.tolist() == [0, 0, 1, 1, 1]
    assert toy.class_index.tolist() == [0, 1, 0, 0, 1]
    assert toy.concept_index.tolist() == [0, 1, 2, 0, 3]
    assert toy.group_classes == (
        ("colour", "benign"),
        ("colour", "malign"),
        ("shape", "benign"),
        ("shape", "malign"),
    )
    assert toy.group_class_index.tolist() == [0, 1, 2, 2, 3]
    assert toy.index("shape", "even") == 3
    assert len(toy) == 5
    assert toy.prompts[4] == "ragged shape"
    assert toy.negative_prompt == "No finding."
    with pytest.raises(InputError, match="0 combinations 'shape' / 'uneven'"):
        toy.index("shape", "uneven")


@pytest.mark.parametrize(
    ("classes", "concepts", "combinations", "message"),
    [
        (("benign",), ("even",), (), "no combinations"),
        (("benign", "malign"), ("even",), (COMBINATIONS[0],), "class 'malign'"),
        (("benign",), ("even", "odd"), (COMBINATIONS[0],), "concept 'odd'"),
        ((), ("even",), (COMBINATIONS[0],), "class 'benign'"),
        (("benign",), ("even", "even"), (COMBINATIONS[0],), "repeats a concept"),
        (("benign",), ("even",), (COMBINATIONS[0],) * 2, "more than once"),
    ],
)
def test_a_task_that_disagrees_with_itself_is_refused(classes, concepts, combinations, message):
    with pytest.raises(InputError, match=message):
        ClassConceptTask("toy", classes, concepts, combinations, False)


def test_data_counts_subset_and_images():
    whole = data()
    assert len(whole) == 3
    assert whole.counts() == {
        "colour: even": 1,
        "colour: uneven": 2,
        "shape: round": 1,
        "shape: even": 1,
        "shape: ragged": 1,
    }
    assert whole.counts("train")["colour: uneven"] == 0
    assert whole.indices("test").tolist() == [2]
    part = whole.subset(np.array([2, 0]))
    assert part.subjects.tolist() == ["c", "a"]
    assert np.array_equal(part.image(0), whole.images[2])
    assert part.texts[1] == whole.texts[0]
    assert part.truth is None
    assert data(truth=whole.labels).subset(np.array([1])).truth.tolist() == [[0, 1, 1, 0, 0]]


def test_images_may_be_loaded_one_by_one_and_a_subset_asks_for_the_right_one():
    asked = []

    def load(i: int) -> np.ndarray:
        asked.append(i)
        return np.full((2, 2, 3), i, np.uint8)

    lazy = data(images=load).subset(np.array([2, 1]))
    assert asked == []
    assert lazy.image(0)[0, 0, 0] == 2
    assert asked == [2]
    with pytest.raises(InputError, match="no sample 2"):
        lazy.image(2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ((1, 0),) * 3, "texts": [[]] * 3}, r"shape \(N, 5\).*got \(3, 2\)"),
        ({"labels": ((1, 1, 1, 0, 0),) * 3, "texts": [[]] * 3}, "row 0 holds 2 combinations of 'colour'"),
        ({"labels": ((2, 0, 1, 0, 0),) * 3, "texts": [[]] * 3}, "0 and 1"),
        ({"subjects": np.array(["a", "b"])}, r"subjects must be an array of shape \(3,\), got \(2,\)"),
        ({"split": np.array(["train", "valid", "TEST"])}, "unknown split 'TEST'"),
        ({"subjects": np.array(["a", "b", "a"])}, "subject 'a' is in both 'train' and 'test'"),
        ({"texts": [[]]}, "texts has 1 entries for 3 samples"),
        ({"texts": [[("even colour", 1)], [], []]}, "sample 0: the sentence 'even colour'"),
        ({"captions": ["one"]}, "captions has 1 entries"),
        ({"images": np.zeros((3, 4, 4))}, "float64"),
        ({"truth": np.array([[1, 0, 1, 0, 0]], np.uint8)}, r"truth has shape \(1, 5\), labels \(3, 5\)"),
    ],
)
def test_bad_data_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        data(**changes)


def test_multi_label_rows_may_hold_any_subset_and_neutral_sentences():
    rows = ((0, 0, 0, 0, 0), (1, 1, 0, 0, 0), (0, 1, 1, 1, 1))
    some = data(rows, multi_label=True, texts=[[("No change.", -1)], [("even colour", 0)], []])
    assert some.labels.sum() == 6


def test_an_image_of_the_wrong_type_is_named():
    with pytest.raises(InputError, match="image 1 has shape"):
        data(images=lambda i: np.zeros((2, 2))).image(1)
