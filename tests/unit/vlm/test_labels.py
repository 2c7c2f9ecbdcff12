from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from gftlib.errors import InputError
from gftlib.vlm.labels import compare_rules, label_scores, parse_label

READINGS = [
    ("healthy", 0, 0),
    ("NPDR.", 1, 1),
    ("**PDR**", 2, 2),
    ("The retina is Healthy: there are no signs of diabetic retinopathy.", 0, 0),
    ("There are no signs of PDR or NPDR; the retina is healthy.", 0, 2),
    ("No signs of PDR, the retina is healthy.", 0, 2),
    ("The scan is healthy, without the pattern of diabetic retinopathy.", 0, 0),
    ("The scan shows non-proliferative diabetic retinopathy (NPDR).", 1, 1),
    ("This is nonproliferative diabetic retinopathy.", 1, None),
    ("This is non‑proliferative diabetic retinopathy.", 1, 2),
    ("The findings fit proliferative diabetic retinopathy (PDR), supported by a tangle.", 2, 2),
    ("Not PDR but NPDR.", 1, 2),
    ("NPDR rather than PDR.", 1, 1),
    ("NPDR, not PDR", 1, 1),
    ("NPDR without proliferative changes.", 1, 1),
    ("PDR is unlikely; this is NPDR.", 1, 2),
    ("PDR (proliferative diabetic retinopathy) can be ruled out. The eye is healthy.", 0, 2),
    ("It is larger than in a healthy eye: PDR.", 2, 0),
    ("Compared with a healthy eye the FAZ is enlarged, which supports NPDR.", 1, 0),
    ("The healthy vessels of the upper half are spared. Stage: PDR", 2, 0),
    ("NPDR, which may progress to PDR.", 1, 1),
    ("There is no diabetic retinopathy.", 0, None),
    ("No diabetic retinopathy is seen.", 0, None),
    ("Neither NPDR nor PDR.", 0, 1),
    ("No tangles, bulges or other signs of PDR. Capillaries closed: NPDR.", 1, 2),
    ("No, the retina is healthy.", 0, 0),
    ("No the retina is healthy.", 0, 0),
    ("The retina isn't healthy, and there is no PDR.", 1, 0),
    ("The eye is not healthy: it is PDR.", 2, 0),
    ("There is no doubt that this is PDR.", 2, 2),
    ("Unhealthy.", None, None),
    ("Diagnosis: NPDR. PDR shows tangles.", 1, 1),
    ("Yes, proliferative diabetic retinopathy (PDR).", 2, 2),
    ("The disease is proliferative.", 2, None),
    ("Healthy, NPDR or PDR", None, 0),
    ("It could be NPDR. It could be PDR.", None, 1),
    ("No PDR.", None, 2),
    ("NPDR; PDR cannot be ruled out.", 1, 1),
    ("This is NPDR. I cannot exclude PDR.", 1, 1),
    ("PDR: none. NPDR: none.", 0, 2),
    ("NPDR. Absent flow in the upper left quadrant.", 1, 1),
    ("NPDR is absent and so is PDR.", 0, 1),
    ("No flow in the upper half suggests NPDR.", 1, 1),
    ("Absence of capillary flow, indicating PDR.", 2, 2),
    ("No sign suggests PDR; NPDR.", 1, 2),
    ("I cannot tell.", None, None),
    ("", None, None),
    ("Diabetic retinopathy.", None, None),
    ("nPDRs and unhealthyish", None, None),
]


@pytest.mark.parametrize(("text", "label", "first"), READINGS)
def test_both_rules_read_an_answer(text: str, label: int | None, first: int | None) -> None:
    assert parse_label(text) == label
    assert parse_label(text, "first") == first


@given(st.text(max_size=60), st.sampled_from(["negation", "first"]))
@settings(deadline=None, max_examples=60)
def test_any_text_is_read(text: str, rule: str) -> None:
    assert parse_label(text, rule) in (None, 0, 1, 2)


def test_answers_without_a_stage_count_as_wrong() -> None:
    truth = [0, 0, 1, 1, 2, 2]
    found = label_scores(truth, ["healthy", "?", "NPDR", "PDR", "PDR", "PDR"])
    assert found.unparsable == 1
    assert found.labels == (0, None, 1, 2, 2, 2)
    assert found.scores.balanced_accuracy == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert found.scores.accuracy == pytest.approx(4 / 6)
    np.testing.assert_allclose(found.scores.precision, [1, 1, 2 / 3])
    np.testing.assert_allclose(found.scores.recall, [0.5, 0.5, 1])
    assert found.scores.support.tolist() == [2, 2, 2]


def test_stages_of_disease_are_pooled() -> None:
    found = label_scores([0, 1, 2, 2], ["healthy", "PDR", "NPDR", "healthy"], pooled=True)
    np.testing.assert_allclose(found.scores.recall, [1, 2 / 3])
    np.testing.assert_allclose(found.scores.precision, [0.5, 1])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=12))
@settings(deadline=None, max_examples=20)
def test_plain_answers_give_the_library_s_number(rows: list[tuple[int, int]]) -> None:
    truth, said = zip(*rows, strict=True)
    texts = [("healthy", "NPDR", "PDR")[stage] for stage in said]
    expected = np.mean([np.mean([s == c for t, s in rows if t == c]) for c in set(truth)])
    assert label_scores(truth, texts).scores.balanced_accuracy == pytest.approx(expected)
    if set(said) <= set(truth) and len(set(truth)) > 1:
        assert expected == pytest.approx(balanced_accuracy_score(truth, said))


def test_the_rules_are_compared_on_the_same_answers() -> None:
    found = compare_rules([0, 1], ["No signs of PDR, healthy.", "NPDR"])
    assert found.differ == (0,)
    assert found.gain == pytest.approx(0.5)
    assert (found.negation.rule, found.first.rule) == ("negation", "first")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: label_scores([0], []), "1 stages for 0 answers"),
        (lambda: label_scores([3], ["x"]), "none of 0 healthy"),
        (lambda: label_scores([], []), "nothing to score"),
        (lambda: parse_label("x", "last"), "no rule 'last'"),
    ],
)
def test_bad_input_says_what_is_wrong(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
