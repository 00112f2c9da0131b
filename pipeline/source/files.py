"""Owns the bytes of a source file: what it is, its size, and reading its uncompressed text.

Contents decide what a file is, never its name. Neighbours: `ranges` asks for text, `sniff` for its beginning.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import AccessError, EmptySourceError, SourceChangedError, SourceNotFoundError, nearest
from pipeline.source.decompress import MAGIC, MAGIC_BYTES, Decompressed
from pipeline.standard_input import StandardInput
from pipeline.storage.reads import STREAM_BYTES, read_head, state_of, streamed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.plan import Compression, SourceFile
    from pipeline.source.decompress import Stored
    from pipeline.storage.paths import SourcePath

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CHECK_BYTES = 4 << 30  # of text, ten seconds of gzip: as long as anybody waits for an error


class Text(Protocol):
    """The uncompressed bytes of a file, read from their beginning."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` further bytes, none at the end."""


def recognise(path: SourcePath) -> Compression:
    """Return how the file is compressed, by its first bytes.

    Raises:
        SourceNotFoundError: there is no such file, or it is a directory, a pipe or a device.
        AccessError: it may not be read.
        EmptySourceError: it has no bytes.
    """
    try:
        mode, head = _head(path)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceNotFoundError("no such file", path=str(path), hint=_neighbours(path)) from None
    except PermissionError:
        raise AccessError("permission denied", path=str(path), hint=f"chmod u+r {path}") from None
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise SourceNotFoundError(f"is {kind}, expected a CSV file", path=str(path))
    if not head:
        raise EmptySourceError("the file is empty: no header line", path=str(path))
    return next((name for name, magic in MAGIC.items() if magic.match(head)), "none")


def sizes_known(files: Sequence[SourceFile]) -> bool:
    """Return whether the size is known of every one of the files."""
    return all(file.num_bytes >= 0 for file in files)


def _head(path: SourcePath) -> tuple[int, bytes]:
    """Return what kind of file it is, as `os.stat` tells, and its first bytes."""
    if not isinstance(path, Path | StandardInput):
        num_bytes, _ = state_of(path)
        return stat.S_IFREG, read_head(path, MAGIC_BYTES) if num_bytes else b""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # opening a pipe would wait for whoever writes to it
        return mode, b""
    with path.open("rb") as file:
        return mode, file.read(MAGIC_BYTES)


def _neighbours(path: SourcePath) -> str:
    if not isinstance(path, Path):
        return ""  # who knows how many there are
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return ""


@contextmanager
def open_text(
    path: SourcePath, compression: Compression, *, block_bytes: int = STREAM_BYTES
) -> Iterator[Text]:
    """Open the uncompressed bytes of `path` for reading from their beginning.

    Its `read` raises CompressionError where compressed data are damaged or cut. A store is asked for
    `block_bytes` at a time.
    """
    with streamed(path, block_bytes=block_bytes) as stored:
        yield stored if compression == "none" else Decompressed(stored, str(path), compression)


def read_beginning(path: SourcePath, compression: Compression, num_bytes: int) -> tuple[bytes, float]:
    """Return the first `num_bytes` of the text, fewer only if it ends, and how much larger it is than stored.

    The latter is measured on these bytes; of bzip2, whose blocks are large, it may be half of what is true.

    Raises:
        CompressionError: compressed data are damaged or cut.
    """
    with streamed(path, block_bytes=num_bytes) as stored:
        if compression == "none":
            return read_exactly(stored, num_bytes), 1.0
        slowly = _InSmallBlocks(stored)
        text = read_exactly(Decompressed(slowly, str(path), compression), num_bytes)
        return text, len(text) / max(slowly.tell(), 1)


class _InSmallBlocks:
    """A file that gives few bytes at a time, so that its position tells how many were needed."""

    BLOCK_BYTES = 1 << 10
    closed = False

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def read(self, size: int = -1) -> bytes:
        """Return up to 1 KiB."""
        return self._stored.read(self.BLOCK_BYTES if size < 0 else min(size, self.BLOCK_BYTES))

    def tell(self) -> int:
        """Return the number of bytes read."""
        return self._stored.tell()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Leave that to whoever opened the file."""


def read_exactly(text: Text, num_bytes: int) -> bytes:
    """Return the next `num_bytes` of `text`, fewer only at its end."""
    parts: list[bytes] = []
    while num_bytes > 0 and (part := text.read(num_bytes)):
        parts.append(part)
        num_bytes -= len(part)
    return b"".join(parts)


def count_line_ends(text: bytes, begin: int = 0, end: int | None = None) -> int:
    r"""Return the number of line ends in `text[begin:end]`, as `csv` counts: LF, CRLF, and CR alone.

    >>> count_line_ends(b"a\nb\r\nc\rd")
    3
    """
    end = len(text) if end is None else end
    num_alone = text.count(b"\r", begin, end)
    if num_alone:
        num_alone -= text.count(b"\r\n", begin, end)
    return text.count(b"\n", begin, end) + num_alone


def check_whole(file: SourceFile) -> None:
    """Raise if a compressed file here is damaged; a fault of its text may be nothing else.

    Checksums come last, behind text that is garbled by then. A stream, or a file of a store, is not read once
    more, and of a very large one only the first CHECK_BYTES.

    Raises:
        CompressionError: it is.
    """
    if file.compression == "none" or not isinstance(file.path, Path):
        return
    left = CHECK_BYTES
    with open_text(file.path, file.compression) as text:
        while left > 0 and (read := text.read(min(left, STREAM_BYTES))):
            left -= len(read)


def check_unchanged(file: SourceFile) -> None:
    """Raise if the file is no longer what it was when the plan was made.

    Raises:
        SourceChangedError: size or time of modification differ.
    """
    num_bytes, modified = state_of(file.path)
    if (num_bytes, modified) != (file.num_bytes, file.modified_ns):
        raise SourceChangedError(
            f"changed while it was read: {file.num_bytes} bytes before, {num_bytes} after",
            path=str(file.path),
            hint="run the same command again when nothing writes to it",
        )
