"""Owns how bytes reach the disk: staging beside the target, checksums, fsync, atomic publication.

Nothing appears under the target's name before it is whole. Knows no format. Neighbours: `formats` writes into
a `HashedFile`, `convert` publishes a `Staging`, `lock` keeps others out of it.

    shards.incomplete/         beside the target, on the same file system
        lock                   held by the running process
        plan.json              what was asked for     ┐ see pipeline.convert.journal
        journal.jsonl          what is done           ┘
        runs/                  what memory cannot hold
        dataset/               becomes the target by one rename
        receipt.json           which folder becomes the target; after that, everything here is waste
        old/                   the former target, where the system cannot exchange two folders
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.errors import AccessError, DiskError, PipelineError, TargetExistsError
from pipeline.exchange import exchange
from pipeline.lock import LOCK_NAME, owned
from pipeline.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self


HEAD_BYTES = 4096  # what tells one shard from another without reading either
RECEIPT_NAME = "receipt.json"
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class HashedFile:
    """A file to be written once, front to back; counts and hashes (SHA-256) what passes.

    Written aside; it appears under its name, whole and safely on disk, with `publish`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(path.name + ".partial")
        self._file = self._aside.open("wb", buffering=0)
        self._hash = hashlib.sha256()
        self._head_hash = hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, any buffer of bytes."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        if self.num_bytes < HEAD_BYTES:
            self._head_hash.update(view[: HEAD_BYTES - self.num_bytes])
        self.num_bytes += len(view)
        done = 0
        while done < len(view):
            done += self._file.write(view[done:])
        return len(view)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.num_bytes

    def flush(self) -> None:
        """Do nothing: every write goes straight to the system."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._file.closed

    def publish(self) -> None:
        """Force the bytes to the disk and give the file its name."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._aside.rename(self._path)
        fsync_directory(self._path.parent)

    def close(self) -> None:
        """Close without publishing, unless that is done."""
        self._file.close()

    @property
    def sha256(self) -> str:
        """The SHA-256 of all bytes written, hexadecimal."""
        return self._hash.hexdigest()

    @property
    def head_sha256(self) -> str:
        """The SHA-256 of the first 4,096 bytes written, or of all where they are fewer."""
        return self._head_hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def fsync_directory(path: Path) -> None:
    """Force the names in the directory `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a small file aside, force it to the disk, and rename it to `path`."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    fsync_directory(path.parent)


class Staging:
    """The folder beside the target in which a dataset comes to be."""

    def __init__(self, target: Path) -> None:
        target = target.absolute()  # "." has no name that something beside it could be called after
        self.target = target
        self.folder = target.with_name(target.name + ".incomplete")
        self.dataset = self.folder / "dataset"
        self.runs = self.folder / "runs"
        self._old = self.folder / "old"
        self._missing = [folder for folder in self.folder.parents if not folder.exists()]

    def settle(self) -> None:
        """Force the folder's own name to the disk, and finish what a crash left half done in publishing."""
        for folder in (self.folder, *self._missing):
            fsync_directory(folder.parent)
        if self._old.exists() and not self.target.exists():
            self._old.rename(self.target)
            fsync_directory(self.target.parent)
        if self.published_request() is not None:
            self._clear()

    def begin(self) -> None:
        """Make empty folders for the dataset and for runs."""
        (self.folder / RECEIPT_NAME).unlink(missing_ok=True)
        for folder in (self.dataset, self.runs):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        fsync_directory(self.folder)

    def publish(self, *, request: str = "", names: Iterable[str] | None = None) -> None:
        """Make the dataset the target, at once; a dataset that was there is removed after that.

        Of the dataset only `names` are kept, if they are given. `request` says what was asked for: after a
        crash, `published_request` gives it back.
        """
        if names is not None:
            self._keep_only(set(names))
        fsync_directory(self.dataset)
        receipt = {"request": request, "contents": _contents(self.dataset)}
        write_text(self.folder / RECEIPT_NAME, json.dumps(receipt) + "\n")
        if not self.target.exists():
            self.dataset.rename(self.target)
        elif not exchange(self.dataset, self.target):
            shutil.rmtree(self._old, ignore_errors=True)
            self.target.rename(self._old)
            self.dataset.rename(self.target)
        fsync_directory(self.target.parent)
        self.discard()

    def _keep_only(self, names: set[str]) -> None:
        for path in self.dataset.iterdir():
            if path.name in names:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def published_request(self) -> str | None:
        """Return what was asked for, if the target is what an earlier process published from here.

        That process was killed before it had removed the staging folder.
        """
        try:
            receipt = json.loads((self.folder / RECEIPT_NAME).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if not self.target.is_dir() or receipt.get("contents") != _contents(self.target):
            return None
        return str(receipt["request"])

    def _clear(self) -> None:
        """Remove all but the lock and the receipt."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in {LOCK_NAME, RECEIPT_NAME}:
                path.unlink()

    def discard(self) -> None:
        """Remove the staging folder and everything in it, and folders on the way that hold nothing else."""
        with suppress(OSError):  # what cannot be removed stays, under lock
            self._clear()
            # The lock last: without it, whoever comes next takes an empty folder for its own.
            (self.folder / RECEIPT_NAME).unlink(missing_ok=True)
            (self.folder / LOCK_NAME).unlink(missing_ok=True)
            for folder in (self.folder, *self._missing):
                folder.rmdir()


def _contents(folder: Path) -> str:
    """Return a digest of names, sizes and times: another one for every folder ever written.

    It stays the same when the folder is renamed, which the number of its inode need not on every file system.
    """
    stats = sorted((str(p.relative_to(folder)), p.stat()) for p in folder.rglob("*") if p.is_file())
    listed = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise if a dataset may not be written to `target`.

    Raises:
        TargetExistsError: it is a file, a folder that is no dataset, or a dataset and `overwrite` is not set.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir() or target.is_symlink():
        raise TargetExistsError("the target is not a folder", path=str(target), hint="name another target")
    if not any(target.iterdir()):
        return
    if not (target / MANIFEST_NAME).exists():
        raise TargetExistsError(
            "the target is a folder that holds other things", path=str(target), hint="name another target"
        )
    if not overwrite:
        raise TargetExistsError(
            "the target exists",
            path=str(target),
            hint="pass --overwrite to replace it, or name another target",
        )


@contextmanager
def system_errors_told(path: Path, *, hint: str) -> Iterator[None]:
    """Turn what the system says of disk and permissions into our errors, at `path` where it names none.

    Raises:
        AccessError: permission denied.
        DiskError: the disk is full or fails; with `hint`.
    """
    try:
        yield
    except PipelineError:
        raise
    except PermissionError as error:
        raise AccessError("permission denied", path=str(error.filename or path)) from None
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise DiskError(os.strerror(error.errno or 0), path=str(error.filename or path), hint=hint) from None


@contextmanager
def staging(target: Path, *, resumable: bool = False) -> Iterator[Staging]:
    """Own the staging folder of `target` while it lasts; on an error nothing is left of it.

    If `resumable`, it stays: whoever asked for that decides what is worth keeping.

    Raises:
        BusyError: another process owns it.
        TargetExistsError: what has its name is no folder, or holds things of somebody else.
        AccessError: the folder around the target may not be written.
        DiskError: the disk is full or fails.
    """
    stage = Staging(target)
    told = system_errors_told(target, hint="free some space, or name a target on another disk")
    with told, owned(stage.folder):
        try:
            stage.settle()
            yield stage
        except BaseException:
            if not resumable:
                stage.discard()
            raise
