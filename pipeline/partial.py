"""Owns a single file written aside: `dest.partial`, its lock, and its publication as `dest` by one rename.

Neighbours: `fetch`, `download` and `predict` write into it; a whole dataset is staged by `storage`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.errors import BusyError, DiskError, TargetExistsError
from pipeline.storage import fsync_directory, system_errors_told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRandom
    from pathlib import Path

_MAKE_ROOM = "free some space, or name a place on another disk"


def partial_path(dest: Path) -> Path:
    """Return the name under which `dest` is written."""
    return dest.with_name(dest.name + ".partial")


@contextmanager
def written_aside(dest: Path, *, num_bytes: int) -> Iterator[BufferedRandom]:
    """Yield the partial file of `dest`, owned by this process and standing at its end, to be written.

    Leaving the block without an error forces the file to the disk and renames it to `dest`; leaving it with
    one keeps what was written, if anything. Folders above `dest` are made. `num_bytes` is the expected size.

    Raises:
        TargetExistsError: `dest` exists.
        BusyError: another process is writing it.
        DiskError: there is no room for `num_bytes`, or the disk fails.
        AccessError: permission denied.
    """
    with system_errors_told(dest, hint=_MAKE_ROOM):
        _check_absent(dest)
        dest.parent.mkdir(parents=True, exist_ok=True)
        with partial_path(dest).open("a+b") as file:
            _own(file, dest)
            with _no_empty_rest(file, dest):
                _check_room(dest, num_bytes - file.tell())
                yield file
                file.flush()
                os.fsync(file.fileno())
                partial_path(dest).rename(dest)
        fsync_directory(dest.parent)


@contextmanager
def written_anew(dest: Path, *, overwrite: bool) -> Iterator[BufferedRandom]:
    """Yield the partial file of `dest`, owned by this process and empty, to be written.

    Leaving the block without an error forces the file to the disk and renames it to `dest`, which is replaced
    with `overwrite`; leaving it with one leaves nothing. Folders above `dest` are made.

    Raises:
        TargetExistsError: `dest` exists and `overwrite` is not set, or is no file.
        BusyError: another process is writing it.
        DiskError: the disk is full or fails.
        AccessError: permission denied.
    """
    with system_errors_told(dest, hint=_MAKE_ROOM):
        check_file(dest, overwrite=overwrite)
        dest.parent.mkdir(parents=True, exist_ok=True)
        with partial_path(dest).open("a+b") as file:
            _lock(file, dest)
            try:
                check_file(dest, overwrite=overwrite)
                file.truncate(0)
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                partial_path(dest).unlink(missing_ok=True)
                raise
            partial_path(dest).rename(dest)
        fsync_directory(dest.parent)


def check_file(dest: Path, *, overwrite: bool) -> None:
    """Raise if a file may not be written to `dest`.

    Raises:
        TargetExistsError: it is no file, or one and `overwrite` is not set.
    """
    if not overwrite:
        hint = "pass --overwrite to replace it, or name another"
        _check_absent(dest, hint=hint if dest.is_file() and not dest.is_symlink() else "name another")
    elif dest.is_symlink() or (dest.exists() and not dest.is_file()):
        raise TargetExistsError("is no file", path=str(dest), hint="name another")


def _check_absent(dest: Path, *, hint: str = "remove it, or name another") -> None:
    if dest.exists() or dest.is_symlink():
        raise TargetExistsError("exists already", path=str(dest), hint=hint)


def _own(file: BufferedRandom, dest: Path) -> None:
    _lock(file, dest)
    _check_absent(dest)


def _lock(file: BufferedRandom, dest: Path) -> None:
    """Lock the partial file; raise if another process has it, or has renamed it since it was opened."""
    busy = BusyError("busy: another process writes it", path=str(dest), hint="wait until it ends, or end it")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file.fileno()), partial_path(dest).stat()):
            raise busy
    except (BlockingIOError, FileNotFoundError):
        raise busy from None


@contextmanager
def _no_empty_rest(file: BufferedRandom, dest: Path) -> Iterator[None]:
    """Remove the partial file on an error if there is nothing in it."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the error under way matters more
            file.flush()
            if os.fstat(file.fileno()).st_size == 0:
                partial_path(dest).unlink(missing_ok=True)
        raise


def _check_room(dest: Path, num_bytes: int) -> None:
    free_bytes = shutil.disk_usage(dest.parent).free
    if num_bytes > free_bytes:
        raise DiskError(
            f"need about {num_bytes / 1e6:,.0f} MB, have {free_bytes / 1e6:,.0f} MB",
            path=str(dest),
            hint=_MAKE_ROOM,
        )
