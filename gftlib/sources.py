"""Which library code a notebook depends on, found by following its imports."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

# They decide where and how results are written and shown, not what they are.
NOT_COMPUTING = {
    "errors",
    "paths",
    "plots",
    "profiles",
    "sections",
    "parameters",
    "provenance",
    "sources",
    "figures",
    "book",
    "results",
    "cli",
    "__init__",
}


def imported_modules(source: str) -> set[str]:
    """Return every ``gftlib`` module that a piece of Python imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] == "gftlib"}


def source_files(modules: Iterable[str]) -> list[Path]:
    """Return the files of the given ``gftlib`` modules and of all that they import, sorted."""
    package = Path(__file__).parent
    files: set[Path] = set()
    waiting = set(modules)
    while waiting:
        base = package.parent.joinpath(*waiting.pop().split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file() and path not in files:
                files.add(path)
                waiting |= imported_modules(path.read_text(encoding="utf-8"))
    return sorted(files)


def notebook_code(notebook: Path) -> str:
    """Return the code cells of a notebook, magics left out."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("%"))


def notebook_sources(notebook: Path) -> list[Path]:
    """Return the library files that a notebook depends on."""
    return source_files(imported_modules(notebook_code(notebook)))


def code_hash(notebook: Path) -> str:
    """Return a digest of the library code that a notebook's results depend on; see :func:`digest`."""
    return digest(notebook_sources(notebook))


def digest(files: Iterable[Path]) -> str:
    """Return a digest of what library files compute.

    Comments, docstrings, layout, figures and the modules in ``NOT_COMPUTING`` do not count, so that a
    result goes stale only when what computed it has changed.
    """
    total = hashlib.sha256()
    for path in files:
        if path.stem not in NOT_COMPUTING and not path.stem.endswith("_figures"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                    body[:1] = [] if isinstance(body[0].value, ast.Constant) else body[:1]
            total.update(path.name.encode() + ast.dump(tree).encode())
    return total.hexdigest()
