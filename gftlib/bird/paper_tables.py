"""The numbers that BiRD prints, to stand beside ours: Tables 1 to 3, in per cent."""

from __future__ import annotations

from types import MappingProxyType

import pandas as pd

from gftlib.bird.questions import TASKS
from gftlib.datasets.sa_med2d_names import MODALITIES

METRICS = MappingProxyType({"VG": "Recall@0.5", "ROC": "Recall", "RC": "SPICE", "MIA": "mBMR"})
TEST, QA = "Med-GRIT-Test30k", "LLaVa-Med-qa0.2k"
# Model, test set, VG, ROC, RC, MIA, average.
TABLE_1 = (
    ("LLaVa-Med", TEST, 0.0, 2.75, 8.18, 11.20, 5.53),
    ("BiRD-Med-GRIT-20k", TEST, 38.59, 47.94, 29.02, 27.22, 35.69),
    ("BiRD-Med-GRIT-40k", TEST, 46.30, 51.84, 50.32, 30.14, 44.65),
    ("BiRD-Med-GRIT-80k", TEST, 52.87, 52.02, 52.84, 44.83, 50.64),
    ("BiRD-Med-GRIT-270k", TEST, 53.92, 65.33, 55.23, 52.17, 56.66),
    ("LLaVa-Med", QA, None, None, None, 20.04, None),
    ("BiRD-Med-GRIT-270k", QA, None, None, None, 10.55, None),
)
# Model, MIA, ROC, RC, VG, number of image modalities.
TABLE_2 = (
    ("LLaVa-Med", True, False, False, False, 5),
    ("RadFM", True, False, False, False, 6),
    ("Med-PaLM M", True, False, False, False, 6),
    ("BiRD", True, True, True, True, 8),
)
# In the order of MODALITIES, the printed average last.
TABLE_3 = MappingProxyType(
    {
        "VG": (44.47, 29.26, 41.73, 56.46, 53.60, 75.63, 84.15, 46.04, 53.92),
        "ROC": (34.76, 61.79, 53.74, None, 60.40, 96.61, None, 84.65, 65.33),
        "RC": (41.88, 51.69, 37.39, 47.95, 54.07, 77.44, 48.73, 82.65, 55.23),
        "MIA": (47.01, 49.35, 37.17, 57.15, 39.91, 72.13, 48.87, 65.78, 52.17),
    }
)
TABLE_3_AVERAGES = (43.03, 48.02, 42.51, 53.85, 51.99, 80.45, 60.58, 69.78)
MISPRINTS = MappingProxyType(
    {("average", "CT"): (43.03, 42.03)}  # printed, and what its four cells average
)


def table_1() -> pd.DataFrame:
    """Return Table 1 in per cent, one row a model and test set."""
    columns = ["model", "test set", *(f"{task} ({METRICS[task]})" for task in TASKS), "average"]
    return pd.DataFrame(TABLE_1, columns=columns).set_index(["model", "test set"])


def table_2() -> pd.DataFrame:
    """Return Table 2: what each model can do, and on how many image modalities."""
    return pd.DataFrame(TABLE_2, columns=["model", "MIA", "ROC", "RC", "VG", "modalities"]).set_index("model")


def table_3() -> pd.DataFrame:
    """Return Table 3 in per cent as printed, misprints included (see `MISPRINTS`)."""
    names = [*MODALITIES.values(), "average"]
    rows = {f"{task} ({METRICS[task]})": TABLE_3[task] for task in TASKS}
    rows["average"] = (*TABLE_3_AVERAGES, None)
    return pd.DataFrame.from_dict(rows, orient="index", columns=names, dtype=float)


def marked_table_3() -> pd.DataFrame:
    """Return Table 3 as text, misprints struck by what the cells give: ``43.03 (cells: 42.03)``."""
    shown = table_3().map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    for (row, column), (printed, right) in MISPRINTS.items():
        shown.loc[row, column] = f"{printed:.2f} (cells: {right:.2f})"
    return shown
