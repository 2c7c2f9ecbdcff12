"""The built pages, read as files: run after `make book`."""

import functools
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml
from bs4 import BeautifulSoup

from gftlib import paths

ROOT = paths.root()
HTML = ROOT / "_build" / "html"


def toc_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    below = [section for chapter in chapters for section in chapter.get("sections", [])]
    return [toc["root"], *(page["file"] for page in [*chapters, *below])]


PAGES = toc_pages()
NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]

if not HTML.is_dir():
    pytest.skip("there is no built book: run `make book` first", allow_module_level=True)


@functools.cache
def parsed(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def soup(page: str) -> BeautifulSoup:
    return parsed((HTML / f"{page}.html").resolve())


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_inside_the_book_exist(page):
    here = (HTML / f"{page}.html").parent
    for tag, attribute in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
        for element in soup(page).find_all(tag):
            target = urlparse(element.get(attribute) or "")
            if target.scheme or target.netloc or not target.path:
                continue
            file = Path(here, unquote(target.path)).resolve()
            assert file.exists(), f"{page}: {element}"
            if target.fragment and file.suffix == ".html":
                assert parsed(file).find(id=unquote(target.fragment)), f"{page}: {element}"


@pytest.mark.parametrize("page", PAGES)
def test_every_image_says_what_it_shows(page):
    article = soup(page).find("article") or soup(page)
    for image in article.find_all("img"):
        assert len(image.get("alt", "")) > 10, f"{page}: {image}"


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_every_chapter_ends_with_its_record_and_shows_no_traceback(page):
    content = soup(page)
    assert content.select("details.provenance")
    assert not content.select(".traceback, .output.stderr")


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_launch_buttons_open_the_source(page):
    links = [a["href"] for a in soup(page).find_all("a", href=True)]
    for host in ("mybinder.org", "colab.research.google.com"):
        (link,) = {link for link in links if host in link}
        assert f"{page}.ipynb" in unquote(link)
    assert (ROOT / f"{page}.ipynb").is_file()


def test_no_machine_path_is_published():
    for page in PAGES:
        assert str(ROOT) not in (HTML / f"{page}.html").read_text(encoding="utf-8"), page
    for source in (HTML / "_sources").rglob("*.*"):
        assert str(ROOT) not in source.read_text(encoding="utf-8"), source
