"""Cohorts: who is scanned, and how scans are kept on disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gftlib.errors import InputError, MissingError
from gftlib.phantoms.octa import OctaPhantom, cohort
from gftlib.phantoms.octa_files import read, write, write_cohort


@pytest.fixture(scope="module")
def specs() -> list:
    return cohort(1264, 0)


def test_mix_and_splits_follow_the_paper(specs: list) -> None:
    assert len(specs) == 1264
    assert Counter(s.stage for s in specs) == {0: 980, 1: 95, 2: 189}
    home = {}
    for s in specs:
        assert home.setdefault(s.subject, s.split) == s.split
    sizes = Counter(s.split for s in specs)
    assert set(sizes) == set(range(6))
    assert max(sizes.values()) - min(sizes.values()) <= 6
    for stage, least in ((0, 155), (1, 13), (2, 28)):
        held = Counter(s.split for s in specs if s.stage == stage)
        assert min(held.values()) >= least


def test_names_are_unique_and_eyes_are_both(specs: list) -> None:
    assert len({s.scan_id for s in specs}) == len(specs)
    assert {s.eye for s in specs} == {"OD", "OS"}
    eyes = Counter((s.subject, s.eye) for s in specs)
    assert max(eyes.values()) == 2
    both = Counter(s.subject for s in {(s.subject, s.eye): s for s in specs}.values())
    assert 0.5 < np.mean(np.array(list(both.values())) == 2) < 0.9


def test_repeats_share_the_eye_and_fellow_eyes_are_alike(specs: list) -> None:
    eyes: dict = {}
    for s in specs:
        eyes.setdefault((s.subject, s.eye), []).append(s)
    for scans in eyes.values():
        assert len({(s.anatomy_seed, s.severity, s.stage) for s in scans}) == 1
        assert len({s.scan_seed for s in scans}) == len(scans)
    pairs = [
        (e[0].severity, eyes[who, "OS"][0].severity)
        for (who, eye), e in eyes.items()
        if eye == "OD" and (who, "OS") in eyes and e[0].stage == eyes[who, "OS"][0].stage == 2
    ]
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.5


def test_severity_overlaps_between_stages(specs: list) -> None:
    by_stage = [np.array([s.severity for s in specs if s.stage == k]) for k in range(3)]
    auc = np.mean(by_stage[2][:, None] > by_stage[1][None])
    assert 0.6 < auc < 0.9
    assert by_stage[0].max() > by_stage[1].min()


def test_same_seed_same_cohort() -> None:
    assert cohort(60, 3) == cohort(60, 3)
    assert cohort(60, 3) != cohort(60, 4)


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (5, -1)])
def test_bad_arguments_are_refused(n: int, seed: int) -> None:
    with pytest.raises(InputError):
        cohort(n, seed)


def test_a_phantom_comes_back_as_written(phantoms: list[OctaPhantom], tmp_path: Path) -> None:
    one = phantoms[2]
    write(one, tmp_path)
    back = read(tmp_path, one.spec.scan_id)
    assert back.spec == one.spec
    for name in ("image", "label", "faz"):
        np.testing.assert_array_equal(getattr(back, name), getattr(one, name))
    np.testing.assert_array_equal(back.graph.points, one.graph.points)
    assert back.ica_count == one.ica_count
    assert [(a.kind, a.box, a.quadrants) for a in back.lesions] == [
        (a.kind, a.box, a.quadrants) for a in one.lesions
    ]
    np.testing.assert_array_equal(back.lesions[0].mask(), one.lesions[0].mask())


def test_a_broken_cohort_is_resumed(tmp_path: Path) -> None:
    specs = cohort(2, 1)
    calls = []
    assert write_cohort(tmp_path, specs, progress=lambda done, total: calls.append((done, total))) == [
        s.scan_id for s in specs
    ]
    assert calls == [(1, 2), (2, 2)]
    whole = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    (tmp_path / f"{specs[1].scan_id}.json").unlink()
    (tmp_path / f"{specs[1].scan_id}.npz").write_bytes(b"half")
    assert write_cohort(tmp_path, specs) == [specs[1].scan_id]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == whole


def test_files_that_are_missing_or_foreign_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read(tmp_path, "s0000_OD_1")
    with pytest.raises(InputError, match="leaves its folder"):
        read(tmp_path, "../secret")
    with pytest.raises(InputError, match="workers"):
        write_cohort(tmp_path, [], workers=0)
