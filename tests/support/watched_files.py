"""Tells which files outside a folder are opened, by Python or by a library in C++, while it lasts."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IN_ACCESS, IN_OPEN = 0x01, 0x20
IN_NONBLOCK = os.O_NONBLOCK

_lists: list[list[str]] = []  # those that are being filled; a hook, once added, stays
_hooked: list[bool] = []


@contextmanager
def opened_by_python() -> Iterator[list[str]]:
    """Yield a list that gets the absolute path of every file that Python opens."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and _lists and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.fsdecode(arguments[0])
            for opened in _lists:
                opened.append(path if "\0" in path else str(Path(path).absolute()))

    if not _hooked:
        sys.addaudithook(hook)
        _hooked.append(True)
    found: list[str] = []
    _lists.append(found)
    try:
        yield found
    finally:
        _lists.remove(found)


@contextmanager
def touched(paths: Sequence[Path]) -> Iterator[list[int]]:
    """Yield a list that gets, at the end, an entry for every time that one of `paths` was opened or read.

    The kernel tells (inotify), so it does not matter who opens them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(IN_NONBLOCK)
    assert descriptor >= 0
    found: list[int] = []
    try:
        for path in paths:
            watched = libc.inotify_add_watch(descriptor, os.fsencode(path), IN_ACCESS | IN_OPEN)
            assert watched >= 0, path
        yield found
        with suppress(BlockingIOError):
            found += os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)
