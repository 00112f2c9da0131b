"""Owns the folder beside the target in which a dataset comes to be, and its publication.

Nothing appears under the target's name before it is whole. Neighbours: `lock` keeps others out of the folder,
`exchange` puts one dataset in the place of another, `convert` and `train` publish.

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

import hashlib
import json
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import OptionError, TargetExistsError
from pipeline.manifest import MANIFEST_NAME
from pipeline.storage.exchange import exchange
from pipeline.storage.files import PARTIAL, fsync_directory, write_text
from pipeline.storage.lock import LOCK_NAME, owned
from pipeline.storage.paths import make_folder, names_in, remove_tree, system_errors_told
from pipeline.storage.store import INCOMPLETE, RECEIPT_NAME, StoreStaging

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.storage.paths import AnyPath

READ_ONLY = {"http", "https"}


class Staging:
    """The folder beside the target in which a dataset comes to be."""

    def __init__(self, target: Path) -> None:
        target = target.absolute()  # "." has no name that something beside it could be called after
        self.target = target
        self.folder = target.with_name(target.name + INCOMPLETE)
        self.dataset = self.folder / "dataset"
        self.runs = self.folder / "runs"
        self._old = self.folder / "old"
        self._missing = [folder for folder in self.folder.parents if not folder.exists()]

    def settle(self) -> None:
        """Force the folder's own name to the disk, and clear up after a crash.

        Files half written are removed, and what was half done in publishing is finished.
        """
        for folder in (self.folder, *self._missing):
            fsync_directory(folder.parent)
        for folder in (self.folder, self.dataset, self.runs):
            for path in folder.glob(f"*{PARTIAL}"):
                path.unlink()
        if self._old.exists() and not self.target.exists():
            self._old.rename(self.target)
            fsync_directory(self.target.parent)
        if self.published_request() is not None:
            self._clear()

    def begin(self) -> None:
        """Make empty folders for the dataset and for runs."""
        (self.folder / RECEIPT_NAME).unlink(missing_ok=True)
        for folder in (self.dataset, self.runs):
            remove_tree(folder)
            folder.mkdir()
        fsync_directory(self.folder)

    def reopen(self) -> None:
        """Make what is missing of the folders, to go on with what an earlier process left."""
        for folder in (self.dataset, self.runs):
            folder.mkdir(exist_ok=True)
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
            remove_tree(self._old)
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
        if not isinstance(receipt, dict) or not self.target.is_dir():
            return None
        return str(receipt["request"]) if receipt.get("contents") == _contents(self.target) else None

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


AnyStaging = Staging | StoreStaging


def staging_exists(target: AnyPath) -> bool:
    """Whether there is unfinished work for `target`."""
    if isinstance(target, Path):
        return Staging(target).folder.exists()
    return bool(names_in(StoreStaging(target).folder))


def check_target(target: AnyPath, *, overwrite: bool) -> None:
    """Raise if a dataset may not be written to `target`.

    Raises:
        OptionError: nothing can be written there.
        TargetExistsError: it is a file, a folder that is no dataset, or a dataset and `overwrite` is not set.
    """
    if not isinstance(target, Path) and target.protocol in READ_ONLY:
        raise OptionError(
            f"{target.protocol}:// can only be read", path=str(target), hint="name another target"
        )
    if isinstance(target, Path) and not target.exists() and not target.is_symlink():
        return
    if isinstance(target, Path) and (not target.is_dir() or target.is_symlink()):
        raise TargetExistsError("the target is not a folder", path=str(target), hint="name another target")
    names = set(names_in(target))
    if not names:
        return
    if MANIFEST_NAME not in names:
        if not isinstance(target, Path) and StoreStaging(target).has_receipt():
            return  # an unfinished publication
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


@contextmanager
def staging_anywhere(target: AnyPath) -> Iterator[AnyStaging]:
    """Own the staging folder of a target on this machine or in a store; it stays, for whoever continues.

    Raises:
        StoreError: the store failed; and what `staging` raises.
    """
    if isinstance(target, Path):
        with staging(target, resumable=True) as stage:
            yield stage
        return
    with system_errors_told(target, hint="run the same command again: it continues"):
        in_store = StoreStaging(target)
        make_folder(in_store.folder)  # where there are folders
        yield in_store
