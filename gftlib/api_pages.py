"""The API reference, made from docstrings by reading the sources: nothing is imported."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping, Set
from itertools import chain, zip_longest
from pathlib import Path
from textwrap import indent

AREAS = ("octa", "dialogue", "vlm", "scale", "bird", "endpoint", "metrics", "phantoms", "datasets")
"""Subpackages with a page of their own; the package's own modules are on the page ``top``."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Function | ast.ClassDef
LONGEST_DEFAULT = 40
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def area_modules(package: Path, area: str) -> list[Path]:
    """Return the modules of an area, sorted by name.

    Args:
        package: Folder of the package.
        area: One of :data:`AREAS`, or ``top`` for the modules directly in ``package``.
    """
    folder = package if area == "top" else package / area
    return sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))


def pages(package: Path) -> dict[str, str]:
    """Return each area's modules as MyST: a heading each, its docstring, and everything public in it.

    Args:
        package: Folder of the package.

    Returns:
        The text of each area of :data:`AREAS`, and of ``top``.
    """
    modules = {area: area_modules(package, area) for area in (*AREAS, "top")}
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8")) for paths in modules.values() for path in paths
    }
    names = {path: ".".join(path.relative_to(package.parent).with_suffix("").parts) for path in trees}
    shown = {f"{names[path]}.{name}" for path, tree in trees.items() for name in _linkable(tree)}
    return {
        area: "\n".join(
            [_map(names[path], trees[path]) for path in paths]
            + ["", *(_module(trees[path], names[path], shown) for path in paths)]
        )
        for area, paths in modules.items()
    }


def _map(name: str, tree: ast.Module) -> str:
    """Return a module's line in the map of its area: its name and what it is for."""
    line = (ast.get_docstring(tree) or "").partition("\n")[0].replace("``", "`")
    return f"- {{py:mod}}`{name.partition('.')[2]} <{name}>`: {line}"


def _linkable(tree: ast.Module) -> Iterator[str]:
    """Yield the classes and type aliases of a module that the reference shows."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and _is_public(node):
            yield node.name
        elif alias := _alias(node):
            yield alias


def _is_public(node: Documented) -> bool:
    return not node.name.startswith("_") and ast.get_docstring(node) is not None


def _module(tree: ast.Module, name: str, shown: Set[str]) -> str:
    full = _FullNames(dict(_names(tree, name)), shown)
    blocks = [f".. py:module:: {name}", google(ast.get_docstring(tree) or "")]
    for node, after in zip_longest(tree.body, tree.body[1:]):
        if isinstance(node, Documented) and _is_public(node):
            blocks.append(_class(node, full) if isinstance(node, ast.ClassDef) else _function(node, full))
        elif alias := _alias(node):
            blocks.append(_block(f".. py:class:: {alias}", f"Short for ``{ast.unparse(node.value)}``."))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
            blocks.append(_constant(node, after))
    text = "\n\n".join(block for block in blocks if block)
    return f"## {name.partition('.')[2]}\n\n````{{eval-rst}}\n{text}\n````\n"


def _names(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """Yield the names that annotations may use, with the full names of what they stand for."""
    for node in chain(tree.body, *(node.body for node in tree.body if isinstance(node, ast.If))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.ClassDef):
            yield node.name, f"{module}.{node.name}"
        elif alias := _alias(node):
            yield alias, f"{module}.{alias}"


def _alias(node: ast.stmt) -> str:
    """Return the name of a public type alias, or nothing."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
        name = getattr(node.targets[0], "id", "_")
        return name if name[0].isupper() and not name.isupper() else ""
    return ""


