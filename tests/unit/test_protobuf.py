"""The wire format: varints of every size against a loop, tags and lengths, and what is no message."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.formats.protobuf import (
    DELIMITED,
    FIXED32,
    FIXED64,
    VARINT,
    WireField,
    delimiter,
    from_varint_rows,
    scan,
    scan_varints,
    varint,
    varint_rows,
    varint_sizes,
)

POWERS = [sign * (1 << bits) + near for bits in range(63) for sign in (1, -1) for near in (-1, 0, 1)]
VALUES = np.array([*POWERS, 0, -(1 << 63), (1 << 63) - 1], np.int64)


def test_varints_of_the_specification() -> None:
    """The examples of the specification, and the ends of the range."""
    assert varint(1) == b"\x01"
    assert varint(150) == b"\x96\x01"
    assert varint((1 << 64) - 2) == b"\xfe" + b"\xff" * 8 + b"\x01"
    assert varint(0) == b"\x00"


def test_delimiter_is_a_tag_and_a_length() -> None:
    """The specification's string field 2 of 7 bytes starts 12 07; long lengths take more bytes."""
    assert delimiter(2, 7) == b"\x12\x07"
    assert delimiter(1, 16384) == b"\x0a\x80\x80\x01"


def test_sizes_are_those_of_the_varints() -> None:
    """Around every power of two and at both ends, the size is that of the varint; negatives take 10 bytes."""
    assert varint_sizes(VALUES).tolist() == [len(varint(value % (1 << 64))) for value in VALUES.tolist()]
    assert set(varint_sizes(np.array([-1, -(1 << 63)])).tolist()) == {10}
    assert varint_sizes(np.array([], np.int64)).tolist() == []


def test_rows_are_varints_and_come_back() -> None:
    """Values of one size make rows of exactly their varints, and the rows give the values back."""
    sizes = varint_sizes(VALUES)
    for size in range(1, 11):
        values = VALUES[sizes == size]
        rows = varint_rows(values, size)
        assert [row.tobytes() for row in rows] == [varint(value % (1 << 64)) for value in values.tolist()]
        assert from_varint_rows(rows).tolist() == values.tolist()


def test_rows_of_shorter_varints_end_in_zeros() -> None:
    """A row wider than its varint is filled with zeros."""
    rows = varint_rows(np.array([1, 300]), 4)
    assert rows.tolist() == [[1, 0, 0, 0], [0xAC, 2, 0, 0]]


def test_scan_yields_every_wire_type() -> None:
    """Fields of all four types come in order, with the place of their values."""
    message = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1a\x02hi" + b"\x25" + bytes(4)
    found = list(scan(message, 0, len(message)))
    expected = [(1, VARINT, 1, 3), (2, FIXED64, 4, 12), (3, DELIMITED, 14, 16), (4, FIXED32, 17, 21)]
    assert found == [WireField(number=n, wire_type=t, begin=b, end=e) for n, t, b, e in expected]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x0a\x05hi", "is cut"),
        (b"\x11\x00", "is cut"),
        (b"\x08", "does not end"),
        (b"\x08\xff", "does not end"),
        (b"\x0a" + b"\xff" * 11, "does not end"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
    ],
)
def test_scan_refuses_what_is_no_message(message: bytes, reason: str) -> None:
    """Cut fields, endless varints and unknown wire types are refused with the reason."""
    with pytest.raises(ShardError, match=reason):
        list(scan(message, 0, len(message)))


def test_scan_varints_yields_each() -> None:
    """Packed varints come one by one; one that the end cuts is refused."""
    assert list(scan_varints(b"\x01\xac\x02\x00", 0, 4)) == [(0, 1), (1, 3), (3, 4)]
    with pytest.raises(ShardError, match="does not end"):
        list(scan_varints(b"\x01\xac\x02", 0, 2))
