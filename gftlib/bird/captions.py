"""The offline teacher of BiRD: captions, questions and answers by rule, from meta information alone.

BiRD let ChatGPT write them from the same meta information (section 3, steps two and three); its prompts are
not published. `caption_prompt` is ours, for any teacher that takes text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gftlib.bird.instances import Box, ImageMeta, Instance
from gftlib.datasets.sa_med2d_names import MODALITIES

Caption = Callable[[ImageMeta], str]

SMALL, LARGE = 0.01, 0.06
SIZES = ("small", "medium-sized", "large")
PLACES = (
    *("upper left", "upper", "upper right"),
    *("left", "central", "right"),
    *("lower left", "lower", "lower right"),
)
BESIDE = ", nearest to"
"""What is said of a region itself stands before it, what is said of its neighbour behind."""

# {name} is the marked name, {a_name} the name with its article, {box} the marked box.
QUESTIONS = {
    "VG": (
        "Where is the {name} in this image?",
        "Please locate the {name}.",
        "Show me the {name} with a box.",
        "Which region holds the {name}?",
    ),
    "ROC": (
        "What is the object in the region {box}?",
        "Which class does the region {box} belong to?",
        "Name what is inside {box}.",
    ),
    "RC": (
        "Describe the region {box}.",
        "What can be seen in {box}? Describe it.",
        "Give a short description of the region {box}.",
    ),
    "PRESENT": ("Is there {a_name} in this image?", "Does this image show {a_name}?"),
    "MODALITY": ("Which imaging modality is this?", "How was this image taken?"),
    "LIST": ("What is visible in this image?", "Which structures or findings can be seen?"),
    "COUNT": ("How many structures or findings can be counted?", "How many objects can be seen?"),
    "CAPTION": ("Describe this image.", "Give an overview of this image."),
}
_ABSENT = ("There is no {name} in this image.", "No {name} can be seen in this image.")


def place(box: Box) -> str:
    """Return in which of the nine parts of the image, by thirds, the centre of a box lies."""
    column = min(int((box[0] + box[2]) * 1.5), 2)
    row = min(int((box[1] + box[3]) * 1.5), 2)
    return PLACES[3 * row + column]


def size_word(area: float) -> str:
    """Return how large an instance is: below `SMALL`, below `LARGE`, or larger, as shares of the image."""
    return SIZES[(area >= SMALL) + (area >= LARGE)]


def where(box: Box) -> str:
    """Return ``in the upper left part of the image`` and the like."""
    return f"in the {place(box)} part of the image"


def article(word: str) -> str:
    """Return the word behind its indefinite article."""
    return f"{'an' if word[:1].lower() in 'aeiou' or word.startswith(('MR ', 'X-ray')) else 'a'} {word}"


def listed(words: Sequence[str]) -> str:
    """Return words as an English list."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def counted(meta: ImageMeta) -> list[str]:
    """Return the names on an image, with the number of their instances where it is not one."""
    return [name if (n := len(meta.named(name))) == 1 else f"{name} ({n} regions)" for name in meta.names]


def view(meta: ImageMeta) -> str:
    """Return what kind of image it is, such as ``axial CT image of the abdomen``."""
    kind = f"{meta.orientation} " if meta.orientation else ""
    modality = MODALITIES.get(meta.modality, "medical")
    modality = modality if modality.isupper() or modality == "X-ray" else modality.lower()
    region = f" of the {meta.region}" if meta.region else ""
    return f"{kind}{modality} image{region}"


def nearest(instance: Instance, meta: ImageMeta) -> Instance | None:
    """Return the instance of another name whose centre is nearest, None if there is none."""

    def distance(other: Instance) -> float:
        centre = [(other.box[k] + other.box[k + 2] - instance.box[k] - instance.box[k + 2]) for k in (0, 1)]
        return centre[0] ** 2 + centre[1] ** 2

    others = [other for other in meta.instances if other.name != instance.name]
    return min(others, key=distance) if others else None


def region_caption(instance: Instance, meta: ImageMeta, variant: int = 0) -> str:
    """Describe one region: its name, size, place and nearest neighbour (the answer of RC)."""
    size, spot = size_word(instance.area), where(instance.box)
    neighbour = nearest(instance, meta)
    beside = f"{BESIDE} the {neighbour.name}" if neighbour else ""
    if variant % 2:
        return f"The region shows {article(size)} {instance.name} {spot}{beside}."
    return f"{article(size).capitalize()} {instance.name} {spot}{beside}."


def rule_caption(meta: ImageMeta) -> str:
    """Describe a whole image by rule: kind, contents, and place of the largest instance."""
    largest = meta.instances[0]
    first = f"This is {article(view(meta))}."
    second = f"It shows the following: {listed(counted(meta))}."
    third = f"The largest region is the {largest.name} {where(largest.box)}."
    return f"{first} {second} {third}"


def caption_prompt(meta: ImageMeta) -> str:
    """Return the request to a text teacher for the caption of an image."""
    rows = [f"- {i.name}: box [{', '.join(f'{v:.3f}' for v in i.box)}]" for i in meta.instances]
    return (
        "Write a caption of two or three sentences for a medical image that you cannot see, from the facts "
        "below alone. Say what it is and where things lie in words (such as upper left); give no numbers, "
        "no diagnosis and nothing that the facts do not hold.\n"
        f"Kind: {view(meta)}\nSize: {meta.size[1]} x {meta.size[0]} pixels, boxes are [x0, y0, x1, y1] from "
        "0 to 1, origin in the upper left corner.\nRegions:\n" + "\n".join(rows)
    )


def absent_answer(name: str, variant: int = 0) -> str:
    """Return the right answer to a question for what is not there."""
    return _ABSENT[variant % len(_ABSENT)].format(name=name)
