from __future__ import annotations

import numpy as np
import pytest

from gftlib.errors import InputError
from gftlib.octa.ceiling import SHOWN_BY, ceiling, named_boxes, named_quadrants
from gftlib.octa.graph import OctaGraph, build_graph
from gftlib.octa.lesion_scores import ANY
from gftlib.octa.ranking import Ranked
from gftlib.phantoms.lesion_masks import Lesion
from gftlib.phantoms.lesions import KINDS

PITCH, SIDE = 152, 1216


@pytest.fixture(scope="module")
def mesh() -> OctaGraph:
    """Eight by eight cells; the middle four are the FAZ, two in the upper left a drop-out."""
    mask = np.zeros((SIDE, SIDE), bool)
    for line in range(PITCH, SIDE, PITCH):
        mask[line - 2 : line + 3] = mask[:, line - 2 : line + 3] = True
    mask[3 * PITCH + 3 : 5 * PITCH - 2, 3 * PITCH + 3 : 5 * PITCH - 2] = False
    mask[PITCH + 3 : 2 * PITCH - 2, PITCH + 3 : 3 * PITCH - 2] = False
    return build_graph(mask)


def nearest(graph: OctaGraph, kind: str, row: float, column: float) -> int:
    places = getattr(graph, f"{kind}_pos")
    return int(np.abs(places - (row * PITCH, column * PITCH)).sum(1).argmin())


def entry(kind: str, index: int, importance: float = 1.0) -> Ranked[str]:
    return Ranked(kind, index, importance, importance)


def test_every_kind_of_lesion_is_shown_by_some_node_type():
    assert set(SHOWN_BY) == {ANY, *KINDS}


def test_quadrants_are_named_by_their_share_of_the_table(mesh):
    upper_left, lower_right = nearest(mesh, "ica", 1.5, 2), nearest(mesh, "ica", 7.5, 7.5)
    table = [entry("ica", upper_left, 0.9), entry("vessel", nearest(mesh, "vessel", 7, 7.5), 0.1)]
    assert named_quadrants(mesh, table) == {"UL"}
    assert named_quadrants(mesh, table, least=0.1) == {"UL", "LR"}
    assert named_quadrants(mesh, table, types=("vessel",)) == {"LR"}
    assert named_quadrants(mesh, [entry("ica", lower_right), entry("faz", 0)]) == {"LR"}
    assert named_quadrants(mesh, [entry("faz", 0)]) == {"UL", "UR", "LL", "LR"}
    assert named_quadrants(mesh, [], types=("ica",)) == set()


def test_boxes_surround_groups_of_neighbours(mesh):
    area = nearest(mesh, "ica", 1.5, 2)
    box = np.array([PITCH + 3, PITCH + 3, 3 * PITCH - 2, 2 * PITCH - 2]) / SIDE
    assert named_boxes(mesh, [entry("ica", area)]) == pytest.approx(box[None], abs=1e-6)
    border, far = nearest(mesh, "vessel", 1, 1.5), nearest(mesh, "ica", 7.5, 7.5)
    boxes = named_boxes(mesh, [entry("vessel", border), entry("ica", far), entry("ica", area)])
    assert len(boxes) == 2
    joined = boxes[boxes[:, 0].argmin()]
    assert joined[1] < box[1] and joined[2:] == pytest.approx(box[2:], abs=1e-6)
    assert named_boxes(mesh, [entry("vessel", border)], types=("ica",)).shape == (0, 4)


def test_a_table_of_the_truth_reaches_the_ceiling_and_another_does_not(mesh):
    lesion = Lesion("capillary non-perfusion", (PITCH, PITCH), np.ones((PITCH, 2 * PITCH), bool))
    flat = {kind: np.zeros(len(getattr(mesh, kind))) for kind in ("vessel", "ica", "faz")}
    right, wrong = ({k: v.copy() for k, v in flat.items()} for _ in range(2))
    right["ica"][nearest(mesh, "ica", 1.5, 2)] = 1.0
    wrong["ica"][nearest(mesh, "ica", 7.5, 7.5)] = 1.0
    rows = {row.kind: row for row in ceiling([mesh, mesh], [right, right], [[lesion], [lesion]], k=1)}
    assert set(rows) == {ANY, "capillary non-perfusion"}
    for row in rows.values():
        assert (row.quadrant_f1, row.recall, row.boxes, row.lesions, row.scans) == (1.0, 1.0, 1.0, 2, 2)
        assert row.all_four_f1 == pytest.approx(2 * 2 / (2 * 2 + 6))
    for row in ceiling([mesh, mesh], [right, wrong], [[lesion], [lesion]], k=1):
        assert (row.quadrant_f1, row.recall) == (0.5, 0.5)
    with pytest.raises(InputError, match="2 graphs, 1 importances"):
        ceiling([mesh, mesh], [right], [[], []])
