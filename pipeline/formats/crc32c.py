"""Owns CRC-32C: of one byte string, and column-wise in NumPy of very many at once.

A CRC without its first and last inversion, here called the remainder, is linear over GF(2): the remainder of
a XOR is the XOR of the remainders, leading zero bytes leave it 0, and each further 4 bytes map the state by
one constant matrix. So all records advance together, one 32-bit word of each at a time:

    state = M4 * (state ^ word) = LOW[(state ^ word) & 0xffff] ^ HIGH[(state ^ word) >> 16]

Why 16-bit digits: NumPy looks up about 1.4e9 entries a second whether the table has 1 or 256 KiB, so half the
look-ups of 8-bit digits is half the time (28 floats: 85 against 150 ns a record). Why one pair of tables for
every word instead of a pair per position: 512 KiB stay in the L2 cache, 14 MiB do not (85 against 160-250
ns), and any width works. Why not `google_crc32c` per record: 200 ns, and it holds the GIL; it serves single
strings.
Neighbours: `tf_example` frames records with it.

Source: RFC 3720, section 12.1 and appendix B.4 (polynomial, test vectors); TensorFlow, "TFRecord and
tf.train.Example", section "TFRecords format details" (the mask); Kounavis & Berry (2008), "Novel table
lookup-based algorithms for high-performance CRC generation", IEEE Trans. Comput. 57(11) (slicing).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Words = NDArray[np.uint32]
    Bytes = NDArray[np.uint8]
    Offsets = NDArray[np.int64]

WORD_BYTES = 4
POLYNOMIAL = 0x82F63B78  # Castagnoli's, lowest bit first
MASK_DELTA = 0xA282EAD8  # from the TFRecord format

# NumPy releases the GIL for an operation and then waits for it again: with fewer than about 65,536 elements
# an operation is so short (< 50 us) that two threads spend their time on handing it over.
LANES = 1 << 16
BLOCK_RECORDS = 1 << 17
BLOCK_BYTES = 16 << 20  # bounds the transposed copy of a block
TILE_BYTES = 1 << 19  # a tile fits the L2 cache while it is transposed or cleared
MIN_STEPS = 4  # joining the strips of a record costs about this many words each
FEW_RECORDS = 32  # below this, calling google_crc32c for each is faster than a NumPy pass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot:
    """A place at which many byte strings of one length differ.

    begin   where it begins
    values  what each holds there, one row a string: uint8 of any width in C order, or a little-endian type of
            4 bytes in either order; column-major is the faster one
    """

    begin: int
    values: NDArray[Any]

    @property
    def end(self) -> int:
        """Where it ends."""
        return int(self.begin + self.values.shape[1] * self.values.itemsize)

    def rows(self, begin: int, end: int) -> Bytes:
        """Return the bytes of the strings [begin, end), uint8 (num_strings, num_bytes)."""
        return np.ascontiguousarray(self.values[begin:end]).view(np.uint8)

    def words(self) -> Words:
        """Return the bytes as little-endian words, behind zeros up to a whole word."""
        if self.values.itemsize == WORD_BYTES:
            return self.values.view("<u4")
        num_records, width = self.values.shape
        padding = -width % WORD_BYTES
        if not padding and self.values.flags.c_contiguous:
            return self.values.view("<u4")
        rows = np.zeros((num_records, padding + width), np.uint8)
        rows[:, padding:] = self.values
        return rows.view("<u4")


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    return int(google_crc32c.value(data))


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data` as a TFRecord stores it."""
    return int(mask(np.array([crc32c(data)], np.uint32))[0])


def mask(crcs: Words) -> Words:
    """Return `crcs` as a TFRecord stores them: rotated right by 15 bits, plus a constant, modulo 2**32."""
    rotated = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    return rotated + np.uint32(MASK_DELTA)


def unmask(masked: Words) -> Words:
    """Return the CRCs that `mask` made into `masked`."""
    rotated = masked - np.uint32(MASK_DELTA)
    return (rotated << np.uint32(15)) | (rotated >> np.uint32(17))


