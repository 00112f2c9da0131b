"""Owns where bytes are: a path on this machine, or a URL of a store that fsspec knows, used alike.

A local path is a `pathlib.Path`; `s3://`, `gs://`, `https://`, `sftp://` and the like are a `upath.UPath`,
which has the same methods. What differs (reading in the middle, whole trees, names of faults) is here.
Neighbours: `files` writes, `staging` publishes; `source` reads.
"""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import (
    AccessError,
    DiskError,
    MissingExtraError,
    OptionError,
    PipelineError,
    SourceNotFoundError,
    StoreError,
)
from pipeline.standard_input import StandardInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upath import UPath

    AnyPath = Path | UPath
    SourcePath = Path | UPath | StandardInput

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
# The libraries beneath fsspec have trees of errors of their own; their packages tell them from our faults.
STORE_PACKAGES = {"aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "google", "paramiko", "s3fs"}


def locate(text: str) -> AnyPath:
    """Return the path that a user's words name: a URL where there is "://" in them, else a local path.

    Raises:
        MissingExtraError: the package that reads such URLs is not installed.
        OptionError: nobody knows such URLs.
    """
    protocol, mark, _ = text.partition("://")
    if not mark:
        return Path(text)
    if protocol in {"file", "local"}:
        return Path(text.removeprefix(f"{protocol}://"))
    try:
        from upath import UPath  # noqa: PLC0415  # loads fsspec, which few need

        path = UPath(text)
        _ = path.fs
    except ImportError:
        extra = EXTRAS.get(protocol)
        hint = f'pip install "csv-shard-pipeline[{extra}]"' if extra else "install what fsspec needs for it"
        raise MissingExtraError(f"{protocol}:// cannot be read", path=text, hint=hint) from None
    except ValueError:
        raise OptionError(
            f"{protocol}:// is not known", path=text, hint="see the list of fsspec's protocols"
        ) from None
    return path


def is_local(path: SourcePath) -> bool:
    """Return whether `path` is on this machine's own file systems."""
    return isinstance(path, Path)


def absolute(path: SourcePath) -> SourcePath:
    """Return `path` so that it means the same in any process; a URL does."""
    return path.absolute() if isinstance(path, Path) else path


def shown(path: SourcePath) -> str:
    """Return `path` as a user wrote it."""
    return str(path)


@contextmanager
def random_access(path: AnyPath, begin: int, end: int) -> Iterator[Callable[[int, int], bytes]]:
    """Yield `read_at(offset, num_bytes)` for a file of which mostly the bytes [begin, end) are wanted.

    Of a store they come with one request, further bytes with one each.
    """
    if not isinstance(path, Path):
        window = _fetched(path, begin, end)

        def read_window(offset: int, num_bytes: int) -> bytes:
            if begin <= offset and offset + num_bytes <= begin + len(window):
                return window[offset - begin : offset - begin + num_bytes]
            return _fetched(path, offset, offset + num_bytes)

        yield read_window
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield lambda offset, num_bytes: _pread(descriptor, offset, num_bytes)
    finally:
        os.close(descriptor)


def read_at(path: AnyPath, offset: int, num_bytes: int) -> bytes:
    """Return `num_bytes` of the file at `offset`, fewer only at its end; any thread may do so."""
    with random_access(path, offset, offset + num_bytes) as read:
        return read(offset, num_bytes)


def _pread(descriptor: int, offset: int, num_bytes: int) -> bytes:
    first = os.pread(descriptor, num_bytes, offset)
    if len(first) == num_bytes or not first:
        return first
    parts, done = [first], len(first)
    # Linux returns at most 2 GiB at a time.
    while done < num_bytes and (part := os.pread(descriptor, num_bytes - done, offset + done)):
        parts.append(part)
        done += len(part)
    return b"".join(parts)


def _fetched(path: UPath, begin: int, end: int) -> bytes:
    """Return the bytes [begin, end) of an object, fewer only at its end."""
    if begin >= end:
        return b""
    found: bytes = path.fs.cat_file(path.path, start=begin, end=end)
    if len(found) > end - begin:  # a server that does not know ranges sends everything
        raise StoreError(f"asked for {end - begin} bytes, got {len(found)}", path=shown(path))
    return found


def has_ranges(path: SourcePath) -> bool:
    """Return whether any part of the file can be read on its own; else it must be read from its beginning."""
    if isinstance(path, Path | StandardInput):
        return isinstance(path, Path)
    info: dict[str, Any] = path.fs.info(path.path)
    if info.get("size") is None:
        return False
    return path.protocol not in {"http", "https"} or bool(info.get("partial"))


def state_of(path: SourcePath) -> tuple[int, int]:
    """Return the size of a file in bytes, and a number that changes when it is written again.

    The latter is the time of modification in nanoseconds; of a store, a checksum of ETag and time. A size
    that the store does not tell is -1.
    """
    if isinstance(path, Path | StandardInput):
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    path.fs.invalidate_cache()
    info: dict[str, Any] = path.fs.info(path.path)
    marks = [str(info.get(key)) for key in ("ETag", "etag", "LastModified", "updated", "mtime", "generation")]
    size = info.get("size")
    return -1 if size is None else int(size), zlib.crc32("\n".join(marks).encode())


def size_of(path: AnyPath) -> int:
    """Return the size of a file in bytes; -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def names_in(folder: AnyPath) -> list[str]:
    """Return the names of what is in `folder`, in order; none where there is no such folder."""
    if not isinstance(folder, Path):
        folder.fs.invalidate_cache()
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def make_folder(folder: AnyPath) -> None:
    """Make `folder`, and those above it; a store has none."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)


def remove_tree(folder: AnyPath) -> None:
    """Remove `folder` and everything in it, as far as it is there and may be removed."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    folder.fs.invalidate_cache()
    if folder.fs.exists(folder.path):
        folder.fs.rm(folder.path, recursive=True)


@contextmanager
def system_errors_told(path: SourcePath, *, hint: str) -> Iterator[None]:
    """Turn what the system says of disk, access, stores into our errors, at `path` where it names none.

    Raises:
        AccessError: permission denied.
        DiskError: the disk is full or fails; with `hint`.
        StoreError: a store that is reached by URL failed.
    """
    try:
        yield
    except PipelineError:
        raise
    except PermissionError as error:
        raise AccessError("permission denied", path=str(error.filename or path)) from None
    except OSError as error:
        if error.errno in DISK_ERRORS:
            where = str(error.filename or path)
            raise DiskError(os.strerror(error.errno or 0), path=where, hint=hint) from None
        if is_local(path):
            raise
        if isinstance(error, FileNotFoundError):
            raise SourceNotFoundError("no such file", path=shown(path)) from None
        raise _store_error(error, path) from None
    except Exception as error:
        if is_local(path) or type(error).__module__.partition(".")[0] not in STORE_PACKAGES:
            raise
        raise _store_error(error, path) from None


def _store_error(error: Exception, path: SourcePath) -> StoreError:
    said = " ".join(str(error).split()) or type(error).__name__
    return StoreError(
        said, path=shown(path), hint="check address, credentials and network, then run it again"
    )
