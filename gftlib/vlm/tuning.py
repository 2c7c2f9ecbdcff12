"""LoRA tuning in stages, resumable at the step (GFT, section 2.5).

One adapter covers the layers of the image and those of the language. Stage 1 of the paper leaves the language
model as it is, stage 2 tunes both: a stage says which halves of the adapter learn. The paper's public code
tunes both in both stages, which is ``parts="both"`` in the first.

Order, dropout and learning rate of a step follow from the seed and its number alone, so a killed run that
continues gives the losses it would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from gftlib.errors import InputError
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example, encode
from gftlib.vlm.recipes import Adapter, Stage, Steps
from gftlib.vlm.shared_prefix import Shared
from gftlib.vlm.tuning_state import TuningState, fingerprint

Progress = Callable[[int, int], None]


def add_adapter(student: Student, adapter: Adapter, seed: int = 0) -> Student:
    """Return the student with a fresh adapter on image and language layers; its own weights are frozen."""
    from peft import LoraConfig, get_peft_model

    family = student.family
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=f"({family.vision})|({family.language})",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Student(student.name, family, get_peft_model(student.model, config), student.processor)


def tune(
    student: Student,
    examples: Sequence[Example],
    stage: Stage,
    folder: Path | str,
    progress: Progress | None = None,
    module: type[Shared] = Shared,
) -> list[float]:
    """Tune the adapter of a student, or all its weights if it has none.

    Args:
        student: Is changed.
        examples: With answers.
        stage: The recipe.
        folder: Receives ``adapter_config.json`` and ``adapter_model.safetensors``, as stock peft reads them
            (or the whole model), ``history.json``, and while it runs a checkpoint; a finished stage of the
            same examples and recipe is read, not run.
        progress: Called with (done, total) after each step made now.
        module: What turns a batch into a loss.

    Returns:
        The loss of each step.

    Raises:
        InputError: If there is nothing to learn.
    """
    if not examples or not all(example.answers for example in examples):
        raise InputError("nothing to learn: examples without answers")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    on_cpu = next(student.model.parameters()).device.type == "cpu"
    accelerator = Accelerator(
        cpu=on_cpu, mixed_precision="no" if stage.precision == "fp32" else stage.precision
    )
    order = Steps(examples, stage, accelerator.num_processes)
    work = TuningState(student, stage, order.total, fingerprint(student, examples, stage))
    losses = work.restore(folder)
    if not work.finished:
        if stage.checkpointing:
            student.model.gradient_checkpointing_enable({"use_reentrant": False})
        shared, optimizer = accelerator.prepare(
            module(student.model, not stage.checkpointing), work.optimizer
        )
        shared.train()
        for step in range(len(losses), order.total):
            _seed(stage.seed, step, accelerator.process_index)
            work.learning_rate(step)
            losses.append(_step(student, shared, optimizer, accelerator, order, step))
            if progress is not None:
                progress(step + 1, order.total)
            if (step + 1) % stage.save_every == 0 and accelerator.is_main_process:
                work.save(folder, losses)
        if accelerator.is_main_process:
            work.finish(folder, losses)
    accelerator.wait_for_everyone()
    student.model.eval()
    return losses


def _step(
    student: Student, shared: nn.Module, optimizer: Any, accelerator: Accelerator, order: Steps, step: int
) -> float:
    """Learn one step; return its loss."""
    stage, total = order.stage, 0.0
    for part in order.at(step, accelerator.process_index):
        batch = encode(student, part).to(accelerator.device)
        loss = shared(batch) / stage.accumulate
        accelerator.backward(loss)
        total += float(loss.detach())
    accelerator.clip_grad_norm_([w for w in student.model.parameters() if w.requires_grad], stage.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _seed(seed: int, step: int, process: int) -> None:
    """Give dropout its own stream for each step and device, so that a continued run repeats it."""
    state = np.random.SeedSequence([seed, step, process]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(state >> 1))