def crc32c_of_filled(template: bytes, slots: Sequence[Slot], *, num_records: int) -> Words:
    """Return the CRC-32C of `num_records` byte strings that equal `template` but for the bytes in `slots`.

    The template is 0 in the slots. Only they cost time: the rest is one constant.
    """
    crcs = np.full(num_records, crc32c(template), np.uint32)
    for slot in slots:
        crcs ^= remainders(slot.words(), bytes_after=len(template) - slot.end)
    return crcs


def crc32c_of_ranges(data: Bytes, begins: Offsets, ends: Offsets) -> Words:
    """Return the CRC-32C of `data[begin:end]` for every pair, uint32 (num_ranges,).

    Ranges of similar length go through together, right-aligned behind zeros, which a remainder does not see.
    A length that few others share is given to `google_crc32c`, range by range.
    """
    lengths = ends - begins
    # NumPy sorts integers of 16 bits and less by radix, eight times as fast.
    order = np.argsort(lengths.astype(np.min_scalar_type(lengths.max(initial=0))), kind="stable")
    ascending = lengths[order]
    crcs = np.empty(len(lengths), np.uint32)
    begin = 0
    while begin < len(order):
        longest = int(ascending[begin]) * 5 // 4 + 16  # at most a quarter of the work is spent on zeros
        most = max(1, min(BLOCK_RECORDS, BLOCK_BYTES // longest))
        end = min(int(np.searchsorted(ascending, longest, side="right")), begin + most)
        block = order[begin:end]
        crcs[block] = _of_similar_ranges(data, begins[block], ends[block])
        begin = end
    return crcs


def _of_similar_ranges(data: Bytes, begins: Offsets, ends: Offsets) -> Words:
    lengths = ends - begins
    if len(lengths) < FEW_RECORDS:
        return _one_by_one(data, begins, ends)
    width = max(4, -(-int(lengths[-1]) // 4) * 4)  # the last is the longest
    early = ends < width
    if early.any():  # no room for the zeros before the first records of `data`
        crcs = np.empty(len(lengths), np.uint32)
        crcs[early] = _one_by_one(data, begins[early], ends[early])
        crcs[~early] = _of_similar_ranges(data, begins[~early], ends[~early])
        return crcs
    rows = rows_at(data, ends - width, width)
    _clear_before(rows, width - lengths)
    return remainders(rows.view("<u4"), bytes_after=0) ^ _of_zeros(lengths)


def _of_zeros(ascending: Offsets) -> Words:
    # The inversions do not depend on the data: their share in a CRC is the CRC of as many zero bytes.
    firsts = np.flatnonzero(np.diff(ascending, prepend=-1))
    crcs = [crc32c(bytes(length)) for length in ascending[firsts].tolist()]
    return np.repeat(np.array(crcs, np.uint32), np.diff(firsts, append=len(ascending)))


def _one_by_one(data: Bytes, begins: Offsets, ends: Offsets) -> Words:
    pairs = zip(begins.tolist(), ends.tolist(), strict=True)
    return np.array([crc32c(data[begin:end].tobytes()) for begin, end in pairs], np.uint32)


def _clear_before(rows: Bytes, num_leading: Offsets) -> None:
    most = int(num_leading.max())
    places = np.arange(most, dtype=np.int32)
    step = max(1, TILE_BYTES // rows.shape[1])
    for begin in range(0, len(rows), step):
        tile = slice(begin, begin + step)
        rows[tile, :most] *= (places >= num_leading[tile, np.newaxis].astype(np.int32)).view(np.uint8)


def windows(data: Bytes, width: int) -> NDArray[np.void]:
    """Return the overlapping view of contiguous `data` whose element i is `data[i : i + width]`, width >= 1.

    Indexed by an array it reads or writes whole rows, which is far faster than an index per byte.
    """
    return np.ndarray((max(0, len(data) - width + 1),), f"V{width}", data, 0, (1,))


def rows_at(data: Bytes, begins: Offsets, width: int) -> Bytes:
    """Return `data[begin : begin + width]` for every begin, uint8 (num_begins, width)."""
    if not width:
        return np.empty((len(begins), 0), np.uint8)
    return windows(data, width)[begins].view(np.uint8).reshape(-1, width)


def remainders(words: Words, *, bytes_after: int) -> Words:
    """Return the remainder of each row followed by `bytes_after` zero bytes, uint32 (num_records,).

    `words` is little-endian uint32 (num_records, num_words), num_words >= 1. Works in at most about 20 MiB
    beside the result, and holds the GIL only between operations.
    """
    num_records, num_words = words.shape
    most = max(1, min(BLOCK_RECORDS, BLOCK_BYTES // (4 * num_words)))
    result = np.empty(num_records, np.uint32)
    for begin in range(0, num_records, most):
        block = slice(begin, begin + most)
        result[block] = _of_block(words[block], bytes_after)
    return result


def _of_block(words: Words, bytes_after: int) -> Words:
    num_records, num_words = words.shape
    # Few long records: cut each into strips that advance side by side, to keep the operations long.
    num_strips = max(1, min(num_words // MIN_STEPS, LANES // num_records))
    num_steps = -(-num_words // num_strips)
    planes = _planes(words, num_strips * num_steps).reshape(num_strips, num_steps, -1)
    strips = _Lanes(planes.shape[::2])
    for step in range(num_steps):
        if step:
            strips.advance(_tables(4, 16))
        strips.add(planes[:, step])
    joined = _Lanes(planes.shape[2:])
    for index, strip in enumerate(strips.state):
        if index:
            joined.advance(_tables(4 * num_steps, 8))
        joined.add(strip)
    joined.advance(_tables(4 + bytes_after, 8))
    return joined.state[:num_records]


def _planes(words: Words, num_planes: int) -> Words:
    num_records, num_words = words.shape
    if num_planes == num_words and words.strides[0] == WORD_BYTES:
        return words.T  # column-major already
    # Planes a power of two apart would share cache sets; 16 idle lanes, a cache line, stagger them.
    planes = np.zeros((num_planes, num_records + 16), "<u4")
    step = max(1, TILE_BYTES // (4 * num_words))
    for begin in range(0, num_records, step):
        tile = words[begin : begin + step]
        planes[num_planes - num_words :, begin : begin + len(tile)] = tile.T
    return planes


class _Lanes:
    """States that advance side by side, and the buffers that takes."""

    __slots__ = ("_found", "_index", "_spare", "state")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.state: NDArray[Any] = np.zeros(shape, "<u4")
        self._spare: NDArray[Any] = np.empty(shape, "<u4")
        self._found = np.empty(shape, "<u4")
        self._index = np.empty(shape, np.intp)

    def add(self, words: Words) -> None:
        np.bitwise_xor(self.state, words, out=self.state)

    def advance(self, tables: Words) -> None:
        num_digits = len(tables)
        digits = self.state.view(f"<u{4 // num_digits}").reshape(*self.state.shape, num_digits)
        for digit, table in enumerate(tables):
            found = self._found if digit else self._spare
            np.copyto(self._index, digits[..., digit])
            # "clip" never clips here: it spares `take` a buffered copy of its result.
            np.take(table, self._index, out=found, mode="clip")
            if digit:
                np.bitwise_xor(self._spare, found, out=self._spare)
        self.state, self._spare = self._spare, self.state


@functools.lru_cache(maxsize=512)
def _tables(num_bytes: int, digit_bits: int) -> Words:
    """Return where `num_bytes` bytes take each digit, uint32 (32 // digit_bits, 2**digit_bits)."""
    of_bits = _after_zeros(num_bytes).reshape(-1, digit_bits)
    tables = np.zeros((len(of_bits), 1), np.uint32)
    for bit in range(digit_bits):
        tables = np.concatenate([tables, tables ^ of_bits[:, bit : bit + 1]], axis=1)
    return tables.astype("<u4")


@functools.lru_cache(maxsize=512)
def _after_zeros(num_bytes: int) -> Words:
    """Return the remainder of each single bit of the state after `num_bytes` zero bytes, uint32 (32,)."""
    bits = np.arange(32, dtype=np.uint32)
    if num_bytes == 0:
        return np.uint32(1) << bits
    if num_bytes % 2:
        state = _after_zeros(num_bytes - 1)
        for _ in range(8):
            state = (state >> np.uint32(1)) ^ (state & np.uint32(1)) * np.uint32(POLYNOMIAL)
        return state
    half = _after_zeros(num_bytes // 2)
    chosen = (half[:, np.newaxis] >> bits) & np.uint32(1)
    return np.asarray(np.bitwise_xor.reduce(chosen * half, axis=1))