class _FullNames(ast.NodeTransformer):
    """Writes names out in full, a tilde before them: Sphinx links the full name and shows the short one.

    What has no entry in the reference is put under ``_``, so that no other of its name is taken for it.
    """

    def __init__(self, known: Mapping[str, str], shown: Set[str]) -> None:
        self.known, self.shown = known, shown
        self.own = {name.partition(".")[0] for name in shown}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return node if hasattr(builtins, node.id) else self._linked(self.known.get(node.id, f"_.{node.id}"))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        head, _, rest = ast.unparse(node).partition(".")
        return self._linked(f"{self.known.get(head, head)}.{rest}")

    def _linked(self, full: str) -> ast.expr:
        if full.partition(".")[0] in self.own and full not in self.shown:
            short = full.rpartition(".")[2]
            same = [name for name in self.shown if name.endswith(f".{short}")]
            full = same[0] if len(same) == 1 else f"_.{short}"
        return ast.parse(f"~{full}", mode="eval").body

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if _last(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
            return self.visit(node.slice.elts[0])
        return self.generic_visit(node)


def _last(node: ast.expr) -> str:
    """Return ``b`` of ``a.b(...)``."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _block(head: str, *parts: str) -> str:
    return head + "\n\n" + indent("\n\n".join(part for part in parts if part), "   ")


def _function(node: Function, full: _FullNames, kind: str = "function") -> str:
    marks = {_last(mark) for mark in node.decorator_list}
    text = google(ast.get_docstring(node) or "")
    returned = ast.unparse(full.visit(node.returns)) if node.returns else ""
    if marks & {"property", "cached_property"}:
        return _block(f".. py:property:: {node.name}\n   :type: {returned}", text)
    arguments = _arguments(node, full, bound=kind == "method" and "staticmethod" not in marks)
    head = f".. py:{kind}:: {node.name}({arguments})" + (f" -> {returned}" if returned else "")
    return _block(head + "".join(f"\n   :{mark}:" for mark in marks & {"classmethod", "staticmethod"}), text)


def _class(node: ast.ClassDef, full: _FullNames) -> str:
    methods = [child for child in node.body if isinstance(child, Function) and _is_public(child)]
    return _block(
        f".. py:class:: {node.name}({_made_with(node, full)})",
        google(ast.get_docstring(node) or ""),
        _settings(node),
        *(_function(child, full, "method") for child in methods),
    )


def _arguments(node: Function, full: _FullNames, bound: bool) -> str:
    spec = node.args
    for each in (*spec.posonlyargs, *spec.args, spec.vararg, *spec.kwonlyargs, spec.kwarg):
        if each is not None and each.annotation:
            each.annotation = full.visit(each.annotation)
    spec.defaults = [_short(value) for value in spec.defaults]
    spec.kw_defaults = [value and _short(value) for value in spec.kw_defaults]
    if bound:
        spec.args = spec.args[1:]
    return ast.unparse(spec)


def _short(value: ast.expr) -> ast.expr:
    """Return a default as a signature shows it: an ellipsis if it is long or Sphinx cannot read it."""
    unread = any(isinstance(part, ast.Starred) for part in ast.walk(value))
    return ast.Constant(...) if unread or len(ast.unparse(value)) > LONGEST_DEFAULT else value


def _made_with(node: ast.ClassDef, full: _FullNames) -> str:
    """Return what makes an object: the arguments of ``__init__``, or the fields of a data class."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            return _arguments(child, full, bound=True)
    if not any(_last(mark) == "dataclass" for mark in node.decorator_list):
        return ""
    fields = [child for child in node.body if isinstance(child, ast.AnnAssign)]
    return ", ".join(
        f"{ast.unparse(child.target)}: {ast.unparse(full.visit(child.annotation))}"
        + (f" = {ast.unparse(_short(child.value))}" if child.value else "")
        for child in fields
    )


def _settings(node: ast.ClassDef) -> str:
    """Return the settings of a section of a profile: name, type, meaning and bounds."""
    lines = []
    for child in node.body:
        value = child.value if isinstance(child, ast.AnnAssign) else None
        if not isinstance(value, ast.Call) or _last(value) != "Field":
            continue
        said = {word.arg: word.value for word in value.keywords}
        meaning = ast.literal_eval(said["description"]) if "description" in said else ""
        bounds = [f"{words} {ast.unparse(said[key])}" for key, words in BOUNDS.items() if key in said]
        text = "; ".join(part for part in (meaning, *bounds) if part).replace("*", r"\*")
        lines.append(f":ivar {child.target.id}: ``{ast.unparse(child.annotation)}``: {text}")
    return "\n".join(lines)


def _constant(node: ast.Assign | ast.AnnAssign, after: ast.Expr) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if (
        not isinstance(target, ast.Name)
        or not isinstance(after.value, ast.Constant)
        or target.id.startswith("_")
    ):
        return ""
    value = ast.unparse(node.value) if node.value else ""
    shown = f"\n   :value: {value}" if 0 < len(value) <= 80 else ""
    return _block(f".. py:data:: {target.id}{shown}", google(str(after.value.value)))


def google(docstring: str) -> str:
    """Return a Google-style docstring as reStructuredText."""
    from sphinx.ext.napoleon import Config, GoogleDocstring

    settings = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)
    return str(GoogleDocstring(docstring, settings)).strip()
