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

_FAST = 10  # bits that one look-up decodes
_MASK = (1 << _FAST) - 1
_LENGTHS = np.array(
    [
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        13,
        15,
        17,
        19,
        23,
        27,
        31,
        35,
        43,
        51,
        59,
        67,
        83,
        99,
        115,
        131,
        163,
        195,
        227,
        258,
    ],
    np.int64,
)
_LENGTH_BITS = np.array(
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0], np.int64
)
_DISTANCES = np.array(
    [
        *(
            1,
            2,
            3,
            4,
            5,
            7,
            9,
            13,
            17,
            25,
            33,
            49,
            65,
            97,
            129,
            193,
            257,
            385,
            513,
            769,
            1025,
            1537,
            2049,
            3073,
        ),
        *(4097, 6145, 8193, 12289, 16385, 24577),
    ],
    np.int64,
)
_DISTANCE_BITS = np.array(
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13],
    np.int64,
)
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)
_BYTES = numba.types.Array(numba.uint8, 1, "C", readonly=True)


@numba.njit(nogil=True, cache=True, inline="always")
def _bits(source, state, n):
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
def _table(lengths, fast, counts, symbols):
    """Build the tables of a canonical Huffman code; return False if it has more codes than fit."""
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
        if n <= _FAST:
            # The stream holds codes from the highest bit on, the buffer reads from the lowest.
            code, turned = first[n] + rank, 0
            for _ in range(n):
                turned = (turned << 1) | (code & 1)
                code >>= 1
            step = 1 << n
            while turned < 1 << _FAST:
                fast[turned] = (symbol << 4) | n
                turned += step
    return True


@numba.njit(nogil=True, cache=True)
def _slow(buffer, counts, symbols):
    """Return (symbol << 4 | length) of a code of more than `_FAST` bits, 0 if there is none."""
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
def _symbol(source, state, fast, counts, symbols):
    """Return the next symbol, -1 if there is none."""
    while state[1] < 15 and state[2] < len(source):
        state[0] |= np.int64(source[state[2]]) << state[1]
        state[1] += 8
        state[2] += 1
    entry = fast[state[0] & _MASK]
    if not entry:
        entry = _slow(state[0], counts, symbols)
    state[0] >>= entry & 15
    state[1] -= entry & 15
    return entry >> 4 if entry else -1


@numba.njit(nogil=True, cache=True)
def _code_lengths(source, state, lengths, fast, counts, symbols):
    """Read the code lengths of a dynamic block; return (literal codes, distance codes), (0, 0) on failure."""
    literals, distances = _bits(source, state, 5) + 257, _bits(source, state, 5) + 1
    n = _bits(source, state, 4) + 4
    lengths[:] = 0
    for i in range(n):
        lengths[_ORDER[i]] = _bits(source, state, 3)
    if not _table(lengths[:19].copy(), fast, counts, symbols):
        return 0, 0
    lengths[:19] = 0
    at = 0
    while at < literals + distances:
        symbol = _symbol(source, state, fast, counts, symbols)
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
            value, repeat = lengths[at - 1], 3 + _bits(source, state, 2)
        elif symbol == 17:
            repeat = 3 + _bits(source, state, 3)
        else:
            repeat = 11 + _bits(source, state, 7)
        if at + repeat > literals + distances:
            return 0, 0
        lengths[at : at + repeat] = value
        at += repeat
    return literals, distances


@numba.njit(numba.boolean(_BYTES, numba.uint8[::1]), nogil=True, cache=True)
def _inflate(source: NDArray[np.uint8], out: NDArray[np.uint8]) -> bool:
    """Fill ``out`` from raw deflate data; return whether the data end exactly with it."""
    state = np.zeros(3, np.int64)
    lengths = np.zeros(320, np.int64)
    fast, far_fast = np.zeros(1 << _FAST, np.int64), np.zeros(1 << _FAST, np.int64)
    counts, far_counts = np.zeros(16, np.int64), np.zeros(16, np.int64)
    symbols, far_symbols = np.zeros(320, np.int64), np.zeros(320, np.int64)
    at, done, last = 0, 0, 0
    while not last:
        last, kind = _bits(source, state, 1), _bits(source, state, 2)
        if state[1] < 0 or kind == 3:
            return False
        if kind == 0:
            _bits(source, state, state[1] & 7)
            n, check = _bits(source, state, 16), _bits(source, state, 16)
            if state[1] < 0 or n ^ check != 0xFFFF or at + n > len(out):
                return False
            for _ in range(n):
                out[at] = _bits(source, state, 8)
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
            and _table(lengths[:literals], fast, counts, symbols)
            and _table(lengths[literals : literals + distances], far_fast, far_counts, far_symbols)
        ):
            return False
        buffer, held, place = state
        while True:
            # One refill serves a whole match: 15 + 5 + 15 + 13 bits at most.
            while held <= 48 and place < len(source):
                buffer |= np.int64(source[place]) << held
                held += 8
                place += 1
            entry = fast[buffer & _MASK]
            if not entry:
                entry = _slow(buffer, counts, symbols)
            symbol, n, far = entry >> 4, entry & 15, 0
            buffer >>= n
            held -= n
            if not entry or held < 0 or symbol > 285:
                return False
            if symbol > 256:
                bits = _LENGTH_BITS[symbol - 257]
                n = _LENGTHS[symbol - 257] + (buffer & ((1 << bits) - 1))
                buffer >>= bits
                entry = far_fast[buffer & _MASK]
                if not entry:
                    entry = _slow(buffer, far_counts, far_symbols)
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
