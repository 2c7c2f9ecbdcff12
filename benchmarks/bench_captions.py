"""BLEU-4 and ROUGE-L against pycocoevalcap, on captions of the length of a medical description."""

from __future__ import annotations

import random
import shutil

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from benchmarks._timing import interleaved
from gftlib.metrics.captions import bleu, rouge_l
from gftlib.metrics.ngrams import encode

WORDS = 400
PAIRS = 1000


def _captions(seed: int) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    vocabulary = ["the", "of", "a", "is", "in", *(f"word{i}" for i in range(WORDS))]
    references = [rng.choices(vocabulary, k=rng.randint(28, 46)) for _ in range(PAIRS)]
    candidates = [[rng.choice(vocabulary) if rng.random() < 0.2 else word for word in r] for r in references]
    return [" ".join(c) for c in candidates], [" ".join(r) for r in references]


def _ours(candidates: list[str], references: list[str], tokenized: bool) -> tuple[float, float]:
    corpus = encode(candidates, references, tokenized=tokenized)
    return bleu(corpus).value, rouge_l(corpus).value


def _coco(candidates: dict[int, list[str]], references: dict[int, list[str]]) -> tuple[float, float]:
    score = Bleu(4).compute_score(references, candidates, verbose=0)[0][3]
    return score, float(Rouge().compute_score(references, candidates)[0])


def _coco_from_text(candidates: list[str], references: list[str]) -> tuple[float, float]:
    cut = PTBTokenizer().tokenize
    return _coco(
        *(cut({i: [{"caption": c}] for i, c in enumerate(side)}) for side in (candidates, references))
    )


def rows() -> list[dict[str, object]]:
    """Time both scores on tokens, and from text where Java is there."""
    candidates, references = _captions(0)
    tokens = {i: [c] for i, c in enumerate(candidates)}, {i: [r] for i, r in enumerate(references)}
    mine, theirs = _ours(candidates, references, True), _coco(*tokens)
    if max(abs(a - b) for a, b in zip(mine, theirs, strict=True)) > 1e-9:
        raise SystemExit("the scores differ")
    times = interleaved(lambda: _ours(candidates, references, True), lambda: _coco(*tokens))
    name = f"BLEU-4 and ROUGE-L, {PAIRS} pairs"
    out = [{"name": f"{name}, from tokens", "target": 12, "note": "peer: pycocoevalcap", **times}]
    if shutil.which("java"):
        times = interleaved(
            lambda: _ours(candidates, references, False),
            lambda: _coco_from_text(candidates, references),
            repeats=3,
        )
        out.append(
            {"name": f"{name}, from text", "target": None, "note": "peer: with its Java tokeniser", **times}
        )
    return out
