"""Owns reading a range of records from a TFRecord shard, plain or gzip, without TensorFlow.

Where the records begin is found once per shard and process; then only the bytes of the range are read. (Of a
gzip shard, all before them too: such shards are for keeping, not for speed.) Every checksum is verified.
"""

from __future__ import annotations

import functools
import gzip
import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pipeline.errors import ShardError
from pipeline.formats.crc32c import masked_crc32c
from pipeline.formats.tf_example import FOOTER_BYTES, HEADER_BYTES, TfField
from pipeline.formats.tf_example_decode import decode
from pipeline.loader.rows import REMAKE
from pipeline.loader.shard_file import status_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.loader.rows import Columns, Rows

LENGTH = struct.Struct("<Q")
FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES
MARK_RECORDS = 1024  # the place of every 1024th record is kept: 8 bytes for 170 kB of HEPMASS
WINDOW_BYTES = 4 << 20
MAX_SHARDS_KEPT = 4096


def read_tfrecord(
    path: Path, *, begin: int, end: int, columns: Columns, into: Rows, verify_checksums: bool
) -> None:
    """Read the records [begin, end) of a shard into `into`; checksums are verified whatever is asked.

    Raises:
        ShardError: the file is missing, damaged, or holds other records than the manifest says.
    """
    del verify_checksums
    found = read_fields(path, begin=begin, end=end, fields=_fields(columns))
    for array, values in zip(into.arrays, found, strict=True):
        array[:] = values.reshape(array.shape)


def read_fields(path: Path, *, begin: int, end: int, fields: Sequence[TfField]) -> tuple[Any, ...]:
    """Return the values of `fields` of the records [begin, end) of a shard, as `decode` gives them.

    Raises:
        ShardError: the file is missing, damaged, or holds other records than the manifest says.
    """
    first, last = begin // MARK_RECORDS, -(-end // MARK_RECORDS)
    try:
        status = status_of(path)
        marks = _marks(path, status.st_size, status.st_mtime_ns)
        with _open(path) as file:
            # A shard of too few records yields too few here, and the error below.
            byte_begin, byte_end = marks[min(first, len(marks) - 1)], marks[min(last, len(marks) - 1)]
            file.seek(byte_begin)
            decoded = decode(file.read(byte_end - byte_begin), fields)
    except FileNotFoundError:
        raise ShardError("no such shard", path=str(path), hint=REMAKE) from None
    except ShardError as error:
        raise ShardError(error.message, path=str(path), hint=REMAKE) from None
    except (OSError, EOFError, zlib.error) as error:
        raise ShardError(f"damaged: {error}", path=str(path), hint=REMAKE) from None
    skip = first * MARK_RECORDS
    values = tuple(column.values[begin - skip : end - skip] for column in decoded)
    if any(len(found) != end - begin for found in values):
        raise ShardError(f"too few records, expected at least {end}", path=str(path), hint=REMAKE)
    return values


def _fields(columns: Columns) -> list[TfField]:
    fields = [
        TfField(name="features", kind="float", width=len(columns.features)),
        TfField(name="label", kind="int64" if columns.label_dtype == "int64" else "float"),
    ]
    return [*fields, TfField(name="weight", kind="float")] if columns.weight else fields


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    # The first length has a checksum of its own; no gzip header passes for it.
    if head[:2] == b"\x1f\x8b" and struct.pack("<I", masked_crc32c(head[:8])) != head[8:]:
        return gzip.open(path)
    return path.open("rb")


@functools.lru_cache(maxsize=MAX_SHARDS_KEPT)
def _marks(path: Path, num_bytes: int, modified_ns: int) -> list[int]:
    """Return where every 1024th record begins, and where the last one ends.

    Size and time are there so that a shard that was replaced is looked at again.
    """
    del num_bytes, modified_ns
    marks: list[int] = []
    num_records = end = 0
    with _open(path) as file:
        for offsets in _record_offsets(file):
            marks += offsets[(-num_records) % MARK_RECORDS : -1 : MARK_RECORDS].tolist()
            num_records += len(offsets) - 1
            end = int(offsets[-1])
    return [*marks, end]


def _record_offsets(file: BinaryIO | gzip.GzipFile) -> Iterator[NDArray[np.int64]]:
    """Yield, for a window of the file at a time, where its records begin and the last one ends."""
    at, window = 0, b""
    while more := file.read(WINDOW_BYTES):
        window += more
        offsets = _offsets_within(window)
        yield offsets + at
        at += int(offsets[-1])
        window = window[int(offsets[-1]) :]


def _offsets_within(window: bytes) -> NDArray[np.int64]:
    if len(window) >= FRAME_BYTES:
        stride = LENGTH.unpack_from(window)[0] + FRAME_BYTES
        if stride <= len(window):
            count = len(window) // stride
            lengths: NDArray[np.uint64] = np.ndarray((count,), "<u8", window, 0, (stride,))
            if (lengths == lengths[0]).all():
                return np.arange(0, count * stride + 1, stride, dtype=np.int64)
    offsets = [0]
    while offsets[-1] + HEADER_BYTES <= len(window):
        end = offsets[-1] + LENGTH.unpack_from(window, offsets[-1])[0] + FRAME_BYTES
        if end > len(window):
            break
        offsets.append(end)
    return np.array(offsets, np.int64)
