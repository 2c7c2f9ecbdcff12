"""The landing page's pictures come from phantoms, and what it says of them is true."""

import numpy as np
from PIL import Image

from gftlib import paths
from gftlib.overview_figures import SIDE, write_overview
from gftlib.phantoms.scans import draw_case

BOOK = paths.root() / "book"


def test_the_pictures_in_the_book_are_these(tmp_path):
    written = write_overview(tmp_path)
    kept = BOOK / "_static" / "overview"
    assert {path.name for path in written} == {path.name for path in kept.iterdir()}
    for path in written:
        made, shown = (np.asarray(Image.open(file), float) for file in (path, kept / path.name))
        assert made.shape == shown.shape == (SIDE, SIDE, 3)
        assert np.abs(made - shown).mean() < 4, f"{path.name} is drawn differently now: write it again"


def test_the_answer_on_the_page_is_the_box_of_the_liver():
    body = max(draw_case("ct", 0), key=lambda slice_: len(slice_.instances))
    rows, columns = np.nonzero(dict(body.instances)["liver"])
    height, width = body.image.shape[:2]
    edges = (
        columns.min() / width,
        rows.min() / height,
        (columns.max() + 1) / width,
        (rows.max() + 1) / height,
    )
    left, top, right, bottom = (round(1000 * float(edge)) for edge in edges)
    assert f"({left},{top}),({right},{bottom})" in (BOOK / "_overview.html").read_text(encoding="utf-8")
