"""Owns the part of protobuf's wire format that a `tf.train.Example` uses: varints, tags and lengths.

Knows no message. Neighbours: `tf_example` writes with it, `tf_example_decode` reads with it.

    field    = tag, value                 tag = varint of (field number << 3 | wire type)
    varint   = 7 bits a byte, lowest first, 0x80 on every byte but the last; int64 as two's complement
    wire types: 0 varint · 1 eight bytes · 2 a varint length, then as many bytes · 5 four bytes

Source: protobuf documentation, "Encoding".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import ShardError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
MORE = 0x80  # set on every byte of a varint but the last
MAX_VARINT_BYTES = 10  # ceil(64 / 7)


def varint(value: int) -> bytes:
    """Return `value`, in [0, 2**64), as a varint.

    >>> varint(300).hex()
    'ac02'
    """
    encoded = bytearray()
    while value >= MORE:
        encoded.append(value & 0x7F | MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def delimiter(field_number: int, size: int) -> bytes:
    """Return what precedes a value of `size` bytes: its tag and its length.

    >>> delimiter(1, 300).hex()
    '0aac02'
    """
    return varint(field_number << 3 | DELIMITED) + varint(size)


def varint_sizes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many bytes each of `values` takes as a varint, int64 (num_records,); negatives take 10."""
    unsigned = values.view(np.uint64)
    sizes = np.ones(len(values), np.int64)
    most = int(unsigned.max(initial=0))
    for bits in range(7, 64, 7):
        if most >> bits:
            sizes += unsigned >= np.uint64(1 << bits)
    return sizes


def varint_rows(values: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return `values` as varints, uint8 (num_records, width); bytes past the end of a shorter one are 0."""
    rest = values.view(np.uint64)
    rows = np.empty((len(values), width), np.uint8)
    for place in range(width):
        following = rest >> np.uint64(7)
        rows[:, place] = rest & np.uint64(0x7F)
        rows[:, place] |= (following > 0).view(np.uint8) * np.uint8(MORE)
        rest = following
    return rows


def from_varint_rows(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the values of varints of one width, uint8 (num_records, width), as int64 (num_records,)."""
    values = np.zeros(len(rows), np.uint64)
    for place in range(rows.shape[1]):
        values |= (rows[:, place] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
    return values.view(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireField:
    """One field of a message; [begin, end) is its value, without tag and length."""

    number: int
    wire_type: int
    begin: int
    end: int


def scan(message: bytes, begin: int, end: int) -> Iterator[WireField]:
    """Yield the fields of the message at [begin, end), in the order in which they stand.

    Raises:
        ShardError: the bytes are no protobuf message; the caller adds the place.
    """
    while begin < end:
        tag, begin = _read_varint(message, begin, end)
        wire_type = tag & 7
        if wire_type == DELIMITED:
            size, begin = _read_varint(message, begin, end)
            stop = begin + size
        elif wire_type == VARINT:
            _, stop = _read_varint(message, begin, end)
        elif wire_type in FIXED_SIZES:
            stop = begin + FIXED_SIZES[wire_type]
        else:
            raise ShardError(f"no protobuf message: wire type {wire_type} at byte {begin} of the payload")
        if stop > end:
            raise ShardError(f"no protobuf message: a field at byte {begin} of the payload is cut")
        yield WireField(number=tag >> 3, wire_type=wire_type, begin=begin, end=stop)
        begin = stop


def scan_varints(message: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the [begin, end) of every varint that stands at [begin, end), one behind the other.

    Raises:
        ShardError: the last is cut or one is too long; the caller adds the place.
    """
    while begin < end:
        _, stop = _read_varint(message, begin, end)
        yield begin, stop
        begin = stop


def _read_varint(message: bytes, begin: int, end: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[begin : min(end, begin + MAX_VARINT_BYTES)]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < MORE:
            return value, begin + index + 1
    raise ShardError(f"no protobuf message: a varint at byte {begin} of the payload does not end")
