"""Owns reading a row group whose values stand in the file as they do in memory: nothing is decoded.

`formats.parquet` writes each column of a row group as pages one after the other; uncompressed, each is

    header   its size, a checksum, how many values, how they are encoded: some 30 bytes
    values   little-endian

so the first row group begins behind the four bytes of the magic, and each column where the one before ends.
What looks different in any way, be it compressed, of another writer or damaged, is left to pyarrow. Of the
footer only sizes are asked, see `parquet_footer`. Source: Apache Parquet, parquet.thrift; Thrift's compact
protocol.
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow.parquet as pq
    from numpy.typing import NDArray

MAGIC_BYTES = 4
HEADERS_BYTES = 4096  # of a column, a hundred pages
# A field of Thrift: its number less that of the one before, its type; an integer follows, seven bits a byte.
INT32, STRUCT, STOP = rb"\x15", rb"\x1c", rb"\x00"
INTEGER = rb"[\x80-\xff]{0,4}[\x00-\x7f]"
DATA_PAGE = PLAIN = rb"\x00"
CHECKSUM, NO_CHECKSUM = INT32 + INTEGER + STRUCT, rb"\x2c"  # and the struct of a data page begins
LEVELS = INT32 + rb"[\x06\x08]"  # how levels are encoded, of which a column without nulls has none
NO_STATISTICS = b"(?:" + STRUCT + STOP + b")?"
HEADER = re.compile(
    INT32 + DATA_PAGE
    + 2 * (INT32 + b"(" + INTEGER + b")")  # bytes of the page, before and after compression
    + b"(?:" + CHECKSUM + b"|" + NO_CHECKSUM + b")"
    + INT32 + b"(" + INTEGER + b")"  # how many values
    + INT32 + PLAIN + 2 * LEVELS + NO_STATISTICS + 2 * STOP,
    re.DOTALL,
)  # fmt: skip


def read_plain(
    path: Path, footer: pq.FileMetaData, group_index: int, into: Mapping[str, NDArray[Any]]
) -> bool:
    """Fill the arrays `into`, each by the column of its name; False if pyarrow must do it.

    They are contiguous, of the type of their column, and have a value for each record of the row group.

    Raises:
        OSError: the file cannot be read.
    """
    names = footer.schema.names[: len(into)]
    if not into.keys() >= set(names):
        return False  # others between them
    at = MAGIC_BYTES + sum(footer.row_group(index).total_byte_size for index in range(group_index))
    # Column by column, through memory that stays in the core's cache.
    memory = bytearray(max(values.nbytes for values in into.values()) + HEADERS_BYTES)
    with path.open("rb", buffering=0) as file:
        for name in names:
            num_bytes = _read_column(file.fileno(), at, into[name], memory)
            if num_bytes == 0:
                return False
            at += num_bytes
    return True


def _read_column(descriptor: int, at: int, into: NDArray[Any], memory: bytearray) -> int:
    """Fill `into` from the pages of a column; return their bytes, 0 if they are not what is expected."""
    num_read = os.preadv(descriptor, [memory], at)
    filled = begin = 0
    while filled < len(into):
        header = HEADER.match(memory, begin, num_read)
        if header is None:
            return 0
        num_bytes, stored_bytes, num_values = map(_integer, header.groups())
        begin = header.end() + num_bytes
        fits = filled + num_values <= len(into) and begin <= num_read
        if not fits or stored_bytes != num_bytes or num_bytes != num_values * into.itemsize:
            return 0
        into[filled : filled + num_values] = np.frombuffer(memory, into.dtype, num_values, header.end())
        filled += num_values
    return begin


@functools.lru_cache(maxsize=1024)
def _integer(text: bytes) -> int:
    """Return an integer as Thrift writes it; one that is negative becomes too large for any page."""
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(text))
    return value >> 1 if value % 2 == 0 else 1 << 32  # the last bit is the sign
