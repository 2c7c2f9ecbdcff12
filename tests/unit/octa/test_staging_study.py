"""Chapter 2: whose stage is known, and every number of its tables from the predictions."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gftlib.errors import InputError, MissingError
from gftlib.octa import staging_cohorts, staging_figures, staging_study
from gftlib.octa.batch import BatchResult
from gftlib.octa.folds import scan_table
from gftlib.octa.graph import build_graph
from gftlib.octa.graph_io import write_graph
from gftlib.octa.predictions import prediction_rows, write_predictions
from gftlib.octa.resnet import ResNetConfig
from gftlib.octa.scans import Scan
from gftlib.octa.staging import preset
from gftlib.octa.staging_cohorts import Cohort
from gftlib.phantoms.octa_cohort import cohort
from gftlib.profiles import load_profile


@pytest.fixture
def scans(tmp_path):
    return [Scan(f"s{k:02}", tmp_path / f"s{k:02}.png") for k in range(24)]


def write_table(scans, **columns):
    table = pd.DataFrame({"scan": [scan.name for scan in scans]} | columns)
    table.to_csv(scans[0].image.parent / "scans.csv", index=False)


def test_phantoms_know_their_stage(tmp_path):
    specs = cohort(12, 1)
    scans = [Scan(spec.scan_id, tmp_path / "x.png", spec=spec) for spec in specs]
    pd.testing.assert_frame_equal(staging_cohorts.stage_table(scans), scan_table(specs))


def test_real_scans_have_a_table_in_any_order(scans):
    stages = ["healthy", "npdr", " PDR "] * 8
    write_table(scans[::-1], subject=[f"p{k}" for k in range(24)], stage=stages, split=list(range(6)) * 4)
    table = staging_cohorts.stage_table(scans)
    assert table["scan"].tolist() == [scan.name for scan in scans]
    assert table["stage"].tolist() == [2, 1, 0] * 8
    assert table["split"].tolist() == [5, 4, 3, 2, 1, 0] * 4


def test_splits_that_are_drawn_share_no_subject(scans):
    write_table(
        scans, subject=[f"p{k // 2}" for k in range(24)], stage=["healthy", "healthy", "PDR", "PDR"] * 6
    )
    table = staging_cohorts.stage_table(scans)
    assert sorted(table["split"].unique()) == list(range(6))
    assert (table.groupby("subject")["split"].nunique() == 1).all()


def test_what_the_table_lacks_is_named(scans):
    with pytest.raises(MissingError, match=r"scans\.csv: staging needs a table"):
        staging_cohorts.stage_table(scans)
    write_table(scans, stage=["healthy"] * 24)
    with pytest.raises(InputError, match="no column 'subject'"):
        staging_cohorts.stage_table(scans)
    write_table(scans, subject=["p"] * 24, stage=["healthy"] * 23 + ["severe"])
    with pytest.raises(InputError, match="scan 's23' has no stage of healthy, NPDR, PDR"):
        staging_cohorts.stage_table(scans)


@pytest.mark.parametrize("split", ["", "  ", "train", "1.5"])
def test_a_split_that_is_no_number_is_named_with_its_line(scans, split):
    splits = ["1"] * 24
    splits[2] = split
    write_table(scans, subject=["p"] * 24, stage=["healthy"] * 24, split=splits)
    with pytest.raises(
        InputError, match=rf"scans\.csv, line 4: the split of scan 's02' is '{split.strip()}': write"
    ):
        staging_cohorts.stage_table(scans)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("subject", "", r"line 4: scan 's02' has no subject"),
        ("subject", "  ", r"line 4: scan 's02' has no subject"),
        ("scan", "s01", r"line 4: scan 's01' is named a second time"),
        ("scan", " s01 ", r"line 4: scan 's01' is named a second time"),
    ],
)
def test_a_scan_without_its_subject_or_named_twice_is_told(scans, column, value, told):
    rows = {"scan": [scan.name for scan in scans], "subject": ["p"] * 24, "stage": ["healthy"] * 24}
    rows[column][2] = value
    pd.DataFrame(rows | {"split": 1}).to_csv(scans[0].image.parent / "scans.csv", index=False)
    with pytest.raises(InputError, match=told):
        staging_cohorts.stage_table(scans)


def test_spaces_make_no_second_subject(scans):
    write_table(scans, subject=["p", "p "] * 12, stage=["healthy"] * 24, split=[1] * 24)
    assert staging_cohorts.stage_table(scans)["subject"].unique().tolist() == ["p"]


def test_scans_of_several_sizes_are_read_as_the_first(tmp_path):
    scans, files = [], {}
    for name, size in (("a", 96), ("b", 128)):
        mask = np.zeros((size, size), bool)
        mask[::16] = mask[:, ::16] = True
        Image.fromarray((mask * 200).astype(np.uint8)).save(tmp_path / f"{name}.png")
        write_graph(tmp_path / f"{name}.json.gz", build_graph(mask))
        scans.append(Scan(name, tmp_path / f"{name}.png"))
        files[name] = tmp_path / f"{name}.json.gz"
    write_table(scans, subject=["p", "q"], stage=["healthy", "PDR"], split=[0, 1])
    found = staging_cohorts.staged_cohort(scans, BatchResult(files))
    assert found.images.shape == (2, 96, 96) and found.images[1].max() > 50


def test_a_shorter_run_ends_at_the_same_learning_rate():
    recipe = preset("split2").recipe
    short = recipe.shortened(10)
    assert short.epochs == 10
    assert short.decay**10 == pytest.approx(recipe.decay**40)
    assert recipe.shortened(100).decay == recipe.decay
    image = ResNetConfig().recipe
    assert image.shortened(6, 30).decay ** 6 == pytest.approx(image.decay**30)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Twelve lattices of twelve subjects, the wider the sicker, as a cohort of graph files and scans."""
    folder = tmp_path_factory.mktemp("graphs")
    scans, files = [], {}
    for spec in [spec for spec in cohort(60, 3) if spec.split in range(6)]:
        mask = np.zeros((96, 96), bool)
        mask[:: 12 + 4 * spec.stage] = mask[:, :: 12 + 4 * spec.stage] = True
        Image.fromarray((mask * 200).astype(np.uint8)).save(folder / f"{spec.scan_id}.png")
        scans.append(Scan(spec.scan_id, folder / f"{spec.scan_id}.png", spec=spec))
        write_graph(folder / f"{spec.scan_id}.json.gz", build_graph(mask))
        files[spec.scan_id] = folder / f"{spec.scan_id}.json.gz"
    return scans, BatchResult(files)


