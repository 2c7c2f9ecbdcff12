"""Inflating long runs fast: RFC 1951 compiled, for masks that are nearly all one value.

A mask of a quarter of a million pixels shrinks to a kilobyte of long matches at a distance of one. A general
inflater copies such a match byte by byte; filling memory instead is several times faster, and this is where
the time of reading masks goes. Whatever this decoder cannot read is left to ``zlib``.
"""

from __future__ import annotations

import zlib

import numba
import numpy as np
from numpy.typing import NDArray

from gftlib.datasets.huffman import FAST, MASK, Bytes, Ints, build_table, long_code, next_symbol, read_bits

# Length codes 257-285 and distance codes: extra bits and least value of each (258 has a code of its own).
_LENGTH_BITS = np.repeat([0, 1, 2, 3, 4, 5, 0], [8, 4, 4, 4, 4, 4, 1])
_LENGTHS = 3 + np.concatenate([[0], np.cumsum(1 << _LENGTH_BITS)[:-2], [255]])
_DISTANCE_BITS = np.repeat(np.arange(14), [4, *[2] * 13])
_DISTANCES = 1 + np.concatenate([[0], np.cumsum(1 << _DISTANCE_BITS)[:-1]])
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)
_BYTES = numba.types.Array(numba.uint8, 1, "C", readonly=True)


@numba.njit(nogil=True, cache=True)
def _code_lengths(
    source: Bytes, state: Ints, lengths: Ints, fast: Ints, counts: Ints, symbols: Ints
) -> tuple[int, int]:
    """Read the code lengths of a dynamic block; return (literal codes, distance codes), (0, 0) on failure."""
    literals, distances = read_bits(source, state, 5) + 257, read_bits(source, state, 5) + 1
    n = read_bits(source, state, 4) + 4
    lengths[:] = 0
    for i in range(n):
        lengths[_ORDER[i]] = read_bits(source, state, 3)
    if not build_table(lengths[:19].copy(), fast, counts, symbols):
        return 0, 0
    lengths[:19] = 0
    at = 0
    while at < literals + distances:
        symbol = next_symbol(source, state, fast, counts, symbols)
        if symbol < 0 or state[1] < 0:
            return 0, 0
        if symbol < 16:
            lengths[at] = symbol
            at += 1
            continue
        value = 0
        if symbol == 16:
            if at == 0:
                return 0, 0
            value, repeat = lengths[at - 1], 3 + read_bits(source, state, 2)
        elif symbol == 17:
            repeat = 3 + read_bits(source, state, 3)
        else:
            repeat = 11 + read_bits(source, state, 7)
        if at + repeat > literals + distances:
            return 0, 0
        lengths[at : at + repeat] = value
        at += repeat
    return literals, distances


@numba.njit(numba.boolean(_BYTES, numba.uint8[::1]), nogil=True, cache=True)
def _inflate(source: Bytes, out: Bytes) -> bool:
    """Fill ``out`` from raw deflate data; return whether the data end exactly with it."""
    state = np.zeros(3, np.int64)
    lengths = np.zeros(320, np.int64)
    fast, far_fast = np.zeros(1 << FAST, np.int64), np.zeros(1 << FAST, np.int64)
    counts, far_counts = np.zeros(16, np.int64), np.zeros(16, np.int64)
    symbols, far_symbols = np.zeros(320, np.int64), np.zeros(320, np.int64)
    at, done, last = 0, 0, 0
    while not last:
        last, kind = read_bits(source, state, 1), read_bits(source, state, 2)
        if state[1] < 0 or kind == 3:
            return False
        if kind == 0:
            read_bits(source, state, state[1] & 7)
            n, check = read_bits(source, state, 16), read_bits(source, state, 16)
            if state[1] < 0 or n ^ check != 0xFFFF or at + n > len(out):
                return False
            for _ in range(n):
                out[at] = read_bits(source, state, 8)
                at += 1
            if state[1] < 0:
                return False
            done = at
            continue
        if kind == 1:
            literals, distances = 288, 30
            lengths[:144], lengths[144:256], lengths[256:280], lengths[280:288] = 8, 9, 7, 8
            lengths[288:] = 5
        else:
            literals, distances = _code_lengths(source, state, lengths, fast, counts, symbols)
        if not (
            literals
            and build_table(lengths[:literals], fast, counts, symbols)
            and build_table(lengths[literals : literals + distances], far_fast, far_counts, far_symbols)
        ):
            return False
        buffer, held, place = state
        while True:
            # One refill serves a whole match: 15 + 5 + 15 + 13 bits at most.
            while held <= 48 and place < len(source):
                buffer |= np.int64(source[place]) << held
                held += 8
                place += 1
            entry = fast[buffer & MASK]
            if not entry:
                entry = long_code(buffer, counts, symbols)
            symbol, n, far = entry >> 4, entry & 15, 0
            buffer >>= n
            held -= n
            if not entry or held < 0 or symbol > 285:
                return False
            if symbol > 256:
                bits = _LENGTH_BITS[symbol - 257]
                n = _LENGTHS[symbol - 257] + (buffer & ((1 << bits) - 1))
                buffer >>= bits
                entry = far_fast[buffer & MASK]
                if not entry:
                    entry = long_code(buffer, far_counts, far_symbols)
                buffer >>= entry & 15
                held -= bits + (entry & 15)
                if not entry or entry >> 4 > 29:
                    return False
                bits = _DISTANCE_BITS[entry >> 4]
                far = _DISTANCES[entry >> 4] + (buffer & ((1 << bits) - 1))
                buffer >>= bits
                held -= bits
                if held < 0 or far > at or at + n > len(out):
                    return False
                if far == 1:
                    at += n
                    continue
            # Matches at distance one only prolong a run; the run is written here, when it ends.
            if done < at:
                out[done:at] = out[done - 1]
            if symbol == 256:
                done = at
                break
            if symbol < 256:
                if at >= len(out):
                    return False
                out[at] = symbol
                n = 1
            elif far >= n:
                out[at : at + n] = out[at - far : at - far + n]
            else:
                for k in range(at, at + n):
                    out[k] = out[k - far]
            at += n
            done = at
        state[0], state[1], state[2] = buffer, held, place
    return at == len(out)


def inflate(stream: bytes, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bytes of a zlib stream (its Adler checksum is not verified).

    Args:
        stream: The whole stream, RFC 1950; its integrity is the caller's to check (PNG has a CRC over it).
        out: Memory for as many bytes as it should hold; filled and returned if it does.

    Returns:
        The bytes: in ``out``, or elsewhere if they are more or fewer.

    Raises:
        zlib.error: If it is no such stream.
    """
    head = stream[:2]
    sound = len(head) == 2 and head[0] & 15 == 8 and not head[1] & 32 and (head[0] * 256 + head[1]) % 31 == 0
    if sound and _inflate(np.frombuffer(stream, np.uint8, offset=2), out):
        return out
    return np.frombuffer(zlib.decompress(stream), np.uint8)
