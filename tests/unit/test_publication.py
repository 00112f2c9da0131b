"""What a killed publication leaves is finished by the next owner, and told apart from other work."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from pipeline.storage import publication
from pipeline.storage.exchange import exchange
from pipeline.storage.publication import Staging, staging

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    """Return the names in `folder`, sorted."""
    return sorted(path.name for path in folder.iterdir())


def write_dataset(stage: Staging, text: str) -> None:
    """Begin a dataset of two files."""
    stage.begin()
    (stage.dataset / "manifest.json").write_text(text)
    (stage.dataset / "shard").write_text(text)


def publish_but_the_rest(target: Path, monkeypatch: pytest.MonkeyPatch, *, request: str = "mine") -> None:
    """Publish a dataset and leave the rest, as if killed before the staging folder is cleared."""
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "discard", lambda _stage: None)
        with staging(target, resumable=True) as stage:
            write_dataset(stage, "new")
            stage.publish(request=request)


def test_two_folders_change_names(tmp_path: Path) -> None:
    """Both keep what is in them; where one is missing nothing happens."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "one", tmp_path / "two"):
        pytest.skip("this file system cannot")
    assert (names(tmp_path / "one"), names(tmp_path / "two")) == (["two"], ["one"])
    assert not exchange(tmp_path / "one", tmp_path / "three")
    assert names(tmp_path) == ["one", "two"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_what_was_published_is_known_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, can_exchange: bool
) -> None:
    """The next owner learns what was asked for, finds the rest cleared, and nothing of the old dataset."""
    if not can_exchange:
        monkeypatch.setattr(publication, "exchange", lambda _first, _second: False)
    target = tmp_path / "shards"
    with staging(target) as stage:
        write_dataset(stage, "old")
        stage.publish()
    publish_but_the_rest(target, monkeypatch)
    assert (target / "shard").read_text() == "new"
    with staging(target, resumable=True) as stage:
        assert stage.published_request() == "mine"
        assert names(stage.folder) == ["lock", "receipt.json"]
        stage.discard()
    assert names(tmp_path) == ["shards"]


@pytest.mark.parametrize("change", ["gone", "touched", "longer", "another file"])
def test_another_target_is_not_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Once the target is another one, the receipt says nothing of it."""
    target = tmp_path / "shards"
    publish_but_the_rest(target, monkeypatch)
    if change == "gone":
        shutil.rmtree(target)
    elif change == "touched":
        os.utime(target / "shard")
    elif change == "longer":
        (target / "shard").write_text("longer")
    else:
        (target / "other").touch()
    with staging(target, resumable=True) as stage:
        assert stage.published_request() is None


def test_a_new_beginning_forgets_the_receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the work begun after it would be cleared as waste of the publication before."""
    target = tmp_path / "shards"
    publish_but_the_rest(target, monkeypatch)
    with staging(target, resumable=True) as stage:
        write_dataset(stage, "newer")
    with staging(target, resumable=True) as stage:
        assert stage.published_request() is None
        assert (stage.dataset / "shard").read_text() == "newer"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"contents": 3}'])
def test_a_receipt_that_is_none(tmp_path: Path, text: str) -> None:
    """Whatever stands in it, it is not taken for one."""
    with staging(tmp_path / "shards", resumable=True) as stage:
        stage.target.mkdir()
        (stage.folder / "receipt.json").write_text(text)
        assert stage.published_request() is None


def test_a_target_moved_aside_comes_back(tmp_path: Path) -> None:
    """Where folders cannot be exchanged, the old dataset returns if the new one did not come."""
    target = tmp_path / "shards"
    old = tmp_path / "shards.incomplete" / "old"
    old.mkdir(parents=True)
    (old / "shard").write_text("old")
    (old.parent / "lock").touch()
    with staging(target, resumable=True):
        assert (target / "shard").read_text() == "old"
        assert not old.exists()


def test_files_half_written_are_removed(tmp_path: Path) -> None:
    """What a killed process wrote aside is waste; what it finished stays."""
    with staging(tmp_path / "shards", resumable=True) as stage:
        write_dataset(stage, "x")
        for folder in (stage.folder, stage.dataset, stage.runs):
            (folder / "a.1f-00.partial").touch()
    with staging(tmp_path / "shards", resumable=True) as stage:
        assert names(stage.folder) == ["dataset", "lock", "runs"]
        assert names(stage.dataset) == ["manifest.json", "shard"]
        assert names(stage.runs) == []


def test_only_what_was_named_is_published(tmp_path: Path) -> None:
    """Files and folders of somebody else among the shards do not become part of the dataset."""
    with staging(tmp_path / "shards") as stage:
        write_dataset(stage, "x")
        (stage.dataset / "mine").mkdir()
        (stage.dataset / "mine" / "file").touch()
        (stage.dataset / "train-00000-of-00001.parquet").touch()
        (stage.dataset / "link").symlink_to(tmp_path)
        stage.publish(names=["manifest.json", "shard"])
    assert names(tmp_path / "shards") == ["manifest.json", "shard"]
    assert tmp_path.exists()


def test_folders_that_are_gone_are_made_again(tmp_path: Path) -> None:
    """Going on needs the folders of shards and runs, and leaves alone what is in them."""
    with staging(tmp_path / "shards") as stage:
        write_dataset(stage, "x")
        stage.runs.rmdir()
        stage.reopen()
        assert names(stage.runs) == []
        assert names(stage.dataset) == ["manifest.json", "shard"]


def test_what_cannot_be_removed_stays_under_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that could not be cleared is not taken for somebody else's."""

    def fail(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    with staging(tmp_path / "shards", resumable=True) as stage, monkeypatch.context() as patch:
        write_dataset(stage, "x")
        patch.setattr(shutil, "rmtree", fail)
        stage.publish()
    assert (tmp_path / "shards" / "shard").exists()
    assert "lock" in names(tmp_path / "shards.incomplete")
    with staging(tmp_path / "shards", resumable=True) as stage:
        assert stage.published_request() == ""
