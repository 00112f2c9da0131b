"""Workers, scheduler or client of a cluster die, or are slow: the same bytes, or an error that says why."""

from __future__ import annotations

import dataclasses
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.cluster_faults import FAULTS, Fault, arrange
from support.clusters import LOOK_SECONDS, PRELOAD, TIMEOUT_SECONDS, run_client, running_cluster
from support.unfinished import STAGING, TARGET, command, files, names, write_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.clusters import ClientOutcome as Outcome
    from support.clusters import Cluster
    from support.unfinished import Files

DEATHS = 3  # of workers at one task, and there is an error
DASK = ("--engine", "dask")
PRELOADING = {"DASK_DISTRIBUTED__WORKER__PRELOAD": str([PRELOAD])}
SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(DEATHS - 1)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder with raw.csv, and the fault that happens in processes which look for it there."""

    folder: Path
    fault_path: Path

    def arrange(self, moment: str, how: str, **more: object) -> Fault:
        """Let a fault happen from now on."""
        count = len(list(self.folder.parent.glob("moments-*")))
        fault = Fault(moment=moment, how=how, folder=f"{self.folder.parent}/moments-{count}", **more)  # type: ignore[arg-type]
        (self.folder.parent / f"moments-{count}").mkdir()
        arrange(self.fault_path, fault)
        return fault

    def journal(self) -> list[str]:
        """Return the entries of the journal of an unfinished conversion."""
        return (self.folder / STAGING / "journal.jsonl").read_text(encoding="utf-8").splitlines()

    def mend(self) -> None:
        """Let nothing happen any more."""
        self.fault_path.unlink(missing_ok=True)

    def convert(self, *options: str, has_fault: bool = False) -> Outcome:
        """Convert raw.csv; where that `has_fault`, the client has it, and workers that the client starts."""
        environment = {FAULTS: str(self.fault_path), **PRELOADING} if has_fault else {}
        return run_client(*command(*options), cwd=self.folder, environment=SETTINGS | environment)


@pytest.fixture(scope="module")
def fault_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the workers look for faults."""
    return tmp_path_factory.mktemp("faults") / "fault.json"


@pytest.fixture(scope="module")
def cluster(fault_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers with faults, which are started again when they die."""
    folder = tmp_path_factory.mktemp("cluster") / "c"
    with running_cluster(folder, num_workers=2, environment=SETTINGS | {FAULTS: str(fault_path)}) as found:
        yield found


@pytest.fixture
def place(fault_path: Path, tmp_path: Path) -> Iterator[Place]:
    """A folder with the source."""
    write_source(tmp_path / "place")
    found = Place(folder=tmp_path / "place", fault_path=fault_path)
    yield found
    found.mend()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What an uninterrupted conversion by threads leaves."""
    folder = tmp_path_factory.mktemp("whole") / "place"
    write_source(folder)
    outcome = run_client(*command(), cwd=folder)
    assert (outcome.status, outcome.stderr) == (0, "")
    return files(folder / TARGET)


def assert_done(place: Place, outcome: Outcome, whole: Files) -> None:
    """Fail unless the command ended well, with these bytes, and nothing else is there."""
    assert (outcome.status, outcome.stderr) == (0, "")
    assert files(place.folder / TARGET) == whole
    assert names(place.folder) == ["raw.csv", TARGET]


def assert_nobody_left(outcome: Outcome) -> None:
    """Fail if processes of the command do not end soon after it."""
    for _ in range(round(TIMEOUT_SECONDS / LOOK_SECONDS)):
        if not outcome.survivors():
            return
        time.sleep(LOOK_SECONDS)
    raise AssertionError(outcome.survivors())


def quick_or_slow(*quick: tuple[str, str]) -> list[object]:
    """Return the moments of workers with all ways to die, those but `quick` as slow tests."""
    moments = ("parsing", "spilling", "spilled", "gathering", "finalizing", "finalized")
    pairs = [(moment, how) for moment in moments for how in ("exit", "segfault")]
    return [pair if pair in quick else pytest.param(*pair, marks=pytest.mark.slow) for pair in pairs]


@pytest.mark.parametrize(("moment", "how"), quick_or_slow(("spilling", "exit"), ("finalized", "segfault")))
def test_a_worker_that_dies_changes_nothing(
    moment: str, how: str, cluster: Cluster, place: Place, whole: Files
) -> None:
    """Its task is done by another, whatever it had done of it, and the bytes are the same."""
    fault = place.arrange(moment, how, at=1 if moment == "gathering" else 2)
    outcome = place.convert(*DASK, "--scheduler", cluster.address)
    assert fault.count > fault.at
    assert_done(place, outcome, whole)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["parsing", "spilling", "gathering", "finalizing"])
def test_a_task_that_fails_is_done_anew(moment: str, cluster: Cluster, place: Place, whole: Files) -> None:
    """A disk that fails once, in one worker, is nobody's concern."""
    fault = place.arrange(moment, "fail")
    outcome = place.convert(*DASK, "--scheduler", cluster.address)
    assert fault.count > 1
    assert_done(place, outcome, whole)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["parsing", "spilling", "finalizing"])
