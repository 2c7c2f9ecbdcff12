"""Chapter 3: importances against lesions, and every headline number from the predictions."""

import dataclasses
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from gftlib.errors import InputError, MissingError
from gftlib.octa import attribution_figures, attribution_study
from gftlib.octa.attribution import IGConfig, integrated_gradients
from gftlib.octa.attribution_study import (
    IMPORTANCES,
    TRAINED,
    UNTRAINED,
    UNUSUAL,
    Explained,
    ceiling_table,
    completeness,
    completeness_table,
    faithfulness,
    headline,
    lesion_table,
    randomisation,
    score,
)
from gftlib.octa.batches import Normalizer, from_octa_graph
from gftlib.octa.fitting import seeded
from gftlib.octa.graph import build_graph
from gftlib.octa.lesion_scores import ANY
from gftlib.octa.scans import Scan
from gftlib.octa.staging import StagingConfig, StagingGNN
from gftlib.octa.training import FoldResult
from gftlib.phantoms.lesion_masks import Lesion
from gftlib.phantoms.octa_cohort import cohort
from gftlib.profiles import load_profile

PITCH, SIDE = 76, 1216
IG = IGConfig(steps=4, most_steps=8, stable=0.5)


@dataclass(frozen=True)
class Known:
    """A phantom whose lesions are given."""

    name: str
    lesions: tuple[Lesion, ...]
    spec: bool = True

    def phantom(self):
        return self


@pytest.fixture(scope="module")
def explained():
    mask = np.zeros((SIDE, SIDE), bool)
    for line in range(PITCH, SIDE, PITCH):
        mask[line - 2 : line + 3] = mask[:, line - 2 : line + 3] = True
    mask[5 * PITCH + 3 : 11 * PITCH - 2, 5 * PITCH + 3 : 11 * PITCH - 2] = False
    mask[PITCH + 3 : 3 * PITCH - 2, PITCH + 3 : 3 * PITCH - 2] = False
    graph = build_graph(mask)
    hole = np.ones((2 * PITCH - 6, 2 * PITCH - 6), bool)
    lesion = Lesion("capillary non-perfusion", (PITCH + 3, PITCH + 3), hole)
    normalizer = Normalizer.fit([from_octa_graph(graph)])
    results = []
    for seed in (1, 2):
        with seeded(seed):
            results.append(FoldResult(StagingGNN(StagingConfig(hidden=4)).eval(), normalizer, (), 0))
    normal = normalizer(from_octa_graph(graph))
    found = [[integrated_gradients(one.model, normal, IG)] for one in results]
    return Explained([Known("s", (lesion,))], [graph], results[0], *found)


def test_scores_and_their_summary(explained, tmp_path):
    table = score(explained)
    assert set(table["importance"]) == set(IMPORTANCES)
    table.to_csv(tmp_path / "predictions.csv", index=False)
    groups = headline(tmp_path / "predictions.csv")
    lesions = groups[attribution_study.EVERY]
    # One area in a mesh of equal ones: its size alone makes it stand out.
    assert lesions[UNUSUAL]["capillary non-perfusion"]["pointing"] == 1.0
    assert lesions[UNUSUAL][ANY]["auroc"] == 1.0
    assert lesions[TRAINED][ANY] | {"pointing": 0, "auroc": 0} == lesions[UNTRAINED][ANY] | {
        "pointing": 0,
        "auroc": 0,
    }
    kinds = [ANY, "capillary non-perfusion"]
    shown = lesion_table(groups)
    assert shown.index.tolist() == [(group, kind) for group in groups for kind in kinds]
    assert shown.loc[(attribution_study.EVERY, ANY), ("pointing game", UNUSUAL)] == 1.0
    # The lesion lies in one quadrant.
    assert groups[attribution_study.QUADRANT][UNUSUAL][ANY]["scans"] == 1
    attribution_figures.lift_figure(lesions, "phantoms").savefig(tmp_path / "lift.png")


