"""Shares, stratified patient splits and check reports."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.datasets.checks import Count, Report, locate, read_table
from gftlib.datasets.splitting import shares, stratified_test
from gftlib.errors import InputError, MissingError


@pytest.mark.parametrize(
    ("counts", "n", "expected"),
    [
        ([1, 1, 1], 3, [1, 1, 1]),
        ([2, 1], 2, [1, 1]),
        ([437, 25], 46, [44, 2]),
        ([0, 5], 3, [0, 3]),
        ([1], 0, [0]),
    ],
)
def test_shares(counts, n, expected):
    assert shares(counts, n) == expected


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(20, 120), st.sampled_from([0.1, 0.15, 0.3]))
def test_a_stratified_split_keeps_patients_whole_and_shares_close(seed, n, share):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 4)) < [0.6, 0.3, 0.1, 0.05]).astype(np.uint8)
    subjects = rng.integers(0, n // 2 + 1, n).astype(str)
    test = stratified_test(labels, subjects, share, seed)
    assert not set(subjects[test]) & set(subjects[~test])
    patients = len(set(subjects))
    assert abs(len(set(subjects[test])) - share * patients) <= 0.1 * patients + 2
    assert np.array_equal(test, stratified_test(labels, subjects, share, seed))


def test_every_label_keeps_its_share_in_a_split_of_single_label_patients():
    labels = np.repeat(np.eye(3, dtype=np.uint8), [200, 40, 20], axis=0)
    test = stratified_test(labels, np.arange(260).astype(str), 0.15, 1)
    assert labels[test].sum(axis=0).tolist() == [30, 6, 3]


@pytest.mark.parametrize("share", [0.0, 1.0, -1])
def test_a_split_needs_a_share(share):
    with pytest.raises(InputError, match="between 0 and 1"):
        stratified_test(np.ones((3, 1), np.uint8), np.array(list("abc")), share, 0)


def test_reports_mark_what_differs():
    report = Report("toy", (Count("cases", 2, 2), Count("images", 1, 3), Count("other", 4)))
    assert [count.name for count in report.mismatches] == ["images"]
    assert not report.ok
    assert report.lines()[1:] == [
        "  cases        2  expected      2",
        "  images       1  expected      3  MISMATCH",
        "  other        4  expected      -",
    ]
    assert Report("toy", (Count("cases", 2, 2),)).ok
    assert not Report("toy", (), ("a row was skipped",)).ok


def test_tables_and_files(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("name,note\nJos\xe9,\n".encode("latin-1"))
    assert read_table(path, ("name",)).iloc[0].tolist() == ["José", ""]
    with pytest.raises(InputError, match=r"no column 'id'; it has name, note"):
        read_table(path, ("id",))
    path.write_text("")
    with pytest.raises(InputError, match="not a readable CSV"):
        read_table(path, ())
    with pytest.raises(MissingError):
        read_table(tmp_path / "none.csv", ())
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "X.JPG").write_text("")
    assert locate(tmp_path, "a/x.jpg") == tmp_path.resolve() / "A" / "X.JPG"
    assert locate(tmp_path, "a/y.jpg") is None
    assert locate(tmp_path, "b/y.jpg") is None
    with pytest.raises(InputError, match="leaves its folder"):
        locate(tmp_path, "../x.jpg")
