"""The names of SA-Med2D-20M: what a file name says, and which sets are known to be wrong.

Image: ``{modality}_{sub}--{data set}--{case}--{x|y|z}_{slice}.png``, 2-D images end in ``--2d_none.png``.
Mask: the image's stem, then ``--{class:04d}_{instance:03d}.png``. Two prefixes break the rule that the
modality stands before the first underscore: ``x_ray`` and ``fundus_photography``.

Source: the data card of SA-Med2D-20M (Ye et al., arXiv 2311.11969).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from gftlib.errors import InputError

# In the order of BiRD's Table 3; the values are its column heads.
MODALITIES = {
    "ct": "CT",
    "mr": "MR",
    "x_ray": "X-ray",
    "pet": "PET",
    "endoscopy": "Endoscopy",
    "dermoscopy": "Dermoscopy",
    "fundus": "Fundus",
    "ultrasound": "Ultrasound",
}
# The card names the axis of a slice, not the plane. This reading holds for volumes stored right, anterior,
# superior; sets stored otherwise need a table of their own.
ORIENTATIONS = {"x": "sagittal", "y": "coronal", "z": "axial", None: None}
# 100 of 256 x 256 pixels: smaller targets cannot be pointed at in a 0-1000 box of a resized image.
MIN_AREA = 100 / 256**2

_IMAGE = re.compile(
    r"(?P<prefix>[a-z]+(?:_[a-z0-9]+)?)--(?P<dataset>.+?)--(?P<case>.+)--(?:(?P<axis>[xyz])_(?P<index>\d+)|2d_none)"
)
_MASK = re.compile(r"(?P<image>.+?--(?:[xyz]_\d+|2d_none))-{2,3}(?P<class>\d{4})_(?P<instance>\d{3})")
_DEMO_IMAGE = re.compile(r"(?P<case>.+)_(?P<index>\d+)")
_DEMO_MASK = re.compile(r"_(?P<class>.+)_(?P<instance>\d{3})")
# Two frames of one heart are one patient.
_FRAME = re.compile(r"_frame\d+$")


@dataclass(frozen=True)
class ImageName:
    """What the name of an image says.

    Args:
        stem: The file name without its ending.
        prefix: Modality and sub-modality as written, such as ``mr_t1``; empty if the name has none.
        modality: A key of `MODALITIES`, or ``unknown``.
        dataset: The data set that the case is from; empty if the name has none.
        case: The case as named there.
        axis: The axis along which a 3-D case was cut, None for a 2-D image or an unknown one.
        index: The number of the slice, None for a 2-D image.
    """

    stem: str
    prefix: str
    modality: str
    dataset: str
    case: str
    axis: str | None
    index: int | None

    @property
    def case_key(self) -> str:
        """The unit of splitting: all slices, sequences and frames of one patient of one data set.

        The modality is left out on purpose: the T1 and T2 images of a patient share their anatomy.
        """
        return f"{self.dataset}--{_FRAME.sub('', self.case)}"

    @property
    def volume(self) -> str:
        """The stack of slices that this image is one of."""
        return f"{self.prefix}--{self.dataset}--{self.case}--{self.axis}"


@dataclass(frozen=True)
class MaskName:
    """What the name of a mask says.

    Args:
        image: The stem of its image.
        label: The class: a four-digit id, or a name in the demo form.
        instance: The number of the instance within class and image.
    """

    image: str
    label: str
    instance: int


@dataclass(frozen=True)
class Defect:
    """One known defect of the release.

    Args:
        dataset: The data set concerned.
        action: ``skip image``, ``skip binary image``, ``skip mask`` or ``invert mask``.
        pattern: Regular expression that the name (of the mask for mask actions) must contain.
        reason: Why.
    """

    dataset: str
    action: Literal["skip image", "skip binary image", "skip mask", "invert mask"]
    pattern: str
    reason: str


DEFECTS = (
    Defect("Brain_PTM", "skip binary image", "", "some images are binary brain masks, not scans"),
    Defect("QUBIQ2020", "skip image", "brain-growth", "the images are binary brain masks, not scans"),
    Defect("ichallenge_adam_task2", "invert mask", "", "the optic disc is 0 and the background 1"),
    Defect("ACDC", "skip mask", r"0003_000$", "a region of the whole ventricles beside its own parts"),
)


def defect_of(dataset: str, name: str, action: str) -> Defect | None:
    """Return the known defect of that kind of a file, None if there is none."""
    for defect in DEFECTS:
        if (defect.dataset, defect.action) == (dataset, action) and re.search(defect.pattern, name):
            return defect
    return None


def modality_of(prefix: str) -> str:
    """Return the modality of a prefix such as ``ct_00``, ``x_ray`` or ``fundus_photography``.

    Raises:
        InputError: If the prefix is none of SA-Med2D's.
    """
    head = "x_ray" if prefix == "x_ray" else prefix.split("_")[0]
    if head not in MODALITIES:
        raise InputError(
            f"unknown modality {prefix!r}; known: {', '.join(MODALITIES)} and their sub-modalities"
        )
    return head


def parse_image(stem: str) -> ImageName:
    """Read the stem of an image name.

    Raises:
        InputError: If it does not follow the grammar.
    """
    match = _IMAGE.fullmatch(stem)
    if match is None:
        raise InputError(f"{stem!r} is not {{modality}}--{{data set}}--{{case}}--{{axis_slice|2d_none}}")
    index = match["index"]
    return ImageName(
        stem=stem,
        prefix=match["prefix"],
        modality=modality_of(match["prefix"]),
        dataset=match["dataset"],
        case=match["case"],
        axis=match["axis"],
        index=None if index is None else int(index),
    )


def parse_mask(stem: str) -> MaskName:
    """Read the stem of a mask name.

    Raises:
        InputError: If it does not follow the grammar.
    """
    match = _MASK.fullmatch(stem)
    if match is None:
        raise InputError(f"{stem!r} is not {{image}}--{{class:04d}}_{{instance:03d}}")
    return MaskName(match["image"], match["class"], int(match["instance"]))


def image_stem(
    prefix: str, dataset: str, case: str, axis: str | None = None, index: int | None = None
) -> str:
    """Write the stem of an image name, the inverse of `parse_image`.

    Raises:
        InputError: If the parts cannot be read back.
    """
    stem = f"{prefix}--{dataset}--{case}--" + ("2d_none" if axis is None else f"{axis}_{index:04d}")
    if replace(parse_image(stem), stem="") != ImageName(
        "", prefix, modality_of(prefix), dataset, case, axis, index
    ):
        raise InputError(f"the parts of {stem!r} hold a separator")
    return stem


def mask_stem(image: str, label: int, instance: int) -> str:
    """Write the stem of a mask name, the inverse of `parse_mask`."""
    return f"{image}--{label:04d}_{instance:03d}"


def parse_demo_image(stem: str) -> ImageName:
    """Read ``{case}_{slice}``, the names of SAM-Med2D's demonstration data.

    They carry no modality; it follows from the source: AMOS numbers its MR cases from 501 on,
    TotalSegmentator (``s`` and four digits) is CT; anything else is ``unknown``. Slices are axial in both.

    Raises:
        InputError: If the name does not end in a number.
    """
    match = _DEMO_IMAGE.fullmatch(stem)
    if match is None:
        raise InputError(f"{stem!r} is not {{case}}_{{slice}}")
    case = match["case"]
    dataset, modality = "", "unknown"
    if amos := re.fullmatch(r"amos_(\d{4})", case):
        dataset, modality = "AMOS2022", "mr" if int(amos[1]) > 500 else "ct"
    elif re.fullmatch(r"s\d{4}", case):
        dataset, modality = "Totalsegmentator_dataset", "ct"
    return ImageName(stem, "", modality, dataset, case, "z", int(match["index"]))


def parse_demo_mask(stem: str, image: str) -> MaskName:
    """Read ``{image}_{class}_{instance:03d}``; the image must be known, since classes hold underscores too.

    Raises:
        InputError: If the name does not start with the image's or does not follow the grammar.
    """
    match = _DEMO_MASK.fullmatch(stem.removeprefix(image)) if stem.startswith(image) else None
    if match is None:
        raise InputError(f"{stem!r} is not {image}_{{class}}_{{instance:03d}}")
    return MaskName(image, match["class"], int(match["instance"]))


@lru_cache(maxsize=4096)
def display_name(label: str) -> str:
    """Return a class name as words, free of markup: ``hip_left`` becomes ``hip left``."""
    return " ".join(re.sub(r"[^\w\s,.()'+/-]|_", " ", label).split())
