"""A model of a disk that forgets what was not forced to it: what may be there after the power has failed.

Operations are done one by one; at any time `surviving` gives a tree of files as the disk may have kept it.
A rename between two folders is kept in both or in neither, as file systems promise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.file_operations import Operation

Survival = Literal["forgotten", "names_only", "data_only", "mixed"]
# What is left: the bytes of each file and its time (0 if nobody knows), None for a folder.
Tree = dict[str, tuple[bytes, int] | None]


@dataclass(slots=True, eq=False)
class _File:
    data: bytes = b""
    synced: bytes = b""
    modified_ns: int = 0


@dataclass(slots=True, eq=False)
class _Folder:
    entries: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)


_Name = tuple[_Folder, str]


class ForgetfulDisk:
    """The disk below the folder `name`; in the beginning it holds, safely, what the folder `root` holds."""

    def __init__(self, root: Path, *, name: Path) -> None:
        self._root_path = name
        self._root = _loaded(root)
        self._moves: list[dict[_Name, _File | _Folder | None]] = []

    def do(self, operation: Operation) -> None:
        """Do one operation, in memory."""
        if operation.kind != "open" or operation.data:
            getattr(self, f"_{operation.kind}")(operation)

    def _open(self, operation: Operation) -> None:
        folder, name = self._name(operation.path)
        file = folder.entries.setdefault(name, _File())
        assert isinstance(file, _File)
        if operation.data.startswith(b"w"):
            file.data = b""

    def _write(self, operation: Operation) -> None:
        file, begin = self._file(operation.path), operation.offset
        end = begin + len(operation.data)
        file.data = file.data[:begin].ljust(begin, b"\0") + operation.data + file.data[end:]

    def _truncate(self, operation: Operation) -> None:
        file = self._file(operation.path)
        file.data = file.data[: operation.offset]

    def _fsync(self, operation: Operation) -> None:
        node = self._node(operation.path)
        if isinstance(node, _File):
            node.synced, node.modified_ns = node.data, operation.modified_ns
            return
        node.synced = dict(node.entries)
        moves, self._moves = self._moves, []
        for move in moves:
            if not any(folder is node for folder, _ in move):
                self._moves.append(move)
                continue
            for (folder, name), moved in move.items():
                if moved is None:
                    folder.synced.pop(name, None)
                else:
                    folder.synced[name] = moved

    def _mkdir(self, operation: Operation) -> None:
        folder, name = self._name(operation.path)
        folder.entries.setdefault(name, _Folder())

    def _unlink(self, operation: Operation) -> None:
        folder, name = self._name(operation.path)
        folder.entries.pop(name, None)

    _rmdir = _unlink

    def _rename(self, operation: Operation) -> None:
        (old, old_name), (new, new_name) = self._name(operation.path), self._name(operation.other)
        node = old.entries.pop(old_name)
        new.entries[new_name] = node
        if old is not new:
            self._moves.append({(old, old_name): None, (new, new_name): node})

    def _exchange(self, operation: Operation) -> None:
        (one, one_name), (two, two_name) = self._name(operation.path), self._name(operation.other)
        first, second = one.entries[one_name], two.entries[two_name]
        one.entries[one_name], two.entries[two_name] = second, first
        self._moves.append({(one, one_name): second, (two, two_name): first})

    def surviving(self, survival: Survival, *, seed: int = 0) -> Tree:
        """Return what a power failure now leaves, by path relative to the root.

        forgotten    names and data as they were when they were last forced to the disk
        names_only   all names as they are now, the data of the files as they were last forced to the disk
        data_only    the names last forced to the disk, with the data of now
        mixed        by chance one or the other for each folder and file, or half of what was written
        """
        random = np.random.default_rng(seed)
        with_names = {"forgotten": 0, "names_only": 1, "data_only": 0}
        with_data = {"forgotten": 0, "names_only": 0, "data_only": 2}
        # Folders between which something was moved have the same fate.
        group: dict[_Folder, _Folder] = {}
        for move in self._moves:
            first, *others = (folder for folder, _ in move)
            for other in others:
                group[other] = group.get(first, first)
        fates: dict[_Folder, int] = {}

        def names(folder: _Folder) -> dict[str, _File | _Folder]:
            leader = group.get(folder, folder)
            fate = fates.setdefault(leader, with_names.get(survival, int(random.integers(2))))
            return folder.entries if fate else folder.synced

        def data(file: _File) -> bytes:
            fate = with_data.get(survival, int(random.integers(3)))
            half = file.data[: (len(file.synced) + len(file.data)) // 2]
            return (file.synced, half, file.data)[fate]

        tree: Tree = {}
        _walk(self._root, "", names, data, tree)
        return tree

    def _name(self, path: str) -> _Name:
        folder = self._node(str(Path(path).parent))
        assert isinstance(folder, _Folder)
        return folder, Path(path).name

    def _file(self, path: str) -> _File:
        node = self._node(path)
        assert isinstance(node, _File)
        return node

    def _node(self, path: str) -> _File | _Folder:
        node: _File | _Folder = self._root
        for name in Path(path).relative_to(self._root_path).parts:
            assert isinstance(node, _Folder)
            node = node.entries[name]
        return node


def _loaded(folder: Path) -> _Folder:
    loaded = _Folder()
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            loaded.entries[path.name] = _loaded(path)
        else:
            data = path.read_bytes()
            loaded.entries[path.name] = _File(data, data, path.stat().st_mtime_ns)
    loaded.synced = dict(loaded.entries)
    return loaded


def _walk(
    folder: _Folder,
    prefix: str,
    names: Callable[[_Folder], dict[str, _File | _Folder]],
    data: Callable[[_File], bytes],
    tree: Tree,
) -> None:
    for name, node in sorted(names(folder).items()):
        if isinstance(node, _Folder):
            tree[prefix + name] = None
            _walk(node, f"{prefix}{name}/", names, data, tree)
        else:
            tree[prefix + name] = (data(node), node.modified_ns)


def restore(tree: Tree, folder: Path) -> None:
    """Make `folder`, which is empty, hold the files of `tree`."""
    for name, found in sorted(tree.items()):
        if found is None:
            (folder / name).mkdir()
            continue
        content, modified_ns = found
        (folder / name).write_bytes(content)
        if modified_ns:
            os.utime(folder / name, ns=(modified_ns, modified_ns))
