"""OCTA-500, the public cohort of GFT's Table 2: healthy against diabetic retinopathy (GFT, section 3).

The user unpacks the set as it is published::

    OCTA-500/OCTA_3M/Text labels.xlsx                        ID, Sex, OS/OD, Age, Disease
    OCTA-500/OCTA_3M/Projection Maps/OCTA(OPL_BM)/10301.bmp  304 x 304 pixels, 3 mm
    OCTA-500/OCTA_6M/...                                     400 x 400 pixels, 6 mm

The paper takes 189 images, 160 healthy and 29 with DR, and disregards other diseases. That is the 3 mm subset
to a scan; 6 mm scans are another scale and another resolution, and are read on request only. The publication
of the set does not name the columns of its table: the names above are those that public code reads; others
that mean the same are accepted, and an unknown table is refused with what it has.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from gftlib.datasets.checks import Count, Report
from gftlib.errors import InputError, MissingError, did_you_mean

DEEP = "OCTA(OPL_BM)"
DISEASES = {"NORMAL": 0, "DR": 1}


@dataclass(frozen=True)
class Subset:
    """One of the two fields of view.

    Args:
        field_mm: Width of the image in mm.
        side: Pixels of a side.
        folders: Its folder, as published and as found elsewhere.
        published: Scans by disease, where GFT or public code states them; "" counts all.
    """

    field_mm: float
    side: int
    folders: tuple[str, ...]
    published: dict[str, int]


SUBSETS = {
    "3mm": Subset(3.0, 304, ("OCTA_3M", "OCTA_3mm", "OCTA_3MM"), {"": 200, "NORMAL": 160, "DR": 29}),
    "6mm": Subset(6.0, 400, ("OCTA_6M", "OCTA_6mm", "OCTA_6MM"), {"": 300}),
}
COLUMNS = {
    "scan": ("id", "subject", "subjectid", "patient", "patientid", "number", "no"),
    "disease": ("disease", "diagnosis", "label", "diseases"),
}


@dataclass(frozen=True)
class Octa500Scan:
    """One scan.

    Args:
        scan: Its number, such as ``"10301"``; every subject has one scan.
        disease: As the table says, in capitals.
        path: Its image.
        field_mm: Width of the image in mm.
    """

    scan: str
    disease: str
    path: Path
    field_mm: float

    @property
    def label(self) -> int:
        """0 healthy, 1 DR."""
        return DISEASES[self.disease]

    def image(self) -> np.ndarray:
        """Return the scan, (H, W) uint8.

        Raises:
            InputError: If the file is no image.
        """
        try:
            with Image.open(self.path) as picture:
                return np.asarray(picture.convert("L"))
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(f"{self.path} is not a readable image: {error}") from error


def read(root: Path | str, subsets: Sequence[str] = ("3mm",), projection: str = DEEP) -> list[Octa500Scan]:
    """Return the healthy scans and those with DR.

    Args:
        root: The folder with ``OCTA_3M``, or that folder itself.
        subsets: ``3mm``, ``6mm`` or both.
        projection: Folder of the projection maps; the default runs from the outer plexiform layer to Bruch's
            membrane and so is the deep one.

    Raises:
        MissingError: If a subset, its table, or a scan of it is not there.
        InputError: If a table cannot be understood, or a subset is unknown.
    """
    found = []
    for name in subsets:
        folder = _folder(Path(root), name)
        table = read_labels(folder)
        images = _projection(folder, projection)
        for row in table[table["disease"].isin(DISEASES)].itertuples():
            path = images.get(row.scan)
            if path is None:
                raise MissingError(f"scan {row.scan} of {name} has no image in {folder} under {projection}")
            found.append(Octa500Scan(row.scan, row.disease, path, SUBSETS[name].field_mm))
    return found


def check(root: Path | str, projection: str = DEEP) -> Report:
    """Count what is there beside what is published; nothing is skipped in silence.

    Raises:
        MissingError: If there is no 3 mm subset or no table in it.
        InputError: If a table cannot be understood.
    """
    counts, problems = [], []
    for name, subset in SUBSETS.items():
        if name != "3mm" and not any((Path(root) / folder).is_dir() for folder in subset.folders):
            continue
        folder = _folder(Path(root), name)
        table, images = read_labels(folder), _projection(folder, projection)
        diseases = Counter(table["disease"])
        counts.append(Count(f"{name} scans", len(table), subset.published[""]))
        counts += [
            Count(f"{name} {disease}", diseases[disease], subset.published.get(disease))
            for disease in (*DISEASES, *sorted(diseases.keys() - DISEASES))
        ]
        wanted = table["scan"][table["disease"].isin(DISEASES)]
        counts.append(Count(f"{name} images of them", sum(scan in images for scan in wanted), len(wanted)))
        problems += [
            f"{name}: scan {scan} has no image under {projection}" for scan in wanted if scan not in images
        ]
        problems += _wrong_sizes(name, [images[scan] for scan in wanted if scan in images])
    return Report("OCTA-500", tuple(counts), tuple(problems))


def read_labels(folder: Path) -> pd.DataFrame:
    """Read the label table of one subset: ``scan`` (text) and ``disease`` (capitals).

    ``Text labels.xlsx`` as published, or the same saved as CSV.

    Raises:
        MissingError: If there is no table.
        InputError: If it is no table, lacks a column, or names a scan twice.
    """
    paths = sorted(
        p for p in folder.iterdir() if p.suffix.lower() in (".xlsx", ".csv") and "label" in p.name.lower()
    )
    if not paths:
        raise MissingError(f"no 'Text labels.xlsx' (or .csv) in {folder}")
    path = paths[0]
    try:
        table = (
            pd.read_csv(path, dtype=str) if path.suffix.lower() == ".csv" else pd.read_excel(path, dtype=str)
        )
    except (ValueError, zipfile.BadZipFile, pd.errors.ParserError) as error:
        raise InputError(f"{path} is not a readable table: {error}") from error
    known = {"".join(filter(str.isalnum, str(column).lower())): column for column in table.columns}
    chosen = {}
    for name, aliases in COLUMNS.items():
        match = [known[alias] for alias in aliases if alias in known]
        if not match:
            raise InputError(
                f"{path} has no column for the {name}; it has {', '.join(map(str, table.columns))}; "
                f"rename one of them to {aliases[0]!r}"
            )
        chosen[match[0]] = name
    table = table[list(chosen)].rename(columns=chosen).dropna()
    table["scan"] = table["scan"].str.strip().str.removesuffix(".0")
    table["disease"] = table["disease"].str.strip().str.upper().replace({"HEALTHY": "NORMAL"})
    if (twice := table["scan"][table["scan"].duplicated()]).size:
        raise InputError(f"{path} names scan {twice.iloc[0]} twice")
    return table.reset_index(drop=True)


def _folder(root: Path, name: str) -> Path:
    """Return the folder of a subset."""
    if name not in SUBSETS:
        raise InputError(f"no subset {name!r} of OCTA-500{did_you_mean(name, SUBSETS)}")
    for folder in SUBSETS[name].folders:
        for path in (root / folder, root):
            if path.name == folder and path.is_dir():
                return path
    raise MissingError(f"no {SUBSETS[name].folders[0]} in {root}: unpack OCTA-500 there")


def _projection(folder: Path, projection: str) -> dict[str, Path]:
    """Return the images of a projection by scan number."""
    for path in (
        folder / "Projection Maps" / projection,
        folder / "ProjectionMaps" / projection,
        folder / projection,
    ):
        if path.is_dir():
            return {p.stem: p for p in sorted(path.iterdir()) if p.suffix.lower() in (".bmp", ".png", ".tif")}
    raise MissingError(f"no folder {projection!r} in {folder} or its 'Projection Maps'")


def _wrong_sizes(name: str, paths: Sequence[Path]) -> list[str]:
    """Return a line for each image that cannot be read or has another size."""
    side, lines = SUBSETS[name].side, []
    for path in paths:
        try:
            with Image.open(path) as picture:
                if picture.size != (side, side):
                    lines.append(f"{path.name} is {picture.size[0]} x {picture.size[1]}, not {side} x {side}")
        except (UnidentifiedImageError, OSError) as error:
            lines.append(f"{path.name} is not a readable image: {error}")
    return lines
