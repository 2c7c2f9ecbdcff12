"""The API reference is read from the sources: signatures, docstrings, settings, and nothing private."""

import pytest

from gftlib import paths
from gftlib.api_pages import AREAS, area_modules, pages

pytest.importorskip("sphinx", reason="Sphinx is not installed")

MODULE = '''"""A module.

More of it.
"""
from __future__ import annotations
from pathlib import Path
from pkg.octa.other import Thing

Pair = tuple[str, Thing]
SIZE = 3
"""How large."""
SILENT = 4

@dataclass(frozen=True)
class Record:
    """A record.

    Attributes:
        path: Where it is.
    """

    path: Path
    things: tuple[Thing, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""

class Settings(Strict):
    """Settings."""

    rate: float = Field(0.1, gt=0, le=1, description="learning rate")

def work(record: Record, *, limit: int = 2, names: Names = (*A, *B)) -> Thing | None:
    """Do it.

    Args:
        record: What to do.
    """

def _hidden():
    """Not shown."""
'''


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    package = tmp_path_factory.mktemp("x") / "pkg"
    (package / "octa").mkdir(parents=True)
    (package / "octa" / "__init__.py").write_text('"""Area."""')
    (package / "octa" / "work.py").write_text(MODULE)
    (package / "octa" / "other.py").write_text('class Thing:\n    """A thing."""\n')
    return pages(package)["octa"]


@pytest.mark.parametrize(
    "line",
    [
        "- {py:mod}`octa.work <pkg.octa.work>`: A module.",
        "## octa.work",
        ".. py:module:: pkg.octa.work",
        ".. py:function:: work(record: ~pkg.octa.work.Record, *, limit: int=2, names: ~_.Names=...)"
        " -> ~pkg.octa.other.Thing | None",
        "   :param record: What to do.",
        ".. py:class:: Record(path: ~pathlib.Path, things: tuple[~pkg.octa.other.Thing, ...] = ())",
        "   :ivar path: Where it is.",
        "   .. py:property:: name",
        ".. py:data:: SIZE",
        "   :value: 3",
        ".. py:class:: Pair",
        "   :ivar rate: ``float``: learning rate; more than 0; at most 1",
    ],
)
def test_what_is_public_and_documented_is_shown(page, line):
    assert line in page.splitlines()


def test_what_is_private_or_undocumented_is_not(page):
    assert "_hidden" not in page
    assert "SILENT" not in page


def test_every_area_of_the_package_has_a_page_and_every_module_is_on_one():
    package = paths.root() / "gftlib"
    assert set(AREAS) == {path.parent.name for path in package.glob("*/__init__.py")}
    shown = [path for area in (*AREAS, "top") for path in area_modules(package, area)]
    public = [path for path in package.rglob("*.py") if not path.stem.startswith("_")]
    assert sorted(shown) == sorted(public)
    for area in (*AREAS, "top"):
        text = (paths.root() / "book" / "api" / f"{area}.md").read_text(encoding="utf-8")
        assert f"{{include}} _{area}.md" in text
