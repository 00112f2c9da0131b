"""Owns the footer of a Parquet shard: read once, and held against the manifest before a page is read.

Of what a footer says of single columns nothing is asked: if a bit is wrong there, pyarrow ends the whole
process, by an exception of C++ that nobody catches. Of what is used here it raises an error.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ShardError
from pipeline.loader.rows import REMAKE
from pipeline.loader.shard_file import status_of
from pipeline.plan import parse_stem

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import Manifest, ShardEntry

MAX_FOOTERS_KEPT = 256  # 60 kB each; a block draws from any shard, and parsing footers is a tenth of its time
TYPES = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(), "string": pa.string()}
MAX_GROUP_CELLS = 1 << 27  # 0.5 to 1 GiB; those of the format have 4 MiB, or 256 records of many columns
# What pyarrow raises when the bytes are not what it expects; MemoryError: a size that no machine has.
DAMAGE = (OSError, KeyError, OverflowError, MemoryError, UnicodeError, pa.ArrowException)


def footer_of(path: Path) -> pq.FileMetaData:
    """Return the footer of a shard, from memory if it was read before and the file is still the same.

    Raises:
        ShardError: no such shard, no file, or a footer that cannot be read or believed.
    """
    status = status_of(path)
    try:
        return _read(path, status.st_size, status.st_mtime_ns)
    except DAMAGE as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: BaseException) -> ShardError:
    """Return the error for a shard whose bytes made pyarrow raise `error`."""
    if isinstance(error, FileNotFoundError):
        return ShardError("no such shard", path=str(path), hint=REMAKE)
    if isinstance(error, PermissionError):
        return ShardError("permission denied", path=str(path), hint="change the permissions")
    found = (str(error).splitlines() or [type(error).__name__])[0]
    return ShardError(f"damaged: {found}", path=str(path), hint=REMAKE)


def footer_fault(footer: pq.FileMetaData, entry: ShardEntry, manifest: Manifest) -> str:
    """Return in what a footer differs from what the manifest says of its shard, or nothing."""
    if footer.num_rows != entry.records:
        return f"{footer.num_rows} records, expected {entry.records}"
    split, shard_index, num_shards = parse_stem(entry.path.rpartition(".")[0]) or ("", 0, 0)
    expected = {
        "pipeline.fingerprint": manifest.fingerprint,
        "pipeline.split": split,
        "pipeline.shard": f"{shard_index} of {num_shards}",
    }
    for key, value in expected.items():
        found = (footer.metadata or {}).get(key.encode(), value.encode())  # other writers need not say
        if found != value.encode():
            what = "a shard of another dataset" if key == "pipeline.fingerprint" else "another shard"
            return f"{what}: its {key} is {found.decode('utf-8', 'replace')!r}, expected {value!r}"
    return _schema_fault(footer, manifest)


def _schema_fault(footer: pq.FileMetaData, manifest: Manifest) -> str:
    try:
        schema = footer.schema.to_arrow_schema()
    except DAMAGE as error:
        return f"damaged: {error}"
    found = [(name, str(kind)) for name, kind in zip(schema.names, schema.types, strict=True)]
    expected = [(column.name, str(TYPES[column.dtype])) for column in manifest.columns]
    for index, (mine, theirs) in enumerate(itertools.zip_longest(found, expected, fillvalue=("nothing", ""))):
        if mine != theirs:
            return f"column {index} is {' '.join(mine)}, expected {' '.join(theirs)}"
    return ""


@functools.lru_cache(maxsize=MAX_FOOTERS_KEPT)
def _read(path: Path, num_bytes: int, modified_ns: int) -> pq.FileMetaData:
    """Return the footer of a shard; by size and time, one that was replaced is read again."""
    del num_bytes, modified_ns
    footer = pq.read_metadata(path)
    groups = [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]
    if sum(groups) != footer.num_rows or min(groups, default=0) < 0:
        raise pa.ArrowInvalid("the row groups do not add up")
    # A few bytes of zstd can stand for billions of records: memory is taken for all of a row group.
    if max(groups, default=0) * footer.num_columns > MAX_GROUP_CELLS:
        raise pa.ArrowInvalid(f"a row group of {max(groups)} records in {footer.num_columns} columns")
    return footer
