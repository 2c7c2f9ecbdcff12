"""The attribution table as text for a prompt, in both readings where the paper and its code disagree."""

from __future__ import annotations

from typing import Literal

from gftlib.boxes import QUADRANTS
from gftlib.octa.feature_words import FeatureNote
from gftlib.octa.places import QUADRANT_WORDS, Record, in_words
from gftlib.octa.table_rows import ScanTable


class TextOptions(Record):
    """What of a table a teacher is told.

    Attributes:
        stage: ``true``: the label (GFT, section 2.4); ``predicted``: the network's class (its public code).
        rows: Whether node and edge rows are in (the paper), or out (its public code).
        findings: Whether the findings by rule are in; the paper leaves it to the teacher to find them.
    """

    stage: Literal["true", "predicted"] = "true"
    rows: bool = True
    findings: bool = True


def table_text(table: ScanTable, options: TextOptions | None = None) -> str:
    """Write a table as text. The scan's name stays out: it may tell whose scan it is.

    Raises:
        InputError: If the true stage is asked for and not known.
    """
    options = options or TextOptions()
    odds = ", ".join(f"{name} {share:.3f}" for name, share in table.probabilities.items())
    parts = [
        f"Stage: {table.stage(options.stage)}\nClass probabilities: {odds}",
        "Densities by quadrant (nodes/mm2, edges/mm2, vessel length mm/mm2):\n" + _densities(table),
        f"FAZ: {_faz(table)}",
    ]
    if options.findings:
        parts.append("Findings:\n" + ("\n".join(_findings(table)) or "none"))
    if options.rows:
        parts.append("Most important nodes:\n" + ("\n".join(_nodes(table)) or "none"))
        parts.append("Most important edges:\n" + ("\n".join(_edges(table)) or "none"))
    return "\n\n".join(parts)


def _densities(table: ScanTable) -> str:
    return "\n".join(
        f"{QUADRANT_WORDS[name]}: {row.node_density:.1f}, {row.edge_density:.1f}, {row.vessel_density:.1f} "
        f"({row.words})"
        for name, row in ((name, table.quadrants[name]) for name in QUADRANTS)
    )


def _faz(table: ScanTable) -> str:
    if table.faz is None:
        return "none could be delineated"
    size, shape, outline = table.faz.words
    return f"area {table.faz.area:.3f} mm2; size {size}; shape {shape}; outline {outline}"


def _findings(table: ScanTable) -> list[str]:
    return [
        f"{f.id}: {f.degree} {f.kind} in {in_words(f.quadrants)}, centre at {f.place.words}; "
        f"importance share {f.share:.3g}"
        for f in table.findings
    ]


def _nodes(table: ScanTable) -> list[str]:
    return [
        f"{row.id}: importance {row.importance:.3g}; {row.place.words}; {_notes(row.features)}"
        for row in table.nodes
    ]


def _edges(table: ScanTable) -> list[str]:
    return [
        f"{row.id}: importance {row.importance:.3g}; connects {' and '.join(row.pair)}; {row.place.words}; "
        f"{_notes(row.features)}"
        for row in table.edges
    ]


def _notes(notes: tuple[FeatureNote, ...]) -> str:
    return "; ".join(
        f"{n.node} {n.name} {n.value:.4g} {n.unit.replace('1', '')}".rstrip() + f" ({n.words})" for n in notes
    )
