"""A target has one owner at a time; what stands in the way is named, and left as it is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.command import ROOT
from support.forked import KILLED, TIMEOUT_SECONDS, Accident, Forker
from support.unfinished import STAGING, TARGET, Files, Scene, command, files, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.command import Outcome

NOBODY = 65534


@pytest.fixture(scope="module")
def scene(scene_of: Callable[[str], Scene]) -> Scene:
    """A conversion to Parquet."""
    return scene_of("parquet")


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the conversion of `folder` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "support.small_scale", *command(*options)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def stopped_midway(scene: Scene, folder: Path) -> Iterator[tuple[int, Future[Outcome]]]:
    """The pid of a conversion in `folder` that is stopped while it spills, and what will come of it."""
    at = next(n for n, o in enumerate(scene.operations, 1) if o.path.endswith("run-00002.partial"))
    with Forker() as server, ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(server.run, *command(), cwd=folder, accident=Accident(kind="stop", at=at))
        lock = folder / STAGING / "lock"
        until = time.monotonic() + TIMEOUT_SECONDS
        while not (lock.exists() and (pid := _stopped(lock.read_text(encoding="utf-8")))):
            assert not outcome.done()
            assert time.monotonic() < until
            time.sleep(0.005)
        try:
            yield pid, outcome
        finally:
            if not outcome.done():
                os.kill(pid, signal.SIGKILL)


def _stopped(owner: str) -> int:
    """Return the process that a lock names if it is stopped, else 0."""
    found = re.match(r"pid (\d+) ", owner)
    if found is None:
        return 0
    stat = Path(f"/proc/{found[1]}/stat").read_text(encoding="utf-8")
    return int(found[1]) if stat.rpartition(")")[2].split()[0] == "T" else 0


def test_a_second_run_is_told_who_owns_the_target(scene: Scene, tmp_path: Path) -> None:
    """While one runs, another is refused with its pid and time; the first one ends well."""
    place = scene.copied(tmp_path / "place")
    with stopped_midway(scene, place) as (pid, first):
        before = names(place / STAGING)
        second = scene.run(place)
        assert second.status == 6
        said = rf"error\[E601\] \S+{STAGING}: busy: pid {pid} since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\n"
        assert re.fullmatch(said + "  hint: wait until it ends, or end it\n", second.stderr)
        assert names(place / STAGING) == before
        os.kill(pid, signal.SIGCONT)
        assert first.result(TIMEOUT_SECONDS).status == 0
    assert files(place / TARGET) == scene.whole
    assert names(place) == ["raw.csv", TARGET]


def test_the_lock_of_a_dead_owner_is_free(scene: Scene, tmp_path: Path) -> None:
    """When the owner is killed, the next run takes over at once and continues."""
    place = scene.copied(tmp_path / "place")
    with stopped_midway(scene, place) as (pid, first):
        os.kill(pid, signal.SIGKILL)
        assert first.result(TIMEOUT_SECONDS).status == KILLED
        scene.assert_continues(place)


def test_of_many_that_start_at_once_one_works(scene: Scene, tmp_path: Path) -> None:
    """Started at the same moment, each ends well, is told of the other, or finds the target made."""
    place = scene.copied(tmp_path / "place")
    processes = [start(place) for _ in range(4)]
    said = [process.communicate(timeout=TIMEOUT_SECONDS)[1] for process in processes]
    statuses = [process.returncode for process in processes]
    assert 0 in statuses
    for status, text in zip(statuses, said, strict=True):
        wording = {0: "", 2: "error[E202]", 6: "error[E601]"}[status]
        assert text.startswith(wording)
        assert status == 0 or text.count("\n") == 2
    assert statuses.count(0) == 1
    assert files(place / TARGET) == scene.whole
    assert names(place) == ["raw.csv", TARGET]


def test_a_finished_target_is_not_touched(scene: Scene, tmp_path: Path) -> None:
    """Without --overwrite a dataset stays as it is, and nothing is left beside it."""
    place = scene.copied(tmp_path / "place")
    assert scene.run(place).status == 0
    times = {path: path.stat().st_mtime_ns for path in (place / TARGET).iterdir()}
    outcome = scene.run(place)
    assert outcome.status == 2
    assert outcome.stderr == (
        f"error[E202] {TARGET}: the target exists\n"
        "  hint: pass --overwrite to replace it, or name another target\n"
    )
    assert {path: path.stat().st_mtime_ns for path in (place / TARGET).iterdir()} == times
    assert names(place) == ["raw.csv", TARGET]


@pytest.mark.parametrize(
    ("make", "wording"),
    [
        pytest.param(lambda place: (place / TARGET).write_text("x"), "is not a folder", id="a file"),
        pytest.param(
            lambda place: (place / TARGET / "mine").mkdir(parents=True),
            "holds other things",
            id="a folder in use",
        ),
        pytest.param(lambda place: (place / STAGING).write_text("x"), "is no folder", id="staging is a file"),
        pytest.param(
            lambda place: (place / STAGING).symlink_to(place.parent), "is a link", id="staging is a link"
        ),
        pytest.param(
            lambda place: (place / STAGING / "mine").mkdir(parents=True),
            "holds other things",
            id="staging holds things of somebody else",
        ),
    ],
)
@pytest.mark.parametrize("option", [(), ("--overwrite",)])
def test_what_is_in_the_way_is_named_and_left(
    forker: Forker,
    scene: Scene,
    tmp_path: Path,
    make: Callable[[Path], object],
    wording: str,
    option: tuple[str, ...],
) -> None:
    """A file, a link, or somebody else's folder in the place of target or staging: E202, all left alone."""
    place = scene.copied(tmp_path / "place")
    make(place)
    before = sorted(place.rglob("*"))
    outcome = forker.run(*command(*option), cwd=place)
    assert outcome.status == 2, outcome.stderr
    assert outcome.stderr.startswith("error[E202] ")
    assert wording in outcome.stderr
    assert "  hint: " in outcome.stderr
    assert sorted(place.rglob("*")) == before


