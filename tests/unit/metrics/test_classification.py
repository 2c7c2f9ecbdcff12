"""Hand-made cases, equality with scikit-learn, and clear refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from gftlib.errors import InputError
from gftlib.metrics import classification as c


def test_multiclass_by_hand():
    scores = c.multiclass([0, 0, 0, 1, 2], [0, 0, 1, 1, 0], 4)
    assert scores.accuracy == pytest.approx(3 / 5)
    np.testing.assert_allclose(scores.recall, [2 / 3, 1, 0, np.nan])
    np.testing.assert_allclose(scores.precision, [2 / 3, 1 / 2, 0, np.nan])
    np.testing.assert_allclose(scores.f1, [2 / 3, 2 / 3, 0, np.nan])
    assert scores.macro_recall == scores.balanced_accuracy == pytest.approx(5 / 9)
    assert scores.support.tolist() == [3, 1, 1, 0]


def test_multilabel_by_hand():
    scores = c.multilabel([[1, 0], [1, 0], [0, 0], [0, 1]], [[1, 0], [0, 1], [0, 0], [1, 1]])
    np.testing.assert_allclose(scores.recall, [0.5, 1])
    np.testing.assert_allclose(scores.precision, [0.5, 0.5])
    assert scores.accuracy == pytest.approx(5 / 8)
    assert scores.balanced_accuracy == pytest.approx(((0.5 + 0.5) / 2 + (1 + 2 / 3) / 2) / 2)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 9999), n=st.integers(4, 60))
def test_equal_to_scikit_learn_when_all_classes_occur(seed, n):
    rng = np.random.default_rng(seed)
    y, p = np.append(rng.integers(0, 3, n), [0, 1, 2]), rng.integers(0, 3, n + 3)
    scores = c.multiclass(y, p, 3)
    assert scores.accuracy == pytest.approx(sk.accuracy_score(y, p))
    assert scores.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(y, p))
    for name, function in (
        ("macro_f1", sk.f1_score),
        ("macro_recall", sk.recall_score),
        ("macro_precision", sk.precision_score),
    ):
        expected = function(y, p, average="macro", zero_division=0)
        assert getattr(scores, name) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 9999), n=st.integers(4, 60))
def test_several_labels_and_auc_equal_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    y = np.vstack([rng.integers(0, 2, (n, 3)), [[0, 0, 0], [1, 1, 1]]])
    s = rng.integers(0, 5, (n + 2, 3)) / 4  # with ties
    scores = c.multilabel(y, s > 0.5)
    precision, recall, f1, support = sk.precision_recall_fscore_support(y, s > 0.5, zero_division=0)
    np.testing.assert_allclose([scores.precision, scores.recall, scores.f1], [precision, recall, f1])
    assert scores.support.tolist() == support.tolist()
    assert c.macro_auc(y, s)[0] == pytest.approx(sk.roc_auc_score(y, s, average="macro"))


def test_auc_and_its_undefined_cases():
    assert c.auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == pytest.approx(0.75)
    assert math.isnan(c.auc([1, 1], [0.1, 0.2]))
    mean, defined = c.macro_auc([[0, 1], [1, 1]], [[0.2, 0.3], [0.9, 0.1]])
    assert (mean, defined) == (1.0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: c.multiclass([0, 1], [0], 2), "shape"),
        (lambda: c.multiclass([0, 3], [0, 0], 2), r"truth\[1\] is 3"),
        (lambda: c.multiclass([], [], 2), "empty"),
        (lambda: c.multilabel([1, 0], [1, 0]), "2-d"),
        (lambda: c.auc([0, 1], [0.5, np.nan]), r"score\[1\] is not finite"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
