"""Canonical Huffman codes of RFC 1951, compiled: bits, tables, symbols."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

FAST = 10  # bits that one look-up decodes
MASK = (1 << FAST) - 1


@numba.njit(nogil=True, cache=True, inline="always")
def read_bits(source: Bytes, state: Ints, n: int) -> int:
    """Return the next n bits; state is (bit buffer, bits in it, next byte)."""
    while state[1] < n and state[2] < len(source):
        state[0] |= np.int64(source[state[2]]) << state[1]
        state[1] += 8
        state[2] += 1
    value = state[0] & ((1 << n) - 1)
    state[0] >>= n
    state[1] -= n
    return value


@numba.njit(nogil=True, cache=True)
def build_table(lengths: Ints, fast: Ints, counts: Ints, symbols: Ints) -> bool:
    """Build the tables of a canonical Huffman code.

    Args:
        lengths: The bits of each symbol's code, 0 for none.
        fast: (1 << FAST,) gets symbol << 4 | bits for all that a code of up to `FAST` bits begins, else 0.
        counts: (16,) gets the number of codes of each length.
        symbols: Gets the symbols in the order of their codes.

    Returns:
        False if there are more codes than fit.
    """
    counts[:] = 0
    for length in lengths:
        counts[length] += 1
    counts[0] = 0
    left = 1
    first = np.zeros(16, np.int64)
    start = np.zeros(17, np.int64)
    code = 0
    for n in range(1, 16):
        left = 2 * left - counts[n]
        if left < 0:
            return False
        code = (code + counts[n - 1]) << 1
        first[n] = code
        start[n + 1] = start[n] + counts[n]
    fast[:] = 0
    place = start.copy()
    for symbol in range(len(lengths)):
        n = lengths[symbol]
        if n == 0:
            continue
        rank = place[n] - start[n]
        symbols[place[n]] = symbol
        place[n] += 1
        if n <= FAST:
            # The stream holds codes from the highest bit on, the buffer reads from the lowest.
            code, turned = first[n] + rank, 0
            for _ in range(n):
                turned = (turned << 1) | (code & 1)
                code >>= 1
            step = 1 << n
            while turned < 1 << FAST:
                fast[turned] = (symbol << 4) | n
                turned += step
    return True


@numba.njit(nogil=True, cache=True)
def long_code(buffer: int, counts: Ints, symbols: Ints) -> int:
    """Return symbol << 4 | bits of a code of more than `FAST` bits, 0 if there is none."""
    code = first = index = 0
    for n in range(1, 16):
        code |= (buffer >> (n - 1)) & 1
        count = counts[n]
        if code - count < first:
            return (symbols[index + code - first] << 4) | n
        index += count
        first = (first + count) << 1
        code <<= 1
    return 0


@numba.njit(nogil=True, cache=True)
def next_symbol(source: Bytes, state: Ints, fast: Ints, counts: Ints, symbols: Ints) -> int:
    """Return the next symbol, -1 if there is none."""
    while state[1] < 15 and state[2] < len(source):
        state[0] |= np.int64(source[state[2]]) << state[1]
        state[1] += 8
        state[2] += 1
    entry = fast[state[0] & MASK]
    if not entry:
        entry = long_code(state[0], counts, symbols)
    state[0] >>= entry & 15
    state[1] -= entry & 15
    return entry >> 4 if entry else -1
