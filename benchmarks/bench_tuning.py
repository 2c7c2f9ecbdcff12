"""One image pass for all pairs of an image, beside TRL's ``SFTTrainer`` on the same pairs (GFT, section 2.5).

Both train the same small Qwen2.5-VL with the same LoRA adapter on the same images and pairs, as many pairs a
step. The peer takes each pair as an example of its own, image included: for vision-language models it
refuses packing.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._timing import interleaved

IMAGES, PAIRS, WORDS = 2, 30, ("upper left", "upper right", "lower left", "lower right")


def rows() -> list[dict[str, Any]]:
    """Return the rows of the benchmark."""
    from gftlib.vlm.recipes import Adapter, Stage
    from gftlib.vlm.tiny import build
    from gftlib.vlm.tuning import add_adapter, tune

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = _examples(folder)
        texts = [text for one in examples for text in (*one.questions, *one.answers)]
        stage = Stage(epochs=1, pairs=PAIRS, images=1, save_every=10**6)
        fresh = [add_adapter(build("tiny-qwen2.5-vl", texts), Adapter(16, 16, 0.0)) for _ in range(4)]
        students, runs = iter(fresh), iter(range(len(fresh)))
        trainer = _trainer(build("tiny-qwen2.5-vl", texts), examples, folder)
        timed = interleaved(
            lambda: tune(next(students), examples, stage, folder / str(next(runs))), trainer, 3
        )
    note = f"{IMAGES} images, {PAIRS} pairs each, one epoch of LoRA; the peer is SFTTrainer"
    return [timed | {"name": "tuning on pairs that share an image", "target": 1.3, "note": note}]


def _examples(folder: Path) -> list[Any]:
    from gftlib.vlm.conversations import Example

    rng = np.random.default_rng(0)
    found = []
    for number in range(IMAGES):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (304, 304), np.uint8)).save(path)
        places = [f"{WORDS[k % 4]} quadrant" for k in range(PAIRS)]
        asked = tuple(f"Is there non-perfusion in the {place}, number {k}?" for k, place in enumerate(places))
        told = tuple(f"No, the {place} shows no capillary non-perfusion." for place in places)
        found.append(Example(path, asked, told, "Vessels are bright, areas without flow are dark."))
    return found


def _trainer(student: Any, examples: list[Any], folder: Path) -> Any:
    """Return a call that trains one epoch with the peer."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    logging.getLogger("trl").setLevel(logging.ERROR)
    records = [
        {
            "images": [Image.open(one.image).convert("RGB")],
            "prompt": [{"role": "user", "content": f"{one.background}\n\n{question}"}],
            "completion": [{"role": "assistant", "content": answer}],
        }
        for one in examples
        for question, answer in zip(one.questions, one.answers, strict=True)
    ]
    config = SFTConfig(
        output_dir=str(folder / "peer"),
        per_device_train_batch_size=PAIRS,
        num_train_epochs=1,
        learning_rate=2e-4,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_length=None,
    )
    family = student.family
    trainer = SFTTrainer(
        model=student.model,
        args=config,
        train_dataset=Dataset.from_list(records),
        processing_class=student.processor,
        peft_config=LoraConfig(r=16, lora_alpha=16, target_modules=f"({family.vision})|({family.language})"),
    )
    return trainer.train
