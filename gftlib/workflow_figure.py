"""The order of work as a picture, from what Snakemake says of its own jobs (``snakemake --dag``)."""

from __future__ import annotations

import re
from html import escape

import networkx as nx

from gftlib.errors import InputError

WIDTH, HEIGHT, GAP, COLUMN = 190, 34, 22, 220
FILLS = {"notebook": "#e3eefb", "octa_cohort": "#fbe9df", "": "#f0f0f0"}
WORDS = {
    "octa_cohort": "grow the OCTA cohort",
    "explorer": "draw the explorer",
    "stage": "stage the pages",
    "html": "build the book",
}
NAMES = {"bird": "BiRD", "lora": "LoRA", "scale": "SCALE"}
STYLE = "font-family='system-ui, sans-serif' font-size='14'"


def read_jobs(dot: str) -> nx.DiGraph:
    """Return Snakemake's jobs, an edge from each to those that need it; what follows from others is left out.

    Args:
        dot: What ``snakemake --dag`` prints.

    Raises:
        InputError: If there is no job in it.
    """
    graph = nx.DiGraph()
    for number, label in re.findall(r'(\d+)\[label = "([^"]*)"', dot):
        rule, _, wildcards = label.partition("\\n")
        graph.add_node(number, rule=rule, words=_words(rule, wildcards))
    graph.add_edges_from(re.findall(r"(\d+) -> (\d+)", dot))
    if not graph:
        raise InputError("no job found: give the output of `snakemake book --dag --forceall`")
    graph.remove_nodes_from([node for node, rule in graph.nodes(data="rule") if rule == "book"])
    reduced = nx.transitive_reduction(graph)
    reduced.add_nodes_from(graph.nodes(data=True))
    return reduced


def _words(rule: str, wildcards: str) -> str:
    if rule != "notebook":
        return WORDS.get(rule, rule.replace("_", " "))
    number, _, name = wildcards.rpartition(" ")[2].partition("_")
    return f"{number.lstrip('0')} " + " ".join(NAMES.get(word, word) for word in name.split("_"))


def draw_workflow(dot: str) -> str:
    """Return an SVG of the jobs: what depends on each other in one column, the book under all.

    Args:
        dot: What ``snakemake --dag`` prints.
    """
    graph = read_jobs(dot)
    last = [node for node, rule in graph.nodes(data="rule") if rule in ("stage", "html")]
    above = graph.subgraph(set(graph) - set(last))
    columns = sorted(
        nx.weakly_connected_components(above), key=lambda part: (-len(part), min(map(int, part)))
    )
    place: dict[str, tuple[int, int]] = {}
    depth = [0, 0]
    for number, part in enumerate(columns):
        column = min(number, 1)
        for node in nx.lexicographical_topological_sort(above.subgraph(part), key=int):
            place[node] = (column * COLUMN + 20, depth[column])
            depth[column] += HEIGHT + GAP
        depth[column] += GAP
    bus = max(depth) - GAP
    for step, node in enumerate(nx.topological_sort(graph.subgraph(last))):
        place[node] = (COLUMN // 2 + 20, bus + GAP + step * (HEIGHT + GAP))
    arrows = [
        _arrow(place[a], place[b], bus)
        for a, b in sorted(graph.edges, key=lambda edge: tuple(map(int, edge)))
    ]
    boxes = [_box(*place[node], graph.nodes[node]) for node in sorted(graph, key=int)]
    size = f"{2 * COLUMN + 10} {max(y for _, y in place.values()) + HEIGHT + 20}"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 -10 {size}' role='img' {STYLE}>"
    tip = "viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' orient='auto'"
    defs = f"<defs><marker id='tip' {tip}><path d='M0 0 10 5 0 10z' fill='#555'/></marker></defs>"
    return "\n".join(
        [
            head,
            "<title>Order of work</title>",
            defs,
            "<rect y='-10' width='100%' height='100%' fill='#fff'/>",
            *arrows,
            *boxes,
            "</svg>\n",
        ]
    )


def _box(x: int, y: int, job: dict[str, str]) -> str:
    fill = FILLS.get(job["rule"], FILLS[""])
    return (
        f"<rect x='{x}' y='{y}' width='{WIDTH}' height='{HEIGHT}' rx='7' fill='{fill}' stroke='#888'/>"
        f"<text x='{x + WIDTH // 2}' y='{y + 22}' text-anchor='middle'>{escape(job['words'])}</text>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], bus: int) -> str:
    """Return a line from a box to the next; what ends a column goes round others, to the book below."""
    (x, y), (to_x, to_y) = start, end
    middle, bottom = x + WIDTH // 2, y + HEIGHT
    if x == to_x and to_y - bottom == GAP:
        path = f"M{middle} {bottom}V{to_y}"
    elif x == to_x:
        path = f"M{x} {y + HEIGHT // 2}h-12V{to_y + HEIGHT // 2}h12"
    else:
        right = x + WIDTH
        path = f"M{right} {y + HEIGHT // 2}h8V{bus}H{to_x + WIDTH // 2}V{to_y}"
    return f"<path d='{path}' fill='none' stroke='#555' stroke-width='1.5' marker-end='url(#tip)'/>"
