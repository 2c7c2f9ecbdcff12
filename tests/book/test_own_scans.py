"""Chapter 1 by hand, as its page tells: papermill, a scan of one's own, from another folder."""

import json
import subprocess
import sys

import numpy as np
from PIL import Image

from gftlib import paths


def test_papermill_runs_on_a_scan_from_any_folder(tmp_path):
    mask = np.zeros((200, 200), np.uint8)
    for place in (20, 90, 160):
        mask[place : place + 5] = mask[:, place : place + 5] = 255
    rng = np.random.default_rng(0)
    scan = np.clip(60 + 0.6 * mask + rng.normal(0, 10, mask.shape), 0, 255).astype(np.uint8)
    Image.fromarray(scan).save(tmp_path / "eye 007.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    notebook = paths.root() / "notebooks" / "01_graph_construction.ipynb"
    arguments = ["-r", "image", "eye 007.png", "-r", "mask", "mask.png", "-r", "out", "results"]
    command = [sys.executable, "-m", "papermill", str(notebook), "out.ipynb", *arguments, "--no-progress-bar"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert results["exactness"]["scans"] == 1
    assert results["exactness"]["areas"] == 15, "sixteen fields, one of which is the FAZ"
    assert results["errors"] == {}
    record = (tmp_path / "results" / "record.json").read_text()
    assert "eye 007.png" in record
    assert str(tmp_path) not in record
    assert (tmp_path / "results" / "graphs" / "eye 007.json.gz").is_file()
