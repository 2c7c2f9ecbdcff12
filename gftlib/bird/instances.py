"""Instance-level meta information: what is on an image, and where (BiRD, section 3, step one).

Two readings of "instance" are offered. ``file``: one mask file is one instance, its box goes round all of its
pieces (BiRD: boxes are computed from "instance-level masks"; a vertebra that a slice cuts in three stays one
vertebra). ``components``: every 8-connected piece is an instance of its own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from gftlib.datasets.masks import Measure, components, image_size, measure_mask, read_mask
from gftlib.datasets.sa_med2d import Entry, Problems, SAMed2D
from gftlib.datasets.sa_med2d_names import MIN_AREA, ORIENTATIONS, defect_of, display_name
from gftlib.datasets.slices import Slice, novel
from gftlib.errors import GftError, InputError, MissingError
from gftlib.paths import atomic_path

Box = tuple[float, float, float, float]
Rule = Literal["file", "components"]
_BATCH = 32  # entries a thread takes at once

# The region scanned, by the words of the classes seen; the first modality rule that fits goes before.
_BY_MODALITY = {"fundus": "retina", "dermoscopy": "skin", "endoscopy": "digestive tract"}
_BY_WORD = {
    "brain": "brain ventricle edema stroke ischemic glioma enhancing necrosis hemorrhage brainstem",
    "heart": "myocardium cavity atrium ventricular lge",
    "chest": "lung lungs heart clavicle pneumonia rib trachea airway covid nodule pneumothorax",
    "abdomen": "liver spleen kidney stomach pancreas gallbladder duodenum colon bowel adrenal hepatic",
    "pelvis": "bladder prostate uterus rectum femur hip sacrum gluteus cervix",
    "spine": "vertebra vertebrae spinal",
    "breast": "breast benign malignant cyst",
    "retina": "optic disc cup fovea",
}


@dataclass(frozen=True)
class Instance:
    """One instance.

    Args:
        label: The class as written in the set.
        name: The class as words.
        box: Unit xyxy.
        area: Share of the image that it covers.
    """

    label: str
    name: str
    box: Box
    area: float


@dataclass(frozen=True)
class ImageMeta:
    """The meta information of one image.

    Args:
        id: The stem of its file name.
        image: Its path relative to the root of the set.
        modality: A key of `gftlib.datasets.sa_med2d_names.MODALITIES`.
        dataset: The data set that it is from.
        case: The unit of splitting.
        orientation: ``axial``, ``coronal``, ``sagittal`` or None.
        region: The part of the body, None if the classes do not tell.
        size: (height, width), pixels.
        instances: Its instances, larger ones first.
        present: Every class with a mask here, too small ones included: none may be called absent.
    """

    id: str
    image: str
    modality: str
    dataset: str
    case: str
    orientation: str | None
    region: str | None
    size: tuple[int, int]
    instances: tuple[Instance, ...]
    present: tuple[str, ...]

    def named(self, name: str) -> list[Instance]:
        """Return the instances of one name."""
        return [instance for instance in self.instances if instance.name == name]

    @property
    def names(self) -> list[str]:
        """The names on this image, each once, in the order of `instances`."""
        return list(dict.fromkeys(instance.name for instance in self.instances))


# Meta information (None if nothing is left), what near-duplicates are told by, (kind, file) of problems.
Described = tuple[ImageMeta | None, Slice, list[tuple[str, str]]]


@lru_cache(maxsize=4096)
def region_of(modality: str, names: tuple[str, ...]) -> str | None:
    """Return the part of the body that most of the names belong to, None if none tells."""
    if modality in _BY_MODALITY:
        return _BY_MODALITY[modality]
    votes: Counter[str] = Counter()
    for name in names:
        words = set(re.findall(r"[a-z]+", name.lower()))
        votes.update(region for region, known in _BY_WORD.items() if words & set(known.split()))
    return max(sorted(votes), key=votes.__getitem__) if votes else None


def describe(data: SAMed2D, entry: Entry, rule: Rule = "file", least: float = MIN_AREA) -> Described:
    """Measure one entry.

    Args:
        data: The set.
        entry: Image and masks.
        rule: What an instance is, see the module.
        least: Instances below this share of the image are left out.

    Returns:
        The meta information, None if no instance is left; what the rule of near-duplicates needs; and
        (kind, file) of each problem: nothing is fatal.
    """
    name, problems = entry.name, []
    slot = Slice(name.volume, name.index, {})
    try:
        size = image_size(data.file(entry.image))
    except GftError as error:
        return None, slot, [(f"{_lost(error)} image", entry.image)]
    if defect_of(name.dataset, name.stem, "skip binary image") and _is_binary(data.file(entry.image)):
        return None, slot, [("known defect (binary image)", entry.image)]
    found: list[Instance] = []
    grids: dict[str, np.ndarray] = {}
    for mask in entry.masks:
        try:
            measure, pieces = _measured(data.file(mask.path), rule, mask.invert)
        except GftError as error:
            problems.append((f"{_lost(error)} mask", mask.path))
            continue
        if measure.size != size:
            problems.append(("shape of mask differs from image", mask.path))
            continue
        if measure.box is None:
            problems.append(("empty mask", mask.path))
            continue
        known = grids.get(mask.label)
        grids[mask.label] = measure.grid if known is None else np.maximum(known, measure.grid)
        found += _instances(mask.label, pieces, size, least)
    slot = Slice(name.volume, name.index, grids)
    if not found:
        return None, slot, [*problems, ("no instance large enough", entry.image)]
    found.sort(key=lambda item: (-item.area, item.name, item.box))
    present = tuple(sorted({mask.label for mask in entry.masks}))
    meta = ImageMeta(
        id=name.stem,
        image=entry.image,
        modality=name.modality,
        dataset=name.dataset,
        case=name.case_key,
        orientation=ORIENTATIONS[name.axis],
        region=region_of(name.modality, tuple(instance.name for instance in found)),
        size=size,
        instances=tuple(found),
        present=present,
    )
    return meta, slot, problems


def _measured(path: str, rule: Rule, invert: bool) -> tuple[Measure, list[tuple[tuple[int, ...], int]]]:
    if rule == "file":
        measure = measure_mask(path, invert)
        return measure, [] if measure.box is None else [(measure.box, measure.area)]
    measure, mask = read_mask(path, invert)
    return measure, [] if measure.box is None else components(mask, measure.box)


def _instances(
    label: str, pieces: list[tuple[tuple[int, ...], int]], size: tuple[int, int], least: float
) -> Iterator[Instance]:
    height, width = size
    name = display_name(label)
    for (left, top, right, bottom), area in pieces:
        share = area / (height * width)
        if share >= least:
            box = (left / width, top / height, right / width, bottom / height)
            yield Instance(label, name, box, share)


def _is_binary(path: str) -> bool:
    from PIL import Image

    with Image.open(path) as image:
        return len(np.unique(np.asarray(image.convert("L")))) <= 2


def _lost(error: GftError) -> str:
    return "missing" if isinstance(error, MissingError) else "unreadable"


def collect(
    data: SAMed2D,
    entries: Iterable[Entry],
    rule: Rule = "file",
    least: float = MIN_AREA,
    overlap: float = 0.8,
    workers: int = 1,
    problems: Problems | None = None,
) -> Iterator[ImageMeta]:
    """Yield the meta information of entries in order; near-duplicate slices are left out.

    Memory does not grow with the number of entries.

    Args:
        data: The set.
        entries: What to measure, stack by stack (as `gftlib.datasets.slices.sample` returns it).
        rule: As for `describe`.
        least: As for `describe`.
        overlap: Greatest overlap with a kept slice nearby, see `gftlib.datasets.slices.novel`; 1 keeps all.
        workers: Threads at work at once; most of the work runs outside Python's lock.
        problems: Gets what was left out.
    """
    problems = Problems() if problems is None else problems
    work = partial(describe, data, rule=rule, least=least)
    waiting: list[ImageMeta | None] = []

    def slices() -> Iterator[Slice]:
        for meta, slot, trouble in _in_batches(work, entries, workers):
            for kind, where in trouble:
                problems.add(kind, where)
            if meta is not None:
                waiting.append(meta)
                yield slot

    for new in novel(slices(), most=overlap):
        meta = waiting.pop()
        if new:
            yield meta
        else:
            problems.add("near-duplicate slice", meta.image)


def _in_batches(
    work: Callable[[Entry], Described], entries: Iterable[Entry], workers: int
) -> Iterator[Described]:
    if workers <= 1:
        yield from map(work, entries)
        return

    source = iter(entries)
    batches = iter(lambda: list(islice(source, _BATCH)), [])
    with ThreadPoolExecutor(workers) as pool:
        while tasks := [
            pool.submit(lambda b: list(map(work, b)), batch) for batch in islice(batches, workers)
        ]:
            for task in tasks:
                yield from task.result()


def write_meta(path: Path | str, metas: Iterable[ImageMeta]) -> int:
    """Write one JSON line per image, atomically; return their number."""
    count = 0
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for meta in metas:
            stream.write(json.dumps(asdict(meta), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_meta(path: Path | str) -> Iterator[ImageMeta]:
    """Yield what `write_meta` wrote.

    Raises:
        MissingError: If there is no such file.
        InputError: If a line is not one of its lines.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"no file {path}")
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                fields = json.loads(line)
                instances = tuple(
                    Instance(i["label"], i["name"], tuple(i["box"]), i["area"])
                    for i in fields.pop("instances")
                )
                size, present = tuple(fields.pop("size")), tuple(fields.pop("present"))
                yield ImageMeta(**fields, size=size, instances=instances, present=present)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise InputError(
                    f"{path}, line {number}: not the meta information of an image: {error}"
                ) from error
