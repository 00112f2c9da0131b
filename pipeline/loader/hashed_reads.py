"""Owns a shard read once from its first byte to its last, hashed on the way.

What is decoded is what was hashed: the bytes are taken from the disk once, and nothing can change in between.
Neighbours: `scan_parquet` and `scan_tfrecord` decode what passes.
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

from pipeline.loader.shard_file import status_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

READ_BYTES = 1 << 20


class HashedReads:
    """A shard as a file to be read front to back; a context manager.

    `advance` is called with the number of bytes after each read.

    Raises:
        ShardError: there is no such shard, or it is no regular file.
    """

    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        self.path = path
        self.num_bytes = status_of(path).st_size
        self.position = 0
        self._advance = advance
        self._hash = hashlib.sha256()
        # No link is followed, even one that was put there a moment ago.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` with what comes next and return how many bytes that was: fewer only at the end."""
        done = 0
        # Hashed in pieces that are still in the cache of the core.
        while done < len(buffer) and (got := os.readv(self._descriptor, [buffer[done : done + READ_BYTES]])):
            self._hash.update(buffer[done : done + got])
            self._advance(got)
            done += got
        self.position += done
        return done

    def read(self, num_bytes: int) -> bytes:
        """Return the next `num_bytes` bytes, fewer only at the end of the file."""
        data = bytearray(num_bytes)
        return bytes(data[: self.readinto(memoryview(data))])

    def head(self, num_bytes: int) -> bytes:
        """Return the first bytes of the file, without going there."""
        return os.pread(self._descriptor, num_bytes, 0)

    def seek(self, position: int) -> None:
        """Refuse: what has passed was hashed and is gone."""
        raise io.UnsupportedOperation(f"cannot go to {position}: this file is read front to back")

    def skip_to(self, position: int) -> None:
        """Read on to `position`, or to the end of the file."""
        buffer = memoryview(bytearray(READ_BYTES))
        while self.position < position and self.readinto(buffer[: position - self.position]):
            pass

    def finish(self) -> str:
        """Read what is left and return the SHA-256 of all bytes, hexadecimal."""
        self.skip_to(self.num_bytes)
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