def test_a_target_below_a_file_is_refused(forker: Forker, scene: Scene, tmp_path: Path) -> None:
    """`raw.csv/shards` cannot be made; the error names the file."""
    place = scene.copied(tmp_path / "place")
    arguments = ["raw.csv/shards" if argument == TARGET else argument for argument in command()]
    outcome = forker.run(*arguments, cwd=place)
    assert outcome.status == 2, outcome.stderr
    assert outcome.stderr.startswith("error[E202] ")
    assert names(place) == ["raw.csv"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the rights of somebody else")
def test_a_parent_that_may_not_be_written_as_somebody_else(forker: Forker, scene: Scene) -> None:
    """Without the right to write there, the error says so, with status 5, and nothing has changed."""
    with tempfile.TemporaryDirectory() as folder:  # one that others may enter, unlike pytest's
        Path(folder).chmod(0o755)
        place = Path(shutil.copytree(scene.source, Path(folder) / "place"))
        refused = forker.run(*command(), cwd=place, as_user=NOBODY)
        assert_denied(refused, place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_parent_that_may_not_be_written(scene: Scene, tmp_path: Path) -> None:
    """Without the right to write there, the error says so, with status 5, and nothing has changed."""
    place = scene.copied(tmp_path / "place")
    place.chmod(0o500)
    try:
        assert_denied(scene.run(place), place)
    finally:
        place.chmod(0o700)


def assert_denied(outcome: Outcome, place: Path) -> None:
    """Fail unless the outcome is E504 and `place` holds the source alone."""
    assert outcome.status == 5, outcome.stderr
    assert outcome.stderr.startswith(f"error[E504] {place / STAGING}: permission denied\n")
    assert names(place) == ["raw.csv"]


@pytest.fixture
def unfinished(scene: Scene, tmp_path: Path) -> Path:
    """A working folder with a conversion that was killed while it wrote shards."""
    place = scene.copied(tmp_path / "place")
    renames = [number for number, o in enumerate(scene.operations, 1) if o.kind == "rename"]
    assert scene.run(place, Accident(kind="kill", at=renames[-4])).status == KILLED
    return place


def remembered(folder: Path) -> Files:
    """Return the files of unfinished work but for the lock, and for those that were never whole."""
    return {
        name: data
        for name, data in files(folder).items()
        if not name.endswith(".partial") and name != f"{STAGING}/lock"
    }


@pytest.mark.parametrize(
    ("options", "differences"),
    [
        (("--seed", "7"), ["seed was 42, is 7"]),
        (("--no-standardize",), ["standardize was True, is False"]),
        (("--format", "tfrecord"), ["formats was ['parquet'], is ['tfrecord']"]),
        (
            ("--split", "0.5,0.3,0.2", "--seed", "1"),
            ["seed was 42, is 1", "split was [0.8, 0.1, 0.1], is [0.5, 0.3, 0.2]"],
        ),
        (("--drop", "f1"), ["drop was [], is ['f1']"]),
    ],
)
def test_other_options_are_refused_with_the_differences(
    forker: Forker, scene: Scene, unfinished: Path, options: tuple[str, ...], differences: list[str]
) -> None:
    """An unfinished run started otherwise is named with every option that differs, and stays."""
    before = remembered(unfinished)
    outcome = forker.run(*command(*options), cwd=unfinished)
    assert outcome.status == 2
    assert outcome.stderr == (
        f"error[E203] {unfinished / STAGING}: an unfinished run is there: {'; '.join(differences)}\n"
        f"  hint: run the command as it was, or start afresh: rm -r {unfinished / STAGING}\n"
    )
    assert remembered(unfinished) == before
    scene.assert_continues(unfinished)


def test_options_that_change_no_bytes_may_change(forker: Forker, scene: Scene, unfinished: Path) -> None:
    """More workers or memory, and how much is shown, are no other request."""
    arguments = [*command()[:3], *command()[5:], "--workers", "3", "--memory", "2GiB", "--max-rejects", "9"]
    outcome = forker.run(*arguments, cwd=unfinished)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert files(unfinished / TARGET) == scene.whole


def test_another_source_is_refused(forker: Forker, scene: Scene, unfinished: Path) -> None:
    """The unfinished run of one source is not continued with another."""
    shutil.copy(unfinished / "raw.csv", unfinished / "other.csv")
    arguments = ["other.csv" if argument == "raw.csv" else argument for argument in command()]
    outcome = forker.run(*arguments, cwd=unfinished)
    assert outcome.status == 2
    assert "source was ['" in outcome.stderr
    (unfinished / "other.csv").unlink()
    scene.assert_continues(unfinished)


@pytest.mark.parametrize("change", ["longer", "shorter", "touched"])
def test_a_source_that_changed_since_is_refused(scene: Scene, unfinished: Path, change: str) -> None:
    """Between a kill and the continuation the source changed: E114 with both sizes, and the run stays."""
    source = unfinished / "raw.csv"
    text, times = source.read_bytes(), source.stat()
    size = len(text)
    if change == "longer":
        source.write_bytes(text + b"1,2,3.0,4.0,w\n")
        sizes = f"{size} bytes then, {size + 14} now"
    elif change == "shorter":
        source.write_bytes(text[: text.rindex(b"\n", 0, -1) + 1])
        sizes = f"{size} bytes then, {source.stat().st_size} now"
    else:
        os.utime(source)
        sizes = f"{size} bytes then and now, modified in between"
    outcome = scene.run(unfinished)
    assert outcome.status == 3
    assert outcome.stderr == (
        f"error[E114] {source}: changed since the unfinished run began: {sizes}\n"
        f"  hint: run the command as it was, or start afresh: rm -r {unfinished / STAGING}\n"
    )
    source.write_bytes(text)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    scene.assert_continues(unfinished)


@pytest.mark.parametrize("when", ["reading", "spilling"])
def test_a_source_that_changes_during_the_run_is_refused(scene: Scene, tmp_path: Path, when: str) -> None:
    """Bytes appended while it is read: E114 with the sizes before and after, and nothing is left."""
    place = scene.copied(tmp_path / "place")
    size = (place / "raw.csv").stat().st_size
    at = [
        number
        for number, o in enumerate(scene.operations, 1)
        if (o.kind == "open" and o.path.endswith("raw.csv")) or o.path.endswith("run-00002.partial")
    ]
    number = at[3] if when == "reading" else at[-1]
    outcome = scene.run(place, Accident(kind="append", at=number))
    assert outcome.status == 3
    assert outcome.stderr.startswith(
        f"error[E114] raw.csv: changed while it was read: {size} bytes before, {size + 14} after\n"
    )
    assert names(place) == ["raw.csv"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_the_old_dataset_survives_a_failing_run(
    forker: Forker, scene_of: Callable[[str], Scene], tmp_path: Path, *, can_exchange: bool
) -> None:
    """With --overwrite, a fault in the new source leaves the old dataset as it was, and nothing beside it."""
    scene = scene_of("overwrite")
    place = scene.copied(tmp_path / "place")
    with (place / "raw.csv").open("a", encoding="utf-8") as file:
        file.write("0,1,2.0,three,w\n")
    arguments = ["error" if argument == "skip" else argument for argument in command("--overwrite")]
    outcome = forker.run(*arguments, cwd=place, can_exchange=can_exchange)
    assert outcome.status == 3, outcome.stderr
    assert files(place / TARGET) == scene.old
    assert names(place) == ["raw.csv", TARGET]


def test_a_target_moved_aside_is_put_back(scene_of: Callable[[str], Scene], tmp_path: Path) -> None:
    """Killed between two renames, where folders cannot be exchanged, the next run puts the old one back.

    Even if that run then fails, because its source has changed.
    """
    scene = scene_of("overwrite, no exchange")
    place = scene.copied(tmp_path / "place")
    [number] = [n for n, o in enumerate(scene.operations, 1) if o.other.endswith(f"/{TARGET}")]
    assert scene.run(place, Accident(kind="kill", at=number)).status == KILLED
    assert not (place / TARGET).exists()
    os.utime(place / "raw.csv")
    assert scene.run(place).status == 3
    assert files(place / TARGET) == scene.old
