"""Where the weights of a model are on this machine: a folder, a file, the package, or the hub's local cache.

Nothing is downloaded and no weight is read: only the headers of safetensors files are.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from gftlib.vlm.backbones import EMBEDDED, STUDENTS, TINY_BIRD, WEIGHTS

PARAMETERS = {"qwen2.5-vl-7b": 8_292_166_656, "llama-3.2-11b-vision": 10_670_220_835}
"""Weights of the paper's students, counted on their architectures; for where they are not there yet."""
GATED = ("meta-llama/",)
"""Owners on the hub whose licence must be accepted before a download."""
PACKAGED = (*EMBEDDED, TINY_BIRD)
BITS = {"float32": 32, "bfloat16": 16}


@dataclass(frozen=True)
class Found:
    """Where weights are.

    Attributes:
        folder: The folder, or the file; None where they are not there.
        told: Where they are, or what to do.
    """

    folder: Path | None
    told: str


def find(name: str, hub: bool = True) -> Found:
    """Look for weights.

    Args:
        name: A student's name, a folder, a file, or a hub id ``owner/model``.
        hub: Whether it may be a hub id.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return Found(path, str(path))
    if name in PACKAGED:
        found = _in_folder(WEIGHTS / name)
        return found if found.folder else Found(None, f"make them: gftlib train-student {name}")
    if path.is_dir():
        return _in_folder(path)
    model = STUDENTS.get(name, name)
    if not hub or model.count("/") != 1:
        return Found(None, f"no file or folder {name!r}")
    return _in_cache(model)


def memory(name: str, dtype: str, four_bit: bool = False) -> int:
    """Return the bytes that the weights of a student take on a device; 0 where their number is not known."""
    folder = find(name).folder
    count = _parameters(folder) if folder and folder.is_dir() else PARAMETERS.get(name, 0)
    return count * (4 if four_bit else BITS[dtype]) // 8


def cached(model: str, name: str) -> Path | None:
    """Return a file of a model in the hub's local cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, name)
    return Path(found) if isinstance(found, str) else None


def _in_cache(model: str) -> Found:
    from huggingface_hub import get_token

    config = cached(model, "config.json")
    if config is not None and _in_folder(config.parent).folder:
        return Found(config.parent, f"{model} in the hub's local cache")
    licence = ""
    if model.startswith(GATED) and not get_token():
        licence = f"accept the licence on the page of {model}, then `hf auth login`, and "
    return Found(None, f"{licence}download them: hf download {model}")


def _in_folder(folder: Path) -> Found:
    """Return whether a folder holds weights, all parts of them."""
    for index in (*folder.glob("*.safetensors.index.json"), *folder.glob("*.bin.index.json")):
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if lacks := sorted(part for part in parts if not (folder / part).is_file()):
            return Found(None, f"{len(lacks)} of {len(parts)} parts are not in {folder}, first {lacks[0]}")
    if not any(next(folder.glob(pattern), None) for pattern in ("*.safetensors", "*.bin", "*.pt")):
        return Found(None, f"no weights in {folder}")
    return Found(folder, str(folder))


def _parameters(folder: Path) -> int:
    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            # A slice knows its shape without being read.
            count += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    return count
