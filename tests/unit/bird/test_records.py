from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.bird import layouts
from gftlib.bird.dataset import BuildConfig, build
from gftlib.bird.instances import ImageMeta, Instance
from gftlib.bird.questions import NEGATIVE, TASKS
from gftlib.bird.records import SIZES, TURNS, RecordConfig, plan, records, tally, within
from gftlib.errors import InputError, MissingError
from gftlib.phantoms.scans import ScanConfig, write_cohort

BOX = (0.1, 0.1, 0.4, 0.4)


def image(dataset, case, index, modality="ct", labels=("liver", "spleen")):
    instances = tuple(Instance(label, label, BOX, 0.09) for label in labels)
    stem = f"{modality}--{dataset}--{case}--z_{index:04d}"
    return ImageMeta(
        stem,
        f"images/{stem}.png",
        modality,
        dataset,
        f"{dataset}--{case}",
        "axial",
        None,
        (64, 64),
        instances,
        labels,
    )


@pytest.fixture(scope="module")
def metas():
    found = [image("A", f"c{c}", i) for c in range(60) for i in range(1 + c % 7)]
    found += [image("A", f"c{c}", 99, "mr") for c in range(0, 60, 2)]
    return found + [image("P", f"c{c}", 0, "pet", ("lesion",)) for c in range(40)]


def test_the_turns_of_the_paper_average_four():
    assert sum(n * p for n, p in TURNS.items()) == pytest.approx(4) and sum(TURNS.values()) == pytest.approx(
        1
    )
    assert [round(240 * share) for share in SIZES.values()] == [20, 40, 80, 240]


def test_no_case_is_in_both_sets(metas):
    config = RecordConfig(seed=5)
    found = list(records(metas, plan(metas, config), config))
    cases = {split: {r.case for r in found if r.split == split} for split in ("train", "test")}
    assert cases["train"] and cases["test"] and not cases["train"] & cases["test"]
    share = sum(r.split == "test" for r in found) / len(found)
    assert 0.10 <= share <= 0.14
    # Both sequences of a patient are on the same side.
    assert {r.case for r in found if r.modality == "mr"} <= {r.case for r in found if r.modality == "ct"}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 6)), min_size=1, max_size=60), st.integers(0, 99)
)
def test_a_split_never_cuts_a_case_and_never_takes_all(pairs, seed):
    metas = [image(dataset, f"c{case}", i) for i, (dataset, case) in enumerate(pairs)]
    settled = plan(metas, RecordConfig(seed=seed))
    for dataset in {d for d, _ in pairs}:
        cases = {m.case for m in metas if m.dataset == dataset}
        assert cases - settled.test
        taken = sum(m.case in settled.test for m in metas if m.dataset == dataset)
        largest = max(Counter(m.case for m in metas).values())
        assert taken <= 0.12 * sum(m.dataset == dataset for m in metas) + largest / 2
    assert set(settled.size) == {m.id for m in metas if m.case not in settled.test}


def test_sizes_are_nested_and_even_over_modalities(metas):
    config = RecordConfig()
    found = [r for r in records(metas, plan(metas, config), config) if r.split == "train"]
    inside = {size: {r.id for r in found if within(r, size)} for size in SIZES}
    assert inside["20k"] < inside["40k"] < inside["80k"] < inside["240k"] == {r.id for r in found}
    for modality, total in Counter(r.modality for r in found).items():
        n = sum(r.modality == modality for r in found if r.id in inside["80k"])
        assert abs(n - total / 3) <= 1
    assert not within(
        next(r for r in records(metas, plan(metas, config), config) if r.split == "test"), "240k"
    )
    with pytest.raises(InputError, match="unknown size '10k'"):
        within(found[0], "10k")


def test_the_turns_follow_the_distribution(metas):
    config = RecordConfig(negatives=0.0, turns={1: 0.5, 3: 0.5})
    found = list(records(metas, plan(metas, config), config))
    counts = Counter(len(r.turns) for r in found)
    assert set(counts) == {1, 3} and 0.35 < counts[1] / len(found) < 0.65


def test_one_category_is_not_classified(metas):
    config = RecordConfig()
    tasks = {m: Counter() for m in ("ct", "mr", "pet")}
    for record in records(metas, plan(metas, config), config):
        tasks[record.modality].update(turn.task for turn in record.turns)
    assert tasks["pet"]["ROC"] == 0 and tasks["ct"]["ROC"] > 0
    assert min(tasks["ct"][task] for task in TASKS) > 0


