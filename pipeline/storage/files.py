"""Owns how a file comes to be: aside, then whole and safely stored under its name, or not at all.

On a disk: `.partial`, fsync, rename, fsync of the folder. In an object store: an object appears when its
upload is completed, and only then. Neighbours: `formats` and `runs` write through this; `staging` publishes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.storage.paths import is_object_store, names_in, store_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from upath import UPath

    from pipeline.storage.paths import AnyPath

HEAD_BYTES = 4096  # what tells one shard from another without reading either
PARTIAL = ".partial"
PART_BYTES = 8 << 20  # of an upload: 10,000 of them, S3's limit, make 80 GB; fsspec's own 50 MiB are memory


class WholeFile:
    """A file to be written once, front to back; it appears under its name with `publish`, or never."""

    def __init__(self, path: AnyPath) -> None:
        self._path = path
        self._aside = path if is_object_store(path) else path.with_name(_aside_name(path.name))
        self._file: Any
        if isinstance(self._aside, Path):
            self._file = self._aside.open("wb", buffering=0)
        else:
            self._file = store_of(self._aside).open(self._aside.path, "wb", block_size=PART_BYTES)

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, any buffer of bytes."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            written = self._file.write(view[done:])
            done = len(view) if written is None else done + written  # None, says paramiko, is all
        return len(view)

    def publish(self) -> None:
        """Make the bytes safe and give the file its name."""
        if isinstance(self._path, Path):
            os.fsync(self._file.fileno())
            self._file.close()
            self._aside.rename(self._path)
            fsync_directory(self._path.parent)
            return
        self._file.close()
        if not isinstance(self._aside, Path) and self._aside is not self._path:
            store_of(self._path).mv(self._aside.path, self._path.path)

    def close(self) -> None:
        """Close without publishing, unless that is done."""
        if self._file.closed:
            return
        if is_object_store(self._path):
            # Closing would complete the upload.
            self._file.discard()
            self._file.closed = True
        else:
            self._file.close()

    @property
    def closed(self) -> bool:
        """Whether the file takes no more bytes."""
        return bool(self._file.closed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class HashedFile(WholeFile):
    """A whole file that counts and hashes (SHA-256) what passes."""

    def __init__(self, path: AnyPath) -> None:
        super().__init__(path)
        self._hash = hashlib.sha256()
        self._head_hash = hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, any buffer of bytes."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        if self.num_bytes < HEAD_BYTES:
            self._head_hash.update(view[: HEAD_BYTES - self.num_bytes])
        self.num_bytes += super().write(view)
        return len(view)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.num_bytes

    def flush(self) -> None:
        """Do nothing: what is written aside needs no order before `publish`."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of all bytes written, hexadecimal."""
        return self._hash.hexdigest()

    @property
    def head_sha256(self) -> str:
        """The SHA-256 of the first 4,096 bytes written, or of all where they are fewer."""
        return self._head_hash.hexdigest()


class Log:
    """A file that grows by entries, each safe when `append` returns.

    On a disk one file; in a store, whose objects cannot grow, an object per entry, numbered in order.
    """

    def __init__(self, path: AnyPath) -> None:
        self._path = path
        self._num_entries = 0 if isinstance(path, Path) else len(self._objects())

    def append(self, entry: bytes) -> None:
        """Add `entry`."""
        if isinstance(self._path, Path):
            with self._path.open("ab", buffering=0) as file:
                while entry:
                    entry = entry[file.write(entry) :]
                os.fsync(file.fileno())
            fsync_directory(self._path.parent)
            return
        place = self._path.with_name(f"{self._path.name}.{self._num_entries:08d}")
        store_of(place).pipe_file(place.path, entry)
        self._num_entries += 1

    def read(self) -> bytes:
        """Return all entries, one after the other; b"" where there is none."""
        if isinstance(self._path, Path):
            return self._path.read_bytes() if self._path.exists() else b""
        places = [str(found.path) for found in self._objects()]
        entries = self._path.fs.cat(places) if places else {}  # many at the same time
        return b"".join(entries[place] for place in places)

    def replace(self, entries: Sequence[bytes]) -> None:
        """Put `entries` in the place of all that are there; at once, on a disk."""
        if isinstance(self._path, Path):
            with WholeFile(self._path) as file:
                file.write(b"".join(entries))
                file.publish()
            return
        self.remove()
        for entry in entries:
            self.append(entry)

    def remove(self) -> None:
        """Forget all entries."""
        if isinstance(self._path, Path):
            self._path.unlink(missing_ok=True)
            fsync_directory(self._path.parent)
            return
        for found in self._objects():
            found.unlink()
        self._num_entries = 0

    def _objects(self) -> list[UPath]:
        assert not isinstance(self._path, Path)  # noqa: S101  # nobody else asks
        names = [name for name in names_in(self._path.parent) if name.startswith(f"{self._path.name}.")]
        return [self._path.with_name(name) for name in names]


def _aside_name(name: str) -> str:
    # Of its own for each writer: two workers of a cluster may do the same task at the same time.
    return f"{name}.{os.getpid():x}-{secrets.token_hex(4)}{PARTIAL}"


def fsync_directory(path: AnyPath) -> None:
    """Force the names in the directory `path` to the disk; a store needs no such thing."""
    if not isinstance(path, Path):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: AnyPath, text: str) -> None:
    """Write a small file, UTF-8, whole or not at all."""
    with WholeFile(path) as file:
        file.write(text.encode())
        file.publish()
