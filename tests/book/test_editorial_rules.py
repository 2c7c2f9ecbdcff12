"""The editorial rules that a program can check; each test is named after the rule's number."""

import itertools
import json
import re
from pathlib import Path

import pytest

from gftlib import paths
from gftlib.cli import CHECKED

ROOT = paths.root()
PROSE = [*sorted((ROOT / "book").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [*PROSE, *CHAPTERS]
ELSEWHERE = {
    1: "tests/book/test_notebooks.py::test_cells_are_few_and_short_and_define_nothing",
    2: "tests/book/test_notebooks.py::test_parameters_are_literals_and_the_names_of_the_schema",
    3: "tests/book/test_notebooks.py::test_imports_stand_in_one_cell",
    4: "tests/book/test_notebooks.py::test_no_outputs_are_kept",
    12: "tests/unit/test_published.py::test_a_published_summary_follows_from_its_predictions",
    20: "tests/site/test_browser.py::test_a_page_is_whole_without_a_network_and_on_a_phone",
    21: "tests/site/test_browser.py::test_figures_stay_legible_in_the_dark",
    22: "tests/unit/test_provenance.py::test_a_record_is_shown_escaped",
}
AMERICAN = (
    r"colors?|colored|coloring|behaviors?|center(?:ed|s|line)?|grays?|analyz\w+|model(?:ing|ed)|label(?:ed|ing)"
    r"|fibers?|tumors?|normaliz\w+|regulariz\w+|optimiz\w+|organiz\w+|recogniz\w+|visualiz\w+|initializ\w+"
    r"|generaliz\w+|minimiz\w+|maximiz\w+|summariz\w+|neighbors?|favor\w*|artifacts?|catalog|millimeters?|judgment"
)
FILLER = (
    r"obviously|of course|needless to say|worth noting|note that|simply|in order to|basically|leverag\w+"
    r"|utiliz\w+|state[- ]of[- ]the[- ]art|novel|cutting[- ]edge|seamless\w*|delv\w+|comprehensive\w*"
)
PROMISES = r"future work|todo|fixme|in the future|coming soon|not yet implemented|will be added"
NAMES = {
    "Binder",
    "Colab",
    "Slurm",
    "Kubernetes",
    "Jupyter",
    "Technical",
    "University",
    "Munich",
    "Snakemake",
}


def markdown(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        return "\n\n".join("".join(cell["source"]) for cell in cells)
    return text


def prose(page: Path) -> str:
    """Return a page's text without what is not its own words: code, formulas, addresses, markup."""
    text = re.sub(r"```(?!\{(?:glossary|admonition)).*?```", "", markdown(page), flags=re.DOTALL)
    text = re.sub(r"<[^>]+>|\$[^$]*\$|\]\([^)]*\)|\"[^\"]*\"", " ", text)
    return re.sub(r"`[^`]*`", "", text)


def found(pattern: str, page: Path) -> list[str]:
    text = prose(page)
    hits = re.finditer(rf"\b(?:{pattern})\b", text, flags=re.IGNORECASE)
    return [text[max(hit.start() - 30, 0) : hit.end() + 20] for hit in hits]


def headings(page: Path) -> list[tuple[int, str]]:
    text = re.sub(r"```.*?```", "", markdown(page), flags=re.DOTALL)
    return [(len(marks), words) for marks, words in re.findall(r"^(#+) (.+)$", text, flags=re.MULTILINE)]


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_rules_are_numbered_and_each_that_claims_a_test_has_one():
    text = (ROOT / "book" / "editorial_rules.md").read_text(encoding="utf-8")
    rules = [(int(n), by) for n, by in re.findall(r"^(\d+)\. \*\((test|eye)\)\*", text, flags=re.MULTILINE)]
    assert [number for number, _ in rules] == list(range(1, len(rules) + 1))
    here = {int(name[10:12]) for name in globals() if re.match(r"test_rule_\d\d", name)}
    assert not here & set(ELSEWHERE)
    assert {number for number, by in rules if by == "test"} == here | set(ELSEWHERE)


@pytest.mark.parametrize("where", ELSEWHERE.values())
def test_the_tests_that_stand_elsewhere_are_there(where):
    file, _, name = where.partition("::")
    assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", CHAPTERS, ids=ids)
def test_rule_05_a_chapter_says_for_whom_it_is_what_it_takes_and_leaves(page):
    text = markdown(page)
    for word in ("**For**", "**You learn**", "**Input**", "**Output**", "**Takes**"):
        assert word in text


@pytest.mark.parametrize("page", CHAPTERS, ids=ids)
def test_rule_06_phantoms_are_named(page):
    assert "phantom" in prose(page).lower()


@pytest.mark.parametrize("page", CHAPTERS, ids=ids)
def test_rule_07_a_chapter_ends_by_what_it_showed(page):
    assert headings(page)[-1] == (2, "What this showed")


@pytest.mark.parametrize("page", CHAPTERS, ids=ids)
def test_rule_08_text_stands_between_two_figures(page):
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    figures = ["figure" in cell["metadata"].get("mystnb", {}) for cell in cells]
    assert not any(one and other for one, other in itertools.pairwise(figures))


@pytest.mark.parametrize("page", CHAPTERS, ids=ids)
def test_rule_08_the_text_speaks_of_every_figure(page):
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    figures = [cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert [name for name in figures if name and f"{{numref}}`{name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_rule_14_spelling_is_british(page):
    assert found(AMERICAN, page) == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_rule_15_paragraphs_are_short(page):
    paragraphs = re.split(r"\n\s*\n", prose(page))
    long = [
        text for text in paragraphs if len(text.split()) > 120 and not re.match(r"\s*(\||[-*:]|\d+\.)", text)
    ]
    assert [text[:80] for text in long] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_rule_16_no_filler(page):
    assert found(FILLER, page) == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_rule_17_no_promises(page):
    assert found(PROMISES, page) == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_rule_18_headings_are_in_sentence_case_and_skip_no_level(page):
    levels = [level for level, _ in headings(page)]
    assert levels[:1] == [1]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    for _, words in headings(page):
        capital = [word for word in words.split()[1:] if re.fullmatch(r"[A-Z][a-z]+", word)]
        assert set(capital) <= NAMES, words


def test_rule_23_every_set_that_is_checked_has_a_card():
    text = (ROOT / "book" / "data.md").read_text(encoding="utf-8")
    for name in CHECKED:
        assert f"gftlib check data {name} " in text
    cards = {words for level, words in headings(ROOT / "book" / "data.md") if level == 3}
    assert {"OCTA-500", "ROSSA", "Derm7pt", "PadChest-GR", "SA-Med2D-20M", "LLaVA-Med"} <= cards
