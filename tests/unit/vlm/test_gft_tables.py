from __future__ import annotations

import math

import numpy as np
import pytest

from gftlib.vlm.paper_tables import OCTA_500, gains, table_1, table_2, table_3


def test_two_balanced_accuracies_are_not_the_mean_of_their_recalls() -> None:
    table = table_1()
    assert table.shape == (12, 9)
    odd = table[~table["reconciles"]]
    assert odd.index.tolist() == [("GFT", "GPT-4o"), ("GFT", "Qwen-VL-max")]
    assert odd["balanced accuracy"].tolist() == [0.569, 0.574]
    assert odd["mean of recalls"].round(3).tolist() == [0.630, 0.648]
    right = table[table["reconciles"]]
    assert (right["balanced accuracy"] - right["mean of recalls"]).abs().max() <= 0.001


def test_the_average_gain_is_a_mean_of_relative_gains() -> None:
    means = gains().mean()
    assert means["relative"] == pytest.approx(0.1482, abs=5e-5)
    assert means["absolute"] == pytest.approx(0.072, abs=5e-4)
    assert means["relative, recomputed"] == pytest.approx(0.221, abs=5e-4)


def test_four_averages_are_not_the_mean_of_teacher_and_experts() -> None:
    table = table_3()
    assert table[table["reconciles"]].index.tolist() == [("GFT", "GPT-4o"), ("GFT", "Llama 3.2")]
    odd = table[~table["reconciles"]]
    assert odd["average"].tolist() == [51.25, 34.08, 62.60, 58.61]
    assert odd["mean"].round(2).tolist() == pytest.approx([50.55, 33.53, 62.28, 56.07], abs=0.011)
    assert table["regions"].tolist() == [0, 0, 0, 0, 13, 7]


def test_counts_of_scans_give_the_rows_of_table_2() -> None:
    table = table_2()
    found = {name: counts_of(*row) for name, row in zip(table.index, table.to_numpy(), strict=True)}
    assert found["BS-Llama 3.2"] == [(121, 10)]
    assert found["GFT-GPT-4o"] == [(160, 15)]
    assert found["Biomarkers"] == [(158, 19)]
    assert found["ResNet 18"] == [(160, 5)]
    assert found["GNN"] == [(159, 23)]
    assert (159, 20) in found["GFT-Llama 3.2"]
    assert len(found["BS-GPT-4o"]) > 1
    # no other place of the three numbers of these rows fits
    assert counts_of(0.759, 0.807, math.nan) == []
    assert counts_of(math.nan, 0.435, 0.256) == []


def counts_of(
    balanced_accuracy: float, f1_healthy: float, f1_disease: float, digits: float = 0.0006
) -> list[tuple[int, int]]:
    """Return the numbers of (healthy, diseased) scans of OCTA-500 called right that give these scores.

    Args:
        balanced_accuracy: As printed; NaN for one that is not known, as for the other two.
        f1_healthy: As printed.
        f1_disease: As printed.
        digits: How far a computed score may lie from the printed one.
    """
    sizes = tuple(OCTA_500.values())
    healthy, diseased = np.meshgrid(*(np.arange(n + 1) for n in sizes), indexing="ij")
    called_healthy = healthy + sizes[1] - diseased
    scores = (
        (healthy / sizes[0] + diseased / sizes[1]) / 2,
        2 * healthy / (sizes[0] + called_healthy),
        2 * diseased / (sizes[1] + sum(sizes) - called_healthy),
    )
    fits = np.ones(healthy.shape, bool)
    for printed, score in zip((balanced_accuracy, f1_healthy, f1_disease), scores, strict=True):
        fits &= np.isnan(printed) | (np.abs(score - printed) <= digits)
    return [(int(a), int(b)) for a, b in np.argwhere(fits)]
