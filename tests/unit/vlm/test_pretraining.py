"""The recipe of the embedded students, at its smallest: two parts, one checkpoint, nothing left over."""

import numpy as np
import pytest

from gftlib.dialogue.hearsay import talk
from gftlib.dialogue.vocabulary import phrases
from gftlib.paths import read_json
from gftlib.vlm import pretraining
from gftlib.vlm.backbones import load_student
from gftlib.vlm.eye_test import FILE
from gftlib.vlm.pretraining import Recipe, pretrain
from gftlib.vlm.recipes import Stage

STAGE = Stage(images=2, pairs=15, lr=1e-3)
RECIPE = Recipe(scans=2, views=1, heard=1, tested=2, seeing=STAGE, speaking=STAGE)


@pytest.fixture(autouse=True)
def phantoms(monkeypatch):
    def drawn(scans, workers=1, seed=0):
        return list(np.random.default_rng(seed).integers(0, 255, (scans, 112, 112)).astype(np.uint8))

    monkeypatch.setattr(pretraining, "neutral_images", drawn)


def test_a_student_learns_to_see_then_to_speak_and_goes_on_after_a_kill(tmp_path):
    steps = []

    class KilledError(Exception):
        pass

    def kill(done, total):
        steps.append(total)
        if len(set(steps)) == 2:
            raise KilledError

    arguments = ("tiny-qwen2.5-vl", tmp_path, phrases(), talk, RECIPE)
    with pytest.raises(KilledError):
        pretrain(*arguments, progress=kill)
    assert (tmp_path / "seeing" / "history.json").is_file()
    again = []
    losses = pretrain(*arguments, progress=lambda done, total: again.append(total))
    assert len(losses) == sum(set(steps))
    assert set(again) == {max(steps)}, "what was seen is read, not learnt again"
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert (tmp_path / FILE).is_file()
    config = read_json(tmp_path / "config.json")
    parts = [config, *(part for part in config.values() if isinstance(part, dict) and "dtype" in part)]
    assert len(parts) == 3
    assert {part["dtype"] for part in parts} == {"bfloat16"}
    assert load_student(str(tmp_path)).model is not None
