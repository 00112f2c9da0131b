"""Owns the right to work in a folder: one process at a time, which holds the lock file in it.

The kernel frees the lock when its process ends, however it ends. Neighbours: `storage` owns what is in the
folder.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from pipeline.errors import BusyError, TargetExistsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = "lock"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own `folder`, which is made if it is not there, while the context lasts.

    Raises:
        BusyError: another process owns it.
        TargetExistsError: what has its name is no folder, or holds things of somebody else.
    """
    lock = _locked(folder)
    with lock:
        lock.truncate(0)
        lock.write(f"pid {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        lock.flush()
        yield


def _locked(folder: Path) -> TextIO:
    """Return the open lock file of `folder`, locked."""
    path = folder / LOCK_NAME
    while True:
        try:
            _make(folder)
            lock = path.open("a+", encoding="utf-8")
        except FileNotFoundError:
            continue  # the owner was just removing the folder
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise BusyError(
                f"busy: {owner}", path=str(folder), hint="wait until it ends, or end it"
            ) from None
        if _is_at(path, lock):
            return lock
        lock.close()  # the owner removed it between opening and locking: it protects nothing any more


def _make(folder: Path) -> None:
    if folder.is_symlink():
        raise TargetExistsError("is a link, expected a folder", path=str(folder), hint="remove the link")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        taken = str(error.filename or folder)
        raise TargetExistsError("is no folder", path=taken, hint="name another target") from None
    # Whoever works here makes the lock first and removes it last.
    names = {path.name for path in folder.iterdir()}
    if names and LOCK_NAME not in names:
        raise TargetExistsError(
            "holds other things; unfinished work belongs there",
            path=str(folder),
            hint="move it away, or name another target",
        )


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether `file` is still what has the name `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
