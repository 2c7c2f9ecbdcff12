"""OCTA phantoms with exact truth: scans like the deep vascular complex, and everything that is in them.

A phantom is a 304x304 8-bit scan with a 1216x1216 vessel label, the vessel graph that was drawn, the mask of
the foveal avascular zone (FAZ) and the lesions (GFT, sections 2.2 and 3, describe the data these stand in
for).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gftlib.errors import GftError
from gftlib.phantoms.assembly import bend, planarised
from gftlib.phantoms.bending import Bend
from gftlib.phantoms.calibre import bead, swell
from gftlib.phantoms.capillaries import cell_walls, seed_cells
from gftlib.phantoms.laying import lay_trees
from gftlib.phantoms.lesion_masks import Lesion, brighten, fill_outline, lesion_masks
from gftlib.phantoms.lesions import plan_changes, plan_lesions, remove_capillaries
from gftlib.phantoms.octa_cohort import ScanSpec, cohort
from gftlib.phantoms.octa_config import GENERATOR_VERSION, SIZE, OctaConfig
from gftlib.phantoms.octa_rendering import render
from gftlib.phantoms.planar import CAPILLARY, SHUNT, TUFT, PlanarGraph
from gftlib.phantoms.settling import background, settle
from gftlib.phantoms.strokes import Strokes
from gftlib.phantoms.truth import VesselGraph
from gftlib.phantoms.vasculature import Outline, faz_outline, grow_trees

__all__ = ["GENERATOR_VERSION", "OctaConfig", "OctaPhantom", "ScanSpec", "cohort", "generate"]

ATTEMPTS = 6


@dataclass(frozen=True)
class OctaPhantom:
    """A scan and the truth about it.

    Attributes:
        spec: Who, which eye, which device, which seeds.
        image: (304, 304) uint8.
        label: (1216, 1216) bool, vessels.
        faz: (1216, 1216) bool, the FAZ region of the label.
        graph: The drawn vessel graph.
        lesions: What is there to find.
    """

    spec: ScanSpec
    image: np.ndarray
    label: np.ndarray
    faz: np.ndarray
    graph: VesselGraph
    lesions: tuple[Lesion, ...]

    @property
    def ica_count(self) -> int:
        """Number of intercapillary areas: faces of the graph with the frame, without the FAZ."""
        return self.graph.faces() - 1


def generate(spec: ScanSpec, config: OctaConfig | None = None) -> OctaPhantom:
    """Make one phantom; the same spec and configuration give the same bytes.

    Args:
        spec: Subject, eye, device, stage, severity and seeds.
        config: Generator settings; default those of this version.

    Returns:
        The phantom.

    Raises:
        InputError: If the spec is out of range.
        GftError: If no consistent vessel bed was found for the seed (not seen in tests).
    """
    spec.check()
    config = config or OctaConfig()
    for attempt in range(ATTEMPTS):
        phantom = _try(spec, config, attempt)
        if phantom is not None:
            return phantom
    raise GftError(f"scan {spec.scan_id}: no consistent vessel bed in {ATTEMPTS} attempts; change its seed")


def _try(spec: ScanSpec, config: OctaConfig, attempt: int) -> OctaPhantom | None:
    rng = np.random.default_rng([spec.anatomy_seed, attempt])
    scan_rng = np.random.default_rng([spec.scan_seed, attempt])
    anatomy = config.anatomy
    healthy = faz_outline(anatomy, rng)
    plan = plan_lesions(config.lesions, spec.severity, spec.stage, healthy, rng)
    graph = _healthy_bed(config, healthy, plan.tufts, rng)
    ripples = remove_capillaries(graph, plan, rng)
    graph.space_branches(anatomy.branch_spacing, rng)
    graph.open_angles(np.deg2rad(anatomy.least_angle), graph.radius)
    graph.prune()
    graph.keep_largest()
    # The ring of capillaries round the FAZ is closed in most eyes.
    rim = ((plan.faz or healthy).ratio(graph.points) < 1.22)[graph.edges].all(axis=1)
    graph.sprout(anatomy.sprouts, rim, rng)
    changes, waves = plan_changes(graph, plan, rng)
    warp = Bend.draw(anatomy.warp, rng)
    warp.ripples = ripples + waves
    warp.angle, warp.shift = np.deg2rad(scan_rng.normal(0, 1.5)), scan_rng.normal(0, 8, 2).clip(-20, 20)
    strokes = bend(graph, _brightness(graph, rng), warp)
    bead(strokes, changes, warp, rng)
    bulges = swell(strokes, config.lesions, plan, warp, rng)
    drawn = settle(strokes, anatomy.junction_spacing, np.deg2rad(anatomy.least_angle))
    if drawn is None:
        return None
    label, light = drawn
    faz = _faz_region(label, fill_outline(warp(healthy.points(0.7))))
    brighten(light, bulges)
    lesions = lesion_masks(strokes, plan, changes, bulges, warp, faz, healthy, label)
    return _finish(spec, config, strokes, (label > 0, light, faz), lesions, scan_rng)


def _healthy_bed(config: OctaConfig, faz: Outline, tufts: list, rng: np.random.Generator) -> PlanarGraph:
    """Grow trees and mesh of the healthy eye, straight, with radii."""
    anatomy = config.anatomy
    trees = grow_trees(anatomy, faz, rng)
    graph = cell_walls(anatomy, faz, seed_cells(anatomy, faz, trees, tufts, rng))
    lay_trees(graph, trees, anatomy, rng)
    graph.straighten_trees()
    fixed = faz.ratio(graph.points) < 1.1
    fixed[graph.edges[graph.in_tree()]] = True
    graph.relax(fixed, 2, 0.4)
    graph.contract(10.0)
    graph.uncross()
    graph.contract(9.0)
    thin = graph.kind == CAPILLARY
    spread = rng.normal(0, anatomy.capillary_radius_sigma, thin.sum()).clip(-0.3, 0.3)
    graph.radius[thin] = anatomy.capillary_radius * np.exp(spread)
    return graph


def _brightness(graph: PlanarGraph, rng: np.random.Generator) -> np.ndarray:
    """Return each edge's brightness: decorrelation grows with flow and saturates in the larger vessels."""
    level = 0.34 + 0.055 * (graph.radius - 2.5)
    level = np.where(graph.in_tree(), 0.52 + 0.040 * (graph.radius - 3), level)
    level = np.where(graph.kind == SHUNT, 0.62, np.where(graph.kind == TUFT, 0.90, level))
    spread = rng.normal(0, np.where(graph.in_tree(), 0.06, 0.34)).clip(-0.8, 0.55)
    return np.clip(level * np.exp(spread), 0.10, 0.92)


def _faz_region(label: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Return the region of the label's background that fills most of the FAZ's core."""
    labels = background(label)[0]
    inside = labels[core]
    return labels == np.bincount(inside[inside > 0]).argmax()


def _finish(
    spec: ScanSpec,
    config: OctaConfig,
    strokes: Strokes,
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
    lesions: list[Lesion],
    rng: np.random.Generator,
) -> OctaPhantom:
    """Mirror a left eye, then render; everything before is a right eye (nasal is right)."""
    label, light, faz = drawn
    graph = planarised(strokes)
    strokes.keep(strokes.firm())
    large = strokes.mask()
    if spec.eye == "OS":
        label, light, faz, large = (np.ascontiguousarray(a[:, ::-1]) for a in (label, light, faz, large))
        graph = graph.mirrored(SIZE)
        lesions = [lesion.mirrored() for lesion in lesions]
    look = {"a": config.look_a, "b": config.look_b}[spec.look]
    image = render(light, label, large, look, rng)
    return OctaPhantom(spec, image, label, faz, graph, tuple(lesions))
