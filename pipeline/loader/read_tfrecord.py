"""Owns reading a range of records from a TFRecord shard, plain or gzip, without TensorFlow.

Where the records begin is found once per shard and process; then only the bytes of the range are read. (Of a
gzip shard, all before them too: such shards are for keeping, not for speed.) Every checksum is verified.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from typing import TYPE_CHECKING, Any

from pipeline.errors import ShardError
from pipeline.formats.tf_example import HEADER_BYTES, TfField
from pipeline.formats.tf_example_decode import decode
from pipeline.loader.rows import REMAKE
from pipeline.loader.shard_file import status_of
from pipeline.loader.tfrecord_windows import is_gzip, windows_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader
    from pathlib import Path

    from pipeline.loader.rows import Columns, Rows

MARK_RECORDS = 1024  # the place of every 1024th record is kept: 8 bytes for 170 kB of HEPMASS
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
    num_numbers, num_categories = len(columns.features), len(columns.categories)
    categories, rest = found[1 : 1 + num_categories], found[1 + num_categories :]
    into.features[:, :num_numbers] = found[0].reshape(-1, num_numbers)
    for at, values in enumerate(categories, num_numbers):
        into.features[:, at] = values.reshape(-1)
    for array, values in zip(into.arrays[1:], rest, strict=True):
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
        with open_records(path) as file:
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
        *(TfField(name=name, kind="int64") for name in columns.categories),
        TfField(name="label", kind="int64" if columns.label_dtype == "int64" else "float"),
    ]
    return [*fields, TfField(name="weight", kind="float")] if columns.weight else fields


def open_records(path: Path) -> BufferedReader | gzip.GzipFile:
    """Return the file of a shard, decompressed where it is gzip: contents decide, not the manifest."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    return gzip.open(path) if is_gzip(head) else path.open("rb")


@functools.lru_cache(maxsize=MAX_SHARDS_KEPT)
def _marks(path: Path, num_bytes: int, modified_ns: int) -> list[int]:
    """Return where every 1024th record begins, and where the last one ends.

    Size and time are there so that a shard that was replaced is looked at again.
    """
    del num_bytes, modified_ns
    marks: list[int] = []
    num_records = end = 0
    with open_records(path) as file:
        for _, offsets in windows_of(file):
            marks += (end + offsets[(-num_records) % MARK_RECORDS : -1 : MARK_RECORDS]).tolist()
            num_records += len(offsets) - 1
            end += int(offsets[-1])
    return [*marks, end]
