"""Nothing appears under its name before it is whole; a target has one owner at a time."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import AccessError, BusyError, DiskError, NotANumberError, TargetExistsError
from pipeline.manifest import MANIFEST_NAME
from pipeline.storage.files import HashedFile, write_text
from pipeline.storage.publication import check_target, staging

if TYPE_CHECKING:
    from collections.abc import Callable


def names(folder: Path) -> list[str]:
    """Return the names in `folder`, sorted."""
    return sorted(path.name for path in folder.iterdir())


def dataset_at(path: Path) -> None:
    """Make what looks like a dataset."""
    path.mkdir()
    (path / MANIFEST_NAME).write_text("{}")
    (path / "train-00000-of-00001.parquet").write_text("old")


def test_a_file_counts_and_hashes_what_passes(tmp_path: Path) -> None:
    """Size and SHA-256 are those of the bytes in the file, whatever buffers they came in."""
    parts: list[Any] = [
        b"abc",
        b"",
        memoryview(b"defgh")[1:3],
        bytearray(100_000),
        memoryview(bytes(16)).cast("I"),
    ]
    expected = b"".join(bytes(part) for part in parts)
    with HashedFile(tmp_path / "shard") as file:
        for part in parts:
            assert file.write(part) == len(bytes(part))
        assert file.tell() == len(expected)
        file.flush()
        file.publish()
    assert file.closed
    assert file.num_bytes == len(expected)
    assert file.sha256 == hashlib.sha256(expected).hexdigest()
    assert (tmp_path / "shard").read_bytes() == expected
    assert names(tmp_path) == ["shard"]


def test_a_file_that_was_not_published_has_no_name(tmp_path: Path) -> None:
    """Closing alone, or failing midway, leaves nothing under the file's name."""
    with HashedFile(tmp_path / "shard") as file:
        file.write(b"half")
    assert not (tmp_path / "shard").exists()


def test_small_files_are_replaced_whole(tmp_path: Path) -> None:
    """A text is written aside and renamed, with line ends as they are; nothing else stays."""
    path = tmp_path / "a.json"
    write_text(path, "old")
    write_text(path, "é\nb\r\n")
    assert path.read_bytes() == "é\nb\r\n".encode()
    assert names(tmp_path) == ["a.json"]


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails while a text is written, what was there is still there."""
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_text(path, "new")
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("make", "overwrite", "wording"),
    [
        pytest.param(lambda path: path.touch(), True, "not a folder", id="a file"),
        pytest.param(lambda path: path.symlink_to(path.parent), True, "not a folder", id="a link"),
        pytest.param(lambda path: path.symlink_to("nowhere"), True, "not a folder", id="a dead link"),
        pytest.param(
            lambda path: (path / "x").mkdir(parents=True), True, "other things", id="a folder in use"
        ),
        pytest.param(dataset_at, False, "the target exists", id="a dataset"),
    ],
)
def test_a_target_that_is_there_is_not_touched(
    tmp_path: Path, make: Callable[[Path], object], wording: str, *, overwrite: bool
) -> None:
    """Only a dataset may be replaced, and only when told so."""
    make(tmp_path / "shards")
    with pytest.raises(TargetExistsError, match=wording) as caught:
        check_target(tmp_path / "shards", overwrite=overwrite)
    assert caught.value.hint
    assert caught.value.path == str(tmp_path / "shards")


def test_a_free_target_passes(tmp_path: Path) -> None:
    """No such folder, an empty one, or a dataset that may be overwritten: all fine."""
    check_target(tmp_path / "shards", overwrite=False)
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", overwrite=False)
    dataset_at(tmp_path / "old")
    check_target(tmp_path / "old", overwrite=True)


def test_a_dataset_appears_at_once(tmp_path: Path) -> None:
    """The target is not there until it is published; afterwards nothing else is."""
    target = tmp_path / "shards"
    with staging(target) as stage:
        stage.begin()
        (stage.dataset / "a").write_text("1")
        assert not target.exists()
        assert stage.folder == tmp_path / "shards.incomplete"
        stage.publish()
    assert names(tmp_path) == ["shards"]
    assert names(target) == ["a"]


@pytest.mark.parametrize("make", [dataset_at, Path.mkdir])
def test_what_was_there_is_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Publishing over a dataset, or an empty folder, leaves nothing of it."""
    make(tmp_path / "shards")
    with staging(tmp_path / "shards") as stage:
        stage.begin()
        (stage.dataset / "a").write_text("1")
        stage.publish()
    assert names(tmp_path) == ["shards"]
    assert names(tmp_path / "shards") == ["a"]


@pytest.mark.parametrize("error", [NotANumberError("x"), KeyboardInterrupt(), RuntimeError("y")])
def test_a_failure_leaves_nothing_and_the_old_dataset(tmp_path: Path, error: BaseException) -> None:
    """On any error the staging folder is gone and the target is what it was."""
    target = tmp_path / "shards"
    dataset_at(target)

    def fail() -> None:
        with staging(target) as stage:
            stage.begin()
            (stage.dataset / "a").write_text("1")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert names(tmp_path) == ["shards"]
    assert (target / "train-00000-of-00001.parquet").read_text() == "old"


def own(
    target: Path, owned: multiprocessing.synchronize.Event, end: multiprocessing.synchronize.Event
) -> None:
    """Own the target until told to end."""
    with staging(target):
        owned.set()
        end.wait(30)


def test_a_target_has_one_owner(tmp_path: Path) -> None:
    """While another process works on it, the error names that process; afterwards the target is free."""
    context = multiprocessing.get_context("spawn")
    owned, end = context.Event(), context.Event()
    process = context.Process(target=own, args=(tmp_path / "shards", owned, end))
    process.start()
    try:
        assert owned.wait(30)
        with (
            pytest.raises(BusyError, match=f"busy: pid {process.pid} since 20"),
            staging(tmp_path / "shards"),
        ):
            pass
    finally:
        end.set()
        process.join(30)
    with staging(tmp_path / "shards") as stage:
        stage.begin()
        assert names(stage.dataset) == []


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    """A lock file without a living owner, and whatever that one left, hinder nobody."""
    folder = tmp_path / "shards.incomplete"
    (folder / "dataset").mkdir(parents=True)
    (folder / "dataset" / "half").write_text("x")
    (folder / "lock").write_text("pid 1 since 2001-01-01 00:00:00\n")
    with staging(tmp_path / "shards") as stage:
        stage.begin()
        assert names(stage.dataset) == []
        stage.publish()
    assert names(tmp_path) == ["shards"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskError),
        (errno.EIO, DiskError),
        (errno.EROFS, DiskError),
        (errno.EACCES, AccessError),
    ],
)
def test_failures_of_the_system_are_our_errors(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    """A full, failing or read-only disk, and denied permission, are told with the path."""
    with pytest.raises(kind) as caught, staging(tmp_path / "shards"):
        raise OSError(number, os.strerror(number), "some/path")
    assert str(caught.value).startswith("some/path: ")


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    """A fault of the program is not taken for one of the disk."""
    with pytest.raises(FileNotFoundError), staging(tmp_path / "shards"):
        raise FileNotFoundError(errno.ENOENT, "no such file", "x")


def test_a_target_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder may be the target itself, or its parent named by dots."""
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for target in (Path("../other"), Path("./shards"), Path("deep/down/shards")):
        with staging(target) as stage:
            stage.begin()
            stage.publish()
        assert target.is_dir()
        shutil.rmtree(target)
