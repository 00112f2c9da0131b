"""A conversion that was cut short goes on where it was, whatever has happened to what it left."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from support import damage as damages
from support.forked import KILLED, Accident, recorded
from support.unfinished import STAGING, TARGET, Scene, files, names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.file_operations import Operation

LAST_RUN = "run-00005.partial"
LAST_SHARD = "test-00000-of-00001.parquet.partial"


@pytest.fixture(scope="module")
def scene(scene_of: Callable[[str], Scene]) -> Scene:
    """A conversion to Parquet."""
    return scene_of("parquet")


@pytest.fixture
def late_in_reading(scene: Scene, tmp_path: Path) -> Path:
    """A working folder with a conversion that was killed when five runs were on disk."""
    return killed(scene, tmp_path / "reading", "rename", LAST_RUN)


@pytest.fixture
def late_in_writing(scene: Scene, tmp_path: Path) -> Path:
    """A working folder with a conversion that was killed when all shards but one were finished."""
    return killed(scene, tmp_path / "writing", "rename", LAST_SHARD)


def killed(scene: Scene, place: Path, kind: str, ending: str) -> Path:
    """Return the new working folder `place` with a conversion killed before that operation."""
    scene.copied(place)
    assert scene.run(place, Accident(kind="kill", at=scene.number_of(kind, ending))).status == KILLED
    return place


def journal(place: Path) -> list[dict[str, object]]:
    """Return what the journal tells."""
    text = (place / STAGING / "journal.jsonl").read_text(encoding="utf-8")
    return [json.loads(line.partition(" ")[2]) for line in text.splitlines()]


def num_read(operations: list[Operation]) -> int:
    """Return how often the source was opened: once a byte range, and for what goes before."""
    return sum(o.kind == "open" and o.path.endswith("/raw.csv") for o in operations)


def written(operations: list[Operation]) -> set[str]:
    """Return the names of the runs and shards that were written."""
    names = {o.path.rpartition("/")[2] for o in operations if o.kind == "open" and o.data}
    return {
        name.removesuffix(".partial") for name in names if name.startswith(("run-", "train", "val", "test"))
    }


def test_ranges_whose_runs_are_on_disk_are_not_read_again(
    scene: Scene, late_in_reading: Path, tmp_path: Path
) -> None:
    """The source is opened less often by as many times as there are byte ranges in the runs on disk."""
    runs = [entry for entry in journal(late_in_reading) if entry["event"] == "run"]
    num_ranges = sum(len(entry["ranges"]) for entry in runs)
    assert len(runs) == num_ranges == 5
    assert scene.run(late_in_reading, record=tmp_path / "record").status == 0
    operations = recorded(tmp_path / "record")
    assert num_read(scene.operations) - num_read(operations) == num_ranges
    assert not written(operations) & {entry["file"] for entry in runs}
    assert files(late_in_reading / TARGET) == scene.whole


def test_finished_shards_are_not_written_again(scene: Scene, late_in_writing: Path, tmp_path: Path) -> None:
    """They are the very files that were there; of the runs, only what was in memory is made anew."""
    done = {entry["entries"][0]["path"] for entry in journal(late_in_writing) if entry["event"] == "shard"}
    assert len(done) == 3
    before = {name: (late_in_writing / STAGING / "dataset" / name).stat() for name in done}
    assert scene.run(late_in_writing, record=tmp_path / "record").status == 0
    assert not written(recorded(tmp_path / "record")) & done
    for name, stat in before.items():
        now = (late_in_writing / TARGET / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert files(late_in_writing / TARGET) == scene.whole


def test_it_may_be_killed_again_and_again(scene: Scene, tmp_path: Path) -> None:
    """Killed after a hundred operations, and again, it gets to its end, and the bytes are the same."""
    place = scene.copied(tmp_path / "place")
    for times in range(30):
        outcome = scene.run(place, Accident(kind="kill", at=90 + 9 * times))
        if outcome.status == 0:
            break
        assert outcome.status == KILLED
        scene.assert_absent_or_valid(place)
    assert 2 < times < 29
    assert files(place / TARGET) == scene.whole
    assert names(place) == ["raw.csv", TARGET]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    damages.flip(path, path.stat().st_size // 2, bit=2)


def cut(path: Path, num_bytes: int) -> None:
    """Take bytes from the end of a file."""
    path.write_bytes(path.read_bytes()[:-num_bytes])


def append(path: Path, data: bytes) -> None:
    """Put bytes to the end of a file, which may not be there yet."""
    with path.open("ab") as file:
        file.write(data)


def make(path: Path) -> None:
    """Make a file of somebody else, and a folder with another one."""
    path.write_text("mine")
    (path.parent / "folder").mkdir()
    (path.parent / "folder" / "file").write_text("mine")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "the last line of the journal is cut": lambda s: cut(s / "journal.jsonl", 1000),
    "its line end alone is missing": lambda s: cut(s / "journal.jsonl", 1),
    "the last line of the journal is garbled": lambda s: flip_last_line(s / "journal.jsonl"),
    "the first half of the journal is garbled": lambda s: flip(s / "journal.jsonl"),
    "zeros follow the journal": lambda s: append(s / "journal.jsonl", bytes(4096)),
    "text follows the journal": lambda s: append(s / "journal.jsonl", b"0123456789abcdef {}\n"),
    "the journal is empty": lambda s: (s / "journal.jsonl").write_bytes(b""),
    "the journal is gone": lambda s: (s / "journal.jsonl").unlink(),
    "the plan is empty": lambda s: (s / "plan.json").write_bytes(b""),
    "the plan is cut": lambda s: cut(s / "plan.json", 100),
    "the plan is another JSON": lambda s: (s / "plan.json").write_text('{"sources": [3], "options": []}'),
    "the plan is a list": lambda s: (s / "plan.json").write_text("[]"),
    "the plan is gone": lambda s: (s / "plan.json").unlink(),
    "the receipt is a list": lambda s: (s / "receipt.json").write_text("[]"),
    "the receipt is no JSON": lambda s: (s / "receipt.json").write_text("{"),
    "the receipt is of another folder": lambda s: (s / "receipt.json").write_text('{"contents": "0"}'),
    "a bit of the first run is flipped": lambda s: flip(s / "runs" / "run-00000"),
    "a bit of the last run is flipped": lambda s: flip(s / "runs" / "run-00004"),
    "a run in the middle is cut": lambda s: cut(s / "runs" / "run-00002", 10),
    "a run in the middle is empty": lambda s: (s / "runs" / "run-00002").write_bytes(b""),
    "a run in the middle is gone": lambda s: (s / "runs" / "run-00001").unlink(),
    "a run has the place of another": lambda s: shutil.copy(
        s / "runs" / "run-00001", s / "runs" / "run-00003"
    ),
    "all runs are gone": lambda s: shutil.rmtree(s / "runs") or (s / "runs").mkdir(),
    "the folder of runs is gone": lambda s: shutil.rmtree(s / "runs"),
    "the folder of shards is gone": lambda s: shutil.rmtree(s / "dataset"),
    "other files are in the staging folder": lambda s: make(s / "mine"),
    "other files are among the shards": lambda s: make(s / "dataset" / "train-00009-of-00010.parquet"),
    "other files are among the runs": lambda s: make(s / "runs" / "run-00006"),
}
SHARD_DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit is flipped": flip,
    "it is cut": lambda path: cut(path, 1),
    "it is longer": lambda path: append(path, b"\0"),
    "it is empty": lambda path: path.write_bytes(b""),
    "it is gone": lambda path: path.unlink(),
    "it is another one": lambda path: shutil.copy(path.with_name("train-00001-of-00002.parquet"), path),
}


def flip_last_line(path: Path) -> None:
    """Change a byte in the last line of a file."""
    damages.flip(path, path.stat().st_size - 50, bit=0)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_between_kill_and_continuation(scene: Scene, late_in_reading: Path, damage: str) -> None:
    """Whatever happens to the state of an unfinished run, the bytes are those of an uninterrupted one."""
    DAMAGE[damage](late_in_reading / STAGING)
    scene.assert_continues(late_in_reading)


@pytest.mark.parametrize("damage", SHARD_DAMAGE)
def test_a_damaged_shard_is_written_again(
    scene: Scene, late_in_writing: Path, tmp_path: Path, damage: str
) -> None:
    """A finished shard that is no longer what was written is replaced; the others stay."""
    name = "train-00000-of-00002.parquet"
    SHARD_DAMAGE[damage](late_in_writing / STAGING / "dataset" / name)
    assert scene.run(late_in_writing, record=tmp_path / "record").status == 0
    shards = {path for path in written(recorded(tmp_path / "record")) if not path.startswith("run-")}
    assert shards == {name, "test-00000-of-00001.parquet"}
    assert files(late_in_writing / TARGET) == scene.whole


def test_after_damage_only_what_is_lost_is_read_again(
    scene: Scene, late_in_reading: Path, tmp_path: Path
) -> None:
    """The runs before the damaged one are taken up."""
    flip(late_in_reading / STAGING / "runs" / "run-00003")
    assert scene.run(late_in_reading, record=tmp_path / "record").status == 0
    operations = recorded(tmp_path / "record")
    assert num_read(scene.operations) - num_read(operations) == 3
    assert "run-00002" not in written(operations)
    assert "run-00003" in written(operations)


def test_a_disk_that_gives_back_other_bytes(scene: Scene, tmp_path: Path) -> None:
    """A run that is damaged after it was written is an error that names it; the same command continues."""
    place = scene.copied(tmp_path / "place")
    at = scene.number_of("open", "train-00000-of-00002.parquet.partial")
    outcome = scene.run(place, Accident(kind="flip", at=at))
    assert outcome.status == 5
    assert outcome.stderr.startswith(f"error[E502] {place / STAGING / 'runs' / 'run-00000'}: ")
    assert "run the same command again" in outcome.stderr
    scene.assert_absent_or_valid(place)
    scene.assert_continues(place)


def assert_the_disk_was_full(scene: Scene, place: Path, accident: Accident) -> None:
    """Fail unless the command says that the disk failed, and continues when there is room again."""
    outcome = scene.run(place, accident)
    operation = scene.operations[accident.at - 1]
    try:
        assert outcome.status in {0, 5}, outcome.stderr
        wording = {"fill": "No space left on device", "fail": "Input/output error"}[accident.kind]
        if outcome.status == 5:
            assert outcome.stderr.startswith("error[E502] ")
            assert wording in outcome.stderr
            assert len(outcome.stderr.splitlines()) == 2
        else:
            assert files(place / TARGET) == scene.whole  # what failed was the clearing up
        scene.assert_absent_or_valid(place)
        scene.assert_continues(place)
    except AssertionError as error:
        error.add_note(f"{accident}, before {operation!r:.300}")
        raise
    shutil.rmtree(place)


def changing(scene: Scene, kind: str) -> list[Accident]:
    """Return an accident at every operation that changes the disk."""
    return [
        Accident(kind=kind, at=number)
        for number, operation in enumerate(scene.operations, 1)
        if operation.kind != "open" or operation.data
    ]


@pytest.mark.parametrize("kind", ["fill", "fail"])
def test_a_full_or_failing_disk(scene: Scene, tmp_path: Path, kind: str) -> None:
    """At points spread over the conversion: E502 with a hint, no target, and it continues."""
    found = changing(scene, kind)
    for accident in found[:: len(found) // 6]:
        assert_the_disk_was_full(scene, scene.copied(tmp_path / "place"), accident)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fill", "fail"])
def test_a_disk_that_fails_anywhere(
    scene: Scene, tmp_path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    """Whichever operation is the first or the only one to fail: E502 with a hint, no target, it continues."""
    found = changing(scene, kind)
    for accident in found:
        assert_the_disk_was_full(scene, scene.copied(tmp_path / "place"), accident)
    record_property("points", len(found))
    print(f"{kind}: {len(found)} points")  # noqa: T201  # the report, seen with -s


def test_a_limit_of_the_kernel(scene: Scene, tmp_path: Path) -> None:
    """When the kernel itself refuses to let a file grow (RLIMIT_FSIZE), it is told, and it continues."""
    place = scene.copied(tmp_path / "place")
    limit = len(scene.whole["train-00000-of-00002.parquet"]) - 1
    outcome = scene.forker.run(*scene.command, cwd=place, max_file_bytes=limit)
    assert outcome.status == 5
    assert outcome.stderr.startswith("error[E502] ")
    assert "File too large" in outcome.stderr
    assert (place / STAGING / "runs" / "run-00000").exists()
    scene.assert_continues(place)
