"""Every notebook keeps the rules that make it readable and its parameters checkable."""

import ast
import json
import statistics

import pytest

from gftlib import paths
from gftlib.parameters import NOTEBOOKS
from gftlib.sources import notebook_code

FILES = sorted((paths.root() / "notebooks").glob("*.ipynb"))


def cells(path, kind="code"):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def tags(cell):
    return cell["metadata"].get("tags", [])


def test_every_notebook_has_parameters_of_its_own():
    assert {path.stem for path in FILES} == set(NOTEBOOKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestNotebook:
    def test_no_outputs_are_kept(self, path):
        assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path))

    def test_cells_are_few_and_short_and_define_nothing(self, path):
        lengths = [len("".join(cell["source"]).splitlines()) for cell in cells(path)]
        assert len(lengths) <= 12
        assert statistics.median(lengths) <= 5
        defined = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Lambda)
        assert not [node for node in ast.walk(ast.parse(notebook_code(path))) if isinstance(node, defined)]

    def test_parameters_are_literals_and_the_names_of_the_schema(self, path):
        (cell,) = [cell for cell in cells(path) if "parameters" in tags(cell)]
        tree = ast.parse("".join(cell["source"]))
        found = {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body}
        NOTEBOOKS[path.stem].checked(found, path.stem)
        assert set(found) == set(NOTEBOOKS[path.stem].model_fields)

    def test_the_cell_after_the_parameters_checks_them(self, path):
        code = cells(path)
        (at,) = [number for number, cell in enumerate(code) if "parameters" in tags(cell)]
        assert "from_notebook(globals())" in "".join(code[at + 1]["source"])

    def test_imports_stand_in_one_cell(self, path):
        with_imports = [
            cell
            for cell in cells(path)
            if any(
                isinstance(node, ast.Import | ast.ImportFrom)
                for node in ast.parse("".join(cell["source"])).body
            )
        ]
        assert len(with_imports) == 1

    def test_the_page_ends_with_its_record(self, path):
        assert "run.finish(" in "".join(cells(path)[-1]["source"])

    def test_every_figure_has_a_caption_a_name_and_alt_text(self, path):
        for cell in cells(path):
            source = "".join(cell["source"])
            if "figures." in source or "plots." in source:
                about = cell["metadata"].get("mystnb", {})
                assert about.get("figure", {}).get("caption"), source
                assert about["figure"].get("name", "").startswith("fig-"), source
                assert about.get("image", {}).get("alt"), source

    def test_prose_begins_with_one_title(self, path):
        titles = [
            line
            for cell in cells(path, "markdown")
            for line in "".join(cell["source"]).splitlines()
            if line.startswith("# ")
        ]
        assert len(titles) == 1
