"""CRC-32C: the vectors of RFC 3720, and all column-wise ways against one that goes bit by bit."""

from __future__ import annotations

import zlib
from itertools import accumulate
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np
import pytest

from pipeline.formats import crc32c as module
from pipeline.formats.crc32c import (
    Slot,
    crc32c,
    crc32c_of_filled,
    crc32c_of_ranges,
    mask,
    masked_crc32c,
    remainders,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

READ_COMMAND = bytes.fromhex(
    "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"
)
# RFC 3720, appendix B.4; the last is the check value of the catalogues of CRCs.

VECTORS = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (READ_COMMAND, 0xD9963A56),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


def bit_by_bit(data: bytes) -> int:
    """Return the CRC-32C of `data` by the definition: a shift and a conditional XOR for each bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def random_bytes(*shape: int, seed: int = 7) -> NDArray[np.uint8]:
    """Return random bytes, uint8 (shape)."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def of_ranges(texts: Sequence[bytes]) -> list[int]:
    """Return what `crc32c_of_ranges` says of byte strings that stand back to back."""
    offsets = np.array([0, *accumulate(map(len, texts))], np.int64)
    data = np.frombuffer(b"".join(texts), np.uint8)
    return crc32c_of_ranges(data, offsets[:-1], offsets[1:]).tolist()


@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_published_vectors(data: bytes, expected: int) -> None:
    """Each way gives the published CRC of the published strings, and so does the oracle of this module."""
    whole = Slot(begin=0, values=np.frombuffer(data * 3, np.uint8).reshape(3, len(data)))
    slots = [whole] if data else []
    assert bit_by_bit(data) == expected
    assert crc32c(data) == expected
    assert of_ranges([data, data]) == [expected] * 2
    assert of_ranges([data] * 100) == [expected] * 100
    assert crc32c_of_filled(bytes(len(data)), slots, num_records=3).tolist() == [expected] * 3


def test_it_is_not_the_crc_of_zip() -> None:
    """The polynomial matters: zlib's CRC-32 of the same string is another number."""
    assert zlib.crc32(b"123456789") != crc32c(b"123456789")


def test_mask_is_a_rotation_and_an_addition() -> None:
    """The masked CRC is the 32-bit rotation by 15 plus the constant, also where the sum overflows."""
    crcs = np.array([0, 1, 0x7FFF, 0x8000, 0xFFFFFFFF, 0xE3069283], np.uint32)
    expected = [(((crc >> 15) | (crc << 17)) + 0xA282EAD8) % (1 << 32) for crc in crcs.tolist()]
    assert mask(crcs).tolist() == expected
    assert masked_crc32c(b"123456789") == expected[-1]


@pytest.mark.parametrize("num_records", [0, 1, 2, 31, 5000])
@pytest.mark.parametrize("num_words", [1, 2, 3, 29, 64])
@pytest.mark.parametrize("bytes_after", [0, 1, 4, 157])
def test_remainders_of_any_shape(num_records: int, num_words: int, bytes_after: int) -> None:
    """The remainder of a row and the bytes after it is its CRC without the two inversions, for any shape."""
    words = random_bytes(num_records, 4 * num_words).view("<u4")
    inversions = google_crc32c.value(bytes(4 * num_words + bytes_after))
    expected = [google_crc32c.value(row.tobytes() + bytes(bytes_after)) ^ inversions for row in words[:50]]
    assert remainders(words, bytes_after=bytes_after)[:50].tolist() == expected
    assert remainders(np.asfortranarray(words), bytes_after=bytes_after)[:50].tolist() == expected


def test_remainders_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting the work into smaller blocks, tiles and strips changes no remainder."""
    words = random_bytes(999, 4 * 37).view("<u4")
    expected = remainders(words, bytes_after=9).tolist()
    for name, value in (("BLOCK_RECORDS", 100), ("BLOCK_BYTES", 4000), ("TILE_BYTES", 500), ("LANES", 10)):
        monkeypatch.setattr(module, name, value)
        assert remainders(words, bytes_after=9).tolist() == expected


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 9, 112])
def test_filled_templates(width: int) -> None:
    """The CRC of a template with two slots is that of the strings it makes, whatever the widths."""
    template = bytearray(random_bytes(width + 23).tobytes())
    template[3 : 3 + width] = bytes(width)
    template[-7:-2] = bytes(5)
    first, second = random_bytes(40, width, seed=1), random_bytes(40, 5, seed=2)
    slots = [Slot(begin=3, values=first), Slot(begin=len(template) - 7, values=second)]
    strings = [
        bytes(template[:3] + a.tobytes() + template[3 + width : -7] + b.tobytes() + template[-2:])
        for a, b in zip(first, second, strict=True)
    ]
    crcs = crc32c_of_filled(bytes(template), slots, num_records=40)
    assert crcs.tolist() == [bit_by_bit(string) for string in strings]


@pytest.mark.parametrize("order", ["C", "F"])
def test_slots_of_floats_in_either_order(order: str) -> None:
    """Row-major and column-major floats give the CRC of the same bytes."""
    values = random_bytes(60, 4 * 7).view("<f4")
    slot = Slot(begin=2, values=np.array(values, order=order))
    expected = [google_crc32c.value(b"\1\2" + row.tobytes() + b"\3") for row in values]
    assert crc32c_of_filled(b"\1\2" + bytes(28) + b"\3", [slot], num_records=60).tolist() == expected


def test_the_bytes_after_a_slot_count() -> None:
    """A slot's share is shifted by what follows it: left out, the CRC is wrong."""
    values = random_bytes(5, 4)
    template = bytes(4) + b"tail"
    shares = remainders(values.view("<u4"), bytes_after=0) ^ np.uint32(crc32c(template))
    expected = crc32c_of_filled(template, [Slot(begin=0, values=values)], num_records=5)
    assert (shares != expected).all()
    assert expected.tolist() == [bit_by_bit(row.tobytes() + b"tail") for row in values]


def test_no_slot_at_all() -> None:
    """Without slots all strings are the template."""
    assert crc32c_of_filled(b"same", [], num_records=2).tolist() == [crc32c(b"same")] * 2


@pytest.mark.parametrize("longest", [0, 1, 3, 4, 17, 160, 1000])
def test_ranges_of_any_lengths(longest: int) -> None:
    """Ranges of mixed lengths, empty ones and the first of the data too, each get their own CRC."""
    generator = np.random.default_rng(longest)
    lengths = generator.integers(0, longest + 1, 400).tolist()
    texts = [random_bytes(length, seed=length).tobytes() for length in lengths]
    assert of_ranges(texts) == [google_crc32c.value(text) for text in texts]


def test_one_long_range_among_short_ones() -> None:
    """A range of a megabyte does not blow up the memory of the short ones, and all are right."""
    texts = [b"short"] * 3000 + [random_bytes(1 << 20).tobytes()] + [b"brief"] * 3000
    assert of_ranges(texts) == [google_crc32c.value(text) for text in texts]


def test_ranges_need_not_touch() -> None:
    """Bytes between the ranges, as frames have them, do not count."""
    data = random_bytes(64 * 20)
    begins = np.arange(64, dtype=np.int64) * 20 + 7
    crcs = crc32c_of_ranges(data, begins, begins + 9)
    assert crcs.tolist() == [bit_by_bit(data[begin : begin + 9].tobytes()) for begin in begins]


def test_no_ranges() -> None:
    """No ranges, no CRCs."""
    assert of_ranges([]) == []


def test_every_flipped_bit_changes_the_crc() -> None:
    """The CRC of a string differs from that of each string that differs from it in one bit."""
    data = random_bytes(50)
    flipped = np.tile(data, (400, 1))
    bits = np.arange(400)
    flipped[bits, bits // 8] ^= (1 << (bits % 8)).astype(np.uint8)
    crcs = crc32c_of_filled(bytes(50), [Slot(begin=0, values=flipped)], num_records=400)
    assert crc32c(data.tobytes()) not in crcs.tolist()
    assert len(set(crcs.tolist())) == 400
