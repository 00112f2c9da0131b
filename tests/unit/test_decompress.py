"""Compressed text is read to its last byte; what is damaged, cut, mixed or a bomb is named."""

from __future__ import annotations

import io
import lzma

import pytest

from pipeline.errors import CompressionError
from pipeline.source import decompress
from pipeline.source.decompress import Decompressed
from support.packing import PACKERS

TEXT = b"label,a,b\n" + b"".join(b"%d,%d.5,%d\n" % (i % 2, i, i * i) for i in range(20_000))


def unpacked(data: bytes, compression: str, size: int = 65_536) -> bytes:
    """Return the text, read in pieces of `size`."""
    text = Decompressed(io.BytesIO(data), "raw.csv", compression)  # type: ignore[arg-type]  # one of PACKERS
    return b"".join(iter(lambda: text.read(size), b""))


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [1000, 65_537, 10_000_000])
def test_the_text_comes_in_pieces_of_any_size(name: str, size: int) -> None:
    """However much is asked for at a time, the pieces are the text."""
    assert unpacked(PACKERS[name](TEXT), name, size) == TEXT


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("parts", [[b"", TEXT], [TEXT, b""], [TEXT, b"", TEXT], [b"x"] * 50])
def test_members_are_one_text(name: str, parts: list[bytes]) -> None:
    """Concatenated files, empty ones among them, are read one after the other."""
    assert unpacked(b"".join(map(PACKERS[name], parts)), name) == b"".join(parts)


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("num_zeros", [4, 512, 200_000])
def test_padding_with_zeros_is_no_damage(name: str, num_zeros: int) -> None:
    """Zeros behind a member, as tapes and blocks leave them, are passed over; a member may follow."""
    packed = PACKERS[name](TEXT)
    assert unpacked(packed + bytes(num_zeros), name) == TEXT
    assert unpacked(packed + bytes(num_zeros) + packed, name) == TEXT + TEXT


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("garbage", [b"g", b"garbage", b"0,1.5\n" * 50_000, b"\0\0x", b"\x1f", b"BZh9"])
def test_what_follows_the_data_is_named(name: str, garbage: bytes) -> None:
    """Bytes behind the end that are no further member are an error; Python ignores them for bzip2 and xz."""
    with pytest.raises(CompressionError, match=f"damaged {name} data") as caught:
        unpacked(PACKERS[name](TEXT) + garbage, name)
    assert caught.value.path == "raw.csv"


@pytest.mark.parametrize("name", PACKERS)
def test_a_cut_anywhere_is_noticed(name: str) -> None:
    """A file that ends early is an error at every length, never a shorter text."""
    packed = PACKERS[name](TEXT[:3000])
    for size in range(6, len(packed)):
        with pytest.raises(CompressionError):
            unpacked(packed[:size], name)


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_a_flipped_bit_anywhere_gives_an_error_or_the_same_text(name: str) -> None:
    """Every bit of the data is under a checksum; in a header some mean nothing for the text."""
    packed = PACKERS[name](TEXT[:300])
    num_errors = 0
    for bit in range(8 * len(packed)):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert unpacked(bytes(flipped), name) == TEXT[:300]
        except CompressionError:
            num_errors += 1
    assert num_errors > 7 * len(packed)


@pytest.mark.parametrize("name", PACKERS)
def test_a_bomb_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap on expansion reading ends, with what to do; ordinary text is far below it."""
    monkeypatch.setattr(decompress, "EXPANSION_BYTES", 100_000)
    monkeypatch.setattr(decompress, "MAX_EXPANSION", 100)
    bomb = PACKERS[name](b"0,1\n" * 2_000_000)
    with pytest.raises(CompressionError, match="expand to more than 100 times") as caught:
        unpacked(bomb, name)
    assert "unpack the file" in caught.value.hint
    assert unpacked(PACKERS[name](TEXT), name) == TEXT


def test_the_memory_that_a_header_asks_for_is_bounded() -> None:
    """A small xz file whose header wants a dictionary of a gibibyte is refused before it gets one."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    greedy = lzma.compress(b"label,a\n0,1\n", filters=filters)
    with pytest.raises(CompressionError, match="Memory usage limit"):
        unpacked(greedy, "xz")
