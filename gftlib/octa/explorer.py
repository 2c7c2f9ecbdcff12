"""The explorer's files, made of what a profile's run left: which scan, whose network, which attribution."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gftlib import plots
from gftlib.datasets.images import read_scan
from gftlib.errors import MissingError
from gftlib.octa.attribution import Attribution
from gftlib.octa.attribution_study import unseen_scans
from gftlib.octa.explaining import read_attribution
from gftlib.octa.explorer_figures import explorer_page
from gftlib.octa.explorer_sources import NODES
from gftlib.octa.graph import OctaGraph
from gftlib.octa.graph_io import read_graph
from gftlib.octa.heatmaps import ranked_nodes
from gftlib.octa.overlays import overlay
from gftlib.octa.places import QUADRANT_WORDS
from gftlib.octa.scans import Scan, open_cohort
from gftlib.octa.staging import STAGES
from gftlib.octa.staging_cohorts import stage_table
from gftlib.paths import atomic_path, read_json, root
from gftlib.profiles import Profile
from gftlib.provenance import Record

PAGE, ABOUT = "index.html", "about.html"
"""The interactive page, and what the book says about it."""
FRAME = "../_static/explorer/" + PAGE
"""The interactive page as seen from the page of the book that frames it."""
TOP = 10
"""Nodes in the table, which tells without a pointer what the page shows."""


@dataclass(frozen=True)
class Explored:
    """One scan with its graph, true stage and attribution."""

    scan: Scan
    stage: str
    graph: OctaGraph
    attribution: Attribution

    @property
    def predicted(self) -> str:
        """The stage whose logit is attributed: the network's answer."""
        return STAGES[self.attribution.target]

    def sentence(self) -> str:
        """Say which scan this is, its true stage and what the network says, in plain text."""
        known = "phantom" if self.scan.spec else "scan"
        truth = "drawn as" if self.scan.spec else "labelled"
        odds = self.attribution.logits.double().softmax(0).tolist()
        said = ", ".join(f"{name} {p:.2f}" for name, p in zip(STAGES, odds, strict=True))
        return (
            f"The {known} {self.scan.name}, {truth} {self.stage}; the network's answer is {self.predicted}"
            f" (probabilities: {said})."
        )


def explored(profile: Profile) -> Explored:
    """Return the scan that chapter 3 shows: the first unseen one that the network calls diseased.

    Raises:
        MissingError: If chapter 3 has not been run for the profile.
    """
    runs = root() / "runs" / profile.name
    graphs = runs / "01_graph_construction" / "graphs"
    cohort = open_cohort(profile)
    found = []
    for scan in unseen_scans(cohort)[: profile.attribution.scans]:
        path = runs / "03_attribution" / "attributions" / "trained" / f"{scan.name}.safetensors"
        if path.is_file():
            found.append((scan, read_attribution(path)))
    if not found:
        raise MissingError(f"no attribution of profile {profile.name}: run the attribution notebook first")
    scan, attribution = next((one for one in found if one[1].target > 0), found[0])
    stage = stage_table(cohort)["stage"].iloc[[one.name for one in cohort].index(scan.name)]
    return Explored(scan, STAGES[int(stage)], read_graph(graphs / f"{scan.name}.json.gz"), attribution)


def write_explorer(profile: Profile, folder: Path | str) -> Path:
    """Write the interactive page, with what is seen of it without scripts, and the text about it.

    Args:
        profile: Chapters 1 to 3 have been run for it.
        folder: Receives the files.

    Returns:
        The interactive page.

    Raises:
        MissingError: If chapter 3 has not been run.
    """
    folder, one = Path(folder), explored(profile)
    path = root() / "runs" / profile.name / "03_attribution" / "record.json"
    record = Record.checked(read_json(path), str(path))
    image = read_scan(one.scan.image)
    page = explorer_page(
        image,
        one.graph,
        one.attribution,
        one.scan.phantom().lesions if one.scan.spec else (),
        title=f"Explore {one.scan.name}",
        stage=one.predicted,
        fallback=_picture(image, one),
        alt=f"{one.sentence()} Its nodes are coloured by importance; the book's table lists the first {TOP}.",
    )
    for name, text in ((ABOUT, about(one, record)), (PAGE, page)):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder / PAGE


def _picture(image: np.ndarray, one: Explored) -> str:
    """Return scan and graph as a data URL: a page opened from disk may not show a file beside it."""
    with plots.style():
        drawn = Image.fromarray(overlay(image, one.graph, one.attribution))
    written = io.BytesIO()
    drawn.save(written, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def about(one: Explored, record: Record) -> str:
    """Return what the book shows of a scan as HTML: a sentence, the page in its frame, a table, the record.

    Names come from data, so everything is escaped.
    """
    rows = []
    for node in ranked_nodes(one.graph, one.attribution, TOP):
        parts = "; ".join(f"{name} {value:+.2g}" for name, value in node.features)
        cells = (
            str(node.rank),
            f"{NODES[node.kind]} {node.index}" if node.kind != "faz" else NODES["faz"],
            QUADRANT_WORDS[node.quadrant],
            f"{100 * node.share:.1f} %",
            parts,
        )
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("rank", "node", "where", "share", "contributions (logit)")
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    sentence = html.escape(one.sentence())
    return (
        f"<p>{sentence}</p>\n"
        f'<iframe class="explorer" src="{FRAME}" title="Explorer: {html.escape(one.scan.name)}" '
        'loading="lazy" sandbox="allow-scripts"></iframe>\n'
        f'<div class="explorer-table" tabindex="0" role="region" aria-label="The most important nodes">'
        f'<table class="table"><caption>The {len(rows)} most important nodes</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
        f"{record._repr_html_()}\n"
    )
