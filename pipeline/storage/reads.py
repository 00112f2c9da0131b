"""Owns reading: any bytes of a file, here or in a store, of many files at once, or all as they stream by.

What a store says when it fails becomes one of our errors here, at the path that was read. Neighbours: `paths`
says where bytes are; `source` and `runs` read through this.
"""

from __future__ import annotations

import os
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import SourceNotFoundError, StoreError
from pipeline.standard_input import StandardInput
from pipeline.storage.paths import HTTP, STORE_HINT, shown, store_of, system_errors_told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from upath import UPath

    from pipeline.storage.paths import AnyPath, SourcePath

STREAM_BYTES = 8 << 20  # of an object at a time, when all of it is wanted
# What marks a version of an object, the surest first; stores have different names for it.
MARKS = ("ETag", "etag", "generation", "LastModified", "Last-Modified", "last_modified", "updated", "mtime")


@contextmanager
def reading(path: SourcePath) -> Iterator[None]:
    """Turn what a store says while `path` is read into our errors; those of a disk stay as they are.

    Raises:
        SourceNotFoundError: there is no such object.
        AccessError: permission denied.
        StoreError: the store failed.
    """
    if isinstance(path, Path | StandardInput):
        yield
        return
    with system_errors_told(path, hint=STORE_HINT):
        try:
            yield
        except FileNotFoundError as error:
            if isinstance(error, SourceNotFoundError):
                raise
            raise SourceNotFoundError("no such file", path=shown(path)) from None


def state_of(path: SourcePath) -> tuple[int, int]:
    """Return the size of a file in bytes, and a number that changes when it is written again.

    The latter is the time of modification in nanoseconds; of a store, a checksum of what marks a version. A
    size that the store does not tell is -1.
    """
    if isinstance(path, Path | StandardInput):
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    with reading(path):
        store = store_of(path)
        store.invalidate_cache()
        info: dict[str, Any] = store.info(path.path)
    mark = next((str(info[key]) for key in MARKS if info.get(key)), "")
    size = info.get("size")
    return -1 if size is None else int(size), zlib.crc32(mark.encode())


@contextmanager
def random_access(path: AnyPath, begin: int, end: int) -> Iterator[Callable[[int, int], bytes]]:
    """Yield `read_at(offset, num_bytes)` for a file of which mostly the bytes [begin, end) are wanted.

    Of a store they come with one request, further bytes with one each.
    """
    if not isinstance(path, Path):
        window = _fetched(path, begin, end)
        is_last = len(window) < end - begin

        def read_window(offset: int, num_bytes: int) -> bytes:
            if begin <= offset and (is_last or offset + num_bytes <= end):
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


def read_many(wanted: Sequence[tuple[AnyPath, int, int]]) -> list[bytes]:
    """Return the bytes of each (path, offset, num_bytes), fewer only at the end of a file.

    Of a store, many are fetched at the same time; all must be in one. Where nothing is wanted of a file, it
    is not asked.
    """
    found = [b""] * len(wanted)
    places = [place for place, (_, _, num_bytes) in enumerate(wanted) if num_bytes]
    if not places:
        return found
    first = wanted[places[0]][0]
    if isinstance(first, Path):
        for place in places:
            found[place] = read_at(*wanted[place])
        return found
    with reading(first):
        parts = store_of(first).cat_ranges(
            [wanted[place][0].path for place in places],  # type: ignore[union-attr]  # all in one store
            [wanted[place][1] for place in places],
            [wanted[place][1] + wanted[place][2] for place in places],
            on_error="raise",
        )
    for place, part in zip(places, parts, strict=True):
        found[place] = part
    return found


def read_head(path: UPath, num_bytes: int) -> bytes:
    """Return the first bytes of an object that is not empty."""
    if path.protocol not in HTTP:
        return _fetched(path, 0, num_bytes)
    head = b""
    with streamed(path) as file:
        while len(head) < num_bytes and (part := file.read(num_bytes - len(head))):
            head += part
    return head


@contextmanager
def streamed(path: SourcePath, *, block_bytes: int = STREAM_BYTES) -> Iterator[Any]:
    """Open a file to be read from its beginning; of most stores, `block_bytes` come with each request."""
    if isinstance(path, Path | StandardInput):
        with path.open("rb") as file:
            yield file
        return
    with reading(path):
        # A server that does not know ranges sends everything, once: with 0 it is read as it comes.
        size = 0 if path.protocol in HTTP else block_bytes
        with store_of(path).open(path.path, "rb", block_size=size) as file:
            yield file


def has_ranges(path: SourcePath, num_bytes: int) -> bool:
    """Return whether any part of a file of this size (-1: unknown) can be read on its own."""
    if isinstance(path, Path | StandardInput):
        return isinstance(path, Path)
    if num_bytes < 2 or path.protocol not in HTTP:  # noqa: PLR2004  # the second byte is asked for
        return num_bytes >= 0
    try:
        return len(_fetched(path, 1, 2)) == 1
    except StoreError:
        return False


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
    with reading(path):
        found: bytes
        if path.protocol in HTTP:
            found = _fetched_by_http(path, begin, end)
        else:
            found = store_of(path).cat_file(path.path, start=begin, end=end)
    if len(found) > end - begin:
        raise StoreError(f"asked for {end - begin} bytes, got {len(found)}", path=shown(path))
    return found


def _fetched_by_http(path: UPath, begin: int, end: int) -> bytes:
    # Not `cat_file`: of a server that does not know ranges it would take all there is.
    try:
        with store_of(path).open(path.path, "rb", block_size=1, size=end, cache_type="none") as file:
            file.seek(begin)
            found: bytes = file.read(end - begin)
    except ValueError as error:
        raise StoreError(str(error), path=shown(path)) from None
    return found
