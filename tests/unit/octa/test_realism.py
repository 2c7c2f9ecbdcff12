"""The realism table: plain figures of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gftlib.errors import InputError, MissingError
from gftlib.octa.realism import (
    QUANTITIES,
    describe_label,
    describe_vessel_csv,
    quartiles,
    weighted_quantiles,
)


def cross() -> np.ndarray:
    mask = np.zeros((400, 400), dtype=bool)
    mask[196:205] = True
    mask[:, 196:205] = True
    return mask


def test_a_cross_is_described() -> None:
    row = describe_label(cross(), field_mm=4.0)
    assert set(row) == set(QUANTITIES)
    assert row["vessel_density"] == pytest.approx(cross().mean())
    assert row["segments"] == 4
    assert row["bifurcations"] == 1
    assert row["length_mm"] == pytest.approx(8.0, rel=0.05)
    assert row["calibre_um"] == pytest.approx(90, rel=0.1)


def test_quantiles_count_by_weight() -> None:
    assert weighted_quantiles([1.0, 10.0], [99.0, 1.0], (0.5,))[0] == pytest.approx(1.0, abs=0.2)
    assert np.isnan(weighted_quantiles([], [], (0.5,))[0])


def test_sets_stand_side_by_side() -> None:
    row = describe_label(cross(), field_mm=4.0)
    rows = pd.DataFrame([row | {"set": "drawn"}, row | {"set": "drawn"}, row | {"set": "other"}])
    table = quartiles(rows)
    assert list(table) == ["drawn (n = 2)", "other (n = 1)"]
    assert table.loc[QUANTITIES["segments"], "drawn (n = 2)"] == "4 [4, 4]"
    with pytest.raises(InputError, match="no scan to compare"):
        quartiles(rows[:0])


def test_a_vessel_csv_is_read_exactly(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    path.write_text(
        "node1,node2,radius\n[0.0 0.0 0.0],[0.5 0.0 0.0],0.01\n[0.5 0.0 0.0],[0.5 0.5 0.0],0.01\n"
        "[0.5 0.0 0.0],[1.0 0.0 0.0],0.01\n"
    )
    row = describe_vessel_csv(path)
    assert row["length_mm"] == pytest.approx(4.5)
    assert row["calibre_um"] == pytest.approx(60)
    assert (row["bifurcations"], row["dead_ends"]) == (1, 3)


def test_foreign_csv_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        describe_vessel_csv(tmp_path / "none.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="columns"):
        describe_vessel_csv(other)


def test_the_simulated_set_is_described(shared_data) -> None:
    path = sorted((shared_data("octa_synthetic_tum") / "vessel_graphs").glob("*.csv"))[0]
    row = describe_vessel_csv(path)
    assert 400 < row["length_mm"] < 650
