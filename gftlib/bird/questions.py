"""Questions and answers of Med-GRIT for one image: ROC, RC, VG, MIA (BiRD, section 3), and the negatives.

Region in, text out: referring object classification (ROC), referring captioning (RC). Text in, region out:
visual grounding (VG). Text in, text out: medical image analysis (MIA). NEG is ours: asked for what is not
there, the limitation that the paper names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from gftlib.bird.captions import (
    QUESTIONS,
    Caption,
    absent_answer,
    article,
    counted,
    listed,
    region_caption,
    rule_caption,
    view,
)
from gftlib.bird.instances import Box, ImageMeta
from gftlib.boxes import BoxFormat, format_box, format_boxes
from gftlib.datasets.sa_med2d_names import display_name

TASKS = ("VG", "ROC", "RC", "MIA")
NEGATIVE = "NEG"
_PHOTOGRAPHS = frozenset({"endoscopy", "dermoscopy", "fundus"})
_SIDES = frozenset({"left", "right", "upper", "lower", "middle"})
_REF = {
    BoxFormat.QWEN_VL: "<ref>{}</ref>",
    BoxFormat.QWEN2_VL: "<|object_ref_start|>{}<|object_ref_end|>",
}


@dataclass(frozen=True)
class Turn:
    """One question and its answer.

    Args:
        task: One of `TASKS`, or `NEGATIVE`.
        kind: The key of `gftlib.bird.captions.QUESTIONS` that the wording is from.
        question: The question, without the image.
        answer: The reference answer.
        name: What it is about, empty for the whole image.
        boxes: Unit xyxy of what it is about: the targets of VG, the region asked about of ROC and RC.
    """

    task: str
    kind: str
    question: str
    answer: str
    name: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Writer:
    """Writes the turns of images in the grammar of one model family.

    Args:
        box_format: How boxes are written; Qwen-VL's is BiRD's.
        caption: The teacher: meta information in, text out.
    """

    box_format: BoxFormat = BoxFormat.QWEN_VL
    caption: Caption = rule_caption

    def mark(self, name: str) -> str:
        """Return a name as the family marks what a box will refer to."""
        return _REF.get(self.box_format, "{}").format(name)

    def grounded(self, name: str, boxes: Sequence[Box], size: tuple[int, int]) -> str:
        """Return a name with all of its boxes on an image of (height, width) pixels."""
        tagged = self.box_format in _REF
        names = [name, *([None] * (len(boxes) - 1))] if tagged else [name] * len(boxes)
        return format_boxes(np.array(boxes), self.box_format, names, size)

    def vg(self, meta: ImageMeta, name: str, rng: np.random.Generator) -> Turn:
        """Ask where something is; the answer holds every instance of that name."""
        boxes = tuple(instance.box for instance in meta.named(name))
        question = _pick(rng, "VG").format(name=self.mark(name))
        return Turn("VG", "VG", question, self.grounded(name, boxes, meta.size), name, boxes)

    def region(self, task: str, meta: ImageMeta, index: int, rng: np.random.Generator) -> Turn:
        """Ask what a region is (ROC: its bare name) or for its description (RC)."""
        instance = meta.instances[index]
        box = format_box(instance.box, self.box_format, None, meta.size)
        question = _pick(rng, task).format(box=box)
        variant = int(rng.integers(2))
        answer = instance.name if task == "ROC" else region_caption(instance, meta, variant)
        return Turn(task, task, question, answer, instance.name, (instance.box,))

    def mia(self, kind: str, meta: ImageMeta, rng: np.random.Generator) -> Turn:
        """Ask about the whole image: MODALITY, LIST, COUNT, PRESENT or CAPTION."""
        name = str(rng.choice(meta.names)) if kind == "PRESENT" else ""
        n = len(meta.instances)
        answer = {
            "MODALITY": lambda: f"This is {article(view(meta))}.",
            "LIST": lambda: f"It shows the following: {listed(counted(meta))}.",
            "COUNT": lambda: f"There {'is' if n == 1 else 'are'} {n}: {listed(counted(meta))}.",
            "PRESENT": lambda: f"Yes, the image shows {name}.",
            "CAPTION": lambda: self.caption(meta),
        }[kind]()
        return Turn("MIA", kind, _pick(rng, kind).format(a_name=article(name)), answer, name)

    def negative(self, name: str, rng: np.random.Generator) -> Turn:
        """Ask for what is not there: half the time where it is, half the time whether it is there."""
        kind = "VG" if rng.random() < 0.5 else "PRESENT"
        question = _pick(rng, kind).format(name=self.mark(name), a_name=article(name))
        lead = "No. " if kind == "PRESENT" else ""
        return Turn(NEGATIVE, kind, question, lead + absent_answer(name, int(rng.integers(2))), name)


def turns_of(
    meta: ImageMeta, count: int, writer: Writer, rng: np.random.Generator, roc: bool = True
) -> Iterator[Turn]:
    """Yield up to ``count`` different turns of an image, the tasks in turn from a random start.

    Args:
        meta: The image.
        count: How many; fewer if the image has too little to ask about.
        writer: Their grammar and teacher.
        rng: Source of randomness.
        roc: Whether ROC is asked: not of modalities with one category (BiRD, section 5).
    """
    left: dict[str, list] = {
        "VG": rng.permutation(meta.names).tolist(),
        "ROC": rng.permutation(len(meta.instances)).tolist() if roc else [],
        "RC": rng.permutation(len(meta.instances)).tolist(),
        "MIA": rng.permutation(["MODALITY", "LIST", "COUNT", "PRESENT", "CAPTION"]).tolist(),
    }
    order = rng.permutation(TASKS).tolist()
    while count and any(left.values()):
        for task in order:
            if count and left[task]:
                item, count = left[task].pop(), count - 1
                if task == "VG":
                    yield writer.vg(meta, item, rng)
                elif task == "MIA":
                    yield writer.mia(item, meta, rng)
                else:
                    yield writer.region(task, meta, item, rng)


def absent_names(
    meta: ImageMeta, of_dataset: Set[str], of_modality: Mapping[str, Set[str]]
) -> tuple[list[str], list[str]]:
    """Return what surely is not on an image, as (hard, easy) names.

    Hard: classes that the data set annotates and this image has no mask of, unless their words are part of a
    present class (a liver tumour implies a liver). Easy: where every class of the set is present, classes of
    photographs for radiological images and the reverse; other radiological sets do not serve, since an organ
    that was not annotated may well be there.

    Args:
        meta: The image.
        of_dataset: The classes of its data set.
        of_modality: The classes of every modality.
    """
    present = [_words(label) for label in meta.present]
    hard = [
        label
        for label in sorted(of_dataset - set(meta.present))
        if not any(_words(label) <= known or known <= _words(label) for known in present)
    ]
    photo = meta.modality in _PHOTOGRAPHS
    easy = {
        label
        for modality, labels in of_modality.items()
        if modality != meta.modality and (photo or modality in _PHOTOGRAPHS)
        for label in labels
        if not any((_words(label) & known) - _SIDES for known in present)
    }
    return [display_name(label) for label in hard], [display_name(label) for label in sorted(easy)]


def _words(label: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9]+", label.lower()))


def _pick(rng: np.random.Generator, kind: str) -> str:
    return QUESTIONS[kind][int(rng.integers(len(QUESTIONS[kind])))]
