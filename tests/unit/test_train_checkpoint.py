"""A checkpoint file: everything comes back, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

ARRAYS = {
    "model/0000": np.array([[1.5, -0.0], [np.inf, 1e-45]], np.float32),
    "model/0001": np.array([2**32 - 1, 7], np.uint32),
    "optimizer/0000": np.array(2**40, np.int64),
    "best/0000": np.empty((0, 3), np.float64),
}
TREE = {"epoch": 3, "loss": 0.1 + 0.2, "none": None, "text": "π", "list": [1, [2]]}


class KilledError(BaseException):
    """Stands for the end of the process."""


def test_everything_comes_back(tmp_path: Path) -> None:
    """Arrays to the last bit, with their types and shapes; floats of the tree as well."""
    path = tmp_path / "checkpoint.npz"
    write_checkpoint(path, Checkpoint(tree=TREE, arrays=ARRAYS))
    found = read_checkpoint(path)
    assert found is not None
    assert found.tree == TREE
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    """No file, and no error."""
    assert read_checkpoint(tmp_path / "checkpoint.npz") is None


@pytest.mark.parametrize("owner", [np, os, Path], ids=["savez", "fsync", "rename"])
def test_killed_while_writing_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any
) -> None:
    """Whatever step of writing is the last one done, the checkpoint is the old one; the next write works."""
    path = tmp_path / "checkpoint.npz"
    write_checkpoint(path, Checkpoint(tree={"epoch": 1}, arrays=ARRAYS))
    name = {np: "savez", os: "fsync", Path: "rename"}[owner]

    def killed(*_given: Any, **_named: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(KilledError):
            write_checkpoint(path, Checkpoint(tree={"epoch": 2}, arrays=ARRAYS))
    found = read_checkpoint(path)
    assert found is not None
    assert found.tree == {"epoch": 1}
    write_checkpoint(path, Checkpoint(tree={"epoch": 3}, arrays=ARRAYS))
    found = read_checkpoint(path)
    assert found is not None
    assert found.tree == {"epoch": 3}


@pytest.mark.parametrize(
    "damage",
    [
        lambda _data: b"",
        lambda data: data[:-10],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b'"epoch": 3', b'"epoch": 4'),
        lambda _data: b"no zip at all",
    ],
    ids=["empty", "cut", "half", "flipped", "foreign"],
)
def test_damage_is_an_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A file that is not what was written names itself and the way out, and is never half believed."""
    path = tmp_path / "checkpoint.npz"
    write_checkpoint(path, Checkpoint(tree=TREE, arrays=ARRAYS))
    data = path.read_bytes()
    assert damage(data) != data
    path.write_bytes(damage(data))
    with pytest.raises(ModelError, match="damaged") as caught:
        read_checkpoint(path)
    assert caught.value.path == str(path)
    assert f"rm -r {tmp_path}" in caught.value.hint


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    """Arrays of objects could run anything when they are read: refused."""
    path = tmp_path / "checkpoint.npz"
    np.savez(path, tree=np.array([{"epoch": 1}], object))
    with pytest.raises(ModelError, match="damaged"):
        read_checkpoint(path)
