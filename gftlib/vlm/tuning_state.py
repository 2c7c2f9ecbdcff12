"""Weights, moments and losses of a stage of tuning, kept so that a killed run continues exactly."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gftlib.paths import atomic_path, sha256, write_json
from gftlib.vlm.backbones import Family, Student
from gftlib.vlm.conversations import Example
from gftlib.vlm.recipes import Stage

logger = logging.getLogger(__name__)
SHAPE = ("r", "lora_alpha", "lora_dropout", "target_modules")
"""What makes two adapters the same before they learn."""


class TuningState:
    """Weights, moments and losses of a stage, kept so that the next step depends on nothing else."""

    def __init__(self, student: Student, stage: Stage, total: int, fingerprint: str) -> None:
        """Choose what learns, and how; `fingerprint` names all that the result depends on."""
        self.model, self.stage, self.total, self.fingerprint = student.model, stage, total, fingerprint
        self.adapted = hasattr(student.model, "peft_config")
        choose_parts(student.model, student.family, stage.parts)
        self.weights = {n: w for n, w in student.model.named_parameters() if w.requires_grad}
        self.optimizer = _optimizer(stage, list(self.weights.values()))
        self.finished = False

    def learning_rate(self, step: int) -> None:
        """Set the learning rate of a step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate(step, self.total)

    def restore(self, folder: Path) -> list[float]:
        """Read what an earlier run of the same stage left; return its losses."""
        history, checkpoint = folder / "history.json", folder / "checkpoint.safetensors"
        if history.is_file():
            kept = json.loads(history.read_text(encoding="utf-8"))
            if kept["fingerprint"] == self.fingerprint and self._same_adapter(folder):
                self._read_weights(folder)
                # Its steps may have been fewer: on more devices each sees more images.
                self.finished = True
                return kept["losses"]
        if not checkpoint.is_file():
            return []
        with safe_open(checkpoint, framework="pt") as file:
            header = json.loads(file.metadata()["state"])
            if header["fingerprint"] != self.fingerprint or not self._same_adapter(folder):
                logger.info("%s is of other examples or settings: tuning starts anew", checkpoint)
                return []
            moments: dict[int, dict[str, Tensor]] = {}
            with torch.no_grad():
                for key in file.keys():  # noqa: SIM118 - the file is no mapping
                    kind, _, name = key.partition(".")
                    if kind == "weights":
                        self.weights[name].copy_(file.get_tensor(key))
                    else:
                        index, _, name = name.partition(".")
                        moments.setdefault(int(index), {})[name] = file.get_tensor(key)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        return header["losses"]

    def save(self, folder: Path, losses: list[float]) -> None:
        """Write a checkpoint."""
        tensors = {f"weights.{name}": weight for name, weight in self.weights.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"moments.{index}.{name}": torch.as_tensor(v) for name, v in values.items()}
        copies = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        header = {"fingerprint": self.fingerprint, "losses": losses}
        # In this order: a kill in between never leaves another adapter's weights beside this one's shape.
        (folder / "history.json").unlink(missing_ok=True)
        with atomic_path(folder / "checkpoint.safetensors") as temporary:
            save_file(copies, temporary, {"state": json.dumps(header)})
        self._write_adapter_config(folder)

    def finish(self, folder: Path, losses: list[float]) -> None:
        """Write the tuned weights, then the history that says they are complete."""
        self.save(folder, losses)
        if self.adapted:
            from peft import get_peft_model_state_dict

            weights = {n: w.contiguous().cpu() for n, w in get_peft_model_state_dict(self.model).items()}
            with atomic_path(folder / "adapter_model.safetensors") as temporary:
                save_file(weights, temporary, {"format": "pt"})
        else:
            self.model.save_pretrained(str(folder))
        record = {"fingerprint": self.fingerprint, "stage": asdict(self.stage), "losses": losses}
        write_json(folder / "history.json", record)
        (folder / "checkpoint.safetensors").unlink()

    def _read_weights(self, folder: Path) -> None:
        if self.adapted:
            from peft import set_peft_model_state_dict

            set_peft_model_state_dict(self.model, load_file(folder / "adapter_model.safetensors"))
        else:
            # Files name weights as their publishers did; transformers knows the names of its modules.
            kept = type(self.model).from_pretrained(str(folder), dtype=self.model.dtype)
            self.model.load_state_dict(kept.state_dict())

    def _write_adapter_config(self, folder: Path) -> None:
        if self.adapted:
            config = self.model.peft_config["default"]
            config.inference_mode = True
            config.save_pretrained(str(folder))
            config.inference_mode = False

    def _same_adapter(self, folder: Path) -> bool:
        """Return whether weights in a folder are of this adapter: its scale is in no weight."""
        if not self.adapted:
            return True
        file, now = folder / "adapter_config.json", self.model.peft_config["default"].to_dict()
        kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return all(kept.get(name) == now[name] for name in SHAPE)


def choose_parts(model: nn.Module, family: Family, parts: Literal["vision", "both"]) -> None:
    """Let the layers of the image learn, or those of the language too; of an adapter where there is one."""
    adapted = hasattr(model, "peft_config")
    language = re.compile(family.language)
    for name, weight in model.named_parameters():
        own, _, _ = name.partition(".lora_")
        learns = "lora_" in name if adapted else True
        sees = language.fullmatch(own) is None if adapted else "language_model" not in name
        weight.requires_grad_(learns and (parts == "both" or sees))


def _optimizer(stage: Stage, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    if stage.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=stage.lr, weight_decay=stage.weight_decay)
    from bitsandbytes.optim import AdamW8bit

    return AdamW8bit(weights, lr=stage.lr, weight_decay=stage.weight_decay)


def fingerprint(student: Student, examples: Sequence[Example], stage: Stage) -> str:
    """Digest all that the result depends on: recipe, examples, and the weights that tuning starts from."""
    digest = hashlib.sha256(json.dumps([student.name, asdict(stage)], sort_keys=True).encode())
    for example in examples:
        image = example.image
        shown = sha256(image if isinstance(image, Path) else image.tobytes())
        digest.update(json.dumps([shown, example.questions, example.answers, example.background]).encode())
    for line in _sums(student.model):
        digest.update(line)
    return digest.hexdigest()


def weights_digest(model: nn.Module) -> str:
    """Return a digest of a model's weights, an adapter's included: what is told by one depends on it."""
    return hashlib.sha256(b"".join(_sums(model))).hexdigest()


def _sums(model: nn.Module) -> Iterator[bytes]:
    for name, weight in model.named_parameters():
        # A sum of bytes is exact, in whatever order threads add.
        total = weight.detach().reshape(-1).view(torch.uint8).sum(dtype=torch.int64)
        yield f"{name} {int(total)}".encode()
