"""SA-Med2D-20M (Ye et al., arXiv 2311.11969): 2-D medical images with one mask per instance.

Read are the release (``images/``, ``masks/``, ``SAMed2D_v1.json``, ``SAMed2D_v1_class_mapping_id.json``), any
folder written in its grammar, and the demonstration data of SAM-Med2D (``image2label_train.json``,
``label2image_test.json``, class names in the file names). Pairs are streamed: the 3.8 million images of the
release never stand in memory at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gftlib.datasets.checks import Count, Report
from gftlib.datasets.json_stream import stream_object
from gftlib.datasets.masks import image_size
from gftlib.datasets.sa_med2d_names import (
    DEFECTS,
    ImageName,
    MaskName,
    defect_of,
    parse_demo_image,
    parse_demo_mask,
    parse_image,
    parse_mask,
)
from gftlib.errors import GftError, InputError, MissingError
from gftlib.paths import read_json

PAIRS = "SAMed2D_v1.json"
CLASSES = "SAMed2D_v1_class_mapping_id.json"
DEMO_PAIRS = "image2label_train.json"
DEMO_MASKS = "label2image_test.json"


@dataclass
class Problems:
    """What was skipped, by kind, with the first file of each; memory does not grow with their number."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, where: str) -> None:
        """Count one problem of a kind at a file."""
        self.counts[kind] += 1
        self.first.setdefault(kind, where)

    def lines(self) -> tuple[str, ...]:
        """Return one line per kind."""
        return tuple(f"{n} x {kind}, first: {self.first[kind]}" for kind, n in sorted(self.counts.items()))


@dataclass(frozen=True)
class Mask:
    """One mask file of an entry.

    Args:
        path: Relative to the root.
        label: The class name.
        instance: Its number within class and image.
        invert: Whether zero is its foreground (a known defect).
    """

    path: str
    label: str
    instance: int
    invert: bool = False


@dataclass(frozen=True)
class Entry:
    """An image and its masks.

    Args:
        image: Relative to the root.
        name: What its name says.
        masks: Its masks whose class is known.
    """

    image: str
    name: ImageName
    masks: tuple[Mask, ...]


