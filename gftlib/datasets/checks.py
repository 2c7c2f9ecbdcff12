"""What a check of a data set returns, and the file handling that the readers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gftlib.errors import InputError, MissingError
from gftlib.paths import inside


@dataclass(frozen=True)
class Count:
    """One count of a check, beside what the publication states.

    Args:
        name: What was counted.
        found: The number found.
        expected: The number published, or None if none is.
    """

    name: str
    found: int
    expected: int | None = None

    @property
    def agrees(self) -> bool:
        """Whether the number found is the published one (true if none is published)."""
        return self.expected is None or self.found == self.expected


@dataclass(frozen=True)
class Report:
    """The result of checking one data set.

    Args:
        name: The data set.
        counts: Every count, in reading order.
        problems: What was skipped or looks wrong, one line each.
    """

    name: str
    counts: tuple[Count, ...]
    problems: tuple[str, ...] = ()

    @property
    def mismatches(self) -> tuple[Count, ...]:
        """The counts that differ from the published ones."""
        return tuple(count for count in self.counts if not count.agrees)

    @property
    def ok(self) -> bool:
        """Whether nothing was skipped and every count agrees."""
        return not self.problems and not self.mismatches

    def lines(self) -> list[str]:
        """Return the report as lines of text: counts beside the published ones, then the problems."""
        width = max((len(count.name) for count in self.counts), default=0)
        lines = [f"{self.name}: {'as published' if self.ok else 'differs from the publication'}"]
        for count in self.counts:
            expected = "-" if count.expected is None else str(count.expected)
            mark = "" if count.agrees else "  MISMATCH"
            lines.append(f"  {count.name:<{width}}  {count.found:>6}  expected {expected:>6}{mark}")
        return lines + [f"  ! {problem}" for problem in self.problems]


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV file as text columns; UTF-8, or Latin-1 where it is not valid UTF-8.

    Args:
        path: The file.
        columns: The columns that must be there.

    Returns:
        All columns as str, empty fields as ``""``.

    Raises:
        MissingError: If there is no such file.
        InputError: If a column is missing or the file is no table.
    """
    if not path.is_file():
        raise MissingError(f"no file {path}")
    options = {"dtype": str, "keep_default_na": False}
    try:
        try:
            table = pd.read_csv(path, encoding="utf-8-sig", **options)
        except UnicodeDecodeError:
            table = pd.read_csv(path, encoding="latin-1", **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is not a readable CSV table: {error}") from error
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, table.columns)) or 'none'}"
        )
    return table


def locate(folder: Path, name: str) -> Path | None:
    """Return the file ``name`` under ``folder``, or None; the case of letters may differ from the disk's.

    Raises:
        InputError: If ``name`` leaves ``folder``.
    """
    path = inside(folder, name)
    if path.is_file():
        return path
    here = folder.resolve()
    for part in path.relative_to(here).parts:
        if not here.is_dir():
            return None
        match = sorted(entry for entry in here.iterdir() if entry.name.lower() == part.lower())
        if not match:
            return None
        here = match[0]
    return here if here.is_file() else None
