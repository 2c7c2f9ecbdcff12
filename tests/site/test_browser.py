"""The built pages in a real browser, as readers see them: run after `make book`."""

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_pages import HTML, PAGES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("there is no Chromium: install Debian's package chromium", allow_module_level=True)
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
SERIOUS = ("serious", "critical")
# Of the theme, and of docutils, whose list of citations has entries of another role: not ours to mend.
THEMES_OWN = ("scrollable-region-focusable", "landmark-unique", "aria-required-children")
EXPLORER = "_static/explorer/index"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with api.sync_playwright() as runner:
        alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        started = runner.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", alone])
        yield started
        started.close()


@contextlib.contextmanager
def opened(browser, address, page, **options):
    """Open a page in a browser that reaches no other host; yield it, its outside requests, its complaints."""
    outside, complaints = [], []
    context = browser.new_context(**options)
    tab = context.new_page()
    tab.set_default_timeout(120_000)  # a busy machine is no fault of a page
    own = (address, "data:", "blob:")
    tab.on("request", lambda asked: None if asked.url.startswith(own) else outside.append(asked.url))
    tab.on("response", lambda got: complaints.append(got.url) if got.status >= 400 else None)
    tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"{address}/{page}.html", wait_until="load")
    tab.wait_for_timeout(300)
    yield tab, outside, complaints
    context.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_without_a_network_and_on_a_phone(browser, address, page):
    with opened(browser, address, page) as (tab, outside, complaints):
        assert not outside
        assert not complaints
        missing = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert tab.evaluate(missing) == []

        tab.set_viewport_size({"width": 390, "height": 800})
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert tab.evaluate(wide) <= 1, "a phone scrolls it sideways"


# Of the pages made from docstrings, which are long and alike, one stands for all.
READ = [page for page in PAGES if not page.startswith("book/api/")]


@pytest.mark.parametrize("page", [*READ, "book/api/metrics", EXPLORER])
def test_no_serious_barrier(browser, address, page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    with opened(browser, address, page) as (tab, _, _):
        found = axe.Axe().run(tab, context="article").response["violations"]
    serious = {
        v["id"]: [node["html"][:120] for node in v["nodes"][:2]]
        for v in found
        if v["impact"] in SERIOUS and v["id"] not in THEMES_OWN
    }
    assert serious == {}


def test_formulas_are_set(browser, address):
    with opened(browser, address, "notebooks/03_attribution") as (tab, _, _):
        tab.wait_for_selector(".MathJax", timeout=20000)


def test_search_finds_a_term(browser, address):
    with opened(browser, address, "book/index") as (tab, outside, _):
        tab.goto(f"{address}/search.html?q=foveal")
        tab.wait_for_selector("#search-results li a", timeout=20000)
        assert not outside


DRAWN = [page for page in PAGES if page.startswith("notebooks/")]


@pytest.mark.parametrize("page", DRAWN)
def test_figures_stay_legible_in_the_dark(browser, address, page):
    with opened(browser, address, page, color_scheme="dark") as (tab, _, _):
        tab.evaluate("document.documentElement.dataset.theme = 'dark'")
        figures = "[...document.querySelectorAll('article .cell_output img, article figure img')]"
        backs = tab.evaluate(f"{figures}.map(i => getComputedStyle(i).backgroundColor)")
        assert not {"rgba(0, 0, 0, 0)", "transparent"} & set(backs)


@pytest.mark.parametrize("page", ["book/index", "book/unpublished", "book/how_this_was_run", *DRAWN])
def test_words_stay_legible_in_the_dark(browser, address, page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    with opened(browser, address, page, color_scheme="dark") as (tab, _, _):
        tab.evaluate("document.documentElement.dataset.theme = 'dark'")
        tab.evaluate("document.querySelectorAll('article details').forEach(d => d.open = true)")
        # Colours on their way from one theme to the other are neither's.
        tab.add_style_tag(content="* { transition: none !important; animation: none !important; }")
        tab.wait_for_timeout(500)
        options = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
        found = axe.Axe().run(tab, context="article", options=options).response["violations"]
    assert [node["html"][:120] for v in found for node in v["nodes"][:5]] == []


def test_the_explorer_tells_of_a_node_and_switches_its_layers(browser, address):
    with opened(browser, address, "book/explorer") as (tab, outside, complaints):
        tab.locator("iframe.explorer").scroll_into_view_if_needed()
        frame = tab.frame_locator("iframe.explorer")
        frame.locator("#node td").first.wait_for()  # the most important node, at first
        before = frame.locator("#node").inner_text()
        box = frame.locator(".bk-Figure").bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # on the FAZ, or near
        frame.locator("#node h1", has_text=before.splitlines()[0]).wait_for(state="detached")

        inside = next(one for one in tab.frames if one.url.endswith(f"{EXPLORER}.html"))
        seen = "Bokeh.documents[0].roots()[0].renderers.find((layer) => layer.name == 'vessel').visible"
        assert inside.evaluate(seen) is True
        frame.get_by_label("vessel segments").focus()
        tab.keyboard.press("Space")
        assert inside.evaluate(seen) is False
        assert frame.locator(".fallback").count() == 0
        assert not outside
        assert not complaints


def test_the_explorer_fits_a_phone_and_weighs_little(browser, address):
    size = {"width": 358, "height": 800}
    with opened(browser, address, EXPLORER, viewport=size, is_mobile=True, has_touch=True) as (tab, _, _):
        tab.locator("#node td").first.wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 358
    weight = sum(path.stat().st_size for path in (HTML / EXPLORER).parent.iterdir())
    assert weight + (HTML / "book" / "explorer.html").stat().st_size <= 2_000_000


def test_without_scripts_a_picture_stands_for_the_explorer(browser, address):
    with opened(browser, address, EXPLORER, java_script_enabled=False) as (tab, _, complaints):
        picture = tab.locator("img.fallback")
        assert picture.is_visible() and "importance" in picture.get_attribute("alt")
        assert picture.bounding_box()["width"] > 300
        assert not tab.get_by_label("vessel segments").is_visible()
        assert not complaints
