"""Owns the bytes of a source file: what it is, its size, and reading its uncompressed text.

Contents decide what a file is, never its name. Neighbours: `ranges` asks for text, `sniff` for its beginning.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pipeline.errors import (
    AccessError,
    CompressionError,
    EmptySourceError,
    EncodingError,
    SourceNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.plan import Compression

COMPRESSED: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# What people hand over by mistake, by the first bytes of the file.
FOREIGN = (
    (b"PAR1", "a Parquet file", "a CSV is wanted; Parquet needs no conversion of text"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV"),
    (b"ARROW1", "an Arrow file", "a CSV is wanted"),
    (b"version https://git-lfs", "a git-lfs pointer", "fetch the real file: git lfs pull"),
    (b"<!DOCTYPE", "an HTML page", "the download gave a web page in place of the file"),
    (b"<html", "an HTML page", "the download gave a web page in place of the file"),
    (b"\xff\xfe", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"),
)


class Text(Protocol):
    """The uncompressed bytes of a file, read from their beginning."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` further bytes, none at the end."""


def recognise(path: Path) -> Compression:
    """Return how the file is compressed, by its first bytes.

    Raises:
        SourceNotFoundError: there is no such file, or it is a directory.
        AccessError: it may not be read.
        EmptySourceError: it has no bytes.
        EncodingError: it is something else than text.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError:
        raise SourceNotFoundError("no such file", path=str(path), hint=_neighbours(path)) from None
    except IsADirectoryError:
        raise SourceNotFoundError("is a directory, expected a CSV file", path=str(path)) from None
    except PermissionError:
        raise AccessError("permission denied", path=str(path), hint=f"chmod u+r {path}") from None
    if not head:
        raise EmptySourceError("the file is empty: no header line", path=str(path))
    for magic, compression in COMPRESSED:
        if head.startswith(magic):
            return compression
    for magic, name, hint in FOREIGN:
        if head.startswith(magic):
            raise EncodingError(f"looks like {name}", path=str(path), hint=hint)
    return "none"


def _neighbours(path: Path) -> str:
    from pipeline.errors import nearest  # noqa: PLC0415  # only for the message

    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return ""


@contextmanager
def open_text(path: Path, compression: Compression) -> Iterator[Text]:
    """Open the uncompressed bytes of `path` for reading from their beginning.

    Its `read` raises CompressionError where compressed data are damaged or cut.
    """
    with path.open("rb") as stored:
        yield stored if compression == "none" else _Decompressed(stored, path, compression)


class _Decompressed:
    """The text of a compressed file; all members or frames of it, one after the other."""

    def __init__(self, stored: BinaryIO, path: Path, compression: Compression) -> None:
        self._path = path
        self._compression = compression
        self._text: Text
        if compression == "gzip":
            self._text = gzip.GzipFile(fileobj=stored)
        elif compression == "bzip2":
            self._text = bz2.BZ2File(stored)
        elif compression == "xz":
            self._text = lzma.LZMAFile(stored)  # noqa: SIM115  # `stored` is closed by `open_text`
        else:
            import pyarrow as pa  # noqa: PLC0415  # Python has no zstd before 3.14; loaded for it alone

            self._text = pa.CompressedInputStream(pa.PythonFile(stored, "r"), "zstd")

    def read(self, size: int) -> bytes:
        """Return up to `size` further bytes, none at the end.

        Raises:
            CompressionError: the data are damaged or cut.
        """
        try:
            return self._text.read(size)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise CompressionError(
                f"damaged {self._compression} data: {error}",
                path=str(self._path),
                hint="fetch the file again; its maker's own tool can test it",
            ) from None


def read_exactly(text: Text, num_bytes: int) -> bytes:
    """Return the next `num_bytes` of `text`, fewer only at its end."""
    parts: list[bytes] = []
    while num_bytes > 0 and (part := text.read(num_bytes)):
        parts.append(part)
        num_bytes -= len(part)
    return b"".join(parts)


def count_lines(path: Path, compression: Compression, end: int) -> int:
    """Return the number of line ends in the first `end` bytes of the text; reads them all."""
    num_lines = 0
    with open_text(path, compression) as text:
        while end > 0 and (part := text.read(min(end, 1 << 20))):
            num_lines += part.count(b"\n")
            end -= len(part)
    return num_lines
