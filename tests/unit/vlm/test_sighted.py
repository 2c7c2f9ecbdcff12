"""The dense lesson of students that start from nothing."""

import numpy as np
import pytest
import torch
from PIL import Image

from gftlib.bird.student import build_tiny
from gftlib.vlm.conversations import Example, encode
from gftlib.vlm.shared_prefix import Shared
from gftlib.vlm.sighted import MOST, SPELT, WEIGHT, Sighted, dense_loss, tones, whole_loss
from gftlib.vlm.tiny import build


def quarters() -> Image.Image:
    """Black, dark, light and white, from the upper left in reading order."""
    image = np.kron([[0, 80], [160, 240]], np.ones((112, 112))).astype(np.uint8)
    return Image.fromarray(image)


@pytest.fixture(params=["tiny-qwen2.5-vl", "tiny-mllama", "tiny-bird"])
def student(request):
    return (
        build_tiny(["Where There"]) if request.param == "tiny-bird" else build(request.param, ["Where There"])
    )


def test_tones_are_those_of_the_image_cell_by_cell(student):
    batch = encode(student, [Example(quarters(), ("Where?",), ("There.",))])
    found = tones(batch.prefix["pixel_values"], 1, 4)[0, :, 0].reshape(4, 4)
    four = found[[0, 0, 3, 3], [0, 3, 0, 3]]
    assert torch.equal(four.sort().values, four)
    assert len(four.unique()) == 4
    assert found.mean().item() == pytest.approx(0, abs=1e-5)


def test_the_lesson_is_added_to_the_loss_and_reaches_the_eyes(student):
    batch = encode(student, [Example(quarters(), ("Where?",), ("There.",))] * 2)
    for weight in student.model.parameters():
        weight.requires_grad_()
    student.model.config.train_vision = True  # BiRD's tower is frozen otherwise
    module = Sighted(student.model)
    loss, words = module(batch), Shared(student.model)(batch)
    assert loss.item() > words.item() + WEIGHT
    (loss - words).backward()
    eyes = [w for n, w in student.model.named_parameters() if "patch_embed" in n or "conv1" in n]
    assert eyes[0].grad.abs().sum() > 0
    assert not module(batch).isnan()


def told_of(tone: torch.Tensor, sure: float = 100.0) -> torch.Tensor:
    """What tokens spell out that know everything of cells of these tones."""
    side = int(tone.shape[1] ** 0.5)
    steps = torch.arange(side)
    rows, cols = steps.repeat_interleave(side), steps.repeat(side)
    quadrants = 2 * (2 * rows >= side) + (2 * cols >= side)
    told = torch.full((*tone.shape[:2], SPELT), -sure)
    cells = torch.arange(side * side)
    told[:, cells, rows] = told[:, cells, MOST + cols] = sure
    told[..., 2 * MOST : 2 * MOST + 2] = tone
    for image, cell in torch.cartesian_prod(torch.arange(len(tone)), cells).tolist():
        for kind, held in enumerate((tone[image, cell, 0] < -1.5, tone[image, cell, 0] > 1.5)):
            if held:
                start = 2 * MOST + 2 + kind * (2 * MOST + 4)
                for place in (rows[cell], MOST + cols[cell], 2 * MOST + quadrants[cell]):
                    told[image, cell, start + place] = sure
    return told


def test_who_spells_out_everything_has_no_loss():
    tone = torch.randn(3, 16, 2, generator=torch.Generator().manual_seed(0))
    told = told_of(tone)
    assert dense_loss(told, tone).item() == pytest.approx(0, abs=1e-6)
    assert whole_loss(told.amax(1), tone).item() == pytest.approx(0, abs=1e-6)
    turned = told.reshape(3, 4, 4, -1).transpose(1, 2).reshape(3, 16, -1)
    assert dense_loss(turned, tone).item() > 10
    assert whole_loss(told.amax(1).roll(1, 0), tone).item() > 10


def test_one_dark_cell_is_of_one_row_one_column_and_one_quadrant():
    tone = torch.zeros(1, 16, 2)
    tone[0, 9, 0] = -2  # third row, second column: lower left
    told = torch.full((1, SPELT), -100.0)
    start = 2 * MOST + 2
    told[0, [start + 2, start + MOST + 1, start + 2 * MOST + 2]] = 100
    assert whole_loss(told, tone).item() == pytest.approx(0, abs=1e-6)
