"""Watches what a process does to a folder and all below it: each operation, in order, before it is done.

Python's own ways to a file are replaced: `open`, and the functions of `os`; and the one system call that the
package makes by itself. `tests/faults/test_kill_sweep.py` compares with what strace sees.

    kind       path            other      data
    open       what is opened             the mode, if for writing
    write      the file                   the bytes; `offset` says where
    truncate   the file                               `offset` is the new size
    fsync      file or folder
    rename     the old name    the new
    exchange   one folder      another
    mkdir, unlink, rmdir
"""

from __future__ import annotations

import builtins
import io
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.storage import publication

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation on absolute paths; `descriptor` is that of the open file, `modified_ns` its time."""

    kind: str
    path: str
    other: str = ""
    data: bytes = b""
    offset: int = 0
    descriptor: int = -1
    modified_ns: int = 0


class Watch:
    """Calls `before(operation)` before every operation below `folder`, one at a time, from now on."""

    def __init__(self, folder: Path, before: Callable[[Operation], None]) -> None:
        self._folder = str(folder)
        self._before = before
        self._lock = threading.RLock()
        self._real_fsync = os.fsync

    def tell(self, operation: Operation) -> None:
        """Call `before` if the operation concerns the folder or what is below it."""
        if self._concerns(operation.path) or self._concerns(operation.other):
            with self._lock:
                self._before(operation)

    def _concerns(self, path: str) -> bool:
        return path == self._folder or path.startswith(self._folder + "/")

    def install(self) -> None:
        """Replace what leads to the disk; for the rest of this process."""
        builtins.open = io.open = self._opening(io.open)  # type: ignore[assignment]
        os.fsync = self._fsync
        os.open = self._opening_descriptor(os.open)
        for name in ("unlink", "remove", "rmdir", "mkdir"):
            setattr(os, name, self._removing(name, getattr(os, name)))
        for name in ("rename", "replace"):
            setattr(os, name, self._renaming("rename", getattr(os, name)))
        publication.exchange = self._renaming("exchange", publication.exchange)

    def _opening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
            path = "" if isinstance(file, int) else _absolute(file, None)
            is_written = bool(set(mode) & set("wax+"))
            if self._concerns(path):
                self.tell(Operation(kind="open", path=path, data=mode.encode() if is_written else b""))
            if not is_written or not self._concerns(path):
                return original(file, mode, buffering, *rest, **named)
            raw = WatchedFile(path, mode.replace("b", ""), self)
            if buffering == 0:
                return raw
            buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **named)

        return opened

    def _opening_descriptor(self, original: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *rest: Any, dir_fd: int | None = None, **named: Any) -> int:
            place = _absolute(path, dir_fd)
            is_written = flags & (os.O_WRONLY | os.O_RDWR) and self._concerns(place)
            assert not is_written, "written through a file object only"
            self.tell(Operation(kind="open", path=place))
            return original(path, flags, *rest, dir_fd=dir_fd, **named)

        return opened

    def _fsync(self, descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        modified = os.fstat(descriptor).st_mtime_ns
        self.tell(Operation(kind="fsync", path=path, descriptor=descriptor, modified_ns=modified))
        self._real_fsync(descriptor)

    def _removing(self, kind: str, original: Callable[..., None]) -> Callable[..., None]:
        def removed(path: Any, *rest: Any, dir_fd: int | None = None) -> None:
            name = "unlink" if kind == "remove" else kind
            self.tell(Operation(kind=name, path=_absolute(path, dir_fd)))
            original(path, *rest, dir_fd=dir_fd)

        return removed

    def _renaming(self, kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def renamed(first: Any, second: Any) -> Any:
            self.tell(Operation(kind=kind, path=_absolute(first, None), other=_absolute(second, None)))
            return original(first, second)

        return renamed


class WatchedFile(io.FileIO):
    """A file whose writes are told."""

    def __init__(self, path: str, mode: str, watch: Watch) -> None:
        super().__init__(path, mode)
        self._told_path, self._watch = path, watch
        self._appends = "a" in mode

    def write(self, data: Any) -> int:
        """Tell what is written and where, and write it."""
        self._watch.tell(
            Operation(
                kind="write",
                path=self._told_path,
                data=bytes(data),
                offset=os.fstat(self.fileno()).st_size if self._appends else self.tell(),
                descriptor=self.fileno(),
            )
        )
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        """Tell the new size, and set it."""
        new_size = self.tell() if size is None else size
        self._watch.tell(Operation(kind="truncate", path=self._told_path, offset=new_size))
        return super().truncate(new_size)


def _absolute(path: Any, directory: int | None) -> str:
    folder = Path.cwd() if directory is None else Path(f"/proc/self/fd/{directory}").readlink()
    return str(folder / os.fsdecode(path))
