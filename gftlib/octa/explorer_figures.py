"""One scan to explore in a browser: its graph in layers that can be switched, its nodes under the pointer.

The page is one HTML file without any outside request: BokehJS draws it, and all numbers are in it. Colour is
importance by integrated gradients (GFT, section 2.3), on the scale of `gftlib.octa.heatmaps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    HoverTool,
    LinearColorMapper,
    LinearInterpolator,
    PanTool,
    Range1d,
    ResetTool,
    ScaleBar,
    TapTool,
    WheelZoomTool,
    ZoomInTool,
    ZoomOutTool,
)
from bokeh.plotting import figure
from bokeh.resources import Resources
from bokeh.transform import transform

from gftlib import plots
from gftlib.octa.attribution import Attribution
from gftlib.octa.explaining import node_positions
from gftlib.octa.explorer_sources import NODES, STEPS, UM, drawn, node_sources, outline, palette, scale_top
from gftlib.octa.graph import OctaGraph
from gftlib.octa.ranking import edge_importance, node_importance
from gftlib.phantoms.lesion_masks import Lesion

TEMPLATE = Path(__file__).with_name("explorer.html.jinja")
EDGES = 200
"""Edges drawn, the most important ones."""
LAYERS = {
    "scan": ("scan", True),
    "vessel": ("vessel segments", True),
    "ica": ("intercapillary areas", True),
    "faz": ("FAZ", True),
    "edges": (f"the {EDGES} most important edges", False),
    "lesions": ("lesions that were drawn", False),
}
"""Layers in words, and whether they are seen at first."""
TOOLBAR = """:host(.bk-inner) { background: #000a; --bokeh-icon-color: #fff; opacity: 1; margin-left: auto;
 width: 150px !important; }"""


def explorer_page(
    image: np.ndarray,
    graph: OctaGraph,
    attribution: Attribution,
    lesions: Sequence[Lesion] = (),
    *,
    title: str,
    stage: str,
    fallback: str,
    alt: str,
) -> str:
    """Return the whole page as HTML.

    Args:
        image: (h, w) scan, uint8 or floats in [0, 1].
        graph: Its graph.
        attribution: Of this graph.
        lesions: What was drawn into a phantom.
        title: Of the page.
        stage: The predicted stage, whose logit is attributed.
        fallback: Address of an image, seen until the page is drawn, or where no script runs.
        alt: What that image shows.

    Raises:
        InputError: If the attribution is of another graph.
    """
    document = _document(image, graph, attribution, lesions)
    drawn = {renderer.name for renderer in document.roots[0].renderers}
    top = scale_top(node_importance(attribution))
    return file_html(
        document,
        Resources(mode="inline"),
        title,
        template=TEMPLATE.read_text(encoding="utf-8"),
        template_variables={
            "layers": [(name, *LAYERS[name]) for name in LAYERS if name in drawn],
            "lesions": {one.kind: plots.LESIONS[one.kind] for one in lesions},
            "colours": palette()[:: (STEPS - 1) // 5],
            "ticks": ("0", f"{top / 4:.1g}", f"{top:.1g} and more"),
            "stage": stage,
            "fallback": fallback,
            "alt": alt,
        },
    )


def _document(
    image: np.ndarray, graph: OctaGraph, attribution: Attribution, lesions: Sequence[Lesion]
) -> Document:
    sources = node_sources(graph, attribution)
    width, height = UM * graph.field_mm, UM * graph.pixel_mm * graph.shape[0]
    plot = figure(
        tools="",
        x_range=Range1d(0, width, bounds=(0, width)),
        y_range=Range1d(0, height, bounds=(0, height)),
        sizing_mode="scale_width",
        aspect_ratio=width / height,
        toolbar_inner=True,
        toolbar_location="above",
        min_border=0,
        outline_line_color=None,
        background_fill_color="black",
    )
    plot.toolbar.logo = None
    plot.toolbar.stylesheets = [TOOLBAR]
    plot.axis.visible = plot.grid.visible = False
    grey = np.asarray(image)[::-1]
    grey = grey if grey.dtype == np.uint8 else np.round(255 * grey).astype(np.uint8)
    # Ends far above white, so that colours on the scan can be told apart.
    dim = LinearColorMapper("Greys256", low=0, high=425)
    plot.image([grey], 0, 0, width, height, color_mapper=dim, name="scan")
    _draw_nodes(plot, sources)
    _draw_edges(plot, graph, attribution)
    _draw_lesions(plot, graph, lesions)
    for renderer in plot.renderers:
        renderer.visible = LAYERS[renderer.name][1]
    _add_tools(plot)
    document = Document()
    document.add_root(plot)
    ready = CustomJS(args={"layers": plot.renderers}, code="connectLayers(layers)")
    document.js_on_event(DocumentReady, ready)
    return document


def _draw_nodes(plot: figure, sources: Mapping[str, ColumnDataSource]) -> None:
    colour = transform("scale", LinearColorMapper(palette(), low=0, high=STEPS - 1))
    wide = transform("scale", LinearInterpolator(x=[0, STEPS - 1], y=[0.8, 4]))
    opaque = transform("scale", LinearInterpolator(x=[0, STEPS - 1], y=[0.05, 0.8]))
    lit = {"hover_line_color": "white", "hover_line_alpha": 1.0}
    for kind, source in sources.items():
        if kind == "vessel":
            look = {"line_color": colour, "line_width": wide, "hover_line_width": 4}
            plot.multi_line("xs", "ys", source=source, name=kind, **look, **lit)
        else:
            look = {"fill_color": colour, "fill_alpha": opaque, "line_color": colour, "line_alpha": 0.6}
            lit_area = {"hover_fill_color": colour, "hover_fill_alpha": opaque, "hover_line_width": 2}
            plot.patches("xs", "ys", source=source, name=kind, line_width=0.5, **look, **lit, **lit_area)


def _draw_edges(plot: figure, graph: OctaGraph, attribution: Attribution) -> None:
    places, ends, values = node_positions(graph), [], []
    for relation, importance in edge_importance(attribution, graph.edges).items():
        source, name, target = relation
        a, b = graph.edges[relation]
        # Reverse relations repeat the pairs of their forward ones; within a type each pair is there twice.
        once = a < b if source == target else np.full(len(a), not name.startswith("rev_"))
        ends.append(np.stack([places[source][a[once]], places[target][b[once]]], axis=1))
        values.append(importance[once])
    if not values:
        return
    strongest = np.argsort(-np.concatenate(values), kind="stable")[:EDGES]
    lines = drawn(list(np.concatenate(ends)[strongest]), graph)
    plot.multi_line(
        "xs", "ys", source=ColumnDataSource(lines), name="edges", line_color="#56B4E9", line_width=2
    )


def _draw_lesions(plot: figure, graph: OctaGraph, lesions: Sequence[Lesion]) -> None:
    if not lesions:
        return
    outlines = [outline(lesion.crop, lesion.corner) for lesion in lesions]
    columns = drawn(outlines, graph) | {"colour": [plots.LESIONS[lesion.kind] for lesion in lesions]}
    look = {"fill_color": "colour", "fill_alpha": 0.3, "line_color": "colour", "line_width": 2.5}
    plot.patches("xs", "ys", source=ColumnDataSource(columns), name="lesions", **look)


def _add_tools(plot: figure) -> None:
    nodes = [renderer for renderer in plot.renderers if renderer.name in NODES]
    show = CustomJS(code="showNode(cb_data.source ?? cb_data.renderer.data_source)")
    hover = HoverTool(renderers=nodes, tooltips=None, callback=show, visible=False)
    tap = TapTool(renderers=nodes, behavior="inspect", callback=show, visible=False)
    pan, wheel = PanTool(), WheelZoomTool(modifiers="ctrl", visible=False)
    plot.add_tools(hover, tap, wheel, pan, ZoomInTool(), ZoomOutTool(), ResetTool())
    plot.toolbar.active_drag = None
    # A finger on the whole scan scrolls the page; on an enlarged one it moves the scan.
    follow = CustomJS(
        args={"pan": pan, "range": plot.x_range, "whole": plot.x_range.end},
        code="pan.active = range.end - range.start < 0.999 * whole",
    )
    plot.x_range.js_on_change("start", follow)
    plot.x_range.js_on_change("end", follow)
    white = {"bar_line_color": "white", "label_text_color": "white"}
    plain = {"background_fill_color": None, "border_line_color": None}
    plot.add_layout(ScaleBar(range=plot.x_range, unit="µm", location="bottom_left", **white, **plain))
