import pytest

from gftlib import checkpoints, paths, planning, tuning_estimate
from gftlib.errors import InputError
from gftlib.profiles import load_profile
from gftlib.provenance import Record

RECORD = Record(
    notebook="01_graph_construction",
    parameters={"profile": "smoke", "image": "", "mask": "", "workers": 1, "out": ""},
    seed=2026,
    profile_hash="0",
    code_hash="0",
    commit="abc",
    began="2026-05-01T10:00:00+00:00",
    seconds=90.4,
    peak_memory_mb=1536,
    device="CPU, 4 cores (x86_64)",
    versions={},
    inputs={},
    results="0",
)


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Write a record into a checkout that has no others."""
    (tmp_path / "notebooks").mkdir()
    for name in ("smoke", "phantom", "paper"):
        target = tmp_path / "profiles" / f"{name}.yaml"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((paths.root() / "profiles" / f"{name}.yaml").read_bytes())
    notebook = paths.root() / "notebooks" / "01_graph_construction.ipynb"
    (tmp_path / "notebooks" / notebook.name).write_bytes(notebook.read_bytes())
    monkeypatch.setenv("GFTLIB_ROOT", str(tmp_path))

    def write(base, **changes):
        record = RECORD.model_copy(update=changes)
        folder = tmp_path / base / record.parameters["profile"] / record.notebook
        paths.write_json(folder / "record.json", record.model_dump())

    return write


def test_nothing_is_told_of_what_was_never_run(records):
    plan = planning.steps(load_profile("smoke"))
    assert all(step.measured is None and step.elsewhere == () for step in plan)
    lines = planning.lines(load_profile("smoke"))
    assert "01_graph_construction: not measured" in lines
    assert "together: 0 s in 0 of 10 notebooks, the others unknown" in lines
    assert lines[-1] == "hosted models: none, nothing is paid"


def test_a_run_tells_its_figures_machine_source_and_age(records):
    records("runs")
    (step, *_) = planning.steps(load_profile("smoke"))
    told = "90 s, 1.5 GiB, CPU, 4 cores (x86_64) (runs/smoke/01_graph_construction, 2026-05-01)"
    assert step.measured.told() == told
    line = f"01_graph_construction: {told}, code or settings have changed since"
    assert line in planning.lines(load_profile("smoke"))


def test_the_newest_run_counts_and_one_on_a_single_scan_does_not(records):
    records("book/results", began="2026-05-02T10:00:00+00:00", seconds=50.0)
    records("runs")
    assert planning.measured("01_graph_construction", "smoke").record.seconds == 50.0
    records("book/results", parameters={**RECORD.parameters, "image": "eye.png"})
    assert planning.measured("01_graph_construction", "smoke").record.seconds == 90.4


def test_runs_of_other_profiles_stand_beside_and_are_not_added(records):
    records("runs")
    lines = planning.lines(load_profile("paper"))
    assert "01_graph_construction: not measured" in lines
    assert lines[lines.index("01_graph_construction: not measured") + 1].startswith("    smoke: 90 s")
    assert "together: 0 s in 0 of 10 notebooks, the others unknown" in lines


def test_costs_are_those_of_the_longest_answers_at_the_profiles_prices():
    teacher, judge, captions = planning.costs(load_profile("paper"))
    # 1264 x 4 of 6 splits, five folds, two stages; 8000 tokens at 60 dollars a million, half in batches.
    assert (teacher.requests, round(teacher.usd, 2)) == (8430, round(8430 * 0.48 / 2, 2))
    assert (judge.requests, round(judge.usd, 2)) == (16, 7.68)
    assert (captions.requests, captions.cap) == (60000, 1000.0)
    assert "stops before 1000 USD are spent" in captions.line()


def test_a_budget_without_prices_is_refused():
    paper = load_profile("paper")
    free = paper.dialogue.endpoint.model_copy(update={"usd_in": 0.0, "usd_out": 0.0})
    unpriced = paper.model_copy(update={"dialogue": paper.dialogue.model_copy(update={"endpoint": free})})
    with pytest.raises(InputError, match="needs the prices"):
        planning.costs(unpriced)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2.0 h"), (100_000, "27.8 h")]
)
def test_durations_have_a_unit_that_suits_them(seconds, told):
    assert planning.duration(seconds) == told


def test_tuning_on_a_gpu_is_estimated_by_arithmetic_and_called_so():
    paper = load_profile("paper")
    found = {(one.student, one.arm): one.seconds for one in tuning_estimate.tunings(paper)}
    assert (paper.tuning.first_epochs, paper.tuning.second_epochs, paper.tuning.pairs) == (4, 1, 10)
    assert len(paper.dialogue.folds) == 5
    rate = 5 * 4 * checkpoints.memory("qwen2.5-vl-7b", "bfloat16") / 2 * paper.octa.scans * 4 / 6 / 150e12
    assert found["qwen2.5-vl-7b", "GFT"] == pytest.approx(rate * (4 * 1100 + 3 * 1000 + 30 * 100))
    assert found["qwen2.5-vl-7b", "FT"] == pytest.approx(rate * (4 * 1100 + 3 * 1100))
    assert found["qwen2.5-vl-7b", "VG alone"] == pytest.approx(found["qwen2.5-vl-7b", "240k"] * 11 / 14)
    assert found["qwen2.5-vl-7b", "240k"] == pytest.approx(12 * found["qwen2.5-vl-7b", "20k"])
    assert found["${BIRD_START}", "240k"] == 0  # its weights are not there
    told = "\n".join(planning.lines(paper))
    assert "tuning, estimated: qwen2.5-vl-7b, 3 arms, " in told
    assert "not known, for want of its weights" in told
    assert tuning_estimate.ASSUMED in told
    assert "estimated" not in "\n".join(planning.lines(load_profile("phantom")))
