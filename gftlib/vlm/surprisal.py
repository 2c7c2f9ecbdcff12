"""What an answer costs a student in bits: how far from its own words it is, image and question given."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import IGNORED, Example, encode
from gftlib.vlm.shared_prefix import branch_logits, run_prefix


@torch.inference_mode()
def surprisal(student: Student, example: Example) -> np.ndarray:
    """Return the bits of each answer, (pairs,): minus the binary logarithm of its probability.

    Args:
        student: Who would have to give the answers.
        example: One image with questions and answers.

    Raises:
        InputError: As `gftlib.vlm.conversations.encode`.
    """
    device = next(student.model.parameters()).device
    batch = encode(student, [example]).to(device)
    logits = branch_logits(student.model, batch, run_prefix(student.model, batch.prefix))
    lost = functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), batch.labels[:, 1:], ignore_index=IGNORED, reduction="none"
    )
    return (lost.sum(1) / math.log(2)).cpu().numpy()
