"""Owns the text of a compressed file: every member of it, to its last byte, and not without bound.

Python's own file objects pass over what follows the data of bzip2 and xz, so members are followed here. zstd
is left to Arrow, which follows them, too. Neighbour: `files` opens the file.
"""

from __future__ import annotations

import bz2
import functools
import lzma
import re
import zlib
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import CompressionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.plan import Compression

READ_BYTES = 64 << 10
# How a member begins; of bzip2 the block's own mark, too, since a column may be called BZh9.
MAGIC: dict[Compression, re.Pattern[bytes]] = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
}
MAGIC_BYTES = 10
MAX_EXPANSION = (
    1_000  # gzip cannot do more than 1,032, and a table of 0 and 1, one in a hundred, comes to 130
)
EXPANSION_BYTES = 64 << 20  # so much text does no harm, from however few bytes
XZ_MEMORY_BYTES = 96 << 20  # `xz -9` takes 65 MiB to unpack; a header alone may ask for 4 GiB


class Member(Protocol):
    """What unpacks one member of a file: Python's decompressors of bzip2 and xz, and `_Gzip`."""

    @property
    def eof(self) -> bool:
        """Whether the end of the member is reached."""

    @property
    def needs_input(self) -> bool:
        """Whether there is no more text without more data."""

    @property
    def unused_data(self) -> bytes:
        """What follows the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return up to `max_length` bytes of text; what of `data` is left is kept for the next call."""


class _Gzip:
    """A member of gzip, its header, length and CRC-32 checked by zlib."""

    def __init__(self) -> None:
        self._data = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._has_more = False

    @property
    def eof(self) -> bool:
        return self._data.eof

    @property
    def needs_input(self) -> bool:
        return not self._has_more

    @property
    def unused_data(self) -> bytes:
        return self._data.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return up to `max_length` bytes of text."""
        text = self._data.decompress(self._data.unconsumed_tail + data, max_length)
        # zlib may hold text back without any data left to show for it: only a short answer tells.
        self._has_more = bool(self._data.unconsumed_tail) or len(text) == max_length
        return text


MEMBERS: dict[Compression, Callable[[], Member]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": functools.partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, XZ_MEMORY_BYTES),
}


class Stored(Protocol):
    """The bytes of a compressed file, read from their beginning."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` further bytes, none at the end."""

    def tell(self) -> int:
        """Return the number of bytes read."""


class Decompressed:
    """The text of a compressed file, read from its beginning; in constant memory."""

    def __init__(self, stored: Stored, path: str, compression: Compression) -> None:
        self._stored = stored
        self._path = path
        self._compression = compression
        self._num_bytes = 0
        self._read = _zstd(stored) if compression == "zstd" else _Members(stored, compression).read

    def read(self, size: int) -> bytes:
        """Return up to `size` further bytes of text, none at the end.

        Raises:
            CompressionError: the data are damaged or cut, expand beyond measure, or something follows them.
        """
        try:
            text = self._read(size)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise CompressionError(
                f"damaged {self._compression} data, after {self._num_bytes} bytes of text: {error}",
                path=self._path,
                hint="fetch the file again; its maker's own tool can test it",
            ) from None
        self._num_bytes += len(text)
        if self._num_bytes > EXPANSION_BYTES and self._num_bytes > MAX_EXPANSION * self._stored.tell():
            raise CompressionError(
                f"{self._stored.tell()} bytes expand to more than {MAX_EXPANSION} times as many",
                path=self._path,
                hint="if that is to be expected, unpack the file and convert the text",
            )
        return text


class _Members:
    """All members of a file, one after the other."""

    def __init__(self, stored: Stored, compression: Compression) -> None:
        self._stored = stored
        self._magic = MAGIC[compression]
        self._make = MEMBERS[compression]
        self._member = self._make()
        self._data = b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of text, none at the end of the last member."""
        while True:
            if self._member.eof and not self._next_member():
                return b""
            if not self._data and self._member.needs_input:
                self._data = self._stored.read(READ_BYTES)
                if not self._data:
                    raise EOFError("it ends early")
            data, self._data = self._data, b""
            if text := self._member.decompress(data, size):
                return text

    def _next_member(self) -> bool:
        """Begin the next member; return whether there is one."""
        # Zeros between members and behind the last one pad a block, or a tape.
        self._data = self._member.unused_data.lstrip(b"\0")
        while len(self._data) < MAGIC_BYTES and (more := self._stored.read(READ_BYTES)):
            self._data = (self._data + more).lstrip(b"\0")
        if self._data and not self._magic.match(self._data):
            raise ValueError(f"something else follows them: {self._data[:8]!r}")
        if self._data:
            self._member = self._make()
        return bool(self._data)


def _zstd(stored: Stored) -> Callable[[int], bytes]:
    import pyarrow as pa  # noqa: PLC0415  # Python has no zstd before 3.14; loaded for it alone

    read: Callable[[int], bytes] = pa.CompressedInputStream(pa.PythonFile(stored, "r"), "zstd").read
    return read
