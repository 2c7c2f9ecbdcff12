from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gftlib.datasets.inflate import _inflate, inflate

STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY, zlib.Z_FILTERED)
runs = st.lists(st.tuples(st.integers(0, 255), st.integers(1, 900)), max_size=30).map(
    lambda pairs: b"".join(bytes([value]) * n for value, n in pairs)
)


def deflated(data: bytes, level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    return packer.compress(data) + packer.flush()


def fast(stream: bytes, size: int) -> bytes | None:
    out = np.empty(size, np.uint8)
    return out.tobytes() if _inflate(np.frombuffer(stream, np.uint8, offset=2), out) else None


@settings(deadline=None, max_examples=80)
@given(runs | st.binary(max_size=3000), st.integers(0, 9), st.sampled_from(STRATEGIES))
def test_every_kind_of_block_is_read_without_zlib(data, level, strategy):
    assert fast(deflated(data, level, strategy), len(data)) == data


def test_many_blocks_and_long_codes():
    rng = np.random.default_rng(0)
    # A steep distribution gives codes longer than one look-up decodes; its size gives several blocks.
    data = np.minimum(rng.geometric(0.03, 200_000), 255).astype(np.uint8).tobytes()
    assert fast(deflated(data, 9, zlib.Z_HUFFMAN_ONLY), len(data)) == data


@settings(deadline=None, max_examples=200)
@given(runs, st.data())
def test_damage_never_passes_for_zlibs_answer(data, draw):
    stream = bytearray(deflated(data, 6, 0))
    at = draw.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= draw.draw(st.integers(1, 255))
    cut = bytes(stream[: draw.draw(st.integers(2, len(stream)))])
    found = fast(cut, len(data))
    if found is not None:
        # The deflate part alone must say the same to zlib; its checksum is PNG's business.
        assert zlib.decompressobj(-15).decompress(cut[2:]) == found


def test_a_wrong_size_is_seen_and_garbage_raises():
    stream = zlib.compress(b"abc" * 50)
    assert (
        len(inflate(stream, np.empty(10, np.uint8))) == len(inflate(stream, np.empty(999, np.uint8))) == 150
    )
    for garbage in (b"", b"x", b"\x78\x9c", b"\x78\x9c\xff\xff", b"no zlib stream"):
        with pytest.raises(zlib.error):
            inflate(garbage, np.empty(10, np.uint8))
