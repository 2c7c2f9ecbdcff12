"""Tables written by hand, and the misbehaving chat server of the endpoint's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hand_made import finding

from gftlib.dialogue.teacher import TeacherScan
from gftlib.octa.findings import Finding
from gftlib.octa.table_rows import FazRow, QuadrantRow, ScanTable

sys.path.insert(0, str(Path(__file__).parents[1] / "endpoint"))


@pytest.fixture
def make() -> Callable[..., ScanTable]:
    """Return ``make(scan="s1", label="PDR", findings=two, density=(9, 10, 11, 12), faz=True)``."""

    def build(
        scan: str = "s1",
        label: str | None = "PDR",
        findings: tuple[Finding, ...] | None = None,
        density: tuple[float, ...] = (9.0, 10.0, 11.0, 12.0),
        faz: bool = True,
    ) -> ScanTable:
        if findings is None:
            findings = (
                finding(1, "non-perfusion", ("UR",), (0.6, 0.1, 0.9, 0.4)),
                finding(2, "tortuous vessels", ("UR", "LR"), (0.6, 0.4, 0.7, 0.7)),
            )
        rows = {
            name: QuadrantRow(
                nodes=10,
                edges=20,
                node_density=4.44,
                edge_density=8.89,
                vessel_density=value,
                z=-2.5,
                words=words,
            )
            for name, value, words in zip(
                ("UL", "UR", "LL", "LR"), density, ["sparser than usual"] + ["as usual"] * 3, strict=True
            )
        }
        zone = FazRow(
            area=0.3, z=0.2, box=(0.4, 0.4, 0.6, 0.6), quadrants=("UL", "UR"), words=("as usual",) * 3
        )
        return ScanTable(
            scan=scan,
            label=label,
            predicted="NPDR",
            probabilities={"healthy": 0.1, "NPDR": 0.6, "PDR": 0.3},
            field_mm=3.0,
            quadrants=rows,
            faz=zone if faz else None,
            nodes=(),
            edges=(),
            findings=findings,
        )

    return build


@pytest.fixture
def pupils(make: Callable[..., ScanTable]) -> list[TeacherScan]:
    image = np.zeros((8, 8), np.uint8)
    tables = [make(name, density=(9.0, 10.0, 11.0, 12.0 + i)) for i, name in enumerate("ab")]
    return [TeacherScan(table, f"{table.scan}.png", image, image) for table in tables]


@pytest.fixture
def hosted_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    from hosted import KEY, Server, content

    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        running.content["ok"] = content(1)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("TEACHER_MODEL", "m")
        monkeypatch.setenv("TEACHER_URL", running.url)
        yield running
