"""Owns standard input as a file that can be looked into before it is read, once, to its end."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_BYTES = 4 << 20  # more than the planning looks at, compressed or not


class StandardInput:
    """Standard input; opened again, it begins anew, unless more than 4 MiB have been read."""

    name = "standard input"

    def __init__(self) -> None:
        self._head = b""
        self._is_gone = False

    def __str__(self) -> str:
        return self.name

    @property
    def is_terminal(self) -> bool:
        """Whether somebody would have to type it."""
        return sys.stdin.isatty()

    def stat(self) -> os.stat_result:
        """Return what `os.stat` says of a regular file of unknown size."""
        return os.stat_result((stat.S_IFREG | 0o400, 0, 0, 1, 0, 0, -1, 0, 0, 0))

    @contextmanager
    def open(self, mode: str = "rb") -> Iterator[_Replay]:
        """Open for reading bytes from the beginning."""
        assert mode == "rb"  # noqa: S101  # there is nothing else to be had
        yield _Replay(self)

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Return up to `num_bytes` from `offset`: within what is kept, or just where reading stands."""
        if offset < len(self._head):
            return self._head[offset : offset + num_bytes]
        if self._is_gone and not offset:
            raise OSError("standard input has been read already")
        found = sys.stdin.buffer.read(num_bytes)
        if self._is_gone or len(self._head) + len(found) > KEPT_BYTES:
            self._is_gone, self._head = True, b""
        else:
            self._head += found
        return found


class _Replay:
    """A reader of standard input from its beginning."""

    def __init__(self, source: StandardInput) -> None:
        self._source = source
        self._offset = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` further bytes, none at the end."""
        found = self._source.read_at(self._offset, size if size >= 0 else sys.maxsize)
        self._offset += len(found)
        return found

    def tell(self) -> int:
        """Return the number of bytes read."""
        return self._offset

    closed = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False
