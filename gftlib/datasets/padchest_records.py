"""The studies of PadChest-GR as they lie on disk: grounded reports, master table, images.

Records of the set are not trusted: a path may not leave its folder, and what is malformed is skipped and
listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gftlib.datasets.checks import locate, read_table
from gftlib.datasets.class_concepts import Box
from gftlib.datasets.padchest_locations import PRINTED, MultiLocation, coarse_locations
from gftlib.errors import InputError, MissingError
from gftlib.paths import read_json

IMAGE_FOLDERS = ("Padchest_GR_files/PadChest_GR", "PadChest_GR", "Padchest_GR_files", "images", "")
_OFFICIAL = {"train": "train", "validation": "valid", "test": "test"}
_FINDINGS = tuple(dict.fromkeys(p.finding for p in PRINTED))


@dataclass(frozen=True)
class Study:
    """One study with at least one coarse location of one of the four findings.

    Args:
        name: StudyID.
        patient: PatientID.
        official: ``"train"``, ``"valid"`` or ``"test"`` of the published split.
        image: Path of the image.
        texts: (sentence, (finding, location)) pairs; None for a sentence that names no combination.
        boxes: ((finding, location), box) pairs.
    """

    name: str
    patient: str
    official: str
    image: Path
    texts: list[tuple[str, tuple[str, str] | None]]
    boxes: list[tuple[tuple[str, str], Box]]

    @property
    def held(self) -> set[tuple[str, str]]:
        """The (finding, coarse location) pairs of the study."""
        return {pair for _, pair in self.texts if pair is not None}


def read_studies(path: Path | str, multiple: MultiLocation = "all") -> tuple[list[Study], list[str]]:
    """Read every study that holds one of the four findings at a coarse location, and what was skipped.

    Raises:
        MissingError: If the JSON file or the table is missing.
        InputError: If one of them is malformed or a study belongs to two patients.
    """
    folder = Path(path)
    patients = _patients(folder)
    studies, notes, seen = [], [], set()
    for position, record in enumerate(read_records(folder)):
        if not isinstance(record, dict) or not all(
            isinstance(record.get(k), str) for k in ("StudyID", "ImageID")
        ):
            notes.append(f"record {position} skipped: it has no StudyID or ImageID")
            continue
        name = record["StudyID"]
        texts, boxes, problems = _findings(record.get("findings"), multiple)
        notes += [f"study {name}: {problem}" for problem in problems]
        if not any(pair for _, pair in texts):
            continue
        image = _image_path(folder, record["ImageID"])
        reason = (
            "it is there twice" if name in seen
            else "it is not in master_table.csv" if name not in patients
            else f"no image {record['ImageID']!r}" if image is None
            else ""
        )  # fmt: skip
        seen.add(name)
        if reason or image is None:
            notes.append(f"study {name} skipped: {reason}")
            continue
        studies.append(Study(name, *patients[name], image, texts, boxes))
    return studies, notes


def read_records(folder: Path) -> list[Any]:
    """Return the studies of the newest ``grounded_reports_*.json``, unchecked.

    Raises:
        MissingError: If there is no such file.
        InputError: If it does not hold a list.
    """
    files = sorted(folder.glob("grounded_reports_*.json"))
    if not files:
        raise MissingError(f"no grounded_reports_*.json in {folder}")
    records = read_json(files[-1])
    if not isinstance(records, list):
        raise InputError(f"{files[-1]} must hold a list of studies, not {type(records).__name__}")
    return records


def _patients(folder: Path) -> dict[str, tuple[str, str]]:
    path = folder / "master_table.csv"
    table = read_table(path, ("StudyID", "PatientID", "split"))
    found: dict[str, tuple[str, str]] = {}
    for line, (study, patient, part) in enumerate(
        table[["StudyID", "PatientID", "split"]].itertuples(False), 2
    ):
        if part not in _OFFICIAL:
            raise InputError(f"{path}, line {line}: unknown split {part!r}; known: {', '.join(_OFFICIAL)}")
        value = (patient, _OFFICIAL[part])
        if found.setdefault(study, value) != value:
            raise InputError(f"{path}, line {line}: study {study!r} has two patients or two splits")
    return found


def _findings(
    findings: Any, multiple: MultiLocation
) -> tuple[list[tuple[str, tuple[str, str] | None]], list[tuple[tuple[str, str], Box]], list[str]]:
    texts: list[tuple[str, tuple[str, str] | None]] = []
    boxes: list[tuple[tuple[str, str], Box]] = []
    problems: list[str] = []
    for finding in findings if isinstance(findings, list) else ():
        sentence = finding.get("sentence_en") or "" if isinstance(finding, dict) else ""
        if not isinstance(sentence, str) or not sentence.strip():
            problems.append("a finding without an English sentence is left out")
            continue
        given, told = _lists(finding)
        problems += told
        labels = [str(label).strip().lower() for label in given["labels"]]
        places = coarse_locations(map(str, given["locations"]), multiple)
        pairs = (
            [(f, place) for f in _FINDINGS if f in labels for place in places]
            if finding.get("abnormal")
            else []
        )
        texts += [(sentence.strip(), pair) for pair in pairs or [None]]
        for values in given["boxes"]:
            box = _box(values)
            if box is None:
                problems.append(f"the box {values!r} is left out: it must be x1 < x2, y1 < y2 within 0 and 1")
            else:
                boxes += [(pair, box) for pair in pairs]
    return texts, boxes, problems


def _lists(finding: dict[str, Any]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the lists of a finding, empty where there is none, and a line for each that is no list."""
    given = {name: finding.get(name) or [] for name in ("labels", "locations", "boxes")}
    problems = [
        f"the {name} {value!r} of a finding are left out: a list is needed"
        for name, value in given.items()
        if not isinstance(value, list)
    ]
    return {name: value if isinstance(value, list) else [] for name, value in given.items()}, problems


def _box(values: Any) -> Box | None:
    if (
        not isinstance(values, list)
        or len(values) != 4
        or not all(isinstance(v, int | float) for v in values)
    ):
        return None
    x1, y1, x2, y2 = map(float, values)
    return (x1, y1, x2, y2) if 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 else None


def _image_path(folder: Path, name: str) -> Path | None:
    file = name if name.lower().endswith(".png") else f"{name}.png"
    for parent in IMAGE_FOLDERS:
        if (folder / parent).is_dir() and (found := locate(folder / parent, file)):
            return found
    return None
