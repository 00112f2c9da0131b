"""A folder has one owner at a time; a lock that was removed protects nothing."""

from __future__ import annotations

import fcntl
import re
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import BusyError, TargetExistsError
from pipeline.storage import lock
from pipeline.storage.lock import LOCK_NAME, owned

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def test_an_owner_is_named(tmp_path: Path) -> None:
    """While it is owned, who and since when; afterwards it is free."""
    folder = tmp_path / "a" / "b"
    with (
        owned(folder),
        pytest.raises(BusyError, match=r"busy: pid \d+ since 20\d\d-") as caught,
        owned(folder),
    ):
        pass
    assert caught.value.path == str(folder)
    with owned(folder):
        assert re.fullmatch(r"pid \d+ since [0-9: -]{19}\n", (folder / LOCK_NAME).read_text())


def test_a_lock_that_says_nothing(tmp_path: Path) -> None:
    """Held by a process that had no time to write its name."""
    (tmp_path / LOCK_NAME).touch()
    with (tmp_path / LOCK_NAME).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="busy: another process"), owned(tmp_path):
            pass


def test_a_lock_that_its_owner_removes_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If lock and folder go between opening and locking, another lock is made: two never own one folder."""
    folder, real = tmp_path / "folder", fcntl.flock
    locked: list[int] = []

    def remove_first(file: Any, how: int) -> None:
        if not locked:
            (folder / LOCK_NAME).unlink()
            folder.rmdir()
        locked.append(file.fileno())
        real(file, how)

    monkeypatch.setattr(lock.fcntl, "flock", remove_first)
    with owned(folder):
        assert (folder / LOCK_NAME).exists()
        with pytest.raises(BusyError), owned(folder):
            pass
    assert len(locked) == 3


@pytest.mark.parametrize("kind", ["file", "link", "other things", "below a file"])
def test_what_is_no_folder_of_ours_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A file, a link, a folder without a lock that holds something: refused, and not touched."""
    folder = tmp_path / "folder"
    if kind == "file":
        folder.write_text("mine")
    elif kind == "link":
        folder.symlink_to(tmp_path)
    elif kind == "other things":
        (folder / "mine").mkdir(parents=True)
    else:
        folder.write_text("mine")
        folder /= "below"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TargetExistsError) as caught, owned(folder):
        pass
    assert caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before
