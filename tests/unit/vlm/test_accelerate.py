"""Tuning on two devices, here two processes of the CPU."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

SCRIPT = """
import sys
from gftlib.vlm.conversations import Example
from gftlib.vlm.recipes import Adapter, Stage
from gftlib.vlm.tiny import build
from gftlib.vlm.tuning import add_adapter, tune
from pathlib import Path

folder, out, accumulate = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
words = ["Is there capillary non-perfusion in the upper left quadrant? Yes, there is."] * 5
student = add_adapter(build("tiny-qwen2.5-vl", words), Adapter(4, 4, 0.0))
examples = [Example(folder / f"{i}.png", ("Is it so?",), (f"Yes, {i}.",), "Bright.") for i in range(4)]
stage = Stage(epochs=2, lr=2e-3, images=1, accumulate=accumulate, seed=3)
steps = []
losses = tune(student, examples, stage, out, lambda done, total: steps.append(done))
(out / f"steps{len(steps)}").touch()
"""


def run(folder, out, accumulate, *launcher):
    (folder / "tune.py").write_text(SCRIPT)
    command = [sys.executable, *launcher, "tune.py", str(folder), str(out), str(accumulate)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_devices_learn_what_one_learns_in_twice_the_parts(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray((rng.random((304, 304)) * 60 + 50 * i).astype(np.uint8)).save(tmp_path / f"{i}.png")
    # What `accelerate launch` runs for several GPUs; for a CPU it starts one process whatever it is told.
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    run(tmp_path, tmp_path / "one", 2)
    run(tmp_path, tmp_path / "two", 1, *two)
    one, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        np.testing.assert_allclose(other[name], weight, atol=1e-5, err_msg=name)
    # A notebook has one device and reads what two have tuned.
    run(tmp_path, tmp_path / "two", 1)
    assert (tmp_path / "two" / "steps4").exists() and (tmp_path / "two" / "steps0").exists()