def test_real_scans_are_explained_but_not_scored(explained, tmp_path):
    real = dataclasses.replace(explained, scans=[Known("r", (), spec=False)])
    table = score(real)
    assert table.empty
    table.to_csv(tmp_path / "predictions.csv", index=False)
    assert headline(tmp_path / "predictions.csv") == {}
    assert "no exact lesions" in lesion_table({}).to_string()
    assert ceiling_table(real, 5).empty
    attribution_figures.lift_figure({}, "real scans").savefig(tmp_path / "lift.png")


def test_scans_taken_for_healthy_are_left_out_of_the_diseased(explained, tmp_path):
    (one,) = explained.trained
    path = tmp_path / "predictions.csv"
    for target, groups in ((0, {"every scan"}), (2, {"every scan", "scans taken for diseased"})):
        told = dataclasses.replace(explained, trained=[dataclasses.replace(one, target=target)])
        score(told).to_csv(path, index=False)
        assert {name for name in headline(path) if "quadrant" not in name} == groups


def test_the_page_shows_the_run_of_its_size(monkeypatch):
    full = SimpleNamespace(results={"lesions": 1}, about="published run")
    monkeypatch.setattr(attribution_study, "beside", lambda _, profile: full if profile == "smoke" else None)
    assert attribution_study.larger({"lesions": 2}, "smoke") == ({"lesions": 1}, "published run")
    assert attribution_study.larger({"lesions": 2}, "phantom") == ({"lesions": 2}, "this run")


def test_what_is_said_about_the_integral(explained):
    table = completeness_table(completeness(explained))
    assert table.loc["steps", "median"] == explained.trained[0].steps
    assert table.loc["completeness error", "most"] == pytest.approx(explained.trained[0].completeness_error)


def test_ceiling_has_a_row_for_each_importance_and_kind(explained):
    table = ceiling_table(explained, 5)
    assert len(table) == 6
    row = table[(table["importance"] == UNUSUAL) & (table["kind"] == "capillary non-perfusion")].iloc[0]
    assert row["quadrant_f1"] == 1.0 and row["recall"] == 1.0


def test_curves_start_and_end_at_the_same_scan(explained, tmp_path):
    curves = faithfulness(explained, 3)
    assert set(curves["ranking"]) == {TRAINED, UNUSUAL, "random"}
    for _, rows in curves.groupby("ranking"):
        deletion, insertion = rows["deletion"].to_numpy(), rows["insertion"].to_numpy()
        assert deletion[0] == pytest.approx(insertion[-1]) and deletion[-1] == pytest.approx(insertion[0])
    attribution_figures.curves_figure(curves, "phantoms").savefig(tmp_path / "curves.png")


def test_a_network_without_its_head_ranks_differently(explained):
    checked = randomisation(explained, IG, 1)
    assert checked.index[0] == "without head and later"
    assert (checked["Spearman"].abs() <= 1).all() and checked["Spearman"].iloc[-1] < 0.999


def test_unseen_scans_are_those_of_split_0_that_show_disease(tmp_path, monkeypatch):
    specs = cohort(30, 2)
    scans = [Scan(spec.scan_id, tmp_path / "x.png", spec=spec) for spec in specs]
    sick = {spec.scan_id for spec in specs if spec.stage == 1}
    monkeypatch.setattr(Scan, "phantom", lambda scan: SimpleNamespace(lesions=scan.name in sick))
    found = attribution_study.unseen_scans(scans)
    assert {scan.name for scan in found} == {s.scan_id for s in specs if s.split == 0 and s.scan_id in sick}


def test_nothing_to_explain_and_no_network_are_said(tmp_path, monkeypatch):
    profile = load_profile("smoke")
    scan = Scan("s", tmp_path / "s.png", spec=next(s for s in cohort(30, 2) if s.split == 3))
    with pytest.raises(InputError, match="nothing to explain"):
        attribution_study.explain_unseen(profile, [scan], {"s": tmp_path / "s.json.gz"}, tmp_path)
    monkeypatch.setattr(attribution_study, "root", lambda: tmp_path)
    with pytest.raises(MissingError, match="run the staging notebook first"):
        attribution_study.staging_network(profile)
