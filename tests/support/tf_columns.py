"""Columns of TFRecord shards for tests, how to compare them, and the plainest way to frame a record."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np
import pyarrow as pa

from pipeline.formats.tf_example import TfColumn, TfField

if TYPE_CHECKING:
    from collections.abc import Sequence


def float_column(name: str, num_records: int, width: int, *, seed: int = 5) -> TfColumn:
    """Return random float32 of every kind: normal, subnormal, infinite and NaN."""
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 1 << 32, (num_records, width), dtype=np.uint32)
    values = bits.view(np.float32)
    values[np.isnan(values)] = np.nan  # one NaN: Python's float does not keep the others' bits
    return TfColumn(name=name, kind="float", values=values)


def int_column(name: str, values: Sequence[int]) -> TfColumn:
    """Return a column of integers."""
    return TfColumn(name=name, kind="int64", values=np.array(values, np.int64))


def text_column(name: str, values: Sequence[str]) -> TfColumn:
    """Return a column of text."""
    return TfColumn(name=name, kind="bytes", values=pa.array(values, pa.large_string()))


def field_of(column: TfColumn) -> TfField:
    """Return the field that `column` fills."""
    shape = column.values.shape if column.kind == "float" else (column.num_records,)
    return TfField(name=column.name, kind=column.kind, width=shape[1] if len(shape) > 1 else 1)


def plain(column: TfColumn) -> list[object]:
    """Return the values as plain Python, floats as their bits, so that NaN equals NaN."""
    if column.kind == "bytes":
        return list(column.values.to_pylist())
    if column.kind == "float":
        return [row.tobytes() for row in column.values.reshape(column.num_records, field_of(column).width)]
    return list(column.values.tolist())


def masked(data: bytes) -> bytes:
    """Return the masked CRC-32C of `data` as a TFRecord stores it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % (1 << 32))


def framed(payload: bytes) -> bytes:
    """Return `payload` between its length and its checksum."""
    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)