def test_every_method_is_judged_on_every_part(graphs, tmp_path):
    scans, batch = graphs
    data = staging_cohorts.staged_cohort(scans, batch)
    assert isinstance(data, Cohort)
    assert len(data.rows) == len(data.graphs) == len(data.features) == len(data.images) == len(scans)
    settings = load_profile("smoke").staging.model_copy(update={"epochs": 1, "resnet_size": 32})
    unseen = np.flatnonzero(data.rows["split"] == 0)
    part = Cohort(
        data.rows.iloc[unseen],
        [data.graphs[k] for k in unseen],
        data.features.iloc[unseen],
        data.images[unseen],
    )
    predictions = staging_study.run_methods(data, {staging_cohorts.SHIFTED: part}, settings, tmp_path)
    told = []
    again = staging_study.run_methods(
        data, {staging_cohorts.SHIFTED: part}, settings, tmp_path, progress=lambda *done: told.append(done)
    )
    pd.testing.assert_frame_equal(predictions, again)
    assert ("gnn", 2, 2) in told
    summary = staging_study.headline(write_predictions(tmp_path / "predictions.csv", predictions))
    assert set(summary["test"]) == set(staging_study.METHODS)
    assert summary["test"]["majority"]["mean"] == pytest.approx(1 / 3)
    # The same scans under another name get the same verdicts.
    for method, numbers in summary["test"].items():
        assert summary[staging_cohorts.SHIFTED][method]["mean"] == pytest.approx(numbers["mean"])
    html = staging_study.balanced_accuracy_table(summary).to_html()
    assert "own z-score" in html and "0.689" in html
    staging_figures.accuracies_figure(summary, "phantoms").savefig(tmp_path / "a.png")
    staging_figures.confusion_figure(predictions, "phantoms").savefig(tmp_path / "b.png")


def test_tables_follow_from_predictions():
    rows = pd.DataFrame({"scan": list("abc"), "subject": list("abc"), "stage": [0, 1, 2]})
    right, wrong = np.eye(3), np.eye(3)[[1, 2, 0]]
    table = pd.concat(
        [
            prediction_rows(rows, right, "gnn", 0, 1, "test"),
            prediction_rows(rows, wrong, "gnn", 0, 2, "test"),
            prediction_rows(rows, right, "svm", 0, 1, "test"),
        ]
    )
    found = staging_study.class_table(table)
    assert found.loc["graph network", ("balanced accuracy", "mean")] == 0.5
    assert found.loc["graph network", ("balanced accuracy", "sd of folds")] == pytest.approx(0.707)
    assert found.loc["biomarkers, support vectors", ("PDR", "f1")] == 1
    shares = staging_study.confusions(table)["graph network"]
    assert shares.tolist() == [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]


def test_octa500_is_judged_by_two_stages():
    rows = pd.DataFrame({"scan": list("abc"), "subject": list("abc"), "stage": [0, 1, 1]})
    table = prediction_rows(rows, np.eye(3), "gnn", 0, 1, staging_cohorts.REAL)
    found = staging_study.class_table(table, staging_cohorts.REAL)
    assert found.columns.get_level_values(0).unique().tolist() == ["balanced accuracy", "healthy", "DR"]
    # NPDR and PDR both say that a scan is diseased.
    assert found.loc["graph network", ("DR", "f1")] == 1
    assert staging_study.class_table(table, "test").empty


def test_unknown_graphs_are_refused(scans):
    with pytest.raises(InputError, match="none of 24 scans has a graph"):
        staging_cohorts.staged_cohort(scans, BatchResult())
