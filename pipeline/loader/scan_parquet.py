"""Owns a Parquet shard decoded while it is hashed, one row group in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.loader.parquet_footer import DAMAGE, damaged, footer_of
from pipeline.loader.read_parquet import column_values
from pipeline.loader.scanned import Scanned
from pipeline.manifest.checks import record_bytes
from pipeline.plan import row_group_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.loader.hashed_reads import HashedReads
    from pipeline.manifest import Manifest


def scan_parquet(reads: HashedReads, manifest: Manifest) -> Iterator[Scanned]:
    """Yield the records of a shard, a row group at a time; texts are valid UTF-8.

    Page checksums are verified in the first row group only, as a test of the writer: who hashes all bytes
    needs no other proof of them, and it would take a tenth of the time.

    Raises:
        ShardError: the bytes are damaged, or the row groups are larger than those of the format.
    """
    footer = footer_of(reads.path)
    most = row_group_records(record_bytes(manifest))
    window = _Window(reads)
    try:
        for index in range(footer.num_row_groups):
            group = footer.row_group(index)
            if group.num_rows > most:
                raise pa.ArrowInvalid(f"a row group of {group.num_rows} records, expected at most {most}")
            window.advance(*_extent(group))
            with pq.ParquetFile(
                pa.PythonFile(window, mode="r"),
                metadata=footer,
                page_checksum_verification=index == 0,
                pre_buffer=False,
            ) as file:
                yield _scanned(file.read_row_group(index, use_threads=False), manifest)
    except DAMAGE as error:
        raise damaged(reads.path, error) from None


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """Return where the pages of a row group begin and end in the file."""
    columns = [group.column(index) for index in range(group.num_columns)]
    begins = [
        min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
        for column in columns
    ]
    ends = [begin + column.total_compressed_size for begin, column in zip(begins, columns, strict=True)]
    return min(begins), max(ends)


def _scanned(table: pa.Table, manifest: Manifest) -> Scanned:
    others = {}
    for column in manifest.columns:
        if column.dtype == "string":
            _check_texts(table.column(column.name))
        elif column.role != "feature":
            others[column.name] = column_values(table, column.name, column.dtype)
    features = (column_values(table, column.name, column.dtype) for column in manifest.features)
    return Scanned(features=tuple(features), others=others)


def _check_texts(texts: pa.ChunkedArray) -> None:
    texts.validate(full=True)
    if texts.null_count:
        raise pa.ArrowInvalid("a text column holds nulls")


class _Window:
    """The part of a file that is in memory, as the file that pyarrow reads; nothing else can be read."""

    closed = False

    def __init__(self, reads: HashedReads) -> None:
        self._reads = reads
        self._begin = self._at = 0
        self._memory = memoryview(b"")  # used again: fresh memory costs as much as what is done with it
        self._data = pa.py_buffer(b"")

    def advance(self, begin: int, end: int) -> None:
        """Take the bytes [begin, end) into memory in place of those before."""
        if begin < self._reads.position:
            raise pa.ArrowInvalid("row groups that do not follow each other")
        self._reads.skip_to(begin)
        if len(self._memory) < end - begin:
            self._memory = memoryview(bytearray(end - begin))
        num_bytes = self._reads.readinto(self._memory[: end - begin])
        self._begin, self._data = begin, pa.py_buffer(self._memory[:num_bytes])

    def read_buffer(self, num_bytes: int) -> pa.Buffer:
        """Return `num_bytes` bytes from where `seek` went, not copied."""
        begin = self._at - self._begin
        if begin < 0 or begin + num_bytes > self._data.size:
            raise OSError(f"no bytes at {self._at} in this row group")
        self._at += num_bytes
        return self._data.slice(begin, num_bytes)

    def read(self, num_bytes: int) -> bytes:
        """Return the same as bytes."""
        return bytes(self.read_buffer(num_bytes).to_pybytes())

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, from the beginning or (2) the end of the file."""
        self._at = offset + (self._reads.num_bytes if whence == 2 else 0)  # noqa: PLR2004  # io.SEEK_END
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def close(self) -> None:
        """Do nothing: the file is not this one's."""
