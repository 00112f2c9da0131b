"""Workers and client of a cluster die while source and target are in S3: the same objects, and no others."""

from __future__ import annotations

import dataclasses
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.cluster_faults import FAULTS, SLOW_SECONDS, Fault, arrange
from support.clusters import run_client, running_cluster
from support.s3_server import BUCKET, s3_server
from support.unfinished import TARGET, files, write_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.clusters import ClientOutcome, Cluster
    from support.s3_server import S3

pytestmark = pytest.mark.slow

WORKERS_MOMENTS = ("parsing", "spilling", "spilled", "finalizing", "finalized")
CLIENTS_MOMENTS = ("noted run", "noted shard", "manifest", "publishing", "clearing")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An S3 with raw.csv, a cluster, and the file in which its workers look for faults."""

    s3: S3
    cluster: Cluster
    folder: Path
    fault_path: Path

    def arrange(self, target: str, moment: str, how: str, **more: object) -> Fault:
        """Let a fault happen from now on."""
        fault = Fault(moment=moment, how=how, folder=str(self.folder / target), **more)  # type: ignore[arg-type]
        arrange(self.fault_path, fault)
        return fault

    def convert(self, target: str, *options: str, has_fault: bool = False) -> ClientOutcome:
        """Convert raw.csv to `target`, both in S3, on the cluster."""
        environment = self.s3.environment | ({FAULTS: str(self.fault_path)} if has_fault else {})
        return run_client(
            *("convert", f"s3://{BUCKET}/raw.csv", f"s3://{BUCKET}/{target}/{TARGET}", "--quiet"),
            *("--shard-size", "16kB", "--on-bad-row", "skip", "--keep", "word"),
            *("--engine", "dask", "--scheduler", self.cluster.address, *options),
            cwd=self.folder,
            environment=environment,
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A cluster of two workers beside an S3."""
    folder = tmp_path_factory.mktemp("scene")
    write_source(folder / "source")
    fault_path = folder / "fault.json"
    with s3_server() as s3:
        s3.put({"raw.csv": (folder / "source" / "raw.csv").read_bytes()})
        environment = s3.environment | {FAULTS: str(fault_path)}
        with running_cluster(folder / "cluster", num_workers=2, environment=environment) as cluster:
            yield Scene(s3=s3, cluster=cluster, folder=folder, fault_path=fault_path)


@pytest.fixture(autouse=True)
def mended(scene: Scene) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    scene.fault_path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def assert_done(scene: Scene) -> Callable[[str, ClientOutcome], None]:
    """A check that a command left at a target what one on a disk leaves, and nothing beside it."""
    outcome = run_client(
        *("convert", "raw.csv", TARGET, "--quiet", "--workers", "1"),
        *("--shard-size", "16kB", "--on-bad-row", "skip", "--keep", "word"),
        cwd=scene.folder / "source",
    )
    assert (outcome.status, outcome.stderr) == (0, "")
    whole = {f"{TARGET}/{name}": data for name, data in files(scene.folder / "source" / TARGET).items()}

    def check(target: str, outcome: ClientOutcome) -> None:
        assert (outcome.status, outcome.stderr) == (0, "")
        assert scene.s3.files(target) == whole
        assert scene.s3.uploads() == []

    return check


@pytest.mark.parametrize("moment", WORKERS_MOMENTS)
def test_a_worker_that_dies_changes_nothing(
    moment: str, scene: Scene, assert_done: Callable[[str, ClientOutcome], None]
) -> None:
    """Its task is done by another, and what it had uploaded is what the other uploads."""
    fault = scene.arrange(f"worker {moment}", moment, "exit", at=2)
    outcome = scene.convert(f"worker {moment}")
    assert fault.count > 2
    assert_done(f"worker {moment}", outcome)


@pytest.mark.parametrize("moment", CLIENTS_MOMENTS)
def test_a_client_that_is_killed_continues(
    moment: str, scene: Scene, assert_done: Callable[[str, ClientOutcome], None]
) -> None:
    """Without a manifest there is no dataset, and the same command comes to its end."""
    target = f"client {moment}"
    scene.arrange(target, moment, "kill", at=2 if moment.startswith("noted") else 1)
    assert scene.convert(target, has_fault=True).status == -signal.SIGKILL
    assert (f"{TARGET}/manifest.json" in scene.s3.names(target)) == (moment == "clearing")
    scene.fault_path.unlink()
    assert_done(target, scene.convert(target))


def test_a_dataset_is_replaced(scene: Scene, assert_done: Callable[[str, ClientOutcome], None]) -> None:
    """Objects that the new dataset does not have are gone."""
    assert scene.convert("replaced", "--seed", "1", "--shard-size", "8kB").status == 0
    assert_done("replaced", scene.convert("replaced", "--overwrite"))


def test_uploads_of_dead_workers_are_ended(
    scene: Scene, assert_done: Callable[[str, ClientOutcome], None]
) -> None:
    """What a worker had begun to upload when it died is not kept, and not billed."""
    run = f"uploads/{TARGET}.incomplete/runs/run-00000-00000000-0"
    scene.s3.file_system().call_s3("create_multipart_upload", Bucket=BUCKET, Key=run)
    assert scene.s3.uploads() == [run]
    assert_done("uploads", scene.convert("uploads"))


def test_nothing_is_left_of_a_slow_worker_after_an_error(scene: Scene) -> None:
    """An error removes all objects; a worker that is still at a task is waited for."""
    fault = scene.arrange("slow", "parsing", "slow", only="range 2")
    outcome = scene.convert("slow", "--max-rejects", "0")
    assert outcome.status == 3
    assert outcome.stderr.startswith(f"error[E117] s3://{BUCKET}/raw.csv:")
    assert fault.count == 1
    assert scene.s3.names("slow") == []
    assert scene.cluster.num_tasks() == 0


def test_a_worker_that_a_dead_client_left_is_waited_for(
    scene: Scene, assert_done: Callable[[str, ClientOutcome], None]
) -> None:
    """The command that continues begins when nobody writes for the one that was killed."""
    slow = Fault(moment="parsing", how="slow", folder=f"{scene.folder}/left-1", at=2)
    killed = Fault(moment="noted run", how="kill", folder=f"{scene.folder}/left-2", at=2)
    arrange(scene.fault_path, slow, killed)
    assert scene.convert("left", has_fault=True).status == -signal.SIGKILL
    scene.fault_path.unlink()
    outcome = scene.convert("left")
    assert slow.count > 1
    assert_done("left", outcome)
    time.sleep(2 * SLOW_SECONDS)
    assert_done("left", outcome)
