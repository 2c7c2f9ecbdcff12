"""Captions as token ids, and the counts that scores need: shared n-grams and common subsequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from gftlib.errors import InputError
from gftlib.metrics.ptb import tokenize

References = Sequence[str | Sequence[str]]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Corpus:
    """Captions as numbers: token ids of all candidates and of all references, one after the other."""

    candidates: Ints
    candidate_ends: Ints
    references: Ints
    reference_ends: Ints
    item_ends: Ints

    @property
    def arrays(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """All five, for compiled code."""
        return self.candidates, self.candidate_ends, self.references, self.reference_ends, self.item_ends


def split(candidates: Sequence[str], references: References, tokenized: bool) -> list[tuple[list[str], ...]]:
    """Return, for each item, the tokens of its candidate followed by those of each of its references.

    Args:
        candidates: One caption an item.
        references: One reference, or several, an item.
        tokenized: Captions are already tokens with blanks between; otherwise `gftlib.metrics.ptb.tokenize`.

    Raises:
        InputError: If the numbers differ or an item has no reference.
    """
    if len(candidates) != len(references):
        raise InputError(f"{len(candidates)} captions for {len(references)} items with references")
    cut = str.split if tokenized else tokenize
    items = []
    for i, (candidate, wanted) in enumerate(zip(candidates, references, strict=True)):
        wanted = [wanted] if isinstance(wanted, str) else wanted
        if not len(wanted):
            raise InputError(f"item {i} has no reference caption")
        items.append((cut(candidate), *map(cut, wanted)))
    return items


def encode(candidates: Sequence[str], references: References, tokenized: bool = False) -> Corpus:
    """Return captions as token ids, so that several scores share the tokenising; arguments as `split`."""
    vocabulary: dict[str, int] = {}
    sides: tuple[list[int], list[int]] = ([], [])
    ends: tuple[list[int], list[int], list[int]] = ([0], [0], [0])
    for candidate, *wanted in split(candidates, references, tokenized):
        for side, captions in enumerate(([candidate], wanted)):
            for tokens in captions:
                sides[side].extend([vocabulary.setdefault(token, len(vocabulary)) for token in tokens])
                ends[side].append(len(sides[side]))
        ends[2].append(len(ends[1]) - 1)
    one, two = (np.array(side, dtype=np.int32) for side in sides)
    first, second, third = (np.array(end, dtype=np.int32) for end in ends)
    return Corpus(one, first, two, second, third)


def ngram_counts(corpus: Corpus, n: int = 4) -> NDArray[np.int64]:
    """Return (items, 2 + 2n): candidate and closest reference length, n clipped matches, n n-gram counts."""
    return _ngrams(*corpus.arrays, n)


@numba.njit(cache=True)
def _ngrams(
    candidates: Ints, candidate_ends: Ints, references: Ints, reference_ends: Ints, item_ends: Ints, n: int
) -> NDArray[np.int64]:
    """Return per item: candidate length, closest reference length, n matches, n n-gram counts."""
    out = np.zeros((len(item_ends) - 1, 2 + 2 * n), dtype=np.int64)
    for item in range(len(out)):
        mine = candidates[candidate_ends[item] : candidate_ends[item + 1]]
        size = len(mine)
        best, nearest = np.zeros((n, size), dtype=np.int64), -1
        for r in range(item_ends[item], item_ends[item + 1]):
            theirs = references[reference_ends[r] : reference_ends[r + 1]]
            best = np.maximum(best, _occurrences(mine, theirs, n)[0])
            gap = abs(len(theirs) - size)
            if nearest < 0 or (gap, len(theirs)) < (abs(nearest - size), nearest):
                nearest = len(theirs)
        own, first = _occurrences(mine, mine, n)
        out[item, 0], out[item, 1] = size, nearest
        for k in range(n):
            out[item, 2 + n + k] = max(0, size - k)
            for i in range(size - k):
                if first[k, i] == i:
                    out[item, 2 + k] += min(own[k, i], best[k, i])
    return out


@numba.njit(cache=True)
def _occurrences(mine: Ints, theirs: Ints, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how often, and where first, the (k+1)-gram at each place of one caption occurs in another."""
    size = len(theirs)
    count = np.zeros((n, len(mine)), dtype=np.int64)
    first = np.full((n, len(mine)), size, dtype=np.int64)
    # run[j] is the length of the common run that starts at i here and at j there: one pass serves all k.
    run = np.zeros(size + 1, dtype=np.int64)
    for i in range(len(mine) - 1, -1, -1):
        for j in range(size):
            run[j] = run[j + 1] + 1 if mine[i] == theirs[j] else 0
            for k in range(min(run[j], n)):
                count[k, i] += 1
                first[k, i] = min(first[k, i], j)
    return count, first


def lcs_ratios(corpus: Corpus) -> NDArray[np.float64]:
    """Return (items, 2): longest common subsequence over candidate and over reference length, the best."""
    return _lcs_ratios(*corpus.arrays)


@numba.njit(cache=True)
def _lcs_ratios(
    candidates: Ints, candidate_ends: Ints, references: Ints, reference_ends: Ints, item_ends: Ints
) -> NDArray[np.float64]:
    out = np.zeros((len(item_ends) - 1, 2))
    for item in range(len(out)):
        mine = candidates[candidate_ends[item] : candidate_ends[item + 1]]
        for r in range(item_ends[item], item_ends[item + 1]):
            theirs = references[reference_ends[r] : reference_ends[r + 1]]
            # Two empty captions agree: the published scorer sees one empty token in each.
            common = 1 if len(mine) == 0 and len(theirs) == 0 else _lcs(mine, theirs)
            out[item, 0] = max(out[item, 0], common / max(1, len(mine)))
            out[item, 1] = max(out[item, 1], common / max(1, len(theirs)))
    return out


@numba.njit(cache=True)
def _lcs(a: Ints, b: Ints) -> int:
    row = np.zeros(len(b) + 1, dtype=np.int32)
    for token in a:
        diagonal = 0
        for j in range(len(b)):
            above = row[j + 1]
            row[j + 1] = diagonal + 1 if token == b[j] else max(above, row[j])
            diagonal = above
    return row[-1]
