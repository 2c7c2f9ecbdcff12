from __future__ import annotations

import pytest
from hand_made import finding

from gftlib.dialogue.scoring import CLAIMS, TrueLesion, ceiling, claim
from gftlib.errors import InputError

BOX = (0.1, 0.1, 0.3, 0.3)


def test_the_ceiling_by_hand() -> None:
    findings = [
        [
            finding(1, "non-perfusion", ("UL",), BOX),
            finding(2, "tortuous vessels", ("LR",), (0.6, 0.6, 0.9, 0.9)),
        ],
        [],
    ]
    truth = [
        [
            TrueLesion("capillary non-perfusion", ("UL", "UR"), BOX),
            TrueLesion("microaneurysm", ("LL",), (0.1, 0.8, 0.2, 0.9)),
        ],
        [TrueLesion("vessel tortuosity", ("UL",), (0.2, 0.2, 0.4, 0.4))],
    ]
    score = ceiling(findings, truth)
    # stated: (np, UL), (tort, LR); true: (np, UL), (np, UR), (dil, LL), (tort, UL)
    assert score["kinds"]["true_positives"] == 1
    assert score["kinds"]["f1"] == pytest.approx(2 / 6, abs=1e-4)
    # any: stated UL, LR and none; true UL, UR, LL and UL
    assert score["quadrants"]["f1"] == pytest.approx(2 / 6, abs=1e-4)
    assert score["boxes"] == {"recall": pytest.approx(1 / 3, abs=1e-4), "targets": 3}
    assert score["by_kind"]["non-perfusion"]["boxes"] == {"recall": 1.0, "targets": 1}
    assert score["by_kind"]["non-perfusion"]["quadrants"]["precision"] == 1.0
    assert score["by_kind"]["dense tangle"]["quadrants"]["f1"] is None
    assert score["by_kind"]["dense tangle"]["boxes"]["recall"] is None


def test_a_box_of_another_kind_finds_nothing() -> None:
    score = ceiling(
        [[finding(1, "dense tangle", ("UL",), BOX)]], [[TrueLesion("vessel tortuosity", ("UL",), BOX)]]
    )
    assert score["boxes"]["recall"] == 0
    assert score["quadrants"]["f1"] == 1
    assert score["kinds"]["f1"] == 0


def test_every_lesion_that_phantoms_know_is_claimed_once() -> None:
    from gftlib.phantoms.lesions import KINDS

    assert sorted(name for lesions in CLAIMS.values() for name in lesions) == sorted(KINDS)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no finding claims"):
        claim("drusen")
    with pytest.raises(InputError, match="1 scans for the truth of 0"):
        ceiling([[]], [])
