"""Dialogues about tables that no scan has: how a small student comes to know the words of a large one.

A published model has read about retinas before it is tuned; one that starts from nothing has not, and would
spend its tuning on learning to speak. So embedded students also learn what the offline teacher says of random
tables, and stages named in a word, beside a blank page: wordings and their order, and nothing of what they
look like or which of them go together. The page is blank because a student that hears random words about an
image learns that images do not matter.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from gftlib.boxes import QUADRANTS
from gftlib.dialogue.lessons import SIZE, labels_alone
from gftlib.dialogue.offline_teacher import OfflineTeacher
from gftlib.dialogue.prompts import student_system
from gftlib.dialogue.records import spoken
from gftlib.octa.feature_words import compared, describe
from gftlib.octa.findings import Finding
from gftlib.octa.places import Place, Quadrant
from gftlib.octa.signs import FINDING_KINDS
from gftlib.octa.table_rows import STAGES, FazRow, QuadrantRow, ScanTable
from gftlib.vlm.backbones import Student
from gftlib.vlm.conversations import Example

MOST = 6
"""Findings of a random table."""
FAZ_FEATURES = ("area", "eccentricity", "solidity")
BLANK = 128
"""Grey value of the page."""
SPREAD = 2.0
"""Standard deviation of random z-scores, so that all words occur."""


def random_table(rng: np.random.Generator, number: int = 0) -> ScanTable:
    """Return a table whose stage, findings, FAZ and densities are drawn, each for itself.

    Args:
        rng: Source of chance.
        number: Of the table, for its name.
    """
    stage = STAGES[int(rng.integers(3))]
    return ScanTable(
        scan=f"random{number}",
        label=stage,
        predicted=stage,
        probabilities=dict.fromkeys(STAGES, 1 / 3),
        field_mm=3.0,
        quadrants={name: _quadrant(rng) for name in QUADRANTS},
        faz=_faz(rng) if rng.random() < 0.9 else None,
        nodes=(),
        edges=(),
        findings=tuple(_finding(rng, n) for n in range(1, int(rng.integers(MOST + 1)) + 1)),
    )


def talk(student: Student, size: tuple[int, int], rng: np.random.Generator) -> list[Example]:
    """Return a diagnosis, thirty pairs and a stage in a word, each of a random table, beside a blank page.

    Args:
        student: Whose way of writing boxes is used.
        size: (width, height) of the page.
        rng: Source of chance.
    """
    page = Image.new("RGB", size, (BLANK,) * 3)
    explained, described = (_hearsay(student, page, rng, stage) for stage in (1, 2))
    named = labels_alone([("page", STAGES[int(rng.integers(3))])], {"page": page}, rng)
    return [explained, described, *named]


def _hearsay(student: Student, page: Image.Image, rng: np.random.Generator, stage: int) -> Example:
    """Return what the offline teacher says of a random table: the diagnosis explained, or thirty pairs."""
    table = random_table(rng, int(rng.integers(2**31)))
    teacher = OfflineTeacher(seed=int(rng.integers(2**31)))
    dialogue = (teacher.first if stage == 1 else teacher.second)(table, "none")
    told = tuple(spoken(pair, student.family.boxes, SIZE, **student.pixels) for pair in dialogue.pairs)
    asked = tuple(pair.question for pair in dialogue.pairs)
    return Example(page, asked, told, student_system(stage))


def _quadrant(rng: np.random.Generator) -> QuadrantRow:
    z = float(rng.normal(0, SPREAD))
    words = compared(z, "sparser", "denser")
    count, density = int(rng.integers(100, 1000)), 20 + z
    return QuadrantRow(
        nodes=count, edges=count, node_density=0.0, edge_density=0.0, vessel_density=density, z=z, words=words
    )


def _faz(rng: np.random.Generator) -> FazRow:
    words = tuple(describe("faz", name, float(rng.normal(0, SPREAD))) for name in FAZ_FEATURES)
    x, y, w, h = (float(v) for v in rng.uniform((0.25, 0.25, 0.1, 0.1), (0.45, 0.45, 0.3, 0.3)))
    return FazRow(area=0.3, z=0.0, box=(x, y, x + w, y + h), quadrants=_some_quadrants(rng), words=words)


def _finding(rng: np.random.Generator, number: int) -> Finding:
    quadrants = _some_quadrants(rng)
    x, y, w, h = (float(v) for v in rng.uniform((0, 0, 0.02, 0.02), (0.8, 0.8, 0.2, 0.2)))
    ring = ("central", "middle", "outer")[int(rng.integers(3))]
    clock = int(rng.integers(1, 13))
    return Finding(
        id=f"F{number}",
        kind=FINDING_KINDS[int(rng.integers(len(FINDING_KINDS)))],
        degree=("mild", "marked")[int(rng.integers(2))],
        quadrants=quadrants,
        place=Place(quadrant=quadrants[0], clock=clock, ring=ring, x=x, y=y),
        box=(x, y, x + w, y + h),
        nodes=(),
        strength=1.0,
        share=0.0,
    )


def _some_quadrants(rng: np.random.Generator) -> tuple[Quadrant, ...]:
    count = int(rng.choice((1, 2, 4), p=(0.6, 0.3, 0.1)))
    chosen = set(rng.permutation(4)[:count].tolist())
    return tuple(name for k, name in enumerate(QUADRANTS) if k in chosen)
