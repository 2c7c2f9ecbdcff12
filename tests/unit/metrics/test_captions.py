"""Caption scores against pycocoevalcap, the tokens against its tokenizer, the slot F1 by hand."""

from __future__ import annotations

import math
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.errors import GftError, InputError, MissingError
from gftlib.metrics import java_tools
from gftlib.metrics.captions import bleu, mbmr, rouge_l, slot_f1
from gftlib.metrics.intervals import by_group
from gftlib.metrics.ngrams import encode
from gftlib.metrics.ptb import tokenize

WORDS = """
The the an image shows liver kidney left upper-left LL OCT OCT. OCTA. CT. FAZ non-perfusion vessel's patient's
lesion(s) isn't cannot It's we've 3 3.5 12mm 3.5mm 5% 50 % 10-20% 1,000 grade-1/2 and/or T2-weighted X-ray
U.S. e.g. etc. vs. approx. Dr. Fig. 2 (right) [1] "mass" 'mass' mass. Mass. III yes: note; is, -- - 10x10
p<0.05 n=30 ~5 + ... ! ? mm. 12-year-old 2nd 1990s St. a.m. 10:30 #3 w/o mg/dL 37°C o'clock ICA's 50µm
"""

caption = st.lists(st.sampled_from(["a", "b", "c", "the", "liver", "kidney"]), max_size=12).map(" ".join)
corpora = st.lists(st.tuples(caption, st.lists(caption, min_size=1, max_size=3)), min_size=1, max_size=6)


def coco(scorer, candidates: list[str], references: list[list[str]], **options):
    gts = dict(enumerate(references))
    return scorer.compute_score(gts, {i: [c] for i, c in enumerate(candidates)}, **options)


@settings(deadline=None, max_examples=100)
@given(corpora)
def test_bleu_and_rouge_equal_pycocoevalcap(corpus: list[tuple[str, list[str]]]) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    candidates, references = map(list, zip(*corpus, strict=True))
    score, per_item = coco(Bleu(4), candidates, references, verbose=0)
    for n in (1, 2, 3, 4):
        ours = bleu(candidates, references, n=n, tokenized=True)
        assert ours.value == pytest.approx(score[n - 1], abs=1e-12)
        np.testing.assert_allclose(ours.per_item, per_item[n - 1], atol=1e-12)
    score, per_item = coco(Rouge(), candidates, references)
    ours = rouge_l(candidates, references, tokenized=True)
    assert ours.value == pytest.approx(score, abs=1e-12)
    np.testing.assert_allclose(ours.per_item, per_item, atol=1e-12)


def test_known_values() -> None:
    assert bleu(["the liver is very large."], ["The liver is very large"]).value == pytest.approx(1)
    assert rouge_l(["a b c d"], ["a c"]).value == pytest.approx((1 + 1.44) * 0.5 * 1 / (1 + 1.44 * 0.5))
    assert bleu(["a b c d"], ["e f g h"]).value < 1e-3


def test_one_encoding_serves_both_and_a_group_is_a_corpus_of_its_own() -> None:
    candidates = ["a liver lesion on the left", "a large kidney", "the left kidney is large here"]
    references = ["a lesion of the liver on the left", "a large kidney", "the right kidney is large here now"]
    corpus = encode(candidates, references)
    score = bleu(corpus)
    table = by_group(score.statistic, ["ct", "ct", "mr"], resamples=20)
    assert table.cells["ct"].value == bleu(candidates[:2], references[:2]).value
    assert table.cells["ct"].value != pytest.approx(score.per_item[:2].mean())
    assert table.over_items.value == score.value
    assert rouge_l(corpus).value == rouge_l(candidates, references).value


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (
            "The liver (right lobe), 3.5cm, isn't normal.",
            "the liver -lrb- right lobe -rrb- 3.5 cm is n't normal",
        ),
        ("It's a well-defined mass; no sign of PDR.", "it 's a well-defined mass no sign of pdr"),
        ("See Fig. 2, e.g. region A. The FAZ", "see fig. 2 e.g. region a the faz"),
        ("12mm and 50% and/or 1,000", "12mm and 50 % and/or 1,000"),
        ("It cannot be an OCT.", "it can not be an oct."),
        ("“smart” – it’s", "smart it 's"),
        ("", ""),
    ],
)
def test_tokens(text: str, tokens: str) -> None:
    assert tokenize(text) == tokens.split()


def test_tokens_equal_the_ptb_tokenizer_on_made_up_captions() -> None:
    if shutil.which("java") is None:
        pytest.skip("Java is not on PATH")
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    rng, words = random.Random(0), WORDS.split()
    texts = [
        " ".join(rng.choices(words, k=rng.randint(1, 14))) + rng.choice([" eye", ".", "?"])
        for _ in range(800)
    ]
    theirs = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    different = [
        (text, theirs[i][0]) for i, text in enumerate(texts) if " ".join(tokenize(text)) != theirs[i][0]
    ]
    assert different == []