class SAMed2D:
    """A folder in one of the two forms.

    Args:
        path: The folder that holds ``images/`` and ``masks/``, or its parent in the release (``SAMed2Dv1/``).

    Raises:
        MissingError: If there is no ``images/`` folder.
        InputError: If a JSON file has another schema.
    """

    def __init__(self, path: Path | str) -> None:
        """Find the folder and read the class map."""
        path = Path(path)
        self.root = path / "SAMed2Dv1" if (path / "SAMed2Dv1" / "images").is_dir() else path
        self._prefix = f"{self.root}/"
        if not (self.root / "images").is_dir():
            raise MissingError(f"no images/ under {path}: give the folder that holds images/ and masks/")
        self.demo = self._json(DEMO_PAIRS) is not None or self._json(DEMO_MASKS) is not None
        self.classes = _class_map(self._json(CLASSES))

    def _json(self, name: str) -> Path | None:
        found = [p for p in (self.root / name, self.root / "annotations" / name) if p.is_file()]
        return found[0] if found else None

    def pairs(self) -> Iterator[tuple[str, list[str]]]:
        """Yield (image, masks), paths relative to the root, in the order of the JSON (or sorted names)."""
        if self.demo:
            yield from sorted(self._demo_pairs().items())
        elif (listing := self._json(PAIRS)) is not None:
            yield from stream_object(listing)
        else:
            yield from sorted(self._scanned_pairs().items())

    def entries(self, problems: Problems | None = None) -> Iterator[Entry]:
        """Yield the usable entries; what is skipped is added to ``problems``.

        Skipped: names outside the grammar, classes without a name, ``union_`` classes (each is a union of
        classes that have masks of their own), the known defects, and images left without any mask.
        """
        problems = Problems() if problems is None else problems
        parse = parse_demo_image if self.demo else parse_image
        for image, masks in self.pairs():
            try:
                name = parse(Path(image).stem)
            except InputError:
                problems.add("image name outside the grammar", image)
                continue
            if defect := defect_of(name.dataset, name.stem, "skip image"):
                problems.add(f"known defect ({defect.reason})", image)
                continue
            known = tuple(m for path in masks if (m := self._mask(path, name, problems)) is not None)
            if known:
                yield Entry(image, name, known)
            else:
                problems.add("image without a usable mask", image)

    def _mask(self, path: str, image: ImageName, problems: Problems) -> Mask | None:
        stem = Path(path).stem
        try:
            name = parse_demo_mask(stem, image.stem) if self.demo else parse_mask(stem)
        except InputError:
            problems.add("mask name outside the grammar", path)
            return None
        if name.image != image.stem:
            problems.add("mask listed under another image", path)
            return None
        if defect := defect_of(image.dataset, stem, "skip mask"):
            problems.add(f"known defect ({defect.reason})", path)
            return None
        label = self.label(image.dataset, name)
        if label is None:
            problems.add("class id without a name", path)
        elif label.startswith("union_"):
            problems.add("union of other classes", path)
        else:
            invert = defect_of(image.dataset, stem, "invert mask") is not None
            return Mask(path, label, name.instance, invert)
        return None

    def file(self, name: str) -> str:
        """Return the path of an image or mask; checked by its text, since resolving costs more than reading.

        Raises:
            InputError: If the name leaves the folder.
        """
        if name.startswith(("/", "\\")) or ".." in name or ":" in name:
            raise InputError(f"the path {name!r} leaves its folder {self.root}")
        return f"{self._prefix}{name}"

    def label(self, dataset: str, mask: MaskName) -> str | None:
        """Return the class name of a mask of a data set, None if the map has none."""
        if self.demo:
            return mask.label
        return self.classes.get(dataset, self.classes.get("", {})).get(int(mask.label))

    def _scanned_pairs(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {f"images/{p.name}": [] for p in (self.root / "images").glob("*.png")}
        for mask in sorted((self.root / "masks").glob("*.png")):
            # Only in the demo form does a class hold a single underscore, so cut there and look.
            stem = mask.stem
            while stem and f"images/{stem}.png" not in found:
                stem = stem.rpartition("_" if self.demo else "--")[0]
            if stem:
                found[f"images/{stem}.png"].append(f"masks/{mask.name}")
        return found

    def _demo_pairs(self) -> dict[str, list[str]]:
        found = {image: set(masks) for image, masks in self._scanned_pairs().items()}
        listed = [(image, masks) for image, masks in _read(self._json(DEMO_PAIRS)).items()]
        listed += [(image, [mask]) for mask, image in _read(self._json(DEMO_MASKS)).items()]
        for image, masks in listed:
            # Paths there start at the parent of this folder.
            found.setdefault(_last_two(image), set()).update(map(_last_two, masks))
        return {image: sorted(masks) for image, masks in found.items()}


def _last_two(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


def _read(path: Path | None) -> dict[str, object]:
    content = {} if path is None else read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold one JSON object")
    return content


def _class_map(path: Path | None) -> dict[str, dict[int, str]]:
    """Return class id -> name by data set; a flat file stands under the empty name."""
    content = _read(path)
    if content and not any(isinstance(value, dict) for value in content.values()):
        content = {"": content}
    try:
        return {
            dataset: {int(number): name for name, number in names.items()}
            for dataset, names in content.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f'{path} must map each data set to {{"class name": "0003", ...}}: {error}'
        ) from error


def check(path: Path | str) -> Report:
    """Check a folder: names, classes, missing files, shapes, known defects (only headers of files are read).

    Args:
        path: As for `SAMed2D`.

    Returns:
        Counts (no publication states any for a part of the set) and one line per kind of problem.
    """
    data = SAMed2D(path)
    problems = Problems()
    seen: dict[str, set[str]] = {"modalities": set(), "data sets": set(), "cases": set(), "classes": set()}
    images = masks = 0
    for entry in data.entries(problems):
        images += 1
        masks += len(entry.masks)
        seen["modalities"].add(entry.name.modality)
        seen["data sets"].add(entry.name.dataset)
        seen["cases"].add(entry.name.case_key)
        seen["classes"].update(mask.label for mask in entry.masks)
        _check_files(data, entry, problems)
        for defect in DEFECTS:
            if defect.dataset == entry.name.dataset and not defect.pattern:
                problems.add(f"known defect ({defect.reason})", entry.image)
    counts = [Count("images with masks", images), Count("masks", masks)]
    counts += [Count(name, len(values)) for name, values in seen.items()]
    return Report("SA-Med2D", tuple(counts), problems.lines())


def _check_files(data: SAMed2D, entry: Entry, problems: Problems) -> None:
    try:
        size = image_size(data.file(entry.image))
    except GftError as error:
        problems.add(f"{_lost(error)} image", entry.image)
        return
    for mask in entry.masks:
        try:
            if image_size(data.file(mask.path)) != size:
                problems.add("shape of mask differs from image", mask.path)
        except GftError as error:
            problems.add(f"{_lost(error)} mask", mask.path)


def _lost(error: GftError) -> str:
    return "missing" if isinstance(error, MissingError) else "unreadable"