def test_a_slow_worker_changes_nothing(moment: str, cluster: Cluster, place: Place, whole: Files) -> None:
    """The others do what it does not come to."""
    fault = place.arrange(moment, "slow")
    outcome = place.convert(*DASK, "--scheduler", cluster.address)
    assert fault.count > 1
    assert_done(place, outcome, whole)


@pytest.mark.slow
@pytest.mark.parametrize("owner", ["its own", "somebody else's"])
@pytest.mark.parametrize(("moment", "only"), [("parsing", "range 3"), ("finalizing", "train-00001")])
def test_three_deaths_at_the_same_task_are_an_error(
    moment: str,
    only: str,
    owner: str,
    cluster: Cluster,
    place: Place,
    whole: Files,
) -> None:
    """The third death at one task ends the command; when that is mended, it continues."""
    scheduler = () if owner == "its own" else ("--scheduler", cluster.address)
    fault = place.arrange(moment, "exit", times=1000, only=only)
    outcome = place.convert(*DASK, *scheduler, "--workers", "2", has_fault=not scheduler)
    first, second = outcome.stderr.splitlines()
    assert outcome.status == 5
    assert first.startswith("error[E508] workers died at the same task again and again, the last one at tcp:")
    assert second.startswith("  hint: its log says why")
    assert fault.count == DEATHS
    assert "shards" not in names(place.folder)
    place.mend()
    assert_done(place, place.convert(*DASK, *scheduler, "--workers", "2"), whole)


CLIENTS_MOMENTS = ("noted run", "noted shard", "manifest", "publishing", "clearing")


@pytest.mark.slow
@pytest.mark.parametrize("owner", ["its own", "somebody else's"])
@pytest.mark.parametrize("moment", CLIENTS_MOMENTS)
def test_a_client_that_is_killed_continues(
    moment: str, owner: str, cluster: Cluster, place: Place, whole: Files
) -> None:
    """No process outlives it, nothing is under the target's name, and the same command comes to its end."""
    scheduler = () if owner == "its own" else ("--scheduler", cluster.address)
    place.arrange(moment, "kill", at=2 if moment.startswith("noted") else 1)
    outcome = place.convert(*DASK, *scheduler, "--workers", "2", has_fault=True)
    assert outcome.status == -signal.SIGKILL
    assert_nobody_left(outcome)
    assert ("shards" in names(place.folder)) == (moment == "clearing")
    place.mend()
    assert_done(place, place.convert(*DASK, *scheduler, "--workers", "2"), whole)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["noted run", "noted shard"])
def test_a_scheduler_that_is_killed_is_told(moment: str, place: Place, whole: Files, tmp_path: Path) -> None:
    """The command ends with E508; with another cluster it continues."""
    for number in (1, 2):
        with running_cluster(tmp_path / f"cluster-{number}", num_workers=2, environment=SETTINGS) as found:
            if number == 1:
                place.arrange(moment, str(found.scheduler.pid))
            outcome = place.convert(*DASK, "--scheduler", found.address, has_fault=number == 1)
        if number == 1:
            assert outcome.status == 5
            assert outcome.stderr.splitlines() == [
                "error[E508] the connection to the scheduler is lost",
                "  hint: run the same command again when it is back: it continues",
            ]
            assert "shards" not in names(place.folder)
            place.mend()
    assert_done(place, outcome, whole)


@pytest.mark.parametrize("owner", ["its own", pytest.param("somebody else's", marks=pytest.mark.slow)])
def test_ctrl_c_cancels_the_tasks(owner: str, cluster: Cluster, place: Place, whole: Files) -> None:
    """One line, status 130, no process and no task left; the same command continues."""
    scheduler = () if owner == "its own" else ("--scheduler", cluster.address)
    place.arrange("noted run", "interrupt", at=2)
    outcome = place.convert(*DASK, *scheduler, "--workers", "2", has_fault=True)
    assert (outcome.status, outcome.stderr.lstrip("\n")) == (130, "interrupted\n")
    assert_nobody_left(outcome)
    assert cluster.num_tasks() == 0
    assert "shards" not in names(place.folder)
    place.mend()
    assert_done(place, place.convert(*DASK, *scheduler, "--workers", "2"), whole)


LOCAL, OTHER = ("--workers", "1"), (*DASK, "--workers", "2")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["noted run", "noted shard"])
@pytest.mark.parametrize(("first", "then"), [(LOCAL, OTHER), (OTHER, LOCAL)], ids=["to Dask", "from Dask"])
def test_one_engine_continues_what_another_began(
    moment: str, first: tuple[str, ...], then: tuple[str, ...], place: Place, whole: Files
) -> None:
    """What one has done the other does not do again."""
    place.arrange(moment, "kill", at=2)
    assert place.convert(*first, has_fault=True).status == -signal.SIGKILL
    done = [line for line in place.journal() if f'"{moment.split()[1]}"' in line]
    assert len(done) == 2
    fault = place.arrange(moment, "kill", at=1000)
    assert_done(place, place.convert(*then, has_fault=True), whole)
    assert fault.count >= 1
