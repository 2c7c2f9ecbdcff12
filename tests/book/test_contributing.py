"""What README and CONTRIBUTING name is there."""

import ast
import re

import pytest

from gftlib import paths

ROOT = paths.root()
GUIDES = ("README.md", "CONTRIBUTING.md")
# Made by a run, or standing for a name.
NOT_KEPT = re.compile(r"runs/|NN_name|_build")


@pytest.mark.parametrize("guide", GUIDES)
def test_every_path_that_a_guide_names_exists(guide):
    text = (ROOT / guide).read_text(encoding="utf-8")
    folders = r"(?:gftlib|book|tests|notebooks|profiles|data|benchmarks|\.ci)"
    named = re.findall(rf"`({folders}/[\w./*]*|[\w./]+\.(?:py|yml|yaml))`", text)
    assert named
    for path in named:
        if not NOT_KEPT.search(path):
            assert list(ROOT.glob(path.rstrip("/"))), f"{guide} names {path}"


@pytest.mark.parametrize("guide", GUIDES)
def test_every_target_of_make_that_a_guide_names_exists(guide):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(
        r"`[^`]*`|^make .*$", (ROOT / guide).read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    named = set(re.findall(r"\bmake ([a-z][\w-]*)", " ".join(commands)))
    assert named
    assert named <= set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))


def test_every_subpackage_is_in_the_order_of_imports():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    order = text.partition("Packages import downwards only")[2].partition("\n\n")[0]
    for package in (ROOT / "gftlib").glob("*/__init__.py"):
        assert f"`{package.parent.name}`" in order


def test_packages_import_downwards():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    order = re.findall(r"`(\w+)`", text.partition("Packages import downwards only: ")[2].partition(";")[0])
    above = {name: set(order[: order.index(name)]) for name in order}
    for path in (ROOT / "gftlib").glob("*/**/*.py"):
        package = path.relative_to(ROOT / "gftlib").parts[0]
        if package not in above:
            continue
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
        wrong = {
            name for name in imported if name.startswith("gftlib.") and name.split(".")[1] in above[package]
        }
        assert not wrong, path
