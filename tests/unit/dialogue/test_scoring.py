from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hand_made import finding

from gftlib.dialogue.scoring import CLAIMS, COLUMNS, TrueLesion, ceiling, claim, score_scan
from gftlib.errors import InputError

BOX = (0.1, 0.1, 0.3, 0.3)


def rows(*scans: tuple[str, str, list, list]) -> pd.DataFrame:
    return pd.DataFrame(
        [row for name, stage, found, true in scans for row in score_scan(name, "test", stage, found, true)]
    )


@pytest.fixture
def scored() -> pd.DataFrame:
    return rows(
        (
            "a",
            "PDR",
            [
                finding(1, "non-perfusion", ("UL",), BOX),
                finding(2, "tortuous vessels", ("LR",), (0.6, 0.6, 0.9, 0.9)),
            ],
            [
                TrueLesion("capillary non-perfusion", ("UL", "UR"), BOX),
                TrueLesion("microaneurysm", ("LL",), (0.1, 0.8, 0.2, 0.9)),
            ],
        ),
        ("b", "healthy", [], [TrueLesion("vessel tortuosity", ("UL",), (0.2, 0.2, 0.4, 0.4))]),
    )


def test_the_ceiling_by_hand(scored: pd.DataFrame) -> None:
    score = ceiling(scored)
    assert score["test/scans"] == 2
    # stated: (np, UL), (tort, LR); true: (np, UL), (np, UR), (dil, LL), (tort, UL)
    assert score["test/kinds/f1"] == pytest.approx(2 / 6, abs=1e-4)
    # any: stated UL, LR and none; true UL, UR, LL and UL
    assert score["test/any/f1"] == pytest.approx(2 / 6, abs=1e-4)
    # all eight named, four true; or the four of the scan with disease, three of them true
    assert score["test/any/naive_f1"] == pytest.approx(8 / 12, abs=1e-4)
    assert score["test/any/naive_staged_f1"] == pytest.approx(6 / 8, abs=1e-4)
    assert (score["test/any/box_recall"], score["test/any/boxes"]) == (pytest.approx(1 / 3, abs=1e-4), 3)
    assert score["test/non-perfusion/box_recall"] == 1.0
    assert score["test/non-perfusion/precision"] == 1.0
    assert score["test/non-perfusion/recall"] == 0.5
    assert "test/dense tangle/f1" not in score
    assert "test/dense tangle/box_recall" not in score


def test_the_ceiling_follows_from_the_file(scored: pd.DataFrame, tmp_path: Path) -> None:
    scored.to_csv(tmp_path / "predictions.csv", index=False)
    assert ceiling(tmp_path / "predictions.csv") == ceiling(scored)


def test_parts_are_scored_apart(scored: pd.DataFrame) -> None:
    both = pd.concat([scored, scored[scored["scan"] == "b"].assign(part="taught")])
    score = ceiling(both)
    assert score["taught/any/recall"] == 0
    assert {k: v for k, v in score.items() if k.startswith("test/")} == ceiling(scored)


def test_a_box_of_another_kind_finds_nothing() -> None:
    score = ceiling(
        rows(
            (
                "a",
                "PDR",
                [finding(1, "dense tangle", ("UL",), BOX)],
                [TrueLesion("vessel tortuosity", ("UL",), BOX)],
            )
        )
    )
    assert score["test/kinds/box_recall"] == 0
    assert score["test/any/f1"] == 1
    assert score["test/kinds/f1"] == 0


def test_every_lesion_that_phantoms_know_is_claimed_once() -> None:
    from gftlib.phantoms.lesions import KINDS

    assert sorted(name for lesions in CLAIMS.values() for name in lesions) == sorted(KINDS)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no finding claims"):
        claim("drusen")
    with pytest.raises(InputError, match="need the column 'part'"):
        ceiling(pd.DataFrame())
    assert ceiling(pd.DataFrame(columns=COLUMNS)) == {}
