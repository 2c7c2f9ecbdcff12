"""Chapter 3: two readings of the network, and how exactly each is explained."""

from dataclasses import replace

import numpy as np
import pytest

from gftlib.octa import attribution_sensitivity as module
from gftlib.octa.attribution import IGConfig
from gftlib.octa.batches import Normalizer, from_octa_graph
from gftlib.octa.fitting import seeded
from gftlib.octa.graph import build_graph
from gftlib.octa.graph_io import write_graph
from gftlib.octa.scans import Scan
from gftlib.octa.staging import StagingConfig, StagingGNN
from gftlib.octa.training import FoldResult
from gftlib.phantoms.octa_cohort import cohort
from gftlib.profiles import load_profile


def lattice(pitch):
    mask = np.zeros((96, 96), bool)
    mask[::pitch] = mask[:, ::pitch] = True
    return build_graph(mask)


def untrained(graph, **config):
    with seeded(3):
        model = StagingGNN(StagingConfig(hidden=8, **config)).eval()
    return FoldResult(model, Normalizer.fit([from_octa_graph(graph)]), (), 0)


def test_more_steps_are_more_exact_and_keep_the_ranking():
    graphs = [lattice(12), lattice(16)]
    networks = {
        module.PAPER: untrained(graphs[0], activation="relu"),
        module.SMOOTH: untrained(graphs[0], activation="silu", pooling=("mean", "max")),
    }
    rows = module.sensitivity_rows(networks, graphs, IGConfig(top=5))
    assert [(row["network"], row["steps"]) for row in rows] == [
        (name, steps) for name in networks for steps in module.STEPS
    ]
    smooth = [row["median"] for row in rows if row["network"] == module.SMOOTH]
    assert smooth[-1] < smooth[0]
    assert all(row["shared"] == 1 for row in rows if row["steps"] == module.STEPS[-1])
    assert module.sensitivity_table(rows).loc[(module.SMOOTH, 100), "scans"] == 2


@pytest.fixture
def phantoms(tmp_path):
    scans, files = [], {}
    for spec in cohort(60, 3):
        scans.append(Scan(spec.scan_id, tmp_path / "x.png", spec=spec))
        files[spec.scan_id] = tmp_path / f"{spec.scan_id}.json.gz"
        write_graph(files[spec.scan_id], lattice(12 + 4 * spec.stage))
    return scans, files


def test_the_other_reading_is_trained_once(phantoms, tmp_path):
    profile = load_profile("smoke")
    profile = profile.model_copy(update={"staging": profile.staging.model_copy(update={"epochs": 1})})
    network = module.smooth_network(profile, *phantoms, tmp_path / "smooth")
    config = network.model.config
    assert (config.activation, config.pooling) == ("silu", ("mean", "max"))
    assert replace(config, activation="relu").recipe.epochs == 1
    written = (tmp_path / "smooth" / "model.safetensors").stat().st_mtime_ns
    module.smooth_network(profile, *phantoms, tmp_path / "smooth")
    assert (tmp_path / "smooth" / "model.safetensors").stat().st_mtime_ns == written