def test_slot_f1_by_hand() -> None:
    slots = {"organ": ["kidney", "left kidney", "liver"], "size": ["large"]}
    score = slot_f1(
        ["Large left kidney", "the liver", "nothing", "enlarged"],
        ["large kidney", "The liver, large", "none", "nil"],
        slots,
    )
    np.testing.assert_allclose(score.per_item, [0.5, 2 / 3, 1, 1])
    assert score.value == pytest.approx(np.mean([0.5, 2 / 3, 1, 1]))
    near = ["A liver, Nearest to the left kidney, large", "a liver, nearest to nothing"]
    assert slot_f1(near[:1], near[1:], slots, {"organ": ", nearest to"}).value == pytest.approx(2 / 3)
    assert slot_f1(near[:1], near[1:], slots).value == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bleu(["a"], []), "1 captions for 0 items"),
        (lambda: rouge_l(["a", "b"], ["a", []]), "item 1 has no reference"),
        (lambda: slot_f1(["a"], [], {"x": ["y"]}), "1 captions for 0 references"),
        (lambda: slot_f1(["a"], ["a"], {"x": []}), r"without: \['x'\]"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


STATISTICS = "10 9 5 3 4 4 2 2 0 0 0 0 0 0 0 0 0 0 0 0 4 6 6", "4 4 2 2 2 2 2 2 0 0 0 0 0 0 0 0 0 0 0 0 1 4 4"


def java_that(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Put a stand-in for Java on PATH, and the files it would need where they are looked for."""
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    for tool in ("meteor", "spice"):
        (folder / tool).mkdir()
    monkeypatch.setattr(java_tools, "_folder", lambda tool, files: folder / tool)


METEOR = f"""
import sys
for line, answer in zip(sys.stdin, {STATISTICS!r}):
    assert line.startswith("SCORE ||| ") and line.count("|||") == 2
    print(answer)
"""


def test_meteor_is_started_once_and_its_statistics_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java_that(monkeypatch, tmp_path, METEOR + "\nopen('../starts', 'a').write('x')")
    score = java_tools.meteor(["one", "two"], ["one", "two"])
    # as the real program answers EVAL for the first, the second (matched whole), and the second twice over
    np.testing.assert_allclose(score.per_item, [0.29996611719680993, 1], rtol=1e-12)
    assert score.statistic(np.array([1, 1])) == 1
    scores = mbmr(["a lesion", "two"], ["a mass", "two"])
    assert (tmp_path / "starts").read_text() == "xx"
    assert list(scores) == ["BLEU-4", "METEOR", "ROUGE-L", "mBMR"]
    first = np.array([0])
    for of in (lambda one: one.value, lambda one: one.per_item[0], lambda one: one.statistic(first)):
        parts = [of(scores[name]) for name in ("BLEU-4", "METEOR", "ROUGE-L")]
        assert of(scores["mBMR"]) == pytest.approx(np.mean(parts))


def test_spice_is_read_from_its_programs_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java_that(
        monkeypatch,
        tmp_path,
        """
import json, sys
asked = json.load(open(sys.argv[4]))
answers = [
    {"image_id": one["image_id"], "scores": {"All": {"f": 1.0 if one["test"] in one["refs"] else None}}}
    for one in reversed(asked)
]
json.dump(answers, open(sys.argv[6], "w"))
""",
    )
    score = java_tools.spice(["A liver.", "x"], [["no", "a liver"], "y"])
    assert score.per_item[0] == 1
    assert math.isnan(score.per_item[1])


def test_a_failing_program_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java_that(monkeypatch, tmp_path, "import sys; sys.exit('out of memory')")
    with pytest.raises(GftError, match="out of memory"):
        java_tools.meteor(["a"], ["a"])


def test_a_short_answer_is_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java_that(monkeypatch, tmp_path, "print('1 2 3')")
    with pytest.raises(GftError, match="METEOR answered 1 lines for 2 captions"):
        java_tools.meteor(["a", "b"], ["a", "b"])


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="METEOR needs Java"):
        mbmr(["a"], ["a"])
    (tmp_path / "java").write_text("#!/bin/sh\n")
    (tmp_path / "java").chmod(0o755)
    with pytest.raises(MissingError, match="SPICE needs missing"):
        java_tools._folder("spice", ["missing.jar"])


@pytest.mark.slow
def test_meteor_equals_pycocoevalcap() -> None:
    if shutil.which("java") is None:
        pytest.skip("Java is not on PATH")
    from pycocoevalcap.meteor.meteor import Meteor

    rng = random.Random(0)
    words = ["the", "a", "mass", "masses", "liver", "hepatic", "of", "is", "shown", "shows", "large", "big"]
    candidates = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(40)]
    references = [
        [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(rng.randint(1, 3))]
        for _ in range(39)
    ]
    references.append([candidates[-1]])
    value, per_item = coco(Meteor(), candidates, references)
    ours = java_tools.meteor(candidates, references, tokenized=True)
    np.testing.assert_allclose(ours.per_item, per_item, atol=1e-12)
    assert ours.value == pytest.approx(value, abs=1e-12)
