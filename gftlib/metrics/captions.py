"""Caption scores: BLEU-4, ROUGE-L, METEOR, their mean mBMR, and a slot F1 that needs no Java.

BiRD, section 4 (evaluation metrics): mBMR = (BLEU-4 + METEOR + ROUGE-L) / 3, per modality. BLEU-4 and ROUGE-L
are those of pycocoevalcap (corpus BLEU with the closest reference length; ROUGE-L with beta 1.2), counted by
compiled kernels; METEOR is pycocoevalcap's own program (`gftlib.metrics.java_tools`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gftlib.errors import InputError
from gftlib.metrics.intervals import Score, ratio_of_sums
from gftlib.metrics.java_tools import meteor
from gftlib.metrics.ngrams import Corpus, References, encode, lcs_ratios, ngram_counts

BETA = 1.2


def bleu(
    candidates: Sequence[str] | Corpus, references: References = (), n: int = 4, tokenized: bool = False
) -> Score:
    """Return corpus BLEU-n, equal to pycocoevalcap's (smoothing terms included).

    Args:
        candidates: One caption an item, or what `encode` returned.
        references: One reference, or several, an item.
        n: Longest n-gram.
        tokenized: As in `split`.

    Raises:
        InputError: As `split`.
    """
    corpus = _corpus(candidates, references, tokenized)
    counts = ngram_counts(corpus, n).astype(float)
    return Score.of(lambda index: float(_bleu(counts[index].sum(axis=0), n)), _bleu(counts, n))


def _corpus(candidates: Sequence[str] | Corpus, references: References, tokenized: bool) -> Corpus:
    return candidates if isinstance(candidates, Corpus) else encode(candidates, references, tokenized)


def _bleu(counts: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return BLEU of counts (..., 2 + 2n): candidate length, reference length, matches, n-grams."""
    length, wanted = counts[..., 0], counts[..., 1]
    # The two small terms are the published scorer's, kept for equality to the last digits.
    precision = (counts[..., 2 : 2 + n] + 1e-15) / (counts[..., 2 + n :] + 1e-9)
    ratio = (length + 1e-15) / (wanted + 1e-9)
    penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    return np.prod(precision, axis=-1) ** (1 / n) * penalty


def rouge_l(
    candidates: Sequence[str] | Corpus, references: References = (), tokenized: bool = False
) -> Score:
    """Return ROUGE-L, equal to pycocoevalcap's: the mean over captions, best precision and best recall.

    Arguments and errors are those of `bleu`.
    """
    corpus = _corpus(candidates, references, tokenized)
    precision, recall = lcs_ratios(corpus).T
    score = np.divide(
        (1 + BETA**2) * precision * recall,
        recall + BETA**2 * precision,
        out=np.zeros(len(precision)),
        where=precision * recall > 0,
    )
    return Score.of(ratio_of_sums(score), score)


def slot_f1(
    candidates: Sequence[str],
    references: Sequence[str],
    slots: Mapping[str, Sequence[str]],
    until: Mapping[str, str] = MappingProxyType({}),
) -> Score:
    """Return the mean F1 of declared slot values (modality, organ, side, ...) named in captions.

    A plain measure of content for machines without Java. It is neither METEOR nor SPICE and must not be
    printed under their names.

    Args:
        candidates: One caption an item.
        references: One reference caption an item.
        slots: For each slot the values that may be named: words or phrases, matched whole, in any case.
        until: For some slots the phrase at which what is said of them ends; they are looked for before it.

    Returns:
        Per item the F1 of the (slot, value) pairs, 1 where neither caption names any; and their mean.

    Raises:
        InputError: If the numbers differ or a slot has no values.
    """
    if len(candidates) != len(references):
        raise InputError(f"{len(candidates)} captions for {len(references)} references")
    if empty := [slot for slot, values in slots.items() if not values] or not slots:
        raise InputError(f"every slot needs values; without: {empty}")
    patterns = {slot: _alternatives(values) for slot, values in slots.items()}

    def named(text: str) -> set[tuple[str, str]]:
        return {
            (slot, found.lower())
            for slot, pattern in patterns.items()
            for found in pattern.findall(_before(text, until.get(slot, "")))
        }

    pairs = [(named(a), named(b)) for a, b in zip(candidates, references, strict=True)]
    f1 = np.array([2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0 for a, b in pairs])
    return Score.of(ratio_of_sums(f1), f1)


def _before(text: str, phrase: str) -> str:
    return re.split(re.escape(phrase), text, maxsplit=1, flags=re.IGNORECASE)[0] if phrase else text


def _alternatives(values: Sequence[str]) -> re.Pattern[str]:
    # Longest first, so that "left kidney" is not read as "left".
    ordered = sorted(values, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ordered))})(?!\w)", re.IGNORECASE)


def mbmr(candidates: Sequence[str], references: References) -> dict[str, Score]:
    """Return BLEU-4, METEOR, ROUGE-L and their mean mBMR.

    Args:
        candidates: One caption an item.
        references: One reference, or several, an item.

    Raises:
        InputError: As `split`.
        MissingError: If Java or METEOR's files are not there: there is no mBMR without METEOR.
    """
    corpus = encode(candidates, references)
    parts = {"BLEU-4": bleu(corpus), "METEOR": meteor(candidates, references), "ROUGE-L": rouge_l(corpus)}

    def mean(index: NDArray[np.intp]) -> float:
        return sum(part.statistic(index) for part in parts.values()) / len(parts)

    return parts | {"mBMR": Score.of(mean, np.mean([part.per_item for part in parts.values()], axis=0))}
