"""What a perfect table would teach: the drawn lesions as findings, in the words of the same teacher."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gftlib.dialogue.scoring import TrueLesion
from gftlib.errors import InputError
from gftlib.octa.findings import MOST
from gftlib.oracle_lessons import true_findings

GRAPH = SimpleNamespace(shape=(100, 200), faz_pos=np.array([[50.0, 100.0]]), pixel_mm=0.01)
SMALL = TrueLesion("microaneurysm", ("UL",), (0.1, 0.1, 0.12, 0.12))
LARGE = TrueLesion("capillary non-perfusion", ("LR",), (0.6, 0.6, 0.9, 0.9))


def test_lesions_become_findings_the_largest_first():
    first, second = true_findings(GRAPH, [SMALL, LARGE])
    assert (first.id, first.kind, first.quadrants, first.box) == ("F1", "non-perfusion", ("LR",), LARGE.box)
    assert (second.kind, second.quadrants) == ("dilated vessels", ("UL",))
    # the middle of the box, in the frame of the image
    assert (first.place.quadrant, first.place.x, first.place.y) == ("LR", 0.75, 0.75)
    assert second.place.clock in (10, 11)


def test_no_more_of_a_kind_than_a_table_states():
    found = true_findings(GRAPH, [SMALL] * (MOST + 3) + [LARGE])
    assert [one.kind for one in found].count("dilated vessels") == MOST
    assert len(found) == MOST + 1


def test_a_lesion_of_no_kind_is_refused():
    with pytest.raises(InputError, match="no finding claims"):
        true_findings(GRAPH, [TrueLesion("hole", ("UL",), (0, 0, 1, 1))])
