"""A file written aside appears whole under its name, or not at all."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import AccessError, BusyError, DiskError, TargetExistsError
from pipeline.partial import partial_path, written_anew, written_aside

if TYPE_CHECKING:
    from pathlib import Path


def write_and_fail(dest: Path, data: bytes) -> None:
    """Write `data` and meet an error before the end."""
    with written_aside(dest, num_bytes=2) as file:
        file.write(data)
        raise ZeroDivisionError


def write(dest: Path, data: bytes) -> None:
    """Write `data` to `dest` by way of its partial file."""
    with written_aside(dest, num_bytes=len(data)) as file:
        file.write(data)


def names(folder: Path) -> list[str]:
    """Return what is in the folder."""
    return sorted(path.name for path in folder.iterdir())


def test_appears_when_whole(tmp_path: Path) -> None:
    """The name appears at the end, and the partial file is gone then."""
    dest = tmp_path / "a" / "b.csv"
    with written_aside(dest, num_bytes=2) as file:
        file.write(b"ab")
        assert names(dest.parent) == ["b.csv.partial"]
    assert names(dest.parent) == ["b.csv"]
    assert dest.read_bytes() == b"ab"


def test_an_error_keeps_what_was_written(tmp_path: Path) -> None:
    """After an error the next writer stands at the end of what the last one wrote."""
    dest = tmp_path / "b.csv"
    with pytest.raises(ZeroDivisionError):
        write_and_fail(dest, b"a")
    assert names(tmp_path) == ["b.csv.partial"]
    with written_aside(dest, num_bytes=2) as file:
        assert file.tell() == 1
        file.write(b"b")
    assert dest.read_bytes() == b"ab"


def test_an_error_leaves_no_empty_file(tmp_path: Path) -> None:
    """After an error before the first byte nothing is left."""
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "b.csv", b"")
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_whatever_exists_is_left_alone(tmp_path: Path, kind: str) -> None:
    """Nothing that has the name already is replaced, not even a link to nowhere."""
    dest = tmp_path / "b.csv"
    match kind:
        case "file":
            dest.write_bytes(b"mine")
        case "folder":
            dest.mkdir()
        case _:
            dest.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TargetExistsError, match="exists already"):
        write(dest, b"x")
    assert names(tmp_path) == ["b.csv"]


def test_renamed_under_our_feet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial file that its owner renamed after we had opened it is theirs: we write nothing into it."""
    dest = tmp_path / "b.csv"
    partial_path(dest).write_bytes(b"theirs")

    def lock(_descriptor: int, _how: int) -> None:
        partial_path(dest).rename(tmp_path / "theirs.csv")

    monkeypatch.setattr("pipeline.partial.fcntl.flock", lock)
    with pytest.raises(BusyError):
        write(dest, b"x")
    assert (tmp_path / "theirs.csv").read_bytes() == b"theirs"
    assert names(tmp_path) == ["theirs.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_disk_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A disk that is full or fails, even as late as fsync, is an error with a hint, and no file."""

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pipeline.partial.os.fsync", fail)
    with pytest.raises(DiskError) as caught:
        write(tmp_path / "b.csv", b"ab")
    assert caught.value.hint
    assert not (tmp_path / "b.csv").exists()


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that may not be written is named."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "there")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(AccessError, match="there: permission denied"):
        write(tmp_path / "b.csv", b"ab")


def test_written_anew_begins_empty_and_may_replace(tmp_path: Path) -> None:
    """What a killed process left is written over; a file that is there is replaced only when told."""
    dest = tmp_path / "b.csv"
    partial_path(dest).write_bytes(b"left")
    with written_anew(dest, overwrite=False) as file:
        file.write(b"new")
    assert (dest.read_bytes(), names(tmp_path)) == (b"new", ["b.csv"])
    with pytest.raises(TargetExistsError, match="exists already"), written_anew(dest, overwrite=False):
        pass
    with written_anew(dest, overwrite=True) as file:
        file.write(b"newer")
    assert (dest.read_bytes(), names(tmp_path)) == (b"newer", ["b.csv"])


def test_written_anew_leaves_nothing_after_an_error(tmp_path: Path) -> None:
    """The file that was there stays as it was."""
    dest = tmp_path / "b.csv"
    dest.write_bytes(b"old")

    def fail() -> None:
        with written_anew(dest, overwrite=True) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (dest.read_bytes(), names(tmp_path)) == (b"old", ["b.csv"])


def test_written_anew_is_for_one_process(tmp_path: Path) -> None:
    """A second writer of the same file is told so, and the first one is not disturbed."""
    dest = tmp_path / "b.csv"
    with written_anew(dest, overwrite=False) as file:
        file.write(b"mine")
        with pytest.raises(BusyError, match="busy"), written_anew(dest, overwrite=True):
            pass
    assert dest.read_bytes() == b"mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, *, overwrite: bool) -> None:
    """A folder, and a link."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(TargetExistsError), written_anew(tmp_path / name, overwrite=overwrite):
            pass
    assert names(tmp_path) == ["folder", "link"]
