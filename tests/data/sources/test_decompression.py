"""Compressed files: read to their end, which is checked."""

import bz2
import gzip
import io
import lzma

import numpy as np
import pytest

from sslfast.data.sources.decompression import CHUNK, uncompressed

COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
CONTENT = np.random.default_rng(0).integers(0, 256, CHUNK + 9, dtype=np.uint8).tobytes() + bytes(2 * CHUNK)


def read(data):
    content = b""
    with uncompressed(io.BufferedReader(io.BytesIO(data))) as file:
        while part := file.read(100_000):
            content += part
        assert not file.read(1)
    return content


@pytest.fixture(params=COMPRESS)
def compress(request):
    return COMPRESS[request.param]


def test_what_is_not_compressed_is_read_as_it_is():
    assert read(CONTENT) == CONTENT
    assert read(b"") == b""


def test_one_stream_or_several_padded_or_not(compress):
    assert read(compress(CONTENT)) == CONTENT
    assert read(compress(CONTENT[:7]) + compress(b"") + compress(CONTENT[7:])) == CONTENT
    assert read(compress(CONTENT[:7]) + bytes(512) + compress(CONTENT[7:]) + bytes(CHUNK + 4)) == CONTENT


@pytest.mark.parametrize("missing", [1, 4, 12, 1000])
def test_a_stream_without_its_end(compress, missing):
    for before in (b"", compress(b"the first")):
        with pytest.raises(EOFError, match="cut short"):
            read((before + compress(CONTENT))[:-missing])


@pytest.mark.parametrize("rest", [b"x", b"\x1f\x8bx", b"BZhx", b"\xfd7zXZ\0x"])
def test_other_bytes_after_the_end(compress, rest):
    """Also the damaged start of a stream, at which bz2's and lzma's own readers just end."""
    with pytest.raises(Exception, match="header|Invalid data|not supported|cut short|unknown|Corrupt"):
        read(compress(CONTENT) + rest)


def test_a_changed_byte(compress):
    whole = compress(CONTENT[: CHUNK // 4])
    for position in range(20, len(whole), 5003):
        damaged = bytearray(whole)
        damaged[position] ^= 16
        with pytest.raises(Exception, match="invalid|incorrect|Invalid|Corrupt|cut short"):
            read(bytes(damaged))