def test_negatives_change_no_other_turn(metas):
    metas = [image("A", "c0", 0, labels=("liver",)), *metas]
    plain, mixed = (
        list(records(metas, plan(metas, config), config))
        for config in (RecordConfig(negatives=0), RecordConfig())
    )
    for one, other in zip(plain, mixed, strict=True):
        assert one.turns == tuple(t for t in other.turns if t.task != NEGATIVE)
    assert sum(t.task == NEGATIVE for r in mixed for t in r.turns) == 1
    assert mixed[0].turns[-1].name == "spleen"


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"test_share": 0.0}, "test_share"),
        ({"negatives": 1.5}, "negatives"),
        ({"turns": {2: 0.5}}, "sum to 1"),
        ({"turns": {0: 1.0}}, "1 or more"),
    ],
)
def test_bad_choices(settings_, message):
    with pytest.raises(InputError, match=message):
        RecordConfig(**settings_)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    base = tmp_path_factory.mktemp("bird")
    source = write_cohort(base / "scans", images=9, seed=2, config=ScanConfig(side=64, slices=3))
    summary = build(source, base / "records")
    return source, base / "records", summary


def test_a_cohort_becomes_records(built):
    source, folder, summary = built
    assert summary == json.loads((folder / "summary.json").read_text())
    found = [r for split in layouts.SPLITS for r in layouts.read(folder / f"{split}.jsonl")]
    assert len(found) == summary["images"] and tally(found) == summary["turns"]
    assert {r.modality for r in found} == {
        "ct", "mr", "x_ray", "pet", "endoscopy", "dermoscopy", "fundus", "ultrasound",
    }  # fmt: skip
    for record in found:
        assert (source / record.image).is_file()
        for turn in record.turns:
            assert (
                turn.question and turn.answer and (turn.task == "MIA" or turn.task == NEGATIVE or turn.boxes)
            )
    assert any(t.task == NEGATIVE for r in found for t in r.turns)


def test_the_layouts_of_others(built):
    _, folder, _ = built
    records_ = {r.id: r for r in layouts.read(folder / "train.jsonl")}
    qwen = json.loads((folder / "qwen_vl/train.json").read_text())
    assert [item["id"] for item in qwen] == list(records_)
    for item in qwen:
        turns, record = item["conversations"], records_[item["id"]]
        assert [t["from"] for t in turns] == ["user", "assistant"] * len(record.turns)
        assert turns[0]["value"].startswith(f"Picture 1: <img>{record.image}</img>\n")
        assert all("<img>" not in t["value"] for t in turns[1:])
    for task, code in layouts.CODES.items():
        for item in json.loads((folder / f"bird/train_{code}.json").read_text()):
            record = records_[item["id"]]
            wanted = [
                [f"<img>{record.image}</img>{t.question}", t.answer] for t in record.turns if t.task == task
            ]
            assert item["conversations"] == wanted
    assert len(layouts.qwen_vl(qwen_record := next(iter(records_.values())), "/data/", negatives=False)) == 2
    assert layouts.qwen_vl(qwen_record, "root/")["conversations"][0]["value"].startswith(
        "Picture 1: <img>root/images/"
    )


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(built, tmp_path):
    source, folder, _ = built
    build(source, tmp_path, workers=2)
    for name in (
        "meta.jsonl",
        "train.jsonl",
        "test.jsonl",
        "qwen_vl/test.json",
        "bird/train_VG.json",
        "summary.json",
    ):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_stopped_run_leaves_no_half_file(built, tmp_path):
    _, folder, _ = built

    def broken():
        yield from list(layouts.read(folder / "train.jsonl"))[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(layouts.write(tmp_path, broken()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_empty_split_is_an_empty_list(tmp_path):
    list(layouts.write(tmp_path, []))
    assert json.loads((tmp_path / "qwen_vl/test.json").read_text()) == []


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="no usable image"):
        build(tmp_path, tmp_path / "out")


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"r\.jsonl, line 1: not a record"):
        list(layouts.read(tmp_path / "r.jsonl"))
    with pytest.raises(MissingError):
        list(layouts.read(tmp_path / "none.jsonl"))


def test_fewer_images_on_request(built, tmp_path):
    source, _, summary = built
    small = build(source, tmp_path, BuildConfig(images=16))
    assert small["images"] <= 16 < summary["images"]
